"""Held entities do not teach: which rows a hold covers."""

import datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.anomalies.firewall import COLUMNS, held, taught_by
from pipelines.anomalies.reviews import Confirmed

FOR_GOOD = 10**15


def a_hold(entity, entity_id, since=0, until=FOR_GOOD):
    return Confirmed(entity, entity_id, since, until, "an incident")


def rows(*who: tuple[int, str | None, str | None, str | None]) -> pa.Table:
    """Rows of (ms, user, device, address)."""
    times = [datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC) for ms, *_ in who]
    texts = {
        name: pa.array([row[place] for row in who], pa.string())
        for place, name in ((1, "user_id"), (2, "device_id"), (3, "ip_hash"))
    }
    return pa.table({"event_time": pa.array(times, pa.timestamp("us", tz="UTC"))} | texts)


def test_a_hold_covers_its_entity_from_its_start_to_before_its_end():
    seen = rows(
        (999, "a", None, None), (1000, "a", None, None), (1999, "a", None, None), (2000, "a", None, None)
    )
    assert held(seen, [a_hold("user", "a", 1000, 2000)]).tolist() == [False, True, True, False]
    assert held(seen, [a_hold("user", "a", 1000)]).tolist() == [False, True, True, True]


def test_a_device_is_held_whatever_account_it_uses():
    seen = rows((1000, "a", "d", "x"), (1000, "b", "d", "y"), (1000, "a", None, "x"), (1000, "d", "e", "d"))
    assert held(seen, [a_hold("device", "d", 0)]).tolist() == [True, True, False, False]
    left = taught_by(seen, [a_hold("device", "d", 0), a_hold("address", "d", 0)])
    assert left["user_id"].to_pylist() == ["a"]


def test_a_kind_without_a_column_covers_nothing():
    seen = rows((1000, "a", "d", "x"))
    assert not held(seen, [a_hold("session", "a", 0), a_hold("planet", "a", 0)]).any()
    assert taught_by(seen, []) is seen


@given(
    seen=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from("abc"), st.sampled_from("xy"), st.none()), max_size=30
    ),
    holds=st.lists(
        st.builds(
            a_hold,
            st.sampled_from(["user", "device"]),
            st.sampled_from("abcxy"),
            st.integers(0, 20),
            st.integers(0, 20),
        ),
        max_size=8,
    ),
)
def test_what_is_held_is_what_some_hold_says_of_a_single_row(seen, holds):
    def alone(row: tuple[int, str, str, None]) -> bool:
        named = {"user_id": row[1], "device_id": row[2]}
        return any(
            named[COLUMNS[hold.entity]] == hold.entity_id and hold.from_ms <= row[0] < hold.until_ms
            for hold in holds
        )

    assert held(rows(*seen), holds).tolist() == [alone(row) for row in seen]
