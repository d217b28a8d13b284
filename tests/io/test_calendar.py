"""What reviewers call expected is added to the calendar, beside what people have written there."""

import pytest

from pipelines.anomalies.known_events import known_at, of_metric, parse_calendar
from pipelines.errors import WatchError
from pipelines.io.calendar import add_event, path_of
from tests.builders_watch import MINUTE, NOON_MS


def test_an_event_is_added_once_and_other_lines_stay(settings):
    path = path_of(settings)
    path.write_text("# ours\n- name: sale\n  start: 2026-11-27\n  end: 2026-11-28\n")
    about = (settings, "works on the checkout", NOON_MS, NOON_MS + 60 * MINUTE, "carts", "tags=[new]")
    add_event(*about)
    add_event(*about)
    text = path.read_text()
    assert text.startswith("# ours\n- name: sale\n")
    events = parse_calendar(text, "calendar")
    assert len(events) == 2
    assert known_at(of_metric(events, "carts", "tags=[new]"), NOON_MS) == "works on the checkout"
    assert known_at(of_metric(events, "carts", "tags=n"), NOON_MS) == ""


def test_a_calendar_that_cannot_be_read_is_left_as_it_is(settings):
    path_of(settings).write_text("- name: sale\n")
    with pytest.raises(WatchError, match="lacks 'start'"):
        add_event(settings, "works", NOON_MS, NOON_MS + 1, "carts", "all")
    assert path_of(settings).read_text() == "- name: sale\n"
