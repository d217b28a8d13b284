"""The calendar of known events, with what reviewers call expected."""

from __future__ import annotations

import glob
from pathlib import Path

import yaml

from pipelines.alone import alone
from pipelines.anomalies.alert_rows import utc
from pipelines.anomalies.known_events import parse_calendar
from pipelines.settings import Settings


def path_of(settings: Settings) -> Path:
    """Where the calendar is."""
    return Path(settings.watch.calendar) if settings.watch.calendar else settings.state / "calendar.yml"


def add_event(settings: Settings, name: str, start_ms: int, end_ms: int, metric: str, segment: str) -> Path:
    """Add an event of one metric in one segment to the calendar, whose other lines stay as they are; what is
    there already is not added again. Raises WatchError for a calendar that cannot be read."""
    path = path_of(settings)
    entry = {
        "name": name,
        "start": utc(start_ms).isoformat(),
        "end": utc(end_ms).isoformat(),
        "metrics": glob.escape(metric),
        "segments": glob.escape(segment),
    }
    written = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True)
    with alone(path.with_name(path.name + ".lock")):
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole = before if written in before else f"{before.rstrip()}\n{written}".lstrip()
        parse_calendar(whole, str(path))
        beside = path.with_name(path.name + ".new")
        beside.write_text(whole, encoding="utf-8")
        beside.replace(path)
    return path
