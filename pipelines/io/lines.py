"""Where made records go: a file of lines, plain or gzipped, standard output, or Kafka."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, cast

from pipelines.domain import Domain
from pipelines.errors import OutputFileError
from pipelines.io.producer import Sender
from pipelines.io.replay import POLL_EVERY, TOPICS, Addresses
from pipelines.settings import Settings

WRITABLE = (".jsonl", ".jsonl.gz")
GZIP_LEVEL = 3  # half the time of the default for a tenth more bytes


class Sink(Protocol):
    """Takes records one by one and counts them; a context that makes sure of them at its end."""

    @property
    def count(self) -> int:
        """Records taken."""

    @property
    def failed(self) -> int:
        """Records that were taken but did not get to where they should."""

    def write(self, value: bytes, arrival_ms: int) -> None:
        """Take a record that arrived at this time (epoch ms)."""

    def report(self) -> str:
        """What was written, in a few lines."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FileSink:
    """Lines in a file; the same records give the same bytes. `-` is standard output.

    Raises OutputFileError for a name of another kind and for a folder that is not there.
    """

    def __init__(self, path: str) -> None:
        self.path, self.count, self.failed, self.bytes = path, 0, 0, 0
        self._files: list[BinaryIO] = []

    def __enter__(self) -> FileSink:
        path = Path(self.path)
        is_device = path.exists() and not path.is_file() and not path.is_dir()
        if self.path == "-":
            self._files = [sys.stdout.buffer]
        elif not self.path.endswith(WRITABLE) and not is_device:
            raise OutputFileError(f"{path} cannot be written: give a file {' or '.join(WRITABLE)}")
        elif not path.parent.is_dir():
            raise OutputFileError(f"{path} cannot be written: there is no folder {path.parent}")
        else:
            self._files = [path.open("wb")]
        if self.path.endswith(".gz"):
            # No name and no time in the header: the bytes depend on the records only.
            packed = gzip.GzipFile("", "wb", GZIP_LEVEL, self._files[0], mtime=0)
            self._files.insert(0, cast(BinaryIO, packed))
        return self

    def write(self, value: bytes, arrival_ms: int) -> None:
        """Add a line."""
        self._files[0].write(value + b"\n")  # at once: Ctrl-C must not cut a line
        self.count += 1
        self.bytes += len(value) + 1

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.flush() if self.path == "-" else file.close()

    def report(self) -> str:
        """Lines and bytes before packing."""
        return f"wrote {self.count:,} lines, {self.bytes / 1e6:,.1f} MB, to {self.path}"


class KafkaSink:
    """Messages in the topics that the domain's rules give, stamped with their arrival."""

    def __init__(self, settings: Settings, domain: Domain) -> None:
        self.count = 0
        self._addresses = Addresses(domain)
        self._sender = Sender(settings, TOPICS)

    @property
    def failed(self) -> int:
        """Messages that Kafka did not take."""
        return self._sender.failed

    def __enter__(self) -> KafkaSink:
        return self

    def write(self, value: bytes, arrival_ms: int) -> None:
        """Send a message."""
        topic, key, _ = self._addresses.of(value)
        self._sender.send(topic, value, key, arrival_ms)
        self.count += 1
        if self.count % POLL_EVERY == 0:
            self._sender.poll()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sender.flush()

    def report(self) -> str:
        """Messages by topic, and how many of them Kafka did not take."""
        return self._sender.report()
