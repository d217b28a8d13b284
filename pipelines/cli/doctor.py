"""Check this installation: the machine, the environments, the jars, the settings, and what they may use.

Exit code 0 when everything works (warnings included), 1 when something does not.
"""

from __future__ import annotations

import argparse

HELP = "check everything that LakePulse needs, and say how to mend what is not well"
WIDE = 200
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` for programs."""
    parser.add_argument("--json", action="store_true", help="write a JSON list instead of a table")


def run(args: argparse.Namespace) -> int:
    """Returns 0, or 1 when a check failed."""
    import os
    import sys

    import msgspec
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pipelines.stack import checks

    found = checks.check_all(os.environ)
    failed = [check.name for check in found if check.state == "failed"]
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 1 if failed else 0
    table = Table(box=None, pad_edge=False)
    for heading in ("check", "state", "found", "remedy"):
        table.add_column(heading, overflow="fold")
    for check in found:
        state = f"[{COLOURS[check.state]}]{check.state}[/]"
        table.add_row(escape(check.name), state, escape(check.found), escape(check.remedy))
    # Into a file or a pipe the table is as wide as its content needs, not as a terminal that is not there.
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
    print(f"\nnot well: {', '.join(failed)}" if failed else "\neverything works")
    return 1 if failed else 0
