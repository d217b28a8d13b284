"""`lakepulse features describe`: the features of a domain, the records that they are kept in, and how often
each is missing."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.domain import Domain
    from pipelines.features.definitions import Definitions
    from pipelines.settings import Settings

HELP = "describe the features of a domain: kinds, windows, bytes of their records, how often each is missing"
EXAMPLES = """\
examples:
  lakepulse features describe --domain shop
  lakepulse features describe --domain ../my/shop.yml --file events.jsonl.gz --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action `describe`, its domain and where its rows are."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    describe = actions.add_parser(
        "describe",
        help="names, kinds, measures, windows, bytes per record, versions, share of missing",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    describe.add_argument(
        "--domain",
        default="shop",
        help="name of a domain in conf/domains, or a path to a domain file (default: shop)",
    )
    describe.add_argument(
        "--file",
        metavar="FILE",
        help="count what is missing in the source records of this file, not in the lake's gold.training_rows",
    )
    describe.add_argument("--json", action="store_true", help="write one JSON object instead of a table")
    describe.add_argument(
        "--profile", default="local", help="settings profile, conf/<profile>.yml (default: local)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the description; exit code 0."""
    import json

    from pipelines import settings as settings_module
    from pipelines.domain import load_domain
    from pipelines.features.definitions import compile_definitions
    from pipelines.features.described import described, share_of_missing

    settings = settings_module.load(args.profile, overrides={"spark": {"log_level": "ERROR"}})
    domain = load_domain(args.domain, settings)
    definitions = compile_definitions(domain)
    rows = _rows(args, domain, definitions, settings)
    found = described(domain, definitions)
    found["rows"], missing = share_of_missing(rows, definitions)
    for feature, share in zip(found["features"], missing, strict=True):
        feature["missing"] = share
    print(json.dumps(found, indent=2) if args.json else _text(found))
    return 0


def _rows(args: argparse.Namespace, domain: Domain, definitions: Definitions, settings: Settings) -> pa.Table:
    """Features of shown items: of the file, or of the lake where it is local."""
    from pipelines.contracts.gold import TRAINING_ROWS
    from pipelines.io.parts import local_part

    columns = ("features", "definitions_hash")
    if not args.file:
        return local_part(settings, TRAINING_ROWS, ("domain", domain.name), columns)
    from pipelines.cli._file_rows import past_of, silver_of
    from pipelines.io.replay import source_values
    from pipelines.session import spark_session

    silver = silver_of(source_values(args.file, sys.stdin.buffer), domain, settings)
    spark = spark_session(settings, "features")
    try:
        rows = past_of(spark, silver, domain, definitions, settings).rows(domain, definitions)
        return rows.select(columns)
    finally:
        spark.stop()


def _text(found: dict[str, Any]) -> str:
    sizes = ", ".join(f"{size:,} a record of {whose}" for whose, size in found["bytes"].items())
    lines = [
        f"{found['domain']}: {len(found['features'])} features, definitions {found['definitions_hash']}, "
        f"layouts {found['layouts_hash']}",
        f"bytes: {sizes}",
        "",
        f"{'feature':<30}{'kind':<19}{'measure':<19}{'window':<8}{'by':<22}missing",
    ]
    for feature in found["features"]:
        missing = "" if feature["missing"] is None else f"{feature['missing']:>6.1%}"
        told = f"{feature['name']:<29} {feature['kind']:<18} {feature['measure']:<18} "
        lines.append(f"{told}{feature['window']:<7} {feature['by']:<21} {missing}".rstrip())
    counted = (
        f"missing in {found['rows']:,} shown items" if found["rows"] else "no rows of these definitions yet"
    )
    return "\n".join([*lines, "", counted])
