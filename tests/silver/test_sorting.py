"""Micro-batches into silver's tables: repeats, late rows, restarts, lost checkpoints, neighbours."""

from collections import Counter
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS, QUARANTINE
from pipelines.contracts.types import arrow_schema
from pipelines.domain import load_domain
from pipelines.io import delta
from pipelines.io.delta import Batch
from pipelines.io.stored import StoredRows
from pipelines.silver import sorting
from pipelines.silver.repeats import in_order
from pipelines.silver.sorting import Sorter
from tests.builders import NOW, NOW_MS, a_decision, an_event, an_item, landed_rows, with_attributes

HOUR_MS = 3_600_000
TABLES = (EVENTS, DECISIONS, ITEMS, QUARANTINE)


def arriving(rows):
    """Rows of bronze as silver reads them."""
    renamed = rows.rename_columns(["arrived_at" if n == "timestamp" else n for n in rows.column_names])
    return renamed.drop_columns(["ingested_at", "ingest_date"])


class Silver:
    """Silver in a folder, and a stream that can be started anew."""

    def __init__(self, spark, settings):
        self.spark, self.settings, self.batch = spark, settings, 0
        self.start()

    def start(self, lost_checkpoint=False):
        self.batch = 0 if lost_checkpoint else self.batch
        domain = load_domain("shop", self.settings)
        self.sorter = Sorter(domain, self.settings.silver, StoredRows(self.spark, self.settings))

    def take(self, *rows, only=TABLES):
        """Sort and write one micro-batch; with `only`, die before the other tables are written."""
        done = self.sorter.sort(arriving(pa.concat_tables(rows)), self.batch)
        for table, found in done.rows:
            if table in only:
                delta.append_rows(found, table, self.settings, Batch("test", self.batch, False), self.spark)
        self.batch += only is TABLES
        return done

    def rows(self, table, *names):
        found = StoredRows(self.spark, self.settings).columns(table, list(names))
        return sorted(zip(*(found[name].to_pylist() for name in names), strict=True), key=str)

    def places(self):
        """How often each place is in silver."""
        found = Counter()
        for table in TABLES:
            found.update(self.rows(table, "topic", "partition", "offset"))
        return found


@pytest.fixture
def silver(spark, settings):
    return Silver(spark, settings)


def test_each_row_goes_to_the_table_of_its_kind(silver):
    done = silver.take(landed_rows(an_event(), a_decision(), an_item(), b"no json"))
    assert [(table.name, rows.num_rows) for table, rows in done.rows] == [
        ("silver.events", 1),
        ("silver.decisions", 1),
        ("silver.items", 1),
        ("silver.quarantine", 1),
    ]
    assert all(rows.schema == arrow_schema(table.schema) for table, rows in done.rows)
    assert done.counts == {
        "consumed": 4,
        "refined before": 0,
        "silver.events": 1,
        "silver.decisions": 1,
        "silver.items": 1,
        "silver.quarantine": 1,
        "late": 0,
        "quarantined: not JSON": 1,
    }


def test_an_event_of_silver_column_by_column(silver):
    (events, rows), *_ = silver.take(landed_rows(an_event(campaign="x"), first_offset=7)).rows
    assert events is EVENTS
    assert rows.to_pylist() == [
        {
            "event_id": "e1",
            "event_time": NOW,
            "event_date": NOW.date(),
            "event_type": "view",
            "user_id": "u1",
            "session_id": "s1",
            "item_id": "i1",
            "decision_id": None,
            "query": None,
            "price_minor": None,
            "currency": None,
            "quantity": None,
            "source": "web",
            "device_id": None,
            "ip_hash": None,
            "properties": [("campaign", '"x"')],
            "schema_version": 1,
            "is_late": False,
            "topic": "interactions",
            "partition": 0,
            "offset": 7,
            "arrived_at": NOW,
        }
    ]


def test_a_quarantined_row_keeps_its_bytes(silver):
    rows = landed_rows(b"[1]", first_offset=3, headers=[{"key": "h", "value": b"v"}])
    (_, quarantined), *_ = reversed(silver.take(rows).rows)
    assert quarantined.to_pylist() == [
        {
            "reasons": ["not JSON: invalid literal (byte 1)"] if False else quarantined["reasons"][0].as_py(),
            "value": b"[1]",
            "key": b"u1",
            "headers": [{"key": "h", "value": b"v"}],
            "quarantined_date": NOW.date(),
            "topic": "interactions",
            "partition": 0,
            "offset": 3,
            "arrived_at": NOW,
        }
    ]


def test_neighbours_of_a_huge_value_are_unharmed(silver):
    huge = b"x" * 10_000_000
    silver.take(landed_rows(an_event(event_id="a"), huge, None, b"\xff", an_event(event_id="b")))
    assert silver.rows(EVENTS, "event_id") == [("a",), ("b",)]
    sizes = {offset: len(value or b"") for offset, value in silver.rows(QUARANTINE, "offset", "value")}
    assert sizes == {1: 10_000_000, 2: 0, 3: 1}


