"""`lakepulse demo`: the whole walk, on a simulated shop or on a file of your own."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.domain import Domain
    from pipelines.settings import Settings
    from pipelines.stack.reflex import Reflex

HELP = "bring everything up, send events through all of it, train, promote, score, and sum up"
EXAMPLES = """\
examples:
  lakepulse demo                                      a simulated shop
  lakepulse demo --data events.jsonl.gz --domain ../my/shop.yml

Leaves the local stack running, with the scoring service: see `lakepulse status`, stop it by `lakepulse down`.
"""
EVENTS = 40_000  # first part of the simulated day: what the models learn from
LIVE_EVENTS = 3_000  # sent when the champion is there: what it scores as it comes in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The domain, and what to send."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("--domain", default="shop", help="name or path of a domain file (default: shop)")
    parser.add_argument("--data", metavar="FILE", help="replay this file instead of simulating a shop")
    parser.add_argument(
        "--events", type=int, default=EVENTS, metavar="N", help=f"simulated records (default: {EVENTS:,})"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when every step succeeded. Ctrl-C stops what is running and leaves the tables as they
    are."""
    from rich.console import Console

    from pipelines import settings as settings_module
    from pipelines.domain import load_domain
    from pipelines.stack import troubles

    console = Console()
    if args.data is None:
        for name, value in troubles.ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    settings = settings_module.load()
    name = load_domain(args.domain, settings).name
    if args.data is None and name != "shop":
        console.print("without --data the shop of conf/domains/shop.yml is simulated; give --data FILE")
        return 2
    try:
        return _walk(args, settings, console)
    except KeyboardInterrupt:
        console.print("\nstopping: nothing stays running, the tables stay as they are")
        _verb(console, "down")
        raise


def _walk(args: argparse.Namespace, settings: Settings, console: Console) -> int:
    from pipelines.domain import load_domain
    from pipelines.stack import progress, reflex, summary, troubles

    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"  {line}")

    _verb(console, "up", "--domain", args.domain)
    if args.data:
        _verb(console, "replay", args.data, "--domain", args.domain)
    else:
        quiet = ("--days", f"{troubles.HISTORY_DAYS:g}", *troubles.QUIET)
        _simulate(console, settings, args.events, *quiet)
    progress.wait_until_published(settings, say)
    _verb(console, "dag", "test", "train_ranker", "train_outliers", "--domain", args.domain)
    began_ms = _newest_ms(settings)
    if not args.data:
        live = ("--days", f"{troubles.LIVE_DAYS:g}", *troubles.QUIET, *troubles.TROUBLES)
        _simulate(console, settings, LIVE_EVENTS, *live)
        progress.wait_until_published(settings, say)
    for step in (progress.scored, progress.watched):
        progress.wait_until_done(settings, step, say)
    if not args.data:  # before somebody acts now: to the metrics that is months after the simulated days
        _troubles(console, settings, began_ms, say)
    domain = load_domain(args.domain, settings)
    found = summary.summarise(settings, domain)
    seen = _reflex(console, settings, domain, found["addresses"]["service"])
    found["reflex"] = reflex.summary(seen) if seen else None
    found["seconds"] = round(time.monotonic() - began, 1)
    summary.show(found, console)
    if seen:
        reflex.show(seen, console)
    console.print(f"{found['seconds']:.0f} s in all; the same as JSON: {summary.save(found, settings)}")
    return 0


def _reflex(console: Console, settings: Settings, domain: Domain, address: str) -> Reflex | None:
    """A list, a click and the list again; None where the service wants a token, which the demo has not."""
    from pipelines.client import Client
    from pipelines.errors import RequestError
    from pipelines.stack import reflex

    user, items = reflex.latest_list(settings)
    try:
        # A service that has just taken its first model answers 503 until that is warm.
        with Client(address, timeout_s=30, tries=30) as client:
            return reflex.react(client, domain, user, items, round(time.time() * 1000))
    except RequestError as refused:
        if refused.status not in (401, 403):
            raise
        console.print(f"the scoring service was not shown: {refused}")
        return None


def _troubles(console: Console, settings: Settings, began_ms: int, say: Callable[[str], None]) -> None:
    """What went wrong since then, a verdict on one of it, and what the verdict changes."""
    from pipelines.settings import variables
    from pipelines.stack import troubles

    console.print("What was done to the shop: " + "; ".join(f"{k} ({v})" for k, v in troubles.WHAT.items()))
    found = troubles.wait_for(lambda: troubles.incidents(settings, began_ms), len(troubles.WHAT), say, 90)
    troubles.show(found, console)
    campaign = troubles.campaign(found)
    verdict = ("confirmed", "--reason", "one device, many accounts", "--as", "demo")
    _verb(console, "alerts", "review", campaign["incident_id"], *verdict)
    console.print("$ ./spark-submit.sh recalibrate_outliers --force", style="bold", highlight=False)
    command = [str(settings.root / "spark-submit.sh"), "recalibrate_outliers", "--force"]
    subprocess.run(command, check=True, env=os.environ | variables(settings), stderr=subprocess.DEVNULL)


def _newest_ms(settings: Settings) -> int:
    """Time (epoch ms) of the newest event that the lake has; 0 without any."""
    from pipelines.io import lake

    known = lake.query(settings, "SELECT coalesce(epoch_ms(max(event_time)), 0) AS ms FROM silver.events")
    return int(known["ms"][0])


def _simulate(console: Console, settings: Settings, events: int, *about: str) -> None:
    """Send the next stretch of the shop's life: it begins where the lake ends."""
    newest = _newest_ms(settings)
    start = ["--start-ms", str(newest + 60_000)] if newest else []
    _verb(console, "simulate", "--out", "kafka", "--events", str(events), *start, *about)


def _verb(console: Console, *words: str) -> None:
    """Run another verb as a user would, and say so. Ends the demo when it fails."""
    from pipelines import cli

    console.print(f"[bold]$ lakepulse {shlex.join(words)}[/bold]", highlight=False)
    code = cli.main(words)
    if code == cli.INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise SystemExit(code)
