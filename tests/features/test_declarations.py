"""Declarations: what is accepted, what each mistake is answered with."""

import json

import numpy as np
import pytest

from pipelines.errors import DomainError
from pipelines.features.declarations import window_ms
from pipelines.features.kinds import KINDS
from pipelines.features.parsing import parse_features
from tests.builders_features import EVERY_KIND, SHOP, a_domain, definitions_of

LINE = SHOP.count("\n") + 1


def declared(*features: str) -> str:
    return "".join(f"  - {feature}\n" for feature in features)


def test_lists_of_choices_are_written_out_and_end_the_names():
    names = [
        d.name
        for d in parse_features(
            a_domain(
                declared(
                    "{name: n, kind: count, of: click, by: tags, window: [1h, 1d], aggregate: [mean, max]}",
                )
            )
        )
    ]
    assert names == ["n_1h_mean", "n_1h_max", "n_1d_mean", "n_1d_max"]


def test_every_kind_is_compiled():
    assert {type(d) for d in parse_features(a_domain(EVERY_KIND))} == set(KINDS.values())
    assert len(set(definitions_of(EVERY_KIND).names)) == 71


@pytest.mark.parametrize(
    ("feature", "key", "problem"),
    [
        ("{name: x}", "kind", "a feature needs a kind; known kinds: attribute, age, count"),
        ("{name: x, kind: cuont}", "kind", "unknown kind 'cuont'; did you mean 'count'"),
        ("{kind: position}", "", "missing required field `name`"),
        ("{name: 9x, kind: position}", "name", "'9x' is no name"),
        ("{name: x, kind: count, by: item}", "", "missing required field `of`"),
        (
            "{name: x, kind: count, of: click, by: item, windw: 1h}",
            "windw",
            "no key 'windw'; did you mean 'window'?",
        ),
        (
            "{name: x, kind: count, of: clik, by: item}",
            "of",
            "unknown event type 'clik'; did you mean 'click'?",
        ),
        ("{name: x, kind: count, of: [], by: item}", "of", "names no event type"),
        (
            "{name: x, kind: count, of: click, by: itm}",
            "by",
            "nothing to count by called 'itm'; did you mean 'item'?",
        ),
        ("{name: x, kind: count, of: click, by: price}", "by", "nothing to count by called 'price'"),
        ("{name: x, kind: count, of: click, by: [user, user]}", "by", "[user, user] is nothing"),
        ("{name: x, kind: count, of: click, by: [user, tags, item]}", "by", "give all, item, user"),
        ("{name: x, kind: count, of: decision, by: item}", "of", "a decision is about its user"),
        ("{name: x, kind: count, of: click, by: [session, user]}", "by", "[session, user] is nothing"),
        ("{name: x, kind: count, of: click, by: [item, tags]}", "by", "give all, item, user, session"),
        ("{name: x, kind: sum, of: click, number: prise, by: user}", "number", "did you mean 'price'?"),
        ("{name: x, kind: mean, of: click, number: tags, by: user}", "number", "this needs number"),
        ("{name: x, kind: sum, of: click, number: price, by: user, window: 91d}", "window", "5min to 90d"),
        ("{name: x, kind: distinct, of: click, what: usr, by: item}", "what", "has no attribute 'usr'"),
        ("{name: x, kind: trend, of: click, by: item, window: 1d}", "", "missing required field `against`"),
        (
            "{name: x, kind: trend, of: click, by: item, window: 1d, against: 1h}",
            "against",
            "must be longer than the window of 1d, not 1h",
        ),
        (
            "{name: x, kind: trend, of: click, by: item, window: 1h, against: all}",
            "against",
            "compares two windows with an end",
        ),
        ("{name: x, kind: rate, of: click, by: user, prior: brand}", "prior", "needs `by: item`"),
        ("{name: x, kind: rate, of: click, by: item, prior: price}", "prior", "needs category or tags"),
        ("{name: x, kind: rate, of: click, by: item, place_power: 9}", "place_power", "between 0 and 4"),
        ("{name: x, kind: learned, of: click, by: tags, half_life: 1w}", "half_life", "'1w' is no window"),
        ("{name: x, kind: relative, of: click, attribute: tags}", "attribute", "this needs number"),
        ("{name: x, kind: session, measure: mood}", "measure", "Invalid enum value 'mood'"),
        ("{name: x, kind: cold_start, of: click, by: user, below: 0}", "below", "between 1 and 1e+09, not 0"),
        ("{name: x, kind: age, of: click}", "of", "age has no key 'of'"),
        ("{name: x, kind: count, of: click, by: item, window: 1w}", "window", "'1w' is no window"),
        ("{name: x, kind: count, of: click, by: item, window: 91d}", "window", "outside 5min to 90d"),
        ("{name: x, kind: count, of: click, by: item, window: 1min}", "window", "outside 5min to 90d"),
        (
            "{name: x, kind: count, of: click, by: item, window: 150min}",
            "window",
            "no multiple of its buckets of 60 min",
        ),
        (
            "{name: x, kind: count, of: click, by: [user, item], slots: 0}",
            "slots",
            "between 1 and 1024, not 0",
        ),
        (
            "{name: x, kind: count, of: click, by: tags, aggregate: median}",
            "aggregate",
            "Invalid enum value 'median'",
        ),
        ("{name: x, kind: rate, of: click, by: item, smooth: -1}", "smooth", "between 0 and 1e+09, not -1"),
        ("{name: x, kind: rate, of: click, by: item, smooth: much}", "smooth", "Expected `float`, got `str`"),
        (
            "{name: x, kind: preference, of: click, by: price}",
            "by",
            "'price' is of kind number; this needs category or tags",
        ),
        ("{name: x, kind: preference, of: click, by: tag}", "by", "no attribute 'tag'; did you mean 'tags'?"),
        ("{name: x, kind: learned, of: click, by: tags, rate: 0}", "rate", "between 0.001 and 1, not 0"),
        (
            "{name: x, kind: similarity, of: click, attribute: tags, last: 1000}",
            "last",
            "between 1 and 128, not 1000",
        ),
        (
            "{name: x, kind: taste, of: click, attribute: brand}",
            "attribute",
            "'brand' is of kind category; this needs number",
        ),
        ("{name: x, kind: attribute, of: title}", "of", "'title' is of kind text; this needs number"),
        ("{name: x, kind: attribute, of: title}", "of", "`measure: words` takes text"),
        ("{name: x, kind: attribute, of: titel, measure: words}", "of", "did you mean 'title'?"),
        ("{name: x, kind: attribute, of: tags, measure: words}", "of", "of kind tags; this needs text"),
        ("{name: x, kind: attribute, of: title, measure: word}", "measure", "did you mean 'words'?; known"),
        ("{name: x, kind: attribute, of: tags, measure: index}", "values", "list them"),
        (
            "{name: x, kind: attribute, of: title, measure: index, values: [a]}",
            "of",
            "needs category or tags (`measure: number` takes number, `measure: words` takes text)",
        ),
        (
            "{name: x, kind: attribute, of: price, values: [a]}",
            "values",
            "only `measure: index` takes a list of values",
        ),
        (
            "{name: x, kind: attribute, of: tags, measure: index, values: [a, b, a]}",
            "values[2]",
            "'a' is listed twice",
        ),
        (
            "{name: x, kind: attribute, of: tags, measure: index, value: [a]}",
            "value",
            "no key 'value'; did you mean 'values'?",
        ),
        (
            "{name: x, kind: attribute, of: tags, measure: index, values: [a, 1]}",
            "values",
            "Expected `str`, got `int`",
        ),
        ("{name: x, kind: context, of: y}", "of", "no feature 'y' is declared above"),
        ("{name: x, kind: context, of: first, measure: share}", "of", "the domain has no attribute 'first'"),
        ("{name: x, kind: context, of: tag, measure: share}", "of", "did you mean 'tags'?"),
        (
            "{name: x, kind: context, of: price, measure: share}",
            "of",
            "'price' is of kind number; this needs category or tags",
        ),
        ("{name: x, kind: context, of: first, measure: medain}", "measure", "did you mean 'median'"),
        ("{name: x, kind: time, cycle: year, wave: sin}", "cycle", "Invalid enum value 'year'"),
    ],
)
def test_a_mistake_is_answered_with_file_line_key_and_the_way_out(feature, key, problem):
    with pytest.raises(DomainError) as raised:
        definitions_of(declared("{name: first, kind: position}", feature))
    where = f"shop.yml:{LINE + 1}: features[1]{'.' if key else ''}{key}: "
    assert str(raised.value).startswith(where)
    assert problem in str(raised.value)


