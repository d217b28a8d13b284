"""`lakepulse alerts`: what the review page shows and takes, on the command line, for a lake on this
machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.io.review_lake import ReviewLake

HELP = "list, show, review, assign and silence alerts; precision so far"
EXAMPLES = """\
examples:
  lakepulse alerts list                                  what is to be reviewed, the most severe first
  lakepulse alerts list --level critical,high --all
  lakepulse alerts show 3f2a91c07b1e-1c2f9a0
  lakepulse alerts review 3f2a91c07b1e-1c2f9a0 confirmed --reason "stolen account, called the customer"
  lakepulse alerts assign 3f2a91c07b1e-1c2f9a0 bob
  lakepulse alerts silence address=a3f9 --hours 12 --reason "load test until tonight"
  lakepulse alerts silences                              those that have not ended; --end ID ends one
  lakepulse alerts precision
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is to be done, and with which incident."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    choice = parser.add_subparsers(required=True, dest="action", metavar="ACTION", title="actions")

    def action(name: str, told: str) -> argparse.ArgumentParser:
        own = choice.add_parser(name, help=told, description=told)
        own.add_argument("--json", action="store_true", help="write JSON instead of a table")
        own.add_argument("--profile", default="local", help="settings profile (default: local)")
        own.add_argument("--as", dest="reviewer", metavar="NAME", help="who reviews (default: your login)")
        return own

    listing = action("list", "what is to be reviewed, the most severe first")
    listing.add_argument("--all", action="store_true", help="reviewed ones too")
    for name, known in (("state", "open, closed, capped"), ("kind", "outlier, drop, unusual, sample")):
        listing.add_argument(f"--{name}", default="", help=f"of {known}, with commas")
    listing.add_argument("--level", default="", help="of low, medium, high, critical, with commas")
    listing.add_argument("--assigned", default="", metavar="NAME", help="given to this reviewer")
    listing.add_argument("--text", default="", help="with this text in id, title or pattern")
    show = action("show", "an incident: why, who, what was said")
    review = action("review", "give a verdict: confirmed, expected, false_alarm, new_trend")
    assign = action("assign", "give an incident to a reviewer")
    for own in (show, review, assign):
        own.add_argument("incident", metavar="INCIDENT_ID", help="as `list` shows it")
    review.add_argument("verdict", metavar="VERDICT", help="confirmed, expected, false_alarm or new_trend")
    assign.add_argument("to", metavar="NAME", help="who shall look at it; an empty text: anybody")
    silence = action("silence", "mute what fits all of the given fields, for some hours")
    silence.add_argument("matchers", nargs="+", metavar="FIELD=PATTERN", help="as in metric=clicks")
    silence.add_argument("--hours", type=float, required=True, help="for how long")
    for own in (review, silence):
        own.add_argument("--reason", default="", metavar="TEXT", help="kept with it")
    silences = action("silences", "silences that have not ended")
    silences.add_argument("--end", metavar="SILENCE_ID", help="end this one")
    action("precision", "precision so far, by pattern, what was missed, how far reviewers agree")


def run(args: argparse.Namespace) -> int:
    """Exit code 0."""
    import getpass

    from pipelines import settings as settings_module
    from pipelines.cli import _alert_sheets as sheets
    from pipelines.clock import now_ms
    from pipelines.io.review_lake import ReviewLake

    lake = ReviewLake(settings_module.load(args.profile), now_ms)
    args.reviewer = args.reviewer or getpass.getuser()
    does: dict[str, Callable[[argparse.Namespace, ReviewLake], Any]] = {
        "list": _list,
        "show": _show,
        "review": _review,
        "assign": lambda asked, lake: lake.assign(asked.incident, asked.to, asked.reviewer, ""),
        "silence": _silence,
        "silences": _silences,
        "precision": lambda _, lake: lake.desk().figures(),
    }
    found = does[args.action](args, lake)
    if args.json:
        sheets.print_json(found)
    else:
        sheets.show(args.action, found)
    return 0


def _list(args: argparse.Namespace, lake: ReviewLake) -> Any:
    from pipelines.anomalies.desk import Filters

    about = (args.state, args.kind, args.level, args.assigned, args.text, args.all)
    return {"alerts": lake.desk().queue(Filters(*about), args.reviewer)}


def _show(args: argparse.Namespace, lake: ReviewLake) -> Any:
    found = lake.desk().detail(args.incident)
    return found | lake.around(found)


def _review(args: argparse.Namespace, lake: ReviewLake) -> Any:
    return lake.review(args.incident, args.verdict, args.reason, args.reviewer, "")


def _silence(args: argparse.Namespace, lake: ReviewLake) -> Any:
    matchers = dict(word.partition("=")[::2] for word in args.matchers)
    return lake.silence(matchers, args.hours, args.reason, args.reviewer)


def _silences(args: argparse.Namespace, lake: ReviewLake) -> Any:
    return lake.end_silence(args.end) if args.end else {"silences": lake.silences()}
