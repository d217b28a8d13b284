"""The gate: a challenger takes over only with evidence, and every verdict says why.

Is it better? A ranker meets the champion on the newest decisions, which no training has seen: the gain of
`gate.metric` must be above `gate.min_gain`, the lower end of its 95 % paired bootstrap interval above
-`gate.max_loss`, and in no slice of the decisions may it be clearly worse by more than
`gate.max_slice_loss`. Where there is no champion, each item's outcome rate takes its place, and must not be
clearly better. A champion of other features or vectors cannot score those decisions: then the gains over the
outcome rate are compared, each from the model's own test part.

Decisions that carry propensities also tell what its order would have earned; that must not be clearly less
than what was shown. Can it be relied on? See `soundness`.

An outlier model has no labels to be judged by: of the newest vectors, which it was not trained on, at most
`gate.max_outlier_share` may rank above 99 % of its training vectors, and that share must not be further from
1 % than the champion's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import SettingsError, nearest
from pipelines.models import off_policy
from pipelines.models.checks import FEWEST, Check, Verdict, check, not_judged, verdict
from pipelines.models.evaluation import Floats, Gain, Scores, ndcg_at, paired_gain, reciprocal_rank, slices
from pipelines.models.outliers import OutlierModel
from pipelines.models.training_set import Rankings
from pipelines.sections import Gate

METRICS = {"ndcg_at_10": ndcg_at, "mrr": reciprocal_rank}
GAIN = "gain_over_outcome_rate"
RARE = 0.99
Vectors = Mapping[str, NDArray[np.float64]]
"""Vectors by their kind."""
Models = Mapping[str, OutlierModel]
"""Outlier models by the kind of vectors that they know."""
NO_CHAMPION = "the outcome rate"


def judge_ranker(
    rankings: Rankings, challenger: Scores, champion: Scores | None, gate: Gate, seed: int
) -> Verdict:
    """Whether the challenger is better, by scores of the same rows; `champion` is None where there is
    none."""
    if gate.metric not in METRICS:
        hint = nearest(gate.metric, list(METRICS))
        raise SettingsError(f"gate.metric is {gate.metric!r}{hint}; known: {', '.join(METRICS)}")
    measure = METRICS[gate.metric]
    ours = measure(rankings, challenger)
    theirs = measure(rankings, rankings.outcome_rate if champion is None else champion)
    gain = paired_gain(ours, theirs, seed)
    figures = {
        "decisions": float(len(rankings)),
        "challenger": float(ours.mean()),
        "champion" if champion is not None else "outcome_rate": float(theirs.mean()),
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
    }
    whose = NO_CHAMPION if champion is None else "the champion"
    told = (
        f"{gate.metric} {ours.mean():.4f} against {theirs.mean():.4f} of {whose} on the same {len(ours)} "
        f"decisions: the gain {gain}"
    )
    first = _first_gain(gain, told) if champion is None else _gains(gain, told, gate)
    floors = _floors(rankings, ours, theirs, whose, gate, seed)
    return verdict([*first, *floors], figures)


def judge_by_own_figures(
    challenger: Mapping[str, float], champion: Mapping[str, float], gate: Gate
) -> Verdict:
    """Whether the challenger is better, where the champion cannot score its rows: by both runs' own gains
    over the outcome rate."""
    ours, theirs = challenger.get(GAIN, math.nan), champion.get(GAIN, math.nan)
    better = ours if math.isnan(theirs) else ours - theirs
    is_above = better > gate.min_gain
    told = (
        "the champion was trained on other features or vectors and cannot score these rows: "
        f"the gain over the outcome rate, {ours:+.4f} against {theirs:+.4f}, each on its own test part, "
        f"is {'' if is_above else 'not '}better by more than {gate.min_gain:g}"
    )
    own_gain = check("own_gain", is_above, told, better, gate.min_gain)
    return verdict([own_gain], {"challenger": ours, "champion": theirs})


def off_policy_check(rankings: Rankings, scores: Scores, chances: Floats, gate: Gate, seed: int) -> Check:
    """Whether the ranker's order would have earned at least about what was shown, by the doubly robust
    estimate from the decisions that carry propensities. Only a loss that is no chance counts."""
    places = off_policy.known_places(rankings, scores, chances)
    if places is None:
        told = "no decision carries propensities: a shop that explores says with which chance it shows what"
        return not_judged("off_policy", told)
    found = off_policy.estimate(places, gate.min_propensity, seed)
    share = found.gain.mean / found.shown if found.shown else 0.0
    is_lost = share < -gate.max_off_policy_loss and found.gain.high < 0
    told = (
        f"outcomes a list on {found.lists} decisions with propensities: shown {found.shown:.4f}, the "
        f"ranker's order {found.doubly_robust:.4f} (doubly robust; IPS {found.ips:.4f}, "
        f"SNIPS {found.snips:.4f}, worth {found.effective_places:.0f} places): {found.gain} is "
        f"{'' if is_lost else 'not '}clearly a loss of more than {gate.max_off_policy_loss:.0%}"
    )
    return check("off_policy", not is_lost, told, share, -gate.max_off_policy_loss)


def judge_outliers(newest: Vectors, challenger: Models, champion: Models | None, gate: Gate) -> Verdict:
    """Whether the challenger finds about as many rare vectors among the newest as it should."""
    ours, expected = rare_share(challenger, newest), 1 - RARE
    count = sum(len(vectors) for kind, vectors in newest.items() if kind in challenger)
    figures = {"vectors": float(count), "challenger": ours}
    told = f"{ours:.2%} of the {count} newest vectors are among the rarest 1 %"
    is_few = ours <= gate.max_outlier_share
    told += f": {'at most' if is_few else 'more than'} {gate.max_outlier_share:.0%}"
    checks = [check("rare_share", is_few, told, ours, gate.max_outlier_share)]
    if champion is not None:
        theirs = rare_share(champion, newest)
        figures["champion"] = theirs
        distance, limit = abs(ours - expected), abs(theirs - expected)
        is_nearer = distance <= limit
        told = f"{ours:.2%}, by the champion {theirs:.2%}: {'not ' if is_nearer else ''}further from 1 %"
        checks.append(check("distance_from_one_percent", is_nearer, told, distance, limit))
    return verdict(checks, figures)


def rare_share(models: Models, newest: Vectors) -> float:
    """Share of the vectors that rank above 99 % of their model's training vectors, over the kinds of vectors
    that have a model; 0 without any."""
    ranks = [models[kind].rank(models[kind].score(of)) for kind, of in newest.items() if kind in models]
    together = np.concatenate(ranks) if ranks else np.zeros(0)
    return float(np.mean(together > RARE)) if together.size else 0.0


def _gains(gain: Gain, told: str, gate: Gate) -> list[Check]:
    is_above, is_safe = gain.mean > gate.min_gain, gain.low > -gate.max_loss
    worst = (
        f"at worst, at the lower end of its interval, the gain is {gain.low:+.4f}: "
        f"{'' if is_safe else 'not '}above {-gate.max_loss:+g}"
        f"{'' if is_safe else '; more decisions narrow it'}"
    )
    told = f"{told} is {'' if is_above else 'not '}above {gate.min_gain:g}"
    return [
        check("gain", is_above, told, gain.mean, gate.min_gain),
        check("gain_low", is_safe, worst, gain.low, -gate.max_loss),
    ]


def _first_gain(gain: Gain, told: str) -> list[Check]:
    is_near = gain.high >= 0
    told = f"no champion yet; {told} is {'not ' if is_near else ''}clearly below 0"
    return [check("gain_high", is_near, told, gain.high, 0.0)]


def _floors(
    rankings: Rankings, ours: Floats, theirs: Floats, whose: str, gate: Gate, seed: int
) -> list[Check]:
    """One check for each slice. Any slice is worse now and then: only a loss that is no chance, of which the
    whole interval is below 0, counts."""
    found = []
    for name, chosen in slices(rankings):
        if (decisions := int(chosen.sum())) < FEWEST:
            told = f"{name}: {decisions} decisions are too few to tell a loss from chance"
            found.append(not_judged(f"slice {name}", told))
            continue
        gain = paired_gain(ours[chosen], theirs[chosen], seed)
        is_lost = gain.mean < -gate.max_slice_loss and gain.high < 0
        told = (
            f"{name}: {ours[chosen].mean():.4f} against {theirs[chosen].mean():.4f} of {whose} on "
            f"{decisions} decisions: the gain {gain} is {'' if is_lost else 'not '}"
            f"clearly below {-gate.max_slice_loss:+g}"
        )
        found.append(check(f"slice {name}", not is_lost, told, gain.mean, -gate.max_slice_loss))
    return found
