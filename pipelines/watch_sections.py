"""The section `watch` of the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Watch:
    """How metrics are watched for drops."""

    window_minutes: int
    settle_minutes: int
    silence_minutes: int
    direction: str
    alerts_per_28_days: float
    segment_alerts_per_28_days: float
    floor: float
    warm_up_hours: int
    level_lag_minutes: int
    level_half_life_hours: int
    timezone: str
    calendar: str
    most_series: int
    published_hours: int
