"""`lakepulse simulate`: records of a simulated shop, into a file or into Kafka."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipelines.clock import now_ms
from pipelines.simulate.config import DAY_MS, Attack, Drop, ShopConfig, Spike, TasteChange

if TYPE_CHECKING:
    from pipelines.io.lines import Sink

HELP = "make the records of a simulated shop, into a file or into Kafka"
DEFAULT_EVENTS = 100_000
INTERRUPTED = 130  # exit code of a process that Ctrl-C ended
EXAMPLES = """\
examples:
  lakepulse simulate --out shop.jsonl.gz --events 200000 --days 14 --labels truth.jsonl
  lakepulse simulate --out kafka --rate 2000 --start-ms now --events 0        until Ctrl-C
  lakepulse simulate --out shop.jsonl --days 7 --drops 60,3,purchase,0.1,mobile --spikes 100,1,4
"""
INCIDENTS: dict[str, type] = {
    "spikes": Spike,
    "drops": Drop,
    "attacks": Attack,
    "taste_changes": TasteChange,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, how many, how fast, and one option for every knob of the shop."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--out", required=True, metavar="FILE|kafka", help=".jsonl or .jsonl.gz, - for stdout, or kafka"
    )
    parser.add_argument("--labels", metavar="FILE", help="write what is wrong with which line as JSONL")
    parser.add_argument(
        "--events",
        type=_count,
        default=DEFAULT_EVENTS,
        metavar="N",
        help=f"records beside the catalog's, 0 = no end (default: {DEFAULT_EVENTS:,})",
    )
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--rate",
        type=_rate,
        default=0.0,
        metavar="R|max",
        help="write R events a second, as they happen (mean over a week; --season-strength 0 makes it"
        " even); max = all at once (default: max)",
    )
    pace.add_argument(
        "--days", type=_positive, metavar="D", help="the shop's days over which N events spread"
    )
    parser.add_argument(
        "--profile", default="local", help="settings profile, conf/<profile>.yml (default: local)"
    )
    knobs = parser.add_argument_group("knobs of the shop")
    for knob in dataclasses.fields(ShopConfig):
        if knob.name != "rate":
            _add_knob(knobs, knob.name, knob.default, knob.metadata["meaning"])


def _add_knob(group: argparse._ArgumentGroup, name: str, default: Any, meaning: str) -> None:
    flag, text = f"--{name.replace('_', '-')}", meaning.replace("%", "%%")
    if name in INCIDENTS:
        how = {"type": _incident(INCIDENTS[name]), "action": "append", "default": [], "metavar": "…"}
        group.add_argument(flag, help=f"{text}; may be repeated", **how)
    elif name == "start_ms":
        group.add_argument(flag, type=_moment, default=default, metavar="MS|DATE|now", help=text)
    else:
        metavar = "N" if isinstance(default, int) else "X"
        text = f"{text} (default: {default:,})"
        group.add_argument(flag, type=type(default), default=default, metavar=metavar, help=text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no count")
    return int(text)


def _positive(text: str) -> float:
    number = float(text) if text.replace(".", "", 1).isdigit() else 0.0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _rate(text: str) -> float:
    return 0.0 if text == "max" else _positive(text)


def _moment(text: str) -> int:
    from pipelines.mapping import event_time_ms

    if text == "now":
        return now_ms()
    found = event_time_ms(text, "ms") or event_time_ms(text, "iso8601")
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither epoch ms nor a date nor now")
    return found


def _incident(kind: type) -> Any:
    fields = dataclasses.fields(kind)

    def parse(text: str) -> Any:
        given = text.split(",")
        if len(given) > len(fields):
            raise argparse.ArgumentTypeError(
                f"{text!r} has more parts than {','.join(f.name for f in fields)}"
            )
        pairs = zip(fields, given, strict=False)
        try:
            return kind(**{f.name: float(part) if f.type == "float" else part for f, part in pairs})
        except (TypeError, ValueError):
            wanted = ",".join(f.name for f in fields)
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from None

    return parse


def config_of(args: argparse.Namespace) -> ShopConfig:
    """The shop that the arguments describe. Raises SettingsError for a knob out of range."""
    given = {
        knob.name: getattr(args, knob.name) for knob in dataclasses.fields(ShopConfig) if knob.name != "rate"
    }
    given |= {name: tuple(given[name]) for name in INCIDENTS}
    config = ShopConfig(**given)
    if args.days is not None:
        return dataclasses.replace(config, rate=args.events / (args.days * DAY_MS / 1000))
    return dataclasses.replace(config, rate=args.rate) if args.rate else config


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when everything was written, 1 when Kafka did not take some of it, 130 after Ctrl-C."""
    from pipelines import settings as settings_module
    from pipelines.domain import load_domain
    from pipelines.io.lines import FileSink, KafkaSink
    from pipelines.io.meter import meter

    config = config_of(args)
    settings = settings_module.load(args.profile)
    to_kafka = args.out == "kafka"
    sink: Sink = KafkaSink(settings, load_domain("shop", settings)) if to_kafka else FileSink(args.out)
    begin, interrupted = time.monotonic(), False
    with ExitStack() as stack:
        stack.enter_context(sink)
        truth = stack.enter_context(FileSink(args.labels)) if args.labels else None
        stack.enter_context(meter("simulated", lambda: sink.count, args.events or None))
        try:
            _write(config, args, sink, truth)
        except KeyboardInterrupt:
            interrupted = True
    seconds = time.monotonic() - begin
    note = sys.stderr if args.out == "-" else sys.stdout
    print(sink.report(), file=note)
    print(f"{sink.count / max(seconds, 1e-9):,.0f} a second, {seconds:.1f} s in all", file=note)
    if interrupted:
        return INTERRUPTED
    return 1 if sink.failed else 0


def _write(config: ShopConfig, args: argparse.Namespace, sink: Sink, truth: Sink | None) -> None:
    import msgspec

    from pipelines.io.replay import Pace
    from pipelines.simulate.shop import records

    pace = Pace(1.0 if args.rate else 0.0)
    for chunk in records(config, args.events or None):
        for line, arrival in zip(chunk.lines, chunk.arrivals, strict=True):
            pace.wait(arrival)
            sink.write(line, arrival)
        if truth is not None:
            for label in chunk.labels:
                truth.write(msgspec.json.encode(label), 0)
