"""Quarantined rows that are good now land once more, and are refined like others."""

import argparse
import json
from collections import Counter

import pytest

from jobs import refine_silver, requeue
from pipelines.contracts import bronze, silver
from pipelines.domain import load_domain, parse_domain
from pipelines.errors import InputFileError
from pipelines.io import checkpoints, delta, lake
from tests.builders import a_decision, an_event, an_item, landed_rows

ROWS = [
    an_event(event_id="good"),
    an_event(event_id="new", event_type="wish"),
    an_event(event_id="good"),
    b"broken",
    a_decision(items=[]),
]


@pytest.fixture
def shop(settings):
    return load_domain("shop", settings)


@pytest.fixture
def taught(settings):
    """The shop, once someone has declared the new event type."""
    text = (settings.root / "conf" / "domains" / "shop.yml").read_text()
    assert "  view: {" in text
    return parse_domain(text.replace("  view: {", "  wish: {requires: [item_id]}\n  view: {"), "shop.yml")


def refine(spark, settings, domain):
    (query,) = refine_silver.run(settings, spark, argparse.Namespace(domain=domain, once=True))
    query.awaitTermination()
    checkpoints.disown(settings, "refine_silver")


def put_back(spark, settings, domain, capsys, **which):
    args = {"reason": None, "all": False, "repaired": None} | which
    requeue.run(settings, spark, argparse.Namespace(domain=domain, **args))
    return capsys.readouterr().out.strip()


def rows_of(settings, table):
    return Counter(lake.frame(settings, table)["topic"])


def test_rows_go_back_once_and_the_sum_holds(spark, settings, shop, taught, capsys, tmp_path):
    delta.ensure(spark, settings, bronze.INTERACTIONS)
    delta.append_arrow(landed_rows(*ROWS), bronze.INTERACTIONS, settings, "")
    refine(spark, settings, shop)
    assert lake.count(settings, "silver.quarantine") == 4

    wrong = "still wrong: unknown event type: 1, still wrong: not JSON: 1, still wrong: missing: 1"
    assert put_back(spark, settings, shop, capsys, all=True) == f"requeued before: 0, {wrong}"
    assert put_back(spark, settings, taught, capsys, reason="is unknown") == "requeued before: 0, requeued: 1"
    assert put_back(spark, settings, taught, capsys, reason="is unknown") == "requeued before: 1"
    refine(spark, settings, taught)
    events = lake.frame(settings, "silver.events").sort_values("event_id")
    assert events[["event_id", "topic", "offset"]].values.tolist() == [
        ["good", "interactions", 0],
        ["new", "requeue:interactions", 1],
    ]

    repairs = tmp_path / "repairs.jsonl"
    place = {"topic": "interactions", "partition": 0}
    repairs.write_text(
        json.dumps({**place, "offset": 3, "value": an_item()})
        + "\n"
        + json.dumps({**place, "offset": 4, "value": a_decision()})
    )
    assert (
        put_back(spark, settings, taught, capsys, repaired=str(repairs)) == "requeued before: 0, requeued: 2"
    )
    refine(spark, settings, taught)
    assert (
        rows_of(settings, "silver.items")
        == rows_of(settings, "silver.decisions")
        == {"requeue:interactions": 1}
    )
    consumed = sum(lake.count(settings, table.name) for table in bronze.REFINED)
    sorted_rows = (silver.EVENTS, silver.DECISIONS, silver.ITEMS, silver.QUARANTINE)
    assert consumed == sum(lake.count(settings, table.name) for table in sorted_rows) == 8

    repairs.write_text('{"topic": "interactions", "partition": 0, "offset": 99, "value": {}}')
    with pytest.raises(
        InputFileError, match=r"repairs.jsonl:1: no quarantined row at \('interactions', 0, 99\)"
    ):
        put_back(spark, settings, taught, capsys, repaired=str(repairs))
    repairs.write_text('{"topic": "interactions"}')
    with pytest.raises(InputFileError, match=r"repairs.jsonl:1: .* a repair is"):
        put_back(spark, settings, taught, capsys, repaired=str(repairs))
