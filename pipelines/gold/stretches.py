"""Stretches of time: where a micro-batch's rows and their neighbours lie, so that only those files are
read."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

MINUTE, HOUR, DAY = 60, 3600, 86_400
END = 253_402_300_799  # the last second of the year 9999
MOST = 32  # stretches in one filter; more are joined over their shortest holes


def tick(at: Column, length: int) -> Column:
    """The number since the epoch of the tick, `length` seconds long, in which a time lies."""
    return F.floor(F.unix_seconds(at) / length)


@dataclass(frozen=True)
class Stretches:
    """Disjoint half-open stretches of epoch seconds, in order."""

    bounds: tuple[tuple[int, int], ...]

    @classmethod
    def of_ticks(cls, ticks: Iterable[int], length: int) -> Stretches:
        """Those that cover the given ticks since the epoch."""
        return _joined((number * length, (number + 1) * length) for number in ticks)

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
        return _joined((start // DAY * DAY, -(-end // DAY) * DAY) for start, end in self.bounds)

    def contain(self, at: Column, day: Column) -> Column:
        """Whether a time lies in one of them; `day` is its date and lets partitions be skipped."""
        return self._any(lambda start, end: (at >= start) & (at < end) & _days(day, start, end))

    def overlap(self, first: Column, last: Column, day_of_first: Column) -> Column:
        """Whether what lasted from `first` to `last` has a moment in one of them; the day skips
        partitions."""
        return self._any(
            lambda start, end: (last >= start) & (first < end) & (day_of_first <= F.to_date(end))
        )

    def _any(self, holds: Callable[[Column, Column], Column]) -> Column:
        conditions = (holds(_time(start), _time(end)) for start, end in self.bounds)
        return reduce(lambda a, b: a | b, conditions, F.lit(False))


def _time(second: int) -> Column:
    return F.timestamp_seconds(F.lit(second))


def _days(day: Column, start: Column, end: Column) -> Column:
    return (day >= F.to_date(start)) & (day <= F.to_date(end))


def _joined(bounds: Iterable[tuple[int, int]]) -> Stretches:
    apart: list[tuple[int, int]] = []
    for start, end in sorted(bounds):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    shortest = sorted(range(1, len(apart)), key=lambda i: apart[i][0] - apart[i - 1][1])
    bridged = set(shortest[: max(0, len(apart) - MOST)])
    kept: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(apart):
        if index in bridged:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((start, end))
    return Stretches(tuple(kept))
