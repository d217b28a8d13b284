"""Lists shown in an order by chance, so that other rankers can be judged by what was shown: with each item's
chance of its place (see `models.off_policy`)."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Explored:
    """The order as places of the ranked list; of each shown item the chance that it stood there; and whether
    this order came by chance."""

    order: list[int]
    propensity: list[float]
    by_chance: bool


def explored(count: int, share: float, decision_id: str) -> Explored:
    """A `share` of all lists of `count` items is shuffled, the others stay. Equal ids give equal orders.

    An item's chance of its place is then share / count, and 1 - share more where the ranker put it there.

    >>> explored(2, 0.5, "d1").propensity in ([0.75, 0.75], [0.25, 0.25])
    True
    """
    chance = random.Random(decision_id)
    order = list(range(count))
    by_chance = chance.random() < share
    if by_chance:
        chance.shuffle(order)
    base = share / count
    return Explored(order, [base + (1 - share) * (at == place) for at, place in enumerate(order)], by_chance)
