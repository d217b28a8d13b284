"""What the commands of the local stack print: a line of progress for each part, and the table of `status`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from pipelines.stack.local import NAMES, Seen

WIDTH = max(len(name) for name in NAMES)
HEADINGS = ("PART", "STATE", "PID", "ADDRESS", "UP", "MEMORY", "LOG")


class Progress:
    """Tells how the parts get on: on a terminal the last line moves, elsewhere only results are written."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._moves = self._out.isatty()
        self._last = ""

    def __call__(self, part: str, text: str, keep: bool) -> None:
        """Say what is going on with a part; `keep` is false for what the next line may replace."""
        line = f"{part:<{WIDTH}}  {text}"
        if keep:
            self._out.write(f"{self._clear()}{line}\n")
            self._last = ""
        elif self._moves and line != self._last:
            self._out.write(f"{self._clear()}{line}")
            self._last = line
        self._out.flush()

    def _clear(self) -> str:
        return "\r\x1b[2K" if self._moves and self._last else ""


def table(seen: Sequence[Seen]) -> str:
    """The parts as a table, a line each, as wide as its content."""
    rows = [HEADINGS, *(_row(part) for part in seen)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: int) -> str:
    """Seconds as `59s`, `3m05s`, `2h07m` or `4d02h`."""
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days}d{h:02}h"
    if hours:
        return f"{hours}h{m:02}m"
    return f"{m}m{s:02}s" if minutes else f"{s}s"


def _row(seen: Seen) -> tuple[str, ...]:
    return (
        seen.part,
        seen.state,
        "-" if seen.pid is None else str(seen.pid),
        seen.address or "-",
        "-" if seen.uptime_s is None else duration(seen.uptime_s),
        "-" if seen.memory_mb is None else f"{seen.memory_mb} MB",
        seen.log or "-",
    )
