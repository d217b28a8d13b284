"""Drops in metrics: each window of a metric beside what its own past lets expect.

>>> import datetime
>>> watch = MetricWatch(WatchConfig(window_s=3600, warm_up_s=0))
>>> monday = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
>>> for hour in range(21 * 24):
...     verdict = watch.update(monday + datetime.timedelta(hours=hour), 1000)
>>> verdict.alert, round(verdict.expected)
(False, 1000)
>>> watch.update(monday + datetime.timedelta(hours=21 * 24), 400).alert
True
"""

from __future__ import annotations

import datetime
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from pipelines.anomalies import drop_kernel as kernel
from pipelines.anomalies.drop_config import DAY_S, RATIO, WatchConfig
from pipelines.anomalies.drop_learning import States
from pipelines.anomalies.drop_rules import Place, new_states, rules_of
from pipelines.anomalies.drop_verdicts import Numbers, Verdict, Verdicts
from pipelines.anomalies.known_events import known_at
from pipelines.errors import WatchError, nearest

Time = int | float | str | datetime.datetime | np.datetime64
"""The start of a window: milliseconds (int) or seconds (float) since the epoch, ISO 8601, or a time; UTC
unless it says otherwise."""


class MetricWatches:
    """Watches of `n` metrics with one configuration and common windows; the i-th number is the i-th
    metric's."""

    def __init__(self, config: WatchConfig | Mapping[str, Any] | None = None, n: int = 1) -> None:
        self.config = as_config(config)
        self._rules, self._place = rules_of(self.config), Place(self.config)
        self._states, self._new = new_states(self.config, n), new_states(self.config, 1)
        self._last_ms = -1

    def __len__(self) -> int:
        return len(self._states.first_ms)

    def update(
        self,
        time: Time,
        values: ArrayLike,
        exposures: ArrayLike | None = None,
        *,
        complete: bool = True,
        known: Sequence[str] | None = None,
    ) -> Verdicts:
        """Judge the window that begins at `time`, and learn from it.

        A NaN is no value. `exposures` are the denominators of ratios. An incomplete window, one without value
        or exposure, and one in a known event (the configuration's, or named in `known`, one text each) is
        neither scored nor learnt from. Raises WatchError, and changes nothing, when time does not go forward,
        a value or exposure is negative or infinite, or the shapes do not fit.
        """
        at = self._place.begin_ms(time)
        if at <= self._last_ms:
            raise WatchError(f"time must go forward: {_told(at)} comes after {_told(self._last_ms)}")
        seen, exposed = self._checked(values, "value"), self._exposures(exposures)
        on = known_at(self.config.known_events, at)
        names = [on or (known[i] if known else "") for i in range(len(self))]
        status = np.select(
            [
                [bool(name) for name in names],
                np.full(len(self), not complete),
                np.isnan(seen),
                ~(exposed > 0),
            ],
            [kernel.KNOWN, kernel.INCOMPLETE, kernel.NO_VALUE, kernel.NO_EXPOSURE],
            kernel.JUDGED,
        ).astype(np.int64)
        numbers = np.empty((len(self), 6))
        marks = np.empty((len(self), 6), np.int64)
        seen = np.minimum(seen, 1.0) if self.config.kind == RATIO else seen
        when = self._place.of(at)
        kernel.advance(self._states, self._rules, when, seen, exposed, status, numbers, marks)
        self._forget()
        self._last_ms = at
        return Verdicts(numbers, marks, names)

    @property
    def is_still(self) -> bool:
        """Whether no metric has begun, or all that had are forgotten."""
        return not self._states.windows.any()

    def silence(self, time: Time, windows: int) -> None:
        """As so many updates from `time` on with 0, of ratios without exposure; their verdicts are lost.
        Beyond the days that are remembered any length costs the same."""
        step = self.config.window_s * 1000
        begin, nothing = self._place.begin_ms(time), np.zeros(len(self))
        for at in range(begin, begin + windows * step, step):
            if self.is_still:
                self._last_ms = max(self._last_ms, begin + (windows - 1) * step)
                return
            self.update(at, nothing, nothing)

    def _forget(self) -> None:
        """A metric that had nothing for so long that a day's pattern is no more remembered begins anew."""
        gone = self._states.quiet >= self.config.days_remembered * DAY_S / self.config.window_s
        if gone.any():
            for part, new in zip(self._states, self._new, strict=True):
                part[gone] = new[0]

    def missing(self) -> tuple[Numbers, Numbers]:
        """(seen, expected) of the latest windows, [n, windows]: in column k the sum over the last k + 1
        windows; of ratios the numerators. NaN beyond the last gap."""
        ring, filled = self._states.ring, self._states.ring_filled[:, None]
        length = ring.shape[2]
        back = (self._states.ring_at[:, None] - 1 - np.arange(length)) % length
        sums = [np.cumsum(np.take_along_axis(ring[:, part], back, axis=1), axis=1) for part in (0, 1)]
        seen, expected = (np.where(np.arange(length) < filled, own, np.nan) for own in sums)
        return seen, expected

    def grow(self, n: int) -> None:
        """Watch `n` metrics: those there are, and new ones behind them."""
        if n < len(self):
            raise WatchError(f"{len(self)} metrics are watched, they cannot become {n}")
        new = new_states(self.config, n - len(self))
        self._states = States(*(np.concatenate(both) for both in zip(self._states, new, strict=True)))

    def save(self) -> bytes:
        """All that was learnt; `load` goes on from it as if nothing had happened."""
        content = io.BytesIO()
        for part in (np.array(self.config.shape), np.array([self._last_ms]), *self._states):
            np.lib.format.write_array(content, part, allow_pickle=False)
        return content.getvalue()

    @classmethod
    def load(cls, config: WatchConfig | Mapping[str, Any] | None, content: bytes) -> Self:
        """The watches that `save` told. Raises WatchError when they had another configuration, or `content`
        is damaged."""
        watches = cls(config, 0)
        try:
            source = io.BytesIO(content)
            version = np.lib.format.read_array(source, allow_pickle=False)
            last, *states = (
                np.lib.format.read_array(source, allow_pickle=False) for _ in range(1 + len(States._fields))
            )
        except (ValueError, EOFError, SyntaxError) as problem:
            raise WatchError(f"the kept state of the watch is damaged: {problem}") from None
        if str(version) != watches.config.shape:
            raise WatchError("the kept state is of another kind, window, sums, lag or timezone: start anew")
        expected = new_states(watches.config, len(states[0]))
        if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(states, expected, strict=True)):
            raise WatchError("the kept state of the watch has another layout: start anew")
        watches._states, watches._last_ms = States(*states), int(last[0])
        return watches

    def _checked(self, given: ArrayLike, name: str) -> Numbers:
        found = np.array(given, np.float64)
        if found.shape != (len(self),):
            raise WatchError(f"{len(self)} metrics need as many numbers, not {name}s of shape {found.shape}")
        wrong = np.flatnonzero((found < 0) | np.isinf(found))
        if len(wrong):
            raise WatchError(f"metric {wrong[0]}: a {name} cannot be {found[wrong[0]]}")
        return found

    def _exposures(self, given: ArrayLike | None) -> Numbers:
        if self.config.kind != RATIO:
            return np.ones(len(self))
        if given is None:
            raise WatchError("a ratio needs its exposure: the number that it is a share of")
        return np.nan_to_num(self._checked(given, "exposure"), nan=0.0)


