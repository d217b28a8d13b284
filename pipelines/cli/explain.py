"""`lakepulse explain`: why a decision's items were ranked as they were.

The scores are computed once more, from the features that gold.training_rows keeps, by the very model that
gold.scores names; they must be the same to the last bit. What each feature adds to a score are exact SHAP
values: they sum up to the score. Exit code 1 when something is missing or differs, and what it is.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.io.decided import Decided
    from pipelines.models.package import Ranker
    from pipelines.models.registered import Version
    from pipelines.models.registry import Registry

HELP = "explain a decision's scores: model, features, what each adds, for an item or between two"
EXAMPLES = """\
examples:
  lakepulse explain d-4711                                the item that was ranked first
  lakepulse explain d-4711 --item i17
  lakepulse explain d-4711 --item i17 --against i3        why i17 stands above i3
  lakepulse explain d-4711 --json                         all features of all items
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The decision, and whose score is to be explained."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("decision", metavar="DECISION_ID", help="a decision that was scored")
    parser.add_argument("--item", metavar="ITEM_ID", help="an item of it (default: the one ranked first)")
    parser.add_argument("--against", metavar="ITEM_ID", help="another item of it, to compare the first with")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="features to show (default: 15)")
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of tables")
    parser.add_argument("--profile", default="local", help="settings profile (default: local)")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when the scores come out as they were logged, otherwise 1."""
    from pipelines import settings as settings_module
    from pipelines.cli import _explained
    from pipelines.io import decided
    from pipelines.models import package
    from pipelines.models.explanation import explain
    from pipelines.models.promotion import model_cache
    from pipelines.models.registry import Registry, fail_fast

    fail_fast()
    settings = settings_module.load(args.profile)
    found = decided.find(settings, args.decision)
    registry = Registry(settings.tracking_uri)
    version = registry.version(*found.model)
    ranker = package.load_ranker(registry.fetch(*found.model, model_cache(settings)))
    about = _about(found, version, registry, ranker)
    lacking = found.lacking(ranker)
    why = None
    if not lacking:
        why = explain(ranker, found.rows["item_id"].tolist(), found.features, found.logged)
        for item in filter(None, (args.item, args.against)):
            why.place(item)
        if why.differing:
            lacking = [_difference(why.differing, len(why.items))]
    _explained.show(args, found, about, ranker, why, lacking)
    return 1 if lacking else 0


def _about(found: Decided, version: Version, registry: Registry, ranker: Ranker) -> dict[str, Any]:
    parameters = registry.parameters(version)
    read = {
        k.removeprefix("delta_version."): v for k, v in parameters.items() if k.startswith("delta_version.")
    }
    return {
        "decision": found.decision_id,
        "user": str(found.scores.iloc[0]["user_id"]),
        "decided_at": found.scores.iloc[0]["decided_at"].isoformat(),
        "model": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "git_revision": parameters.get("git_revision"),
        "definitions_hash": ranker.definitions_hash,
        "vectors_version": ranker.vectors.version if ranker.vectors else None,
        "trained_on_table_versions": read,
        "features_from": f"gold.training_rows at version {found.rows_version}",
    }


def _difference(items: list[str], of: int) -> str:
    return (
        f"{len(items)} of {of} scores are not those that were logged ({', '.join(items[:5])}): "
        "gold.training_rows keeps other features than they were scored by, as it does when events or "
        "versions of items arrive after the decision was scored"
    )
