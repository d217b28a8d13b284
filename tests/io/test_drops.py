"""Files that partners drop become rows of bronze, once each, whatever is in them."""

import argparse
import gzip

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import land_files
from pipelines.contracts.bronze import INTERACTIONS
from pipelines.io import checkpoints, delta


def land_everything(settings, spark):
    for query in land_files.run(settings, spark, argparse.Namespace(once=True)):
        assert query.awaitTermination(60)
        assert query.exception() is None
        checkpoints.disown(settings, query.name)


def landed_rows(settings, spark):
    rows = delta.read(spark, settings, INTERACTIONS).collect()
    return {(r["topic"], r["partition"], r["offset"]): bytes(r["value"]) for r in rows}, rows


def test_every_line_of_every_kind_of_file_lands_once_with_its_coordinates(spark, settings):
    folder = settings.state / "drops" / "interactions"
    (folder / "north shop").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(b'{"a":1}\n\n{"a":2}\r\nnot json')
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"b":1}\n'))
    (folder / "north shop" / "a.jsonl").write_bytes(b'{"n":1}\n')
    (folder / "c.csv").write_text('x,y\n1,"two\nlines"\n3,\n')
    pq.write_table(pa.table({"z": [1, 2], "tags": [["p"], None]}), folder / "d.parquet")
    land_everything(settings, spark)
    (folder / "later.jsonl").write_bytes(b'{"l":1}\n')
    land_everything(settings, spark)

    by_place, rows = landed_rows(settings, spark)
    assert by_place == {
        ("file:interactions/a.jsonl", 0, 1): b'{"a":1}',
        ("file:interactions/a.jsonl", 0, 3): b'{"a":2}',
        ("file:interactions/a.jsonl", 0, 4): b"not json",
        ("file:interactions/b.jsonl.gz", 0, 1): b'{"b":1}',
        ("file:interactions/north shop/a.jsonl", 0, 1): b'{"n":1}',
        ("file:interactions/c.csv", 0, 3): b'{"x":"1","y":"two\\nlines"}',
        ("file:interactions/c.csv", 0, 4): b'{"x":"3"}',
        ("file:interactions/d.parquet", 0, 1): b'{"z":1,"tags":["p"]}',
        ("file:interactions/d.parquet", 0, 2): b'{"z":2}',
        ("file:interactions/later.jsonl", 0, 1): b'{"l":1}',
    }
    assert len(rows) == len(by_place)


def test_an_unreadable_file_lands_as_one_row_with_the_reason_and_its_neighbours_are_unharmed(spark, settings):
    folder = settings.state / "drops" / "interactions"
    folder.mkdir(parents=True)
    (folder / "broken.parquet").write_bytes(b"not a parquet file")
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a":1}\n' * 100)[:-8])
    (folder / "latin.csv").write_bytes("name\ncaf\xe9\n".encode("latin-1"))
    (folder / "good.jsonl").write_bytes(b'{"good":1}\n')
    land_everything(settings, spark)

    by_place, rows = landed_rows(settings, spark)
    assert by_place[("file:interactions/good.jsonl", 0, 1)] == b'{"good":1}'
    assert by_place[("file:interactions/cut.jsonl.gz", 0, 100)] == b'{"a":1}'
    reasons = {r["topic"]: bytes(r["headers"][0]["value"]).decode() for r in rows if r["headers"]}
    assert sorted(reasons) == [
        f"file:interactions/{n}" for n in ("broken.parquet", "cut.jsonl.gz", "latin.csv")
    ]
    assert "cannot be read behind row 0" in reasons["file:interactions/broken.parquet"]
    assert "cannot be read behind row 100" in reasons["file:interactions/cut.jsonl.gz"]
