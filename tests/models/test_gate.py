"""The gate accepts what is better on the same rows, says by how much, and refuses the rest."""

import dataclasses

import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.errors import SettingsError
from pipelines.models import gate
from pipelines.models.outliers import OutlierModel
from pipelines.models.training_set import Rankings
from tests.models.builders import NAMES, some_examples

GATE = settings_module.load(environ={}).gate
EXAMPLES = some_examples(300, 10, seed=4)
ROWS = Rankings(
    names=NAMES,
    features=EXAMPLES.features,
    labels=EXAMPLES.labels,
    positions=np.tile(np.arange(1, 11), 300),
    popularity=np.zeros(3000, np.float32),
    outcome_rate=np.zeros(3000, np.float32),
    starts=np.arange(0, 3001, 10),
    decided_at=np.arange(300),
    earlier_events=np.zeros(300, np.int64),
)
CHANCE = np.random.default_rng(0)
GOOD = EXAMPLES.labels + CHANCE.normal(size=3000) * 0.8
POOR = EXAMPLES.labels + CHANCE.normal(size=3000) * 1.5


def test_the_better_ranker_takes_over_with_its_gain_and_interval():
    verdict = gate.judge_ranker(ROWS, GOOD, POOR, GATE, seed=1)
    assert verdict.accepted
    figures = verdict.figures
    assert figures["gain"] == pytest.approx(figures["challenger"] - figures["champion"])
    assert 0 < figures["gain_low"] < figures["gain"] < figures["gain_high"]
    assert f"gain {figures['gain']:+.4f}" in verdict.reason
    assert "on the same 300 decisions" in verdict.reason


@pytest.mark.parametrize("champion", [GOOD, EXAMPLES.labels], ids=["equal", "better"])
def test_a_ranker_that_is_not_better_is_refused(champion):
    verdict = gate.judge_ranker(ROWS, GOOD, champion, GATE, seed=1)
    assert not verdict.accepted
    assert "is not above 0" in verdict.reason


def test_a_gain_below_the_demanded_one_is_refused():
    gain = gate.judge_ranker(ROWS, GOOD, POOR, GATE, seed=1).figures["gain"]
    strict = dataclasses.replace(GATE, min_gain=gain + 0.001)
    assert not gate.judge_ranker(ROWS, GOOD, POOR, strict, seed=1).accepted
    assert gate.judge_ranker(
        ROWS, GOOD, POOR, dataclasses.replace(GATE, min_gain=gain - 0.001), seed=1
    ).accepted


def test_without_a_champion_the_first_ranker_takes_over():
    verdict = gate.judge_ranker(ROWS, POOR, None, GATE, seed=1)
    assert verdict.accepted
    assert verdict.reason.startswith("no champion yet; ndcg_at_10 0.")


def test_another_metric_can_decide_and_an_unknown_one_names_the_nearest():
    by_rank = gate.judge_ranker(ROWS, GOOD, POOR, dataclasses.replace(GATE, metric="mrr"), seed=1)
    assert (
        by_rank.figures["challenger"]
        != gate.judge_ranker(ROWS, GOOD, POOR, GATE, seed=1).figures["challenger"]
    )
    with pytest.raises(SettingsError, match="did you mean 'ndcg_at_10'"):
        gate.judge_ranker(ROWS, GOOD, POOR, dataclasses.replace(GATE, metric="ndgc_at_10"), seed=1)


@pytest.mark.parametrize(
    ("ours", "theirs", "accepted"), [(0.03, 0.02, True), (0.02, 0.02, False), (0.01, 0.02, False)]
)
def test_a_champion_of_other_features_is_met_by_the_runs_own_gains(ours, theirs, accepted):
    verdict = gate.judge_by_own_figures({gate.GAIN: ours}, {gate.GAIN: theirs}, GATE)
    assert verdict.accepted == accepted
    assert "other features or vectors and cannot score these rows" in verdict.reason


def test_a_champion_without_figures_gives_way_to_one_with_figures():
    assert gate.judge_by_own_figures({gate.GAIN: 0.01}, {}, GATE).accepted
    assert not gate.judge_by_own_figures({}, {gate.GAIN: 0.01}, GATE).accepted
    assert not gate.judge_by_own_figures({}, {}, GATE).accepted


def vectors(seed, shift=1.0):
    return np.random.default_rng(seed).gamma(2.0, 5.0 * shift, (1500, 4))


MODEL, OLD_MODEL = (
    OutlierModel.fit(vectors(seed, shift), names=tuple("abcd"), seed=1)
    for seed, shift in ((1, 1.0), (2, 0.5))
)


def test_an_outlier_model_that_finds_few_outliers_takes_over():
    first = gate.judge_outliers(vectors(3), MODEL, None, GATE)
    assert first.accepted
    assert first.figures["challenger"] == pytest.approx(0.01, abs=0.01)
    over_an_old_one = gate.judge_outliers(vectors(3), MODEL, OLD_MODEL, GATE)
    assert over_an_old_one.accepted
    assert over_an_old_one.figures["champion"] > over_an_old_one.figures["challenger"]
    assert not gate.judge_outliers(
        vectors(3), OLD_MODEL, MODEL, dataclasses.replace(GATE, max_outlier_share=1.0)
    ).accepted


def test_an_outlier_model_that_finds_too_many_is_refused():
    verdict = gate.judge_outliers(vectors(3, shift=6.0), MODEL, None, GATE)
    assert not verdict.accepted
    assert "more than 5%" in verdict.reason
