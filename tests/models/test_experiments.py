"""Rankers side by side: groups follow from declarations, everyone meets the same decisions and seeds."""

import dataclasses

import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.features.definitions import compile_definitions
from pipelines.features.parsing import parse_features
from pipelines.models import ablation, experiments
from pipelines.models.evaluation import ndcg_at
from pipelines.models.training_set import rankings
from tests.builders_features import a_domain
from tests.models.builders import some_training, training_rows

SHOP = load_domain("shop", settings_module.load(environ={}))
DEFINITIONS = compile_definitions(SHOP)
QUICK = some_training(rounds=6, early_stopping=0)


@pytest.fixture(scope="module")
def decisions(spark):
    return rankings(training_rows(spark, DEFINITIONS, "shop", 200).toArrow(), DEFINITIONS).judged()


@pytest.fixture(scope="module")
def case(decisions):
    return experiments.Case(*experiments.cut(decisions, QUICK), DEFINITIONS, QUICK, seeds=2)


def group(*features):
    """Names of the groups that the features belong to, by feature."""
    declared = parse_features(a_domain("".join(f"  - {feature}\n" for feature in features)))
    return {f.name: [name for name, is_in in ablation.GROUPS.items() if is_in(f)] for f in declared}


def test_groups_follow_from_declarations():
    assert group(
        "{name: a, kind: count, of: click, by: [user, item]}",
        "{name: b, kind: rate, of: click, by: tags}",
        "{name: c, kind: taste, of: click, attribute: price}",
        "{name: d, kind: vector_similarity, space: text, of: click}",
        "{name: e, kind: query_match}",
        "{name: f, kind: position, fixed: 3}",
        "{name: g, kind: attribute, of: price}",
        "{name: h, kind: context, of: g}",
        "{name: i, kind: context, of: tags, measure: share}",
        "{name: j, kind: attribute, of: title, measure: words}",
    ) == {
        "a": ["the user's state"],
        "b": ["everybody's behaviour"],
        "c": ["the user's state"],
        "d": ["the user's state", "text"],
        "e": ["text"],
        "f": ["the position"],
        "g": ["the item's numbers"],
        "h": ["the list"],
        "i": ["the list"],
        "j": ["the item's numbers"],
    }


def test_what_a_context_looks_at_takes_it_along():
    features = (
        "  - {name: price, kind: attribute, of: price}\n"
        "  - {name: clicks, kind: count, of: click, by: item}\n"
        "  - {name: in_list, kind: context, of: price}\n"
        "  - {name: crowd, kind: context, of: clicks}\n"
    )
    found = ablation.variants(parse_features(a_domain(features)))
    assert found == {
        "without everybody's behaviour": [0, 2],
        "without the item's numbers": [1, 3],
        "without the list": [0, 1],
    }


def test_values_shared_in_a_list_stay_when_a_feature_of_their_name_goes():
    features = (
        "  - {name: tags, kind: count, of: click, by: tags}\n"
        "  - {name: shared, kind: context, of: tags, measure: share}\n"
    )
    found = ablation.variants(parse_features(a_domain(features)))
    assert found == {"without everybody's behaviour": [1], "without the list": [0]}


def test_parts_to_choose_by_lie_before_the_part_that_judges(decisions):
    _, test = experiments.cut(decisions, QUICK)
    past, validation = experiments.cut(decisions, QUICK, part="validation")
    assert (len(past), len(validation), len(test)) == (112, 48, 40)
    assert past.decided_at.max() < validation.decided_at.min()
    assert validation.decided_at.max() < test.decided_at.min()
    _, chosen = experiments.cut(decisions, QUICK, split="random")
    assert len(chosen) == 40
    assert chosen.decided_at.min() < test.decided_at.min()


def test_every_seed_gives_another_ranker_of_the_same_decisions(case):
    first, second = case.scores(case.rankers())
    assert not np.array_equal(first, second)
    alone = dataclasses.replace(case, seeds=1)
    np.testing.assert_array_equal(alone.scores(alone.rankers())[0], first)


def test_a_ranker_without_a_group_has_not_seen_it(case):
    everything, told, *others = experiments.ablation(case, parse_features(SHOP))
    assert (everything.features, everything.gain.mean) == (len(DEFINITIONS.names), 0)
    assert told.name == "ranker, told the shown positions"
    assert {variant.name for variant in others} >= {"without the user's state", "without the position"}
    assert all(variant.features < everything.features for variant in others)
    # Of the made-up decisions the first two features say most.
    kept = list(range(2, len(DEFINITIONS.names)))
    blind = case.rankers(kept)
    assert blind[0].booster.feature_names == DEFINITIONS.names[2:]
    assert case.quality(blind).mean() < everything.ndcg - 0.05


def test_stale_features_are_judged_by_the_rankers_of_fresh_ones(case):
    nothing = np.full_like(case.judges.features, np.nan)
    unknown = dataclasses.replace(case.judges, features=nothing)
    rankers = case.rankers()
    fresh, stale = experiments.staleness(case, rankers, {"fresh": case.judges, "unknown": unknown})
    assert (fresh.name, fresh.gain.mean) == ("fresh", 0)
    assert stale.ndcg == pytest.approx(ndcg_at(case.judges, np.zeros(len(nothing))).mean())
    assert stale.gain.high < 0
