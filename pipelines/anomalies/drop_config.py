"""What a watch of a metric is told."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines.anomalies.known_events import KnownEvent
from pipelines.errors import WatchError

COUNT, RATIO, AMOUNT = "count", "ratio", "amount"
KINDS = (COUNT, RATIO, AMOUNT)
DIRECTIONS = ("down", "up", "both")
PHASES = ("rolling", "day", "week")
DAY_S, WEEK_S = 86_400, 604_800
NODES = 168
"""Corners of the polygon that is the week's pattern: one an hour."""
BUDGET_DAYS = 28


@dataclass(frozen=True)
class WatchConfig:
    """How a metric is watched. All lengths of time are whole windows.

    `kind`: `count` (whole numbers of things, negative binomial), `ratio` (a share of an exposure, binomial
    with extra spread), `amount` (sums of money and the like, spread in proportion to what is expected).
    """

    kind: str = COUNT
    window_s: int = 300  # length of a window
    direction: str = "down"  # what is told: down, up or both
    alerts_per_28_days: float = 1.0  # false alerts of a metric that are acceptable
    sums: tuple[int, ...] = (1, 2, 3, 6, 12)  # windows that are looked at together
    floor: float = 10.0  # expected count (exposure of a ratio) below which no sum of windows is looked at
    warm_up_s: int = DAY_S  # history before the first score
    lag_s: int = 10_800  # windows younger than this do not move the level
    level_half_life_s: int = 43_200  # of the level's correction
    days_remembered: float = 28.0  # how many days the daily pattern is a mean of, at most
    weeks_remembered: float = 8.0  # same, weeks of the weekly pattern
    unseen_weekday: float = 0.25  # standard deviation, as a share, of a weekday that was never seen
    calm_windows: int = 6  # usual windows after which an episode is over
    timezone: str = "UTC"  # whose days and weeks are meant
    known_events: tuple[KnownEvent, ...] = field(default=())

    def __post_init__(self) -> None:
        """Raises WatchError for what cannot be."""
        if self.kind not in KINDS:
            raise WatchError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.direction not in DIRECTIONS:
            raise WatchError(f"direction must be one of {', '.join(DIRECTIONS)}, not {self.direction!r}")
        if self.window_s < 1 or DAY_S % self.window_s:
            raise WatchError(f"window_s must divide a day, {self.window_s} does not")
        if not self.sums or min(self.sums) < 1 or list(self.sums) != sorted(set(self.sums)):
            raise WatchError(f"sums must be rising whole numbers from 1, not {self.sums}")
        if not 0 < self.alerts_per_28_days < self.windows_per_28_days:
            raise WatchError(f"alerts_per_28_days cannot be {self.alerts_per_28_days}")
        for name in ("floor", "warm_up_s", "lag_s", "unseen_weekday", "calm_windows"):
            if not getattr(self, name) >= 0:
                raise WatchError(f"{name} cannot be {getattr(self, name)}")
        if self.lag_s > 2 * self.level_half_life_s:
            raise WatchError("lag_s beyond twice level_half_life_s makes the level swing")
        for name in ("level_half_life_s", "days_remembered", "weeks_remembered"):
            if not getattr(self, name) > 0:
                raise WatchError(f"{name} cannot be {getattr(self, name)}")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise WatchError(f"no timezone {self.timezone!r}") from None

    @property
    def windows_per_28_days(self) -> float:
        """How often a metric is judged in the time of the budget."""
        return BUDGET_DAYS * DAY_S / self.window_s

    @property
    def alert_p(self) -> float:
        """The p-value up to which a window alerts."""
        return self.alerts_per_28_days / self.windows_per_28_days

    @cached_property
    def version(self) -> str:
        """Names these settings, but the known events, which change as time goes on; verdicts carry it."""
        return self._hash([name for name in asdict(self) if name != "known_events"])

    @property
    def shape(self) -> str:
        """Names the settings that what was learnt depends on: state of other ones is refused."""
        return self._hash(["kind", "window_s", "sums", "lag_s", "timezone"])

    def _hash(self, names: list[str]) -> str:
        told = {name: getattr(self, name) for name in names}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
