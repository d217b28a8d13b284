"""The gate accepts what is better on the same rows, says by how much, and refuses the rest."""

import dataclasses

import numpy as np
import pytest

from pipelines import settings as settings_module
from pipelines.errors import SettingsError
from pipelines.models import gate
from pipelines.models.evaluation import ndcg_at
from pipelines.models.outliers import OutlierModel
from tests.models.builders import some_rankings

GATE = settings_module.load(environ={}).gate
ROWS = some_rankings(seed=4, decisions=300)
CHANCE = np.random.default_rng(0)
GOOD = ROWS.labels + CHANCE.normal(size=3000) * 0.8
POOR = ROWS.labels + CHANCE.normal(size=3000) * 1.5


def test_the_better_ranker_takes_over_with_its_gain_and_interval():
    verdict = gate.judge_ranker(ROWS, GOOD, POOR, GATE, seed=1)
    assert verdict.accepted
    figures = verdict.figures
    assert figures["gain"] == pytest.approx(figures["challenger"] - figures["champion"])
    assert 0 < figures["gain_low"] < figures["gain"] < figures["gain_high"]
    assert f"gain {figures['gain']:+.4f}" in verdict.reason
    assert "on the same 300 decisions" in verdict.reason


@pytest.mark.parametrize("champion", [GOOD, ROWS.labels], ids=["equal", "better"])
def test_a_ranker_that_is_not_better_is_refused(champion):
    verdict = gate.judge_ranker(ROWS, GOOD, champion, GATE, seed=1)
    assert not verdict.accepted
    assert "is not above 0" in verdict.reason
    assert "gain" in [check.name for check in verdict.failed]


def test_a_gain_below_the_demanded_one_is_refused():
    gain = gate.judge_ranker(ROWS, GOOD, POOR, GATE, seed=1).figures["gain"]
    strict = dataclasses.replace(GATE, min_gain=gain + 0.001)
    assert not gate.judge_ranker(ROWS, GOOD, POOR, strict, seed=1).accepted
    assert gate.judge_ranker(
        ROWS, GOOD, POOR, dataclasses.replace(GATE, min_gain=gain - 0.001), seed=1
    ).accepted


def test_a_gain_that_may_be_a_loss_is_refused():
    few, other = ROWS.where(np.arange(300) < 12), ROWS.labels + CHANCE.normal(size=3000) * 1.5
    lenient = dataclasses.replace(GATE, min_gain=-1.0)
    verdict = gate.judge_ranker(few, POOR[:120], other[:120], lenient, seed=1)
    (failed,) = verdict.failed
    assert failed.name == "gain_low"
    assert failed.value == verdict.figures["gain_low"] < failed.limit == -GATE.max_loss
    assert "more decisions narrow it" in verdict.reason


def test_without_a_champion_the_first_ranker_meets_the_outcome_rate():
    verdict = gate.judge_ranker(ROWS, GOOD, None, GATE, seed=1)
    assert verdict.accepted
    assert verdict.reason.startswith("no champion yet; ndcg_at_10 0.")
    better = dataclasses.replace(ROWS, outcome_rate=ROWS.labels)
    refused = gate.judge_ranker(better, POOR, None, GATE, seed=1)
    assert [check.name for check in refused.failed][:1] == ["gain_high"]
    assert "is clearly below 0" in refused.reason


def test_a_slice_that_is_clearly_worse_is_refused_though_the_whole_is_better():
    earlier = np.where(np.arange(300) < 80, 0, 5)
    sliced = dataclasses.replace(ROWS, earlier_events=earlier)
    of_new = np.repeat(earlier == 0, 10)
    mixed = np.where(of_new, CHANCE.normal(size=3000), ROWS.labels)
    verdict = gate.judge_ranker(sliced, mixed, POOR, GATE, seed=1)
    (failed,) = verdict.failed
    assert failed.name == "slice no earlier events"
    assert failed.value < failed.limit == -GATE.max_slice_loss
    assert "on 80 decisions: the gain" in verdict.reason
    assert "clearly below -0.03" in verdict.reason
    lenient = dataclasses.replace(GATE, max_slice_loss=0.9)
    assert gate.judge_ranker(sliced, mixed, POOR, lenient, seed=1).accepted


def test_a_slice_is_not_refused_for_a_loss_that_may_be_chance():
    alike = [POOR, ROWS.labels + CHANCE.normal(size=3000) * 1.5]
    worse, better = sorted(alike, key=lambda scores: ndcg_at(ROWS, scores).mean())
    strict = dataclasses.replace(GATE, max_slice_loss=0.0)
    verdict = gate.judge_ranker(ROWS, worse, better, strict, seed=1)
    (checked,) = [check for check in verdict.checks if check.name == "slice no earlier events"]
    assert checked.passed
    assert checked.value < checked.limit


def test_a_slice_of_few_decisions_is_not_judged():
    few = dataclasses.replace(ROWS, earlier_events=np.where(np.arange(300) < 29, 0, 5))
    verdict = gate.judge_ranker(few, GOOD, POOR, GATE, seed=1)
    (checked,) = [check for check in verdict.checks if check.name == "slice no earlier events"]
    assert checked.verdict == "not judged"
    assert checked.told == "no earlier events: 29 decisions are too few to tell a loss from chance"


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


EXPLORED = dataclasses.replace(
    ROWS,
    positions=np.tile(np.arange(1, 21), 150),
    starts=np.arange(0, 3001, 20),
    decided_at=np.arange(150),
    earlier_events=np.zeros(150, np.int64),
    propensity=np.where(np.repeat(np.arange(150) % 2 == 0, 20), 0.05, np.nan).astype(np.float32),
)
"""The same items in lists of twenty, of which a shop filled every other one at random and said so."""


def test_an_order_that_would_have_earned_about_what_was_shown_passes():
    found = gate.off_policy_check(EXPLORED, GOOD, np.full(3000, 0.3), GATE, seed=1)
    assert found.passed
    assert "on 75 decisions with propensities: shown " in found.told
    assert "doubly robust; IPS" in found.told


def test_an_order_that_would_clearly_have_earned_less_is_refused_by_how_much():
    found = gate.off_policy_check(EXPLORED, -ROWS.labels, np.zeros(3000), GATE, seed=1)
    assert not found.passed
    assert found.value == -1.0, "nothing with an outcome is among the first ten"
    assert found.limit == -GATE.max_off_policy_loss
    assert "is clearly a loss of more than 5%" in found.told


def test_without_propensities_the_order_is_not_judged_by_what_it_would_have_earned():
    found = gate.off_policy_check(ROWS, GOOD, np.full(3000, 0.3), GATE, seed=1)
    assert found.verdict == "not judged"
    assert "no decision carries propensities" in found.told


def vectors(seed, shift=1.0):
    return {
        "user/5": np.random.default_rng(seed).gamma(2.0, 5.0 * shift, (1500, 4)),
        "new/5": np.ones((9, 1)),
    }


MODEL, OLD_MODEL = (
    {"user/5": OutlierModel.fit(vectors(seed, shift)["user/5"], names=tuple("abcd"), seed=1)}
    for seed, shift in ((1, 1.0), (2, 0.5))
)


def test_an_outlier_model_that_finds_few_outliers_takes_over():
    first = gate.judge_outliers(vectors(3), MODEL, None, GATE)
    assert first.accepted
    assert first.figures["challenger"] == pytest.approx(0.01, abs=0.01)
    assert first.figures["vectors"] == 1500, "a kind that the model does not know says nothing of it"
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
