"""What a ranker would have earned, estimated from lists whose shop explored: decisions that say with which
chance each item was put at its place.

The estimates assume that what an item earns depends on itself and on its place, not on its neighbours (the
item-position model of Li et al. 2018). They are over the first places of each list, in outcomes per list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.models.evaluation import TOP, Gain, Scores, paired_gain
from pipelines.models.training_set import Rankings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """The first places of lists, one row each: what the item shown there earned, with which chance it was put
    there, whether the ranker puts the same item there, and the chance of an outcome that is foretold for the
    shown item and for the ranker's; `starts` are the first rows of each list, and the end."""

    earned: Floats
    propensity: Floats
    agrees: NDArray[np.bool_]
    foretold_shown: Floats
    foretold_chosen: Floats
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Estimates:
    """Outcomes per list: of what was shown, and of the ranker's order by three estimators; the gain of the
    doubly robust one over what was shown; and how many places the weights are worth (Kish)."""

    lists: int
    shown: float
    ips: float
    snips: float
    doubly_robust: float
    gain: Gain
    effective_places: float


def known_places(rankings: Rankings, scores: Scores, chances: Floats) -> Places | None:
    """The first places of the decisions that carry propensities; None where none does. `scores` order the
    ranker's list (equal ones as shown), `chances` are what it foretells of each row."""
    if rankings.propensity is None:
        return None
    first = np.minimum.reduceat(~np.isnan(rankings.propensity), rankings.starts[:-1]) > 0
    if not first.any():
        return None
    of_row = np.repeat(first, rankings.sizes)
    known, chances = rankings.where(first), chances[of_row]
    of_list = np.repeat(np.arange(len(known)), known.sizes)
    chosen = np.lexsort((known.positions, -np.asarray(scores, np.float64)[of_row], of_list))
    place = np.arange(of_list.size) - np.repeat(known.starts[:-1], known.sizes)
    is_first = place < TOP
    rows = np.arange(of_list.size)
    assert known.propensity is not None
    return Places(
        earned=(known.labels > 0)[is_first].astype(np.float64),
        propensity=known.propensity[is_first].astype(np.float64),
        agrees=(chosen == rows)[is_first],
        foretold_shown=chances[is_first],
        foretold_chosen=chances[chosen][is_first],
        starts=np.append(0, np.cumsum(np.minimum(known.sizes, TOP))),
    )


def estimate(places: Places, min_propensity: float, seed: int) -> Estimates:
    """The estimates, with propensities below `min_propensity` clipped to it: less variance for some bias.

    ips: inverse propensity scoring (Horvitz and Thompson 1952); snips: the same divided by the mean weight
    (Swaminathan and Joachims 2015); doubly robust (Dudík et al. 2011): what is foretold for the ranker's
    item, corrected where it is the shown one.
    """
    weights = places.agrees / np.maximum(places.propensity, min_propensity)
    robust = places.foretold_chosen + weights * (places.earned - places.foretold_shown)
    starts, lists = places.starts[:-1], len(places.starts) - 1
    shown, doubly = (np.add.reduceat(values, starts) for values in (places.earned, robust))
    weighted, total = float(weights @ places.earned), float(weights.sum())
    return Estimates(
        lists=lists,
        shown=float(shown.mean()),
        ips=weighted / lists,
        snips=weighted / total * places.earned.size / lists if total else float("nan"),
        doubly_robust=float(doubly.mean()),
        gain=paired_gain(doubly, shown, seed),
        effective_places=total**2 / float(weights @ weights) if total else 0.0,
    )
