"""Tables for terminals, files and pipes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

WIDE = 200


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of cells below their headings; cells are rich's markup, so escape what others wrote."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    # Into a file or a pipe the table is as wide as its content needs, not as a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