def test_a_row_is_late_when_it_happened_long_before_it_arrived(silver):
    at_the_limit, before_it = NOW_MS - HOUR_MS, NOW_MS - HOUR_MS - 1
    silver.take(
        landed_rows(
            an_event(event_id="a", event_time=at_the_limit), an_event(event_id="b", event_time=before_it)
        )
    )
    assert silver.rows(EVENTS, "event_id", "is_late") == [("a", False), ("b", True)]


def test_a_repeat_in_the_batch_is_quarantined(silver):
    silver.take(landed_rows(an_event(), an_event(item_id="other")))
    assert silver.rows(EVENTS, "offset", "item_id") == [(0, "i1")]
    assert silver.rows(QUARANTINE, "offset", "reasons") == [(1, ["duplicate of event_id e1"])]


def test_a_repeat_in_a_later_batch_is_quarantined_also_after_a_start(silver):
    silver.take(landed_rows(an_event(), a_decision()))
    silver.take(landed_rows(an_event(), first_offset=2))
    silver.start()
    silver.take(landed_rows(an_event(), a_decision(), first_offset=3))
    assert silver.rows(QUARANTINE, "offset", "reasons") == [
        (2, ["duplicate of event_id e1"]),
        (3, ["duplicate of event_id e1"]),
        (4, ["duplicate of decision_id d1"]),
    ]


def test_an_id_may_come_again_after_the_watermark(silver):
    later = landed_rows(
        an_event(event_time=NOW_MS + HOUR_MS + 1), arrived=NOW + timedelta(hours=2), first_offset=1
    )
    silver.take(landed_rows(an_event()))
    silver.take(later)
    assert silver.rows(EVENTS, "offset") == [(0,), (1,)]


def test_a_late_row_finds_its_repeat_in_the_table(silver):
    """A row older than what is remembered is looked for in silver itself."""
    old = NOW_MS - 10 * HOUR_MS
    silver.take(landed_rows(an_event(event_id="old", event_time=old), an_event()))
    silver.start()
    silver.take(landed_rows(an_event(event_id="old", event_time=old), first_offset=2))
    assert silver.rows(QUARANTINE, "offset", "reasons") == [(2, ["duplicate of event_id old"])]


def test_what_is_forgotten_is_found_in_the_table(silver, monkeypatch):
    monkeypatch.setattr(sorting, "KEEP_ALL", 1)
    ages = [(f"e{hours}", NOW_MS - hours * HOUR_MS) for hours in range(5, -1, -1)]
    records = [an_event(event_id=name, event_time=time) for name, time in ages]
    silver.take(landed_rows(*records))
    assert len(silver.sorter._known[EVENTS.name]) == 3
    silver.take(landed_rows(*records, first_offset=10))
    assert silver.rows(EVENTS, "event_id") == [(f"e{n}",) for n in range(6)]


def test_an_item_is_said_once_for_a_time(silver):
    silver.take(landed_rows(an_item(), an_item(), with_attributes(price=5), an_item(valid_from=NOW_MS + 1)))
    assert silver.rows(ITEMS, "offset") == [(0,), (3,)]
    remedy = "a change of an item needs a later valid_from"
    reason = f"duplicate of item_id i1, valid from 2026-01-01T12:00:00Z: {remedy}"
    assert silver.rows(QUARANTINE, "offset", "reasons") == [(1, [reason]), (2, [reason])]


@pytest.mark.parametrize("written", range(5))
def test_a_batch_that_was_cut_off_between_tables_is_completed(silver, written):
    silver.take(landed_rows(an_event(event_id="before")))
    rows = landed_rows(an_event(), an_event(), a_decision(), an_item(), b"x", None, first_offset=1)
    silver.take(rows, only=TABLES[:written])
    silver.start()
    done = silver.take(rows)
    assert silver.places() == Counter({("interactions", 0, offset): 1 for offset in range(7)})
    assert silver.rows(EVENTS, "event_id") == [("before",), ("e1",)]
    assert done.counts["refined before"] == [0, 1, 2, 3, 6][written]


def test_a_lost_checkpoint_doubles_nothing(silver):
    batches = [
        landed_rows(an_event(event_id=f"{n}"), a_decision(), b"x", first_offset=3 * n) for n in range(3)
    ]
    silver.take(batches[0])
    silver.take(batches[1], only=(EVENTS,))
    silver.start(lost_checkpoint=True)
    for rows in batches:
        silver.take(rows)
    assert silver.places() == Counter({("interactions", 0, offset): 1 for offset in range(9)})
    assert silver.rows(EVENTS, "event_id") == [("0",), ("1",), ("2",)]


def test_an_empty_batch_is_sorted(silver):
    assert silver.take(landed_rows()).counts["consumed"] == 0


def test_within_a_partition_the_offset_decides_and_between_them_the_time_reached():
    rows = [((5, ("t", 0, 1)), 10), ((3, ("t", 0, 2)), 11), ((4, ("t", 1, 0)), 12)]
    assert in_order(rows) == [12, 10, 11]


@given(st.permutations([((5, ("t", 0, 1)), 10), ((3, ("t", 0, 2)), 11), ((4, ("t", 1, 0)), 12)]))
def test_the_order_of_arrival_does_not_depend_on_the_order_of_rows(rows):
    assert in_order(rows) == [12, 10, 11]
