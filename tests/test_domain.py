"""A domain file: the shipped ones load, and what is wrong with one is told with file, line and key."""

import pytest

from pipelines import settings as settings_module
from pipelines.domain import load_domain, parse_domain
from pipelines.errors import DomainError

SETTINGS = settings_module.load(environ={})
SMALL = """\
name: small
records:
  - kind: item
    when: {what: item}
    fields: {item_id: id, valid_from: at}
    attributes: attributes
  - kind: interaction
    fields: {event_id: id, event_time: at, event_type: what, user_id: who}
attributes:
  title: {kind: text}
  colour: {kind: category}
  image: {kind: vector, length: 4}
event_types:
  view: {}
  click: {reward: 0.5}
outcomes:
  window_minutes: 5
  gains: {click: 1}
metrics:
  - {name: clicks, count: click}
features: []
"""


def problem_of(old, new):
    """What is said about the small domain after one replacement; the line is where the new text stands."""
    assert SMALL.count(old) == 1
    with pytest.raises(DomainError) as caught:
        parse_domain(SMALL.replace(old, new), "small.yml")
    return str(caught.value)


@pytest.mark.parametrize("name", ["shop", "ranklens", "ranklens_basic"])
def test_the_shipped_domains_load(name):
    assert load_domain(name, SETTINGS).name == name


def test_a_domain_is_found_by_its_path(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(SMALL)
    assert load_domain(str(path), SETTINGS).name == "small"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(
        DomainError, match=r"no domain file .*shpo.yml; did you mean 'shop'\?; known domains: "
    ):
        load_domain("shpo", SETTINGS)


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"),
    [
        ("name: small", "nmae: small", "1: nmae", "unknown key 'nmae'; did you mean 'name'"),
        (
            "when: {what: item}",
            "wehn: {what: item}",
            "4: records[0].wehn",
            "unknown key 'wehn'; did you mean 'when'?",
        ),
        (
            "{kind: category}",
            "{kind: category, lenght: 4}",
            "11: attributes.colour.lenght",
            "unknown key 'lenght'; did you mean 'length'?",
        ),
        (
            "{reward: 0.5}",
            "{rewards: 0.5}",
            "15: event_types.click.rewards",
            "unknown key 'rewards'; did you mean 'reward'?",
        ),
        (
            "{kind: vector,",
            "{kind: vektor,",
            "12: attributes.image.kind",
            "'vektor' is not one of number, category, text, tags, vector; did you mean 'vector'?",
        ),
        (
            "kind: item",
            "kind: itme",
            "3: records[0].kind",
            "'itme' is not one of interaction, decision, item; did you mean 'item'?",
        ),
        ("{reward: 0.5}", "{reward: much}", "15: event_types.click.reward", "Expected `float`, got `str`"),
        ("{click: 1}", "{click: one}", "18: outcomes.gains.click", "Expected `float`, got `str`"),
        ("user_id: who}", "user_id: 7}", "8: records[1].fields.user_id", "Expected `str`, got `int`"),
        (
            "name: small",
            "name: small\ntime_unit: minutes",
            "2: time_unit",
            "'minutes' is not one of ms, s, iso8601",
        ),
        (
            "user_id: who}",
            "usr_id: who}",
            "8: records[1].fields.usr_id",
            "interaction has no field 'usr_id'; did you mean 'user_id'?",
        ),
        (", user_id: who}", "}", "8: records[1].fields", "interaction needs user_id"),
        ("{kind: vector, length: 4}", "{kind: vector}", "12: attributes.image", "a vector needs `length`"),
        ("{click: 1}", "{clik: 1}", "18: outcomes.gains.clik", "unknown event type; did you mean 'click'?"),
        (
            "count: click}",
            "count: clicks}",
            "20: metrics[0].count",
            "nothing to count called 'clicks'; did you mean 'click'",
        ),
        ("view: {}", "view: {}\n  view: {}", "15: event_types.view", "'view' stands twice, first on line 14"),
        (
            "name: small",
            "name: small\ntraining: {round: 9}",
            "2: training.round",
            "a shop sets no 'round'; did you mean 'rounds'?; known: objective, rounds",
        ),
        (
            "name: small",
            "name: small\ntraining: {rounds: x}",
            "2: training.rounds",
            "Expected `int`, got `str`",
        ),
        (
            "name: small",
            "name: small\ntraining: {rounds: 0}",
            "2: training.rounds",
            "must be 1 or more, not 0",
        ),
        (
            "name: small",
            "name: small\ntraining: {objective: rank:ndgc}",
            "2: training.objective",
            "'rank:ndgc' is not one of rank:ndcg, binary:logistic; did you mean 'rank:ndcg'?",
        ),
        ("name: small", "name: small\ntraining: {seed: 3}", "2: training.seed", "a shop sets no 'seed'"),
        ("name: small", "name: [small", "2: not YAML", ""),
        ("name: small", "name: small\norigin: here", "2: origin", "unknown key 'origin'"),
    ],
)
def test_a_wrong_file_is_told_with_line_key_and_nearest(old, new, where, problem):
    assert problem_of(old, new).startswith(f"small.yml:{where}: {problem}")