class MetricWatch:
    """The watch of one metric: `update` judges its windows in the order of time."""

    def __init__(self, config: WatchConfig | Mapping[str, Any] | None = None) -> None:
        """Raises WatchError for a configuration that cannot be."""
        self._watches = MetricWatches(config, 1)

    @property
    def config(self) -> WatchConfig:
        """The configuration."""
        return self._watches.config

    def update(
        self, time: Time, value: float | None, exposure: float | None = None, *, complete: bool = True
    ) -> Verdict:
        """As MetricWatches.update, for one metric; None is no value, or no exposure."""
        if exposure is None and self.config.kind == RATIO:
            exposure = math.nan if value is None or math.isnan(value) else None
        exposures = None if exposure is None else [exposure]
        return self._watches.update(
            time, [math.nan if value is None else value], exposures, complete=complete
        )[0]

    def save(self) -> bytes:
        """As MetricWatches.save."""
        return self._watches.save()

    @classmethod
    def load(cls, config: WatchConfig | Mapping[str, Any] | None, content: bytes) -> Self:
        """As MetricWatches.load."""
        watch = cls(config)
        watch._watches = MetricWatches.load(config, content)
        if len(watch._watches) != 1:
            raise WatchError(f"the kept state is that of {len(watch._watches)} metrics")
        return watch


def as_config(given: WatchConfig | Mapping[str, Any] | None) -> WatchConfig:
    """A configuration from a mapping of its fields, or the default one. Raises WatchError for an unknown
    field."""
    if isinstance(given, WatchConfig):
        return given
    known = tuple(field.name for field in fields(WatchConfig))
    for key in given or {}:
        if key not in known:
            raise WatchError(f"a watch has no setting {key!r}{nearest(key, known)}")
    return WatchConfig(**(given or {}))


def _told(time_ms: int) -> str:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).isoformat()
