"""Files of records, as partners and people bring them: JSONL, CSV and Parquet, local or remote."""

from __future__ import annotations

import csv
import gzip
import io
import urllib.parse
import zlib
from collections.abc import Iterator
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet

from pipelines.io.checkpoints import is_local, local_path

ROWS_AT_ONCE = 10_000
LONGEST_CELL = 1 << 24  # bytes; the csv module refuses longer ones, by default already 128 KiB
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error, EOFError, zlib.error)


def read_values(path: str) -> Iterator[tuple[int, bytes]]:
    """The messages of a file with their line or row number.

    JSONL lines stay as they are (blank ones are left out), CSV and Parquet rows become JSON objects without
    the empty cells. A CSV cell is text, unless it holds a JSON object or array. Raises one of UNREADABLE when
    the file is not what its name says.
    """
    if path.endswith(".parquet"):
        yield from enumerate(_parquet_rows(path), 1)
        return
    with open_bytes(path) as raw:
        if path.endswith(".csv"):
            csv.field_size_limit(LONGEST_CELL)
            rows = csv.DictReader(
                io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), restkey="beyond_the_header"
            )
            yield from ((rows.line_num, msgspec.json.encode(_nested(_present(row)))) for row in rows)
        else:
            lines = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
            yield from (
                (number, line.rstrip(b"\r\n")) for number, line in enumerate(lines, 1) if line.strip()
            )


def _parquet_rows(path: str) -> Iterator[bytes]:
    filesystem, inner = _located(path)
    with pyarrow.parquet.ParquetFile(inner, filesystem=filesystem) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE):
            yield from (msgspec.json.encode(_present(row), enc_hook=str) for row in batch.to_pylist())


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if value not in (None, "")}


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """With the values that cells of JSON text stand for; `restkey` is a list of cells already."""
    return {k: _json(v) if isinstance(v, str) and v[0] in "{[" else v for k, v in row.items()}


def _json(cell: str) -> Any:
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError):
        return cell  # text that begins like JSON


def _located(path: str) -> tuple[pyarrow.fs.FileSystem, str]:
    if is_local(path):
        return pyarrow.fs.LocalFileSystem(), str(local_path(path))
    filesystem, inner = pyarrow.fs.FileSystem.from_uri(urllib.parse.quote(path, safe=":/@"))
    return filesystem, inner


def open_bytes(path: str) -> IO[bytes]:
    """A file as it is stored, local or on a remote file system, for reading from its start."""
    filesystem, inner = _located(path)
    return io.BufferedReader(filesystem.open_input_stream(inner, compression=None))
