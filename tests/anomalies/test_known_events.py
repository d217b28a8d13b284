"""The calendar of known events: what a file may say, and every mistake told with its place."""

import pytest

from pipelines.anomalies.known_events import known_at, of_metric, parse_calendar
from pipelines.errors import WatchError

CALENDAR = """
- {name: sale, start: 2026-11-27, end: 2026-11-28T06:00:00+01:00}
- {name: web is down, start: "2026-12-01T10:00Z", end: "2026-12-01T12:00Z", segments: source=web, metrics: c*}
"""


def test_events_concern_the_metrics_and_segments_they_name():
    events = parse_calendar(CALENDAR, "calendar.yml")
    assert [e.name for e in of_metric(events, "clicks", "source=web")] == ["sale", "web is down"]
    assert [e.name for e in of_metric(events, "views", "source=web")] == ["sale"]
    assert [e.name for e in of_metric(events, "clicks", "all")] == ["sale"]
    sale = events[0]
    assert (sale.end_ms - sale.start_ms) / 3_600_000 == 29
    assert [known_at(events, t) for t in (sale.start_ms - 1, sale.start_ms, sale.end_ms)] == ["", "sale", ""]
    assert parse_calendar("", "empty.yml") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "c.yml is not YAML"),
        ("name: sale", "c.yml must be a list of events"),
        ("[sale]", "c.yml, event 1 must have name, start, end"),
        ("[{name: a, start: 2026-01-01}]", "c.yml, event 1 lacks 'end'"),
        ("[{name: a, start: 2026-01-01, end: 2026-01-02, metric: b}]", "'metric'; did you mean 'metrics'"),
        ("[{name: a, start: soon, end: 2026-01-02}]", "event 1: start must be a time such as"),
        ("[{name: a, start: 2026-01-02, end: 2026-01-02}]", "event 1 ends before it starts"),
    ],
)
def test_a_wrong_calendar_is_told(text, message):
    with pytest.raises(WatchError, match=message):
        parse_calendar(text, "c.yml")
