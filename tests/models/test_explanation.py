"""An explanation: contributions sum up to the score, scores come out again, pairs are compared."""

import dataclasses
import json

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.models import package, ranker
from pipelines.models.explanation import as_scored, contributions, explain
from tests.models.builders import NAMES, some_examples, some_training

EXAMPLES = some_examples(60)
ROWS = EXAMPLES.features[:5]
ITEMS = ["i0", "i1", "i2", "i3", "i4"]


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained") / "ranker"
    booster = ranker.train(EXAMPLES, some_examples(30, seed=2), NAMES, some_training(rounds=6)).booster
    definitions = json.dumps({"features": [{"name": "f3", "kind": "position", "fixed": 3.0}]})
    package.save_ranker(folder, booster, definitions, "0123abcd", EXAMPLES.features)
    return package.load_ranker(folder)


@pytest.fixture
def found(known):
    logged = known.score(as_scored(known, ROWS))
    return explain(known, ITEMS, ROWS, dict(zip(ITEMS, logged.tolist(), strict=True)))


def test_what_features_add_sums_up_to_the_score(known):
    added = contributions(known.booster, EXAMPLES.features)
    np.testing.assert_allclose(added.sum(axis=1), known.score(EXAMPLES.features), atol=1e-5)
    assert np.ptp(added[:, -1]) == 0, "every score starts from the same number"


def test_scores_come_out_again_to_the_last_bit(known, found):
    assert found.differing == []
    shifted = {
        item: float(np.nextafter(np.float32(s), np.float32(9)))
        for item, s in zip(ITEMS, found.logged, strict=True)
    }
    one_off = explain(known, ITEMS, ROWS, shifted | {"i1": float(found.logged[1])})
    assert one_off.differing == ["i0", "i2", "i3", "i4"]


def test_an_item_whose_score_was_not_logged_does_not_differ(known, found):
    assert explain(known, ITEMS, ROWS, {"i0": float(found.logged[0])}).differing == []


def test_stand_ins_have_the_value_that_they_have_when_a_ranker_scores(known):
    np.testing.assert_array_equal(as_scored(known, ROWS)[:, 3], np.full(5, 3.0, np.float32))
    others = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(as_scored(known, ROWS)[:, others], ROWS[:, others])


def test_features_come_by_what_they_add(found):
    weighed = found.by_weight("i2")
    assert sorted(name for name, *_ in weighed) == sorted(NAMES)
    sizes = [abs(added) for *_, added in weighed]
    assert sizes == sorted(sizes, reverse=True)
    total = sum(added for *_, added in weighed) + float(found.added[2, -1])
    assert total == pytest.approx(float(found.replayed[2]), abs=1e-5)


def test_two_items_differ_by_what_their_features_add(found):
    weighed = found.by_weight("i0", against="i4")
    difference = float(found.replayed[0] - found.replayed[4])
    assert sum(added for *_, added in weighed) == pytest.approx(difference, abs=1e-5)


def test_an_item_that_was_not_shown_is_told_with_the_nearest(found):
    with pytest.raises(ModelError, match=r"did not show 'ii0'; did you mean .*it showed i0, i1, i2, i3, i4"):
        found.by_weight("ii0")
    with pytest.raises(ModelError, match="did not show 'nothing'; it showed"):
        dataclasses.replace(found).by_weight("i0", against="nothing")
