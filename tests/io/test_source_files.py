"""Files of records: lines as they are, rows as objects, and what is said of files that cannot be read."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines.errors import InputFileError
from pipelines.io.replay import source_values


def values(path, stdin=b""):
    return list(source_values(str(path), io.BytesIO(stdin)))


def test_lines_come_as_they_are_from_every_kind_of_line_file(tmp_path):
    content = b'{"a":1}\n\n not json \r\n{"b":"\xff"}'
    wanted = [b'{"a":1}', b" not json ", b'{"b":"\xff"}']
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    assert values(tmp_path / "a.jsonl") == values(tmp_path / "b.jsonl.gz") == values("-", content) == wanted


def test_rows_of_csv_become_objects_with_their_nested_cells(tmp_path):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "attributes", "note", "gone"])
        writer.writerow(["007", '{"tags": ["a", "b"], "price": 3}', "[not json", ""])
    assert [json.loads(v) for v in values(tmp_path / "a.csv")] == [
        {"item_id": "007", "attributes": {"tags": ["a", "b"], "price": 3}, "note": "[not json"}
    ]


def test_rows_of_parquet_become_objects(tmp_path):
    table = pa.table({"user_id": ["u1", None], "items": [["a", "b"], []], "n": [1, 2]})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    found = [json.loads(v) for v in values(tmp_path / "a.parquet")]
    assert found == [{"user_id": "u1", "items": ["a", "b"], "n": 1}, {"items": [], "n": 2}]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("event.jsonl", "did you mean 'events.jsonl'"),
        ("events.xls", "no kind of file"),
        ("far/a.csv", "no file"),
    ],
)
def test_a_file_that_is_not_there_or_unknown_is_refused_at_once(tmp_path, name, words):
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(InputFileError, match=words):
        source_values(str(tmp_path / name), io.BytesIO())


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-9], lambda packed: b"no gzip", lambda packed: packed + b"x"]
)
def test_a_damaged_file_gives_what_is_readable_and_then_says_where_it_ends(tmp_path, damage):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b'{"a":1}\n' * 500)))
    found = []
    with pytest.raises(InputFileError, match="cannot be read") as told:
        found.extend(source_values(str(path), io.BytesIO()))
    assert f"cannot be read behind line {len(found)}: " in str(told.value)
