"""The stream of silver on a bronze table: the same rows as one batch, in whatever pieces they come."""

import argparse

import pytest

from jobs import refine_silver
from pipelines import settings as settings_module
from pipelines.contracts import bronze, ops, silver
from pipelines.domain import load_domain
from pipelines.io import checkpoints, delta, lake
from pipelines.io.stored import StoredRows
from pipelines.silver.events import arriving, pieces
from pipelines.silver.sorting import Sorter
from tests.builders import a_decision, a_purchase, an_event, an_item, landed, landed_rows

TABLES = (silver.EVENTS, silver.DECISIONS, silver.ITEMS, silver.QUARANTINE)
FIRST = [an_event(event_id=f"a{n}") for n in range(6)] + [a_decision(), b"broken", None]
SECOND = [
    a_purchase(event_id="b"),
    an_event(event_id="a0"),
    a_decision(),
    a_purchase(event_id="c", currency=None),
]


def land(spark, settings, table, *records, **where):
    delta.ensure(spark, settings, table)
    delta.append_arrow(landed_rows(*records, **where), table, settings, "")


def refine(spark, settings):
    args = argparse.Namespace(domain=load_domain("shop", settings), once=True)
    (query,) = refine_silver.run(settings, spark, args)
    query.awaitTermination()
    checkpoints.disown(settings, "refine_silver")


def by_place(rows):
    return sorted(rows.to_pylist(), key=lambda row: (row["topic"], row["partition"], row["offset"]))


def test_a_stream_and_a_batch_give_the_same_rows(spark, settings):
    land(spark, settings, bronze.INTERACTIONS, *FIRST)
    land(spark, settings, bronze.CATALOG, an_item(), an_item(), topic="catalog")
    refine(spark, settings)
    land(spark, settings, bronze.INTERACTIONS, *SECOND, first_offset=len(FIRST))
    refine(spark, settings)

    catalog = landed(spark, an_item(), an_item(), topic="catalog")
    whole = arriving(landed(spark, *FIRST, *SECOND), catalog)
    other = {"paths": {"state": f"{settings.state}/elsewhere"}}
    elsewhere = settings_module.load(environ={}, overrides=other)
    sorter = Sorter(load_domain("shop", settings), settings.silver, StoredRows(spark, elsewhere))
    batch = {table.name: rows for table, rows in sorter.sort(whole.toArrow(), 0).rows}
    for table in TABLES:
        streamed = delta.read(spark, settings, table).toArrow()
        assert by_place(streamed) == by_place(batch[table.name]), table.name

    counted = (
        lake.frame(settings, ops.STREAM_PROGRESS.name).sort_values("batch_id")["counts"].map(dict).tolist()
    )
    assert [counts["consumed"] for counts in counted] == [len(FIRST) + 2, len(SECOND)]
    for counts in counted:
        assert counts["consumed"] == sum(counts.get(table.name, 0) for table in TABLES)
        classes = sum(n for name, n in counts.items() if name.startswith("quarantined: "))
        assert classes == counts["silver.quarantine"]


@pytest.fixture
def small_results(spark):
    """A session that takes at most 20 kB of results from a job."""
    conf = spark.sparkContext._jsc.sc().conf()
    conf.set("spark.driver.maxResultSize", "20k")
    yield
    conf.set("spark.driver.maxResultSize", "1g")


def test_what_is_too_large_for_this_process_comes_in_pieces_in_order(spark, small_results):
    records = [an_event(event_id=f"e{n}", note="x" * 2000) for n in range(20)]
    found = list(pieces(arriving(landed(spark, *records))))
    assert len(found) > 1
    assert [offset for piece in found for offset in piece["offset"].to_pylist()] == list(range(20))
