"""What a feature needs of the records, before anything has its place in them."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.features import program as p

AGGREGATES = {"mean": p.MEAN, "max": p.MAX, "min": p.MIN, "sum": p.TOTAL}


@dataclass(frozen=True, order=True)
class Need:
    """What a record keeps: whose, of which events, in buckets of which width (0: since ever); `arg` and
    `rate` are the step's own, see `program`."""

    scope: int
    key: int
    op: int
    mask: int
    width: int = 0
    arg: int = 0
    rate: float = 0.0

    def words(self, buckets: int) -> int:
        """How many words it takes: with buckets, the newest bucket's number stands before them."""
        if self.op in (p.LEARN, p.SUM):
            return 3 if self.op == p.LEARN and self.arg else 2
        each = p.SKETCH_WORDS if self.op == p.DISTINCT else 1
        return 1 + buckets * each if self.width else each


@dataclass
class Reading:
    """How a feature is read: the columns of its row in the program, with needs that have no place yet."""

    op: int
    needs: tuple[Need, ...] = ()
    scope: int = p.EVERYTHING
    key: int = 0
    aggregate: int = p.MEAN
    log: bool = False
    buckets: int = 0
    arg: int = 0
    value: float = 0.0