def test_a_constant_event_type_is_a_known_one():
    found = problem_of("event_type: what, user_id: who}", "user_id: who}\n    constants: {event_type: vew}")
    assert (
        found
        == "small.yml:9: records[1].constants.event_type: unknown event type 'vew'; did you mean 'view'?"
    )


def test_a_record_that_takes_everything_comes_last():
    found = problem_of("    when: {what: item}\n", "")
    assert found.startswith("small.yml:3: records[0]: without `when` it takes every record")


def test_a_file_that_is_no_mapping_is_told():
    with pytest.raises(
        DomainError, match=r"small.yml:1: a domain file is a mapping with the keys name, records"
    ):
        parse_domain("- a\n", "small.yml")


def test_a_shop_without_behaviour_is_refused():
    text = SMALL.replace("  - kind: interaction\n", "").replace(
        "    fields: {event_id: id, event_time: at, event_type: what, user_id: who}\n", ""
    )
    with pytest.raises(DomainError, match="no record of kind interaction"):
        parse_domain(text, "small.yml")


def test_a_shop_trains_its_own_way():
    domain = parse_domain(
        SMALL.replace("name: small", "name: small\ntraining: {rounds: 9, l2: 3}"), "small.yml"
    )
    own = domain.over(SETTINGS)
    assert (own.training.rounds, own.training.l2) == (9, 3.0)
    assert isinstance(own.training.l2, float)
    assert own.training.depth == SETTINGS.training.depth
    assert own.gate == SETTINGS.gate


def test_a_file_extends_the_one_beside_it(tmp_path):
    (tmp_path / "small.yml").write_text(SMALL)
    (tmp_path / "more.yml").write_text(
        "name: more\nextends: small\nfeatures:\n  - {name: n, kind: count, of: click, by: item}\n"
    )
    more, small = load_domain(str(tmp_path / "more.yml"), SETTINGS), parse_domain(SMALL, "small.yml")
    assert (more.name, len(more.features)) == ("more", 1)
    assert (more.records, more.attributes, more.metrics) == (small.records, small.attributes, small.metrics)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "name: more\nextends: smal\n",
            "more.yml:2: extends: no domain file .*smal.yml; did you mean 'small'",
        ),
        ("extends: small\n", "more.yml:1: extends: a domain that extends another needs a name of its own"),
        ("name: m\nextends: chain\n", "more.yml:2: extends: .*chain.yml extends another file itself"),
        ("name: m\nextends: [small]\n", "more.yml:2: extends: Expected `str`, got `array`"),
        ("name: m\nextends: small\nevent_types: {view: {}}\n", "unknown event type"),
    ],
)
def test_what_a_file_cannot_extend_is_told(tmp_path, text, problem):
    (tmp_path / "small.yml").write_text(SMALL)
    (tmp_path / "chain.yml").write_text("name: chain\nextends: small\n")
    (tmp_path / "more.yml").write_text(text)
    with pytest.raises(DomainError, match=problem):
        load_domain(str(tmp_path / "more.yml"), SETTINGS)
