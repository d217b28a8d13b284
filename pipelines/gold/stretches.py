"""Stretches of time: where a micro-batch's rows and their neighbours lie, so that only those files are read."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

HOUR = 3600
END = 253_402_300_799  # the last second of the year 9999
MOST = 32  # stretches in one filter; more are joined over their shortest holes


def hour_of(at: Column) -> Column:
    """The hour since the epoch in which a time lies."""
    return F.floor(F.unix_seconds(at) / HOUR)


@dataclass(frozen=True)
class Stretches:
    """Disjoint half-open stretches of epoch seconds, in order."""

    bounds: tuple[tuple[int, int], ...]

    @classmethod
    def of_hours(cls, hours: Iterable[int]) -> Stretches:
        """Those that cover the given hours since the epoch."""
        return _joined((hour * HOUR, (hour + 1) * HOUR) for hour in hours)

    @classmethod
    def since(cls, second: int) -> Stretches:
        """From a second since the epoch on, without end."""
        return cls(((second, END),))

    def and_also(self, others: Stretches) -> Stretches:
        """These and others."""
        return _joined((*self.bounds, *others.bounds))

    def widened(self, before: datetime.timedelta, after: datetime.timedelta) -> Stretches:
        """Each stretch made longer at its two ends, to whole seconds."""
        lead, tail = (int(-(-length.total_seconds() // 1)) for length in (before, after))
        return _joined((start - lead, end + tail) for start, end in self.bounds)

    def whole_days(self) -> Stretches:
        """Each stretch extended to whole days (UTC)."""
        day = 24 * HOUR
        return _joined((start // day * day, -(-end // day) * day) for start, end in self.bounds)

    def contain(self, at: Column, day: Column) -> Column:
        """Whether a time lies in one of them; `day` is the date of that time and lets partitions be skipped."""
        return self._any(at, at, day, day)

    def overlap(self, first: Column, last: Column, day_of_first: Column) -> Column:
        """Whether something that lasted from `first` to `last` has a moment in one of them; `day_of_first` skips partitions."""
        return self._any(first, last, day_of_first, None)

    def _any(self, first: Column, last: Column, first_day: Column, last_day: Column | None) -> Column:
        conditions = []
        for start, end in self.bounds:
            begin, finish = F.timestamp_seconds(F.lit(start)), F.timestamp_seconds(F.lit(end))
            inside = (last >= begin) & (first < finish) & (first_day <= F.to_date(finish))
            conditions.append(inside if last_day is None else inside & (last_day >= F.to_date(begin)))
        return reduce(lambda a, b: a | b, conditions, F.lit(False))


def _joined(bounds: Iterable[tuple[int, int]]) -> Stretches:
    found: list[tuple[int, int]] = []
    for start, end in sorted(bounds):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    holes = sorted(range(1, len(found)), key=lambda i: found[i][0] - found[i - 1][1])
    bridged = set(holes[: max(0, len(found) - MOST)])
    kept: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(found):
        if index in bridged:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((start, end))
    return Stretches(tuple(kept))
