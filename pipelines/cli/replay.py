"""`lakepulse replay`: send a file of source records to Kafka."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.domain import Domain
    from pipelines.io.producer import Sender
    from pipelines.io.replay import Replay

HELP = "send a file of source records to Kafka, keyed and in their order"
INTERRUPTED = 130  # exit code of a process that Ctrl-C ended
EXAMPLES = """\
examples:
  lakepulse replay events.jsonl.gz --domain shop
  lakepulse replay orders.csv --domain ../my/shop.yml --speed 10x
  zcat events.jsonl.gz | lakepulse replay - --limit 1000
"""


def speed(text: str) -> float:
    """`max` as 0, `10x` as 10; an argparse error for anything else."""
    if text == "max":
        return 0.0
    try:
        times = float(text.removesuffix("x")) if text.endswith("x") else 0.0
    except ValueError:
        times = 0.0
    if not 0 < times < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither max nor a number of times such as 10x")
    return times


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, its domain, and how fast."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "file", metavar="FILE", help=".jsonl, .jsonl.gz, .csv or .parquet; - for lines of JSON on stdin"
    )
    parser.add_argument(
        "--domain",
        default="shop",
        help="name of a domain in conf/domains, or a path to a domain file (default: shop)",
    )
    parser.add_argument(
        "--speed",
        type=speed,
        default="max",
        metavar="max|10x|1x",
        help="how fast: at once, or so many times as fast as the records' own times (default: max)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N records")
    parser.add_argument(
        "--profile", default="local", help="settings profile, conf/<profile>.yml (default: local)"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when Kafka has every record, 1 when some could not be delivered, 130 after Ctrl-C."""
    from pipelines import settings as settings_module
    from pipelines.domain import load_domain
    from pipelines.io.meter import meter
    from pipelines.io.producer import Sender
    from pipelines.io.replay import TOPICS, ArrivalClock, Pace, Replay, source_values

    settings = settings_module.load(args.profile)
    domain = load_domain(args.domain, settings)
    values = source_values(args.file, sys.stdin.buffer)
    sender = Sender(settings, TOPICS)
    clock = ArrivalClock(settings.silver.future_minutes * 60_000)
    replay = Replay(sender, domain, clock, Pace(args.speed))
    begin, interrupted = time.monotonic(), False
    try:
        with meter("replayed", lambda: replay.read, args.limit):
            replay.run(values, args.limit)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        sender.flush()
        _report(replay, sender, domain, time.monotonic() - begin)
    if interrupted:
        print(f"stopped after record {replay.read:,} of {args.file}", file=sys.stderr)
        return INTERRUPTED
    return 1 if sender.failed else 0


def _report(replay: Replay, sender: Sender, domain: Domain, seconds: float) -> None:
    print(sender.report())
    print(f"{replay.read:,} records in {seconds:.1f} s, {replay.read / max(seconds, 1e-9):,.0f} a second")
    if replay.strangers:
        print(f"{replay.strangers:,} of them match no record of {domain.name} or lack their key: they went")
        print("without a key, and silver quarantines them with the reason")
