"""Check this installation: the machine, the environments, the jars, the settings, and what they may use.

Exit code 0 when everything works (warnings included), 1 when something does not.
"""

from __future__ import annotations

import argparse

HELP = "check everything that LakePulse needs, and say how to mend what is not well"
COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` for programs."""
    parser.add_argument("--json", action="store_true", help="write a JSON list instead of a table")


def run(args: argparse.Namespace) -> int:
    """Returns 0, or 1 when a check failed."""
    import os

    import msgspec
    from rich.markup import escape

    from pipelines.cli._tables import print_table
    from pipelines.stack import checks

    found = checks.check_all(os.environ)
    failed = [check.name for check in found if check.state == "failed"]
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 1 if failed else 0
    rows = [
        (escape(c.name), f"[{COLOURS[c.state]}]{c.state}[/]", escape(c.found), escape(c.remedy))
        for c in found
    ]
    print_table(("check", "state", "found", "remedy"), rows)
    print(f"\nnot well: {', '.join(failed)}" if failed else "\neverything works")
    return 1 if failed else 0
