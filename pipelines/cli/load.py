"""`lakepulse load`: ask the scoring service for lists at a fixed rate, and say how long the answers took.

The generator is open-loop: requests are due at their times whether or not earlier ones were answered, and
each one's time counts from when it was due. A service that stalls is seen to stall.
"""

from __future__ import annotations

import argparse

HELP = "ask the scoring service at a fixed rate; print answers by status and percentiles of their times"
EXAMPLES = """\
examples:
  lakepulse load --rate 500 --seconds 30                  100 items a list, of the catalog in the lake
  lakepulse load --rate 200 --items 1000 --address http://127.0.0.1:8000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much, how long, whom, and what is asked."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--items", type=int, default=100, help="items of each list (default: 100)")
    parser.add_argument("--users", type=int, default=1000, help="different users (default: 1000)")
    parser.add_argument("--connections", type=int, default=64, help="connections at most (default: 64)")
    parser.add_argument(
        "--budget", type=float, help="milliseconds after which an answer is worth nothing (default: never)"
    )
    parser.add_argument("--address", help="the service (default: the one that `lakepulse up` runs)")
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of lines")
    parser.add_argument("--profile", default="local", help="settings profile (default: local)")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every request was answered, with whatever status."""
    import asyncio
    import json
    import os

    from pipelines import settings as settings_module
    from pipelines.cli._load import Plan, measure, shown
    from pipelines.errors import StackError
    from pipelines.io import items
    from pipelines.stack import records

    settings = settings_module.load(args.profile)
    running = records.read(records.run_folder(settings) / "stack.json").get("service")
    address = args.address or running
    if not address:
        raise StackError("no scoring service is known: run `lakepulse up`, or give --address")
    known = items.items(settings).rows["item_id"].unique().to_pylist()
    ids = known or [f"i{number}" for number in range(1000)]
    budget = None if args.budget is None else args.budget / 1000
    plan = Plan(args.rate, args.seconds, args.connections, ids, args.items, args.users, budget)
    found = asyncio.run(measure(address, os.environ.get("LAKEPULSE_TOKEN", ""), plan))
    print(json.dumps(found) if args.json else shown(found))
    return 0 if not found["unanswered"] else 1
