"""`lakepulse metrics`: what the watch holds of each metric now, and how small a drop of it can be found."""

from __future__ import annotations

import argparse

HELP = "show each metric's latest window beside what is expected, and the least drop that can be found"
LATEST = """
SELECT metric, segment, window_end, value, expected, low, high, detectable, reason, ongoing
FROM gold.metric_verdicts WHERE segment GLOB ? AND metric GLOB ?
QUALIFY row_number() OVER (PARTITION BY metric, segment ORDER BY window_start DESC) = 1
ORDER BY metric, segment"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which metrics and segments, the profile, and `--json` for programs."""
    parser.add_argument("metric", nargs="?", default="*", help="name, with * and ? (default: all metrics)")
    parser.add_argument("--segment", default="all", help="name, with * and ? (default: all, the whole shop)")
    parser.add_argument("--profile", default="local", help="settings profile (default: local)")
    parser.add_argument("--json", action="store_true", help="write a line of JSON for each instead")


def run(args: argparse.Namespace) -> int:
    """Returns 0."""
    from rich.markup import escape

    from pipelines import settings as settings_module
    from pipelines.cli._tables import print_table
    from pipelines.io import lake

    found = lake.query(settings_module.load(args.profile), LATEST, args.segment, args.metric)
    if args.json:
        print(found.to_json(orient="records", lines=True, date_format="iso"), end="")
        return 0
    rows = []
    for row in found.to_dict("records"):
        least = "" if row["detectable"] != row["detectable"] else f"{row['detectable']:.0%}"
        state = "unusual" if row["ongoing"] else row["reason"]
        numbers = (_told(row["value"]), f"{_told(row['low'])} to {_told(row['high'])}", least)
        name = f"{row['metric']}@{row['segment']}"
        rows.append((escape(name), f"{row['window_end']:%Y-%m-%d %H:%M}", *numbers, escape(state)))
    print_table(("metric", "until", "value", "usual", "least drop found", ""), rows)
    return 0


def _told(number: float) -> str:
    return "" if number != number else f"{number:.4g}"
