"""The job on a real lake: new vectors when asked, the stored ones as long as they serve."""

import argparse
import datetime

from jobs import build_vectors
from pipelines.contracts.gold import DECISION_OUTCOMES, VECTORS
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.features.vectors import Vectors
from pipelines.io import delta
from tests import builders_features as b
from tests.models.test_score_stream import history, on_its_day

DOMAIN = b.a_domain("  []")


def outcomes(rows):
    made = [
        {
            "decision_id": row["decision_id"],
            "item_id": row["items"][0],
            "position": 1,
            "user_id": row["user_id"],
            "decided_at": row["event_time"],
            "label": 1.0,
            "revision": 1,
        }
        for row in rows
        if "items" in row
    ]
    day = datetime.date(2023, 12, 9)
    return b.table(DECISION_OUTCOMES, [row | {"day": day} for row in made])


def add(spark, settings, rows):
    tables = {
        EVENTS: on_its_day(EVENTS, [row for row in rows if "event_id" in row]),
        DECISIONS: on_its_day(DECISIONS, [row for row in rows if "items" in row]),
        DECISION_OUTCOMES: outcomes(rows),
    }
    for contract, found in tables.items():
        delta.append(spark.createDataFrame(found, contract.schema), contract, settings)


def test_vectors_are_built_when_asked_and_kept_while_they_serve(spark, settings, capsys):
    items = b.table(ITEMS, [b.an_item(f"i{n}", tags=["red", "shoe"][: n % 3]) for n in range(7)])
    delta.append(spark.createDataFrame(items, ITEMS.schema), ITEMS, settings)
    add(spark, settings, history(0, 20))

    assert build_vectors.run(settings, spark, argparse.Namespace(domain=DOMAIN)) == 0
    (row,) = delta.read(spark, settings, VECTORS).collect()
    assert capsys.readouterr().out == f"{row['version']}: 7 items, behaviour, covisits, image, text\n"
    stored = Vectors.from_bytes(bytes(row["content"]))
    assert (stored.version, row["items"], row["domain"]) == (row["version"], 7, "corner shop")
    assert row["until"].timestamp() * 1000 == b.NOW + 16 * b.MINUTE, "the last fifth of the decisions judges"

    assert build_vectors.run(settings, spark, argparse.Namespace(domain=DOMAIN)) == 0
    assert delta.read(spark, settings, VECTORS).count() == 1, "the same rows give the same version"

    add(spark, settings, history(20, 40))
    assert build_vectors.current(settings, spark, DOMAIN).version == stored.version
    fresh = build_vectors.current(settings, spark, DOMAIN, fresh=True)
    assert fresh.version != stored.version
    assert build_vectors.current(settings, spark, DOMAIN).version == fresh.version
