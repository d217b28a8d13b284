"""Cuts in time: what comes later judges what was learnt from before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import TrainingError
from pipelines.models.training_set import Rankings

NO_OUTCOME = (
    "no decision has an outcome: there is nothing to learn or to judge by; look at outcomes.gains and "
    "outcomes.window_minutes of the domain file, or let more events come in"
)


class Split(NamedTuple):
    """Decisions to learn from, to stop learning by, and to judge by: each part is later than the one
    before."""

    train: Rankings
    validation: Rankings
    test: Rankings


def is_later(times: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Marks the last `share` of the times. Equal times are never parted: they are all on the later side."""
    ordered = np.sort(times)
    cut = ordered[min(round(times.size * (1.0 - share)), times.size - 1)]
    return np.asarray(times >= cut)


def by_time(decisions: Rankings, test_share: float, validation_share: float) -> Split:
    """The last `test_share` of the decisions by time is the test, of the rest the last `validation_share` the
    validation.

    Raises TrainingError when a part would be empty: too few decisions, or all at one time.
    """
    past, test = before_test(decisions, test_share)
    return Split(*before_validation(past, validation_share), test)


def before_test(decisions: Rankings, share: float) -> tuple[Rankings, Rankings]:
    """The decisions before the last `share` by time, and these. Raises TrainingError when a part is empty."""
    if not len(decisions):
        raise TrainingError(NO_OUTCOME)
    return _parted(decisions, is_later(decisions.decided_at, share), "test")


def before_validation(past: Rankings, share: float) -> tuple[Rankings, Rankings]:
    """The same of what is learnt from, whose later part says when learning stops."""
    return _parted(past, is_later(past.decided_at, share), "validation")


def at_random(decisions: Rankings, share: float, seed: int) -> tuple[Rankings, Rankings]:
    """A seeded choice of `share` of the decisions as the second part, the others as the first, each by time.

    What is learnt from may then be later than what it is judged by: comparable with figures of such splits,
    not with what a model is worth in use. Raises TrainingError when a part is empty.
    """
    chosen = np.zeros(len(decisions), bool)
    drawn = np.random.default_rng(seed).permutation(len(decisions))
    chosen[drawn[: round(len(decisions) * share)]] = True
    return _parted(decisions, chosen, "test")


def _parted(decisions: Rankings, chosen: NDArray[np.bool_], name: str) -> tuple[Rankings, Rankings]:
    for part, marks in (("train", ~chosen), (name, chosen)):
        if not marks.any():
            raise TrainingError(
                f"{len(decisions)} decisions with an outcome leave none for the {part} part: collect more"
            )
    return decisions.where(~chosen), decisions.where(chosen)
