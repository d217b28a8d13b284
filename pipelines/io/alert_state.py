"""The state of the alerts beside the stream's checkpoint: what a micro-batch made of it is kept, with its
rows and messages, before any of them is written.

So a process may be killed anywhere: the next one finds either the state before the micro-batch, or the state
after it with everything that is to be written, and writes what is not there yet.
"""

from __future__ import annotations

import msgspec

from pipelines.anomalies.alert_batches import State
from pipelines.anomalies.alert_rows import Message
from pipelines.io import checkpoints, whole_file
from pipelines.settings import Settings

FILE = "alerts.state"


class Kept(msgspec.Struct):
    """The state after a micro-batch of a writer, and what that micro-batch is to write: rows by table, as
    Arrow streams, and messages."""

    writer: str = ""
    batch: int = -1
    state: State = msgspec.field(default_factory=State)
    rows: dict[str, bytes] = {}
    messages: list[Message] = []

    def is_after(self, writer: str, batch: int) -> bool:
        """Whether this is the state after that micro-batch."""
        return self.writer == writer and self.batch >= batch


class StateFile:
    """The one file of a query's state, replaced as a whole."""

    def __init__(self, settings: Settings, query: str) -> None:
        """Beside the query's checkpoint; nothing is read yet."""
        self._where = f"{checkpoints.location(settings, query)}.{FILE}"

    def load(self) -> Kept:
        """What was saved last; an empty state before that."""
        content = whole_file.read(self._where)
        return msgspec.msgpack.decode(content, type=Kept) if content else Kept()

    def save(self, kept: Kept) -> None:
        """Replace what was saved, whole or not at all."""
        whole_file.replace(self._where, msgspec.msgpack.encode(kept))
