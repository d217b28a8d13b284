"""`lakepulse status`: the parts of the local stack as they are now."""

from __future__ import annotations

import argparse
import sys

HELP = "show the parts of the local stack: state, address, memory, log; exit code 3 when one died"
BROKEN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` for programs, `--wait` for scripts."""
    parser.add_argument("--json", action="store_true", help="write a JSON list instead of a table")
    parser.add_argument(
        "--wait", action="store_true", help="first wait until what Kafka holds now has reached gold"
    )


def run(args: argparse.Namespace) -> int:
    """Returns 0, or 3 when a part that was brought up has died or does not answer."""
    import msgspec

    from pipelines import settings as settings_module
    from pipelines.stack import local, progress, report

    settings = settings_module.load()
    if args.wait:
        progress.wait_until_published(settings, lambda line: print(f"  {line}", file=sys.stderr))
    seen = local.status(settings)
    broken = [part.part for part in seen if not part.is_well]
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(seen), indent=2).decode())
    else:
        print(report.table(seen))
        if domain := local.running_domain(settings):
            print(f"the streams run for the domain {domain}")
        if broken:
            print(f"{', '.join(broken)}: `lakepulse up` starts again what is broken; the logs may say why")
    return BROKEN if broken else 0
