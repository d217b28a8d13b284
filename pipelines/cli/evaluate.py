"""`lakepulse evaluate`: train a ranker once and judge it on later decisions, beside simple orders.

The last part of the decisions with an outcome, by time, judges; the part before it stops the training; the
rest is learnt from. What is not known before ranking, such as the position, has its fixed value when judged.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.models.evaluation import Gain
    from pipelines.models.training import TrainedRanker

HELP = "train a ranker on the past and judge it on what came later, beside simple orders"
EXAMPLES = """\
examples:
  lakepulse evaluate --domain shop
  lakepulse evaluate --domain shop --json
  lakepulse evaluate --domain ../my/shop.yml --file events.jsonl.gz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The domain, and where its decisions are."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--domain",
        default="shop",
        help="name of a domain in conf/domains, or a path to a domain file (default: shop)",
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        help="take source records from this file, as `replay` does, instead of the lake's gold.training_rows",
    )
    parser.add_argument("--seed", type=int, help="seed of the training (default: training.seed)")
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of tables")
    parser.add_argument(
        "--profile", default="local", help="settings profile, conf/<profile>.yml (default: local)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the figures; exit code 0."""
    import dataclasses
    import json

    from pipelines import settings as settings_module
    from pipelines.cli._file_rows import rows_of_file
    from pipelines.contracts.gold import TRAINING_ROWS
    from pipelines.domain import load_domain
    from pipelines.features.definitions import compile_definitions
    from pipelines.io.parts import read_part
    from pipelines.io.replay import source_values
    from pipelines.models.training import train_ranker
    from pipelines.models.training_set import RANKING_COLUMNS
    from pipelines.session import spark_session

    settings = settings_module.load(args.profile, overrides={"spark": {"log_level": "ERROR"}})
    domain = load_domain(args.domain, settings)
    definitions = compile_definitions(domain)
    training = settings.training
    if args.seed is not None:
        training = dataclasses.replace(training, seed=args.seed)
    values = source_values(args.file, sys.stdin.buffer) if args.file else iter(())
    spark = spark_session(settings, "evaluate")
    try:
        if args.file:
            rows = rows_of_file(spark, values, domain, definitions, settings)
        else:
            part, most = ("domain", domain.name), training.in_process_rows
            rows = read_part(spark, settings, TRAINING_ROWS, part, RANKING_COLUMNS, most=most)
        found = train_ranker(rows, definitions, training)
    finally:
        spark.stop()
    report = _report(domain.name, definitions.hash, training.seed, found)
    print(json.dumps(report, indent=2) if args.json else _text(report, found))
    return 0


def _report(domain: str, definitions_hash: str, seed: int, found: TrainedRanker) -> dict[str, Any]:
    about = {
        "domain": domain,
        "definitions_hash": definitions_hash,
        "features": len(found.test.names),
        "trained_by": found.trained_by,
        "rounds": found.trained.rounds,
        "seed": seed,
    }
    return about | found.evaluation.as_dict()


def _text(report: dict[str, Any], found: TrainedRanker) -> str:
    evaluation = found.evaluation
    lines = [
        f"{report['domain']}: {report['features']} features, {report['rounds']} rounds, "
        f"{report['trained_by']}; judged on the last {evaluation.decisions:,} decisions with an outcome",
        "",
        f"{'order':<28}{'nDCG@10':>9}{'MRR':>9}",
    ]
    for name, (ndcg, mrr) in evaluation.baselines.items():
        lines.append(f"{name:<28}{ndcg:>9.4f}{mrr:>9.4f}")
    lines += [
        f"{'ranker':<28}{evaluation.ndcg:>9.4f}{evaluation.mrr:>9.4f}",
        "",
        f"ranker - outcome rate: {_interval(evaluation.gain)} of nDCG@10, 95 % paired bootstrap interval",
        "",
        f"{'users with':<28}{'decisions':>9}{'rate':>9}{'ranker':>9}   gain",
    ]
    for part in evaluation.slices:
        if part.gain:
            figures = f"{part.decisions:>9,}{part.reference:>9.4f}{part.ndcg:>9.4f}"
            lines.append(f"{part.name:<28}{figures}   {_interval(part.gain)}")
        else:
            lines.append(f"{part.name:<28}{0:>9}")
    return "\n".join(lines)


def _interval(gain: Gain) -> str:
    return f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
