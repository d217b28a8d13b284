"""Messages that wait on disk for Kafka: a bounded file, appended to, read from its start, whole after a
crash."""

from __future__ import annotations

import itertools
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_HEAD = struct.Struct("<IIq")  # bytes of the key, of the value, and the timestamp (ms)

Waiting = tuple[bytes, bytes, int]
"""Key, value, timestamp (ms)."""


class Spool:
    """A queue on disk for one process. A message that was half written when the process died is cut off."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Take up what an earlier process left in that file."""
        self._path, self._most = path, most_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        whole, self.count = 0, 0
        for end, _ in self._messages():
            whole, self.count = end, self.count + 1
        self._file.truncate(whole)

    def put(self, message: Waiting) -> bool:
        """Append a message; False when there is no room for it."""
        key, value, timestamp = message
        written = _HEAD.pack(len(key), len(value), timestamp) + key + value
        self._file.seek(0, os.SEEK_END)
        if self._file.tell() + len(written) > self._most:
            return False
        self._file.write(written)
        self._file.flush()
        self.count += 1
        return True

    def oldest(self, most: int) -> list[Waiting]:
        """What waits longest, the oldest first."""
        return [message for _, message in itertools.islice(self._messages(), most)]

    def drop(self, count: int) -> None:
        """Forget the oldest ones, so many; the others stay, whatever happens in between."""
        ends = [end for end, _ in itertools.islice(self._messages(), count)]
        self._file.seek(ends[-1] if ends else 0)
        beside = self._path.with_name(self._path.name + ".new")
        with beside.open("wb") as rest:
            shutil.copyfileobj(self._file, rest)
        self._file.close()
        beside.replace(self._path)
        self._file = self._path.open("a+b")
        self.count -= count

    def close(self) -> None:
        """Close the file; one in which nothing waits is removed."""
        self._file.close()
        if not self.count:
            self._path.unlink(missing_ok=True)

    def _messages(self) -> Iterator[tuple[int, Waiting]]:
        """(where the next one begins, message) of all whole ones."""
        self._file.seek(0)
        while len(head := self._file.read(_HEAD.size)) == _HEAD.size:
            key, value, timestamp = _HEAD.unpack(head)
            content = self._file.read(key + value)
            if len(content) < key + value:
                return
            yield self._file.tell(), (content[:key], content[key:], timestamp)
