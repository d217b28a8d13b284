"""Cuts in time: what comes later judges what was learnt from before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import TrainingError
from pipelines.models.training_set import Rankings


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
    if not len(decisions):
        raise TrainingError("no decision has an outcome: there is nothing to learn or to judge by")
    late = is_later(decisions.decided_at, test_share)
    past = decisions.where(~late)
    recent = is_later(past.decided_at, validation_share) if len(past) else np.zeros(0, bool)
    split = Split(past.where(~recent), past.where(recent), decisions.where(late))
    for name, part in zip(Split._fields, split, strict=True):
        if not len(part):
            raise TrainingError(
                f"{len(decisions)} decisions with an outcome leave none for the {name} part: collect more"
            )
    return split
