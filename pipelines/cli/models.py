"""`lakepulse models`: the versions of a shop's models, which of them is in charge, and moving that."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.models.registered import Version
    from pipelines.models.registry import Registry
    from pipelines.settings import Settings

HELP = "list, show, compare, promote and roll back versions of models"
EXAMPLES = """\
examples:
  lakepulse models list
  lakepulse models show shop-ranker                  the champion, and what the gate said of it
  lakepulse models show shop-ranker 4 --json
  lakepulse models compare shop-ranker 3 4
  lakepulse models promote shop-ranker 4             if the gate has accepted it
  lakepulse models rollback shop-ranker --why "clicks fell by a fifth since noon"
"""
REFUSED = 99


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is to be done, and with which model."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    choice = parser.add_subparsers(required=True, dest="action", metavar="ACTION", title="actions")

    def action(name: str, told: str, model: str | None = None) -> argparse.ArgumentParser:
        own = choice.add_parser(name, help=told, description=told)
        own.add_argument("model", nargs=model, help="<domain>-ranker or <domain>-outliers")
        own.add_argument("--json", action="store_true", help="write JSON instead of a table")
        own.add_argument("--profile", default="local", help="settings profile (default: local)")
        return own

    action("list", "versions of all models, or of one, newest first", model="?")
    show = action("show", "all that is known of a version")
    show.add_argument("version", nargs="?", help="a version or an alias (default: champion)")
    compare = action("compare", "figures of two versions side by side, and settings that differ")
    compare.add_argument("version", nargs="?", help="a version or an alias (default: champion)")
    compare.add_argument("other", nargs="?", help="another one (default: the newest version)")
    promote = action("promote", "put a version in charge; exit code 99 when the gate has not accepted it")
    promote.add_argument("version", nargs="?", help="a version or an alias (default: the newest version)")
    promote.add_argument("--force", action="store_true", help="without the gate's consent; needs --why")
    rollback = action("rollback", "put the earlier champion in charge again; needs --why")
    for own in (promote, rollback):
        own.add_argument("--why", metavar="TEXT", help="the reason, kept in ops.gate_records with your name")


def run(args: argparse.Namespace) -> int:
    """Exit code 0; 99 for a promotion that the gate has refused."""
    from pipelines import settings as settings_module
    from pipelines.models.registry import Registry, fail_fast

    fail_fast()
    settings = settings_module.load(args.profile)
    registry = Registry(settings.tracking_uri)
    does = {"list": _list, "show": _show, "compare": _compare, "promote": _promote, "rollback": _rollback}
    return does[args.action](args, settings, registry)


def _list(args: argparse.Namespace, settings: Settings, registry: Registry) -> int:
    from pipelines.cli import _model_sheets as sheets
    from pipelines.errors import ModelError, nearest

    known = registry.names()
    if args.model and args.model not in known:
        hint = nearest(args.model, known)
        raise ModelError(f"no model {args.model} is registered{hint}; known: {', '.join(known) or 'none'}")
    names = [args.model] if args.model else known
    found = [sheets.listed(v, registry.figures(v)) for name in names for v in registry.versions(name)]
    sheets.show_list(found, args.json)
    return 0


def _show(args: argparse.Namespace, settings: Settings, registry: Registry) -> int:
    from pipelines.cli import _model_sheets as sheets
    from pipelines.io import verdicts

    version = _chosen(registry, args.model, args.version or "champion")
    about = sheets.described(version, registry.figures(version), registry.parameters(version))
    judged = [r for r in verdicts.of_model(settings, args.model) if r["challenger"] == version.version]
    sheets.show_version(about, judged, args.json)
    return 0


def _compare(args: argparse.Namespace, settings: Settings, registry: Registry) -> int:
    from pipelines.cli import _model_sheets as sheets

    one = _chosen(registry, args.model, args.version or "champion")
    other = _chosen(registry, args.model, args.other) if args.other else registry.latest(args.model)
    both = [sheets.described(v, registry.figures(v), registry.parameters(v)) for v in (one, other)]
    sheets.show_comparison(both, args.json)
    return 0


def _promote(args: argparse.Namespace, settings: Settings, registry: Registry) -> int:
    from pipelines.io import verdicts
    from pipelines.models.promotion import FORCED, promotion

    why = _reason(args) if args.force else ""
    version = _chosen(registry, args.model, args.version) if args.version else registry.latest(args.model)
    before = registry.current(args.model)
    judged = verdicts.newest(settings, args.model, version.version)
    code, told = promotion(registry, version, judged, args.force)
    if args.force:
        _keep(settings, FORCED, why, version, before)
    _tell(args, code, told, version.version, before)
    return code


def _rollback(args: argparse.Namespace, settings: Settings, registry: Registry) -> int:
    from pipelines.models.promotion import ROLLBACK

    why = _reason(args)
    withdrawn, now = registry.rollback(args.model)
    _keep(settings, ROLLBACK, why, registry.version(args.model, withdrawn), now)
    _tell(args, 0, f"{args.model} {now} is the champion again, instead of {withdrawn}", now, withdrawn)
    return 0


def _chosen(registry: Registry, model: str, named: str) -> Version:
    """A version by its number or alias. Raises ModelError when there is none."""
    from pipelines.errors import ModelError

    if named.isdigit():
        return registry.version(model, named)
    number = registry.current(model, named)
    if number is None:
        registry.latest(model)  # says so when the model itself is unknown
        raise ModelError(
            f"no version of {model} has the alias {named}; `lakepulse models list {model}` shows them"
        )
    return registry.version(model, number)


def _reason(args: argparse.Namespace) -> str:
    from pipelines.errors import ModelError

    if not (args.why or "").strip():
        what = "a rollback" if args.action == "rollback" else "a promotion by force"
        raise ModelError(f'{what} needs its reason, for those who come later: --why "…"')
    return str(args.why).strip()


def _keep(settings: Settings, action: str, why: str, version: Version, champion: str | None) -> None:
    import datetime
    import getpass
    from functools import partial

    from pipelines.io import verdicts
    from pipelines.models.promotion import decision_of
    from pipelines.session import spark_session

    now = datetime.datetime.now(datetime.UTC)
    record = decision_of(getpass.getuser(), why, action, version, champion, now)
    verdicts.keep(record, settings, partial(spark_session, settings, "models"))


def _tell(args: argparse.Namespace, code: int, told: str, version: str, before: str | None) -> None:
    import json

    moved: dict[str, Any] = {
        "model": args.model,
        "version": version,
        "before": before,
        "done": code == 0,
        "told": told,
    }
    print(json.dumps(moved, indent=2) if args.json else told)