def test_two_features_of_one_name_are_an_error_even_when_one_is_written_out():
    with pytest.raises(DomainError, match="feature 'n_1h' is declared twice"):
        definitions_of(
            declared(
                "{name: n, kind: count, of: click, by: item, window: [1h, 1d]}",
                "{name: n_1h, kind: position}",
            )
        )


@pytest.mark.parametrize(
    ("window", "minutes"), [("5min", 5), ("2h", 120), ("36h", 2160), ("90d", 129_600), ("all", 0)]
)
def test_windows_have_their_length(window, minutes):
    assert window_ms(window) == minutes * 60_000


def test_equal_declarations_have_equal_hashes_and_a_change_has_another():
    text = "{{name: n, kind: rate, of: click, by: item, smooth: {}}}"
    one, same, other = (definitions_of(declared(text.format(smooth))) for smooth in ("5", "5.0", "6"))
    assert one.hash == same.hash
    assert one.to_json() == same.to_json()
    assert one.hash != other.hash
    assert one.layouts.hash == other.layouts.hash, "smoothing changes no record"


def test_what_is_not_told_is_no_part_of_the_hash():
    """So a new key of a kind changes no hash of those who do not use it."""
    price = {"name": "price", "kind": "attribute", "of": "price"}
    beside = {"name": "beside", "kind": "context", "of": "price"}
    definitions = definitions_of(declared(json.dumps(price), json.dumps(beside)))
    assert json.loads(definitions.to_json())["features"] == [price, beside]
    assert definitions.numbers == [("price", False)]


def test_other_values_are_another_hash_and_the_same_records():
    text = "{{name: n, kind: attribute, of: tags, measure: index, values: [{}]}}"
    one, other = (definitions_of(declared(text.format(values))) for values in ("a, b", "b, a"))
    assert one.hash != other.hash
    assert one.layouts.hash == other.layouts.hash


def test_the_position_has_its_fixed_value_whenever_a_model_ranks():
    definitions = definitions_of(
        declared("{name: n, kind: count, of: click, by: item}", "{name: p, kind: position, fixed: 4}")
    )
    learnt = np.array([[5, 1], [6, 2]], np.float32)
    assert definitions.as_served(learnt).tolist() == [[5, 4], [6, 4]]
    assert learnt.tolist() == [[5, 1], [6, 2]]
