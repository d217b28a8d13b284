"""Files that partners drop: `<drops>/<topic>/…`, JSONL, CSV or Parquet, each line or row becomes one message
of bronze.

A file's coordinates are its topic `file:<topic>/<name>`, partition 0 and the line or row number from 1 as
offset. A CSV or Parquet row becomes a JSON object of its columns, because its bytes alone would not say what
they are. A file that cannot be read lands as one row that carries its first bytes and the reason in a header,
so that it ends in quarantine and stops nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.contracts import bronze
from pipelines.contracts.bronze import FILE, FILE_ROW
from pipelines.io.checkpoints import is_local, local_path
from pipelines.io.files import UNREADABLE, open_bytes, read_values
from pipelines.settings import Settings

ROWS_AT_ONCE = 10_000
KEPT_OF_UNREADABLE = 65_536  # bytes of a broken file that land; the file itself stays where it is


def stream(spark: SparkSession, settings: Settings, topic: str) -> DataFrame:
    """Rows of the files dropped for a topic: topic, partition, offset, value, headers, timestamp (the file's
    own)."""
    folder = f"{settings.drops.rstrip('/')}/{topic}"
    if is_local(folder):
        local_path(folder).mkdir(parents=True, exist_ok=True)
    reader = (
        spark.readStream.format("binaryFile")
        .schema(FILE)
        .option("pathGlobFilter", "*.{jsonl,jsonl.gz,csv,parquet}")
    )
    reader = reader.option("recursiveFileLookup", "true").option(
        "maxFilesPerTrigger", settings.streams.max_files_per_trigger
    )
    files = reader.load(folder).select("path", "modificationTime")

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for name, changed in zip(
                batch["path"].to_pylist(), batch["modificationTime"].to_pylist(), strict=True
            ):
                below = name.rpartition(f"{local_path(folder)}/")[2]
                yield from _rows_of(name, f"file:{topic}/{below}", changed)

    return files.mapInArrow(rows, FILE_ROW)


def _rows_of(path: str, topic: str, changed: datetime.datetime) -> Iterator[pa.RecordBatch]:
    last = 0
    held: list[tuple[int, bytes, str | None]] = []
    try:
        for last, value in read_values(path):
            held.append((last, value, None))
            if len(held) == ROWS_AT_ONCE:
                yield _batch(topic, held, changed)
                held = []
    except UNREADABLE as problem:
        held.append((last + 1, _first_bytes(path), f"{path} cannot be read behind row {last}: {problem}"))
    if held:
        yield _batch(topic, held, changed)


def _batch(
    topic: str, rows: list[tuple[int, bytes, str | None]], changed: datetime.datetime
) -> pa.RecordBatch:
    headers = [
        None if reason is None else [{"key": bronze.UNREADABLE, "value": reason.encode()}]
        for _, _, reason in rows
    ]
    return pa.RecordBatch.from_pydict(
        {
            "topic": [topic] * len(rows),
            "partition": pa.array([0] * len(rows), pa.int32()),
            "offset": pa.array([line for line, _, _ in rows], pa.int64()),
            "key": pa.nulls(len(rows), pa.binary()),
            "value": pa.array([value for _, value, _ in rows], pa.binary()),
            "headers": pa.array(headers, pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
            "timestamp": pa.array([changed] * len(rows), pa.timestamp("us", tz="UTC")),
        }
    )


def _first_bytes(path: str) -> bytes:
    with open_bytes(path) as raw:
        return raw.read(KEPT_OF_UNREADABLE)
