"""Whom item statistics leave out in each micro-batch of publishing, so that a batch that is repeated after a
kill leaves out the same."""

from __future__ import annotations

import msgspec

from pipelines.anomalies.firewall import COLUMNS
from pipelines.gold.holds import Hold, Holds
from pipelines.io import checkpoints, whole_file
from pipelines.io.delta import Batch
from pipelines.io.held import HeldOut
from pipelines.session import Lender
from pipelines.settings import Settings


class Kept(msgspec.Struct):
    """Whom a micro-batch has left out, and whom the one before it."""

    batch: str = ""
    before: list[Hold] = []
    after: list[Hold] = []


class Holding:
    """What is held out, batch by batch, remembered beside the query's checkpoint.

    It is written before any row of a batch: a repeated batch, some of whose rows may be stored, goes by what
    is written, and the one after it takes up what has changed meanwhile.
    """

    def __init__(self, settings: Settings, query: str, spark: Lender) -> None:
        """`spark` is asked where the lake is not on this machine."""
        self._settings, self._spark = settings, spark
        self._where = f"{checkpoints.location(settings, query)}.held"

    def of(self, batch: Batch) -> Holds:
        """Whom this batch leaves out, and what that changes."""
        content = whole_file.read(self._where)
        kept = msgspec.msgpack.decode(content, type=Kept) if content else Kept()
        if kept.batch != batch.mark:
            kept = Kept(batch.mark, kept.after, self._now())
            whole_file.replace(self._where, msgspec.msgpack.encode(kept))
        after = frozenset(kept.after)
        return Holds(after, after ^ frozenset(kept.before))

    def _now(self) -> list[Hold]:
        spans = HeldOut(self._settings, self._spark).spans
        named = [(COLUMNS.get(s.entity, ""), s.entity_id, s.from_ms, s.until_ms) for s in spans]
        return sorted({hold for hold in named if hold[0]})
