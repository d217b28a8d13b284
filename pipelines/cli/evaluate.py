"""`lakepulse evaluate`: train a ranker once and judge it on later decisions, beside simple orders.

The last part of the decisions with an outcome, by time, judges; the rest is learnt from, after its own last
part has told how many rounds are best. What is not known before ranking, such as the position, has its fixed
value when judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from pipelines.cli._file_rows import Past
    from pipelines.domain import Domain
    from pipelines.features.definitions import Definitions
    from pipelines.models.experiments import Case
    from pipelines.models.training_set import Rankings
    from pipelines.session import Lender
    from pipelines.settings import Settings

HELP = "train a ranker on the past and judge it on what came later, beside simple orders"
EXAMPLES = """\
examples:
  lakepulse evaluate --domain shop
  lakepulse evaluate --domain shop --seeds 3 --json
  lakepulse evaluate --domain ../my/shop.yml --file events.jsonl.gz --ablation
  lakepulse evaluate --domain ../my/shop.yml --file events.jsonl.gz --freshness --plot freshness.png
"""
DELAYS_S = (0, 30, 60, 120)
"""How late the user's state is, in seconds, in a table of freshness."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The domain, where its decisions are, and what is asked of them."""
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
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="mean and spread of N trainings (default: 1)"
    )
    parser.add_argument(
        "--split",
        choices=["time", "random"],
        default="time",
        help="which decisions judge: the last ones, or a seeded choice (default: time)",
    )
    parser.add_argument(
        "--part",
        choices=["test", "validation"],
        help="test: the part that judges models; validation: one before it, to choose by "
        "(default: test, for --ablation validation)",
    )
    parser.add_argument(
        "--ablation", action="store_true", help="a table of rankers without each group of features"
    )
    parser.add_argument(
        "--freshness",
        action="store_true",
        help="a table of the same ranker with users' state that comes late or never; needs --file",
    )
    parser.add_argument("--plot", metavar="PNG", help="draw the table of --freshness into this file")
    parser.add_argument("--json", action="store_true", help="write one JSON object instead of tables")
    parser.add_argument(
        "--profile", default="local", help="settings profile, conf/<profile>.yml (default: local)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the figures; exit code 0."""
    import json

    from pipelines import settings as settings_module
    from pipelines.cli._evaluate_text import text
    from pipelines.domain import load_domain
    from pipelines.features.definitions import compile_definitions
    from pipelines.io.replay import source_values
    from pipelines.session import LazySession

    _check(args)
    settings = settings_module.load(args.profile, overrides={"spark": {"log_level": "ERROR"}})
    domain = load_domain(args.domain, settings)
    settings = domain.over(settings)
    definitions = compile_definitions(domain)
    values = source_values(args.file, sys.stdin.buffer) if args.file else None
    spark = LazySession(settings, "evaluate")
    try:
        past = _past(spark(), values, domain, definitions, settings) if values else None
        rows = past.rows(domain, definitions) if past else _stored(spark, domain, settings)
    finally:
        spark.stop()
    report = _report(args, domain, definitions, settings, rows, past)
    print(json.dumps(report, indent=2) if args.json else text(report))
    return 0


def _check(args: argparse.Namespace) -> None:
    from pipelines.errors import SettingsError

    if args.seeds < 1:
        raise SettingsError(f"--seeds {args.seeds}: give 1 or more")
    if args.freshness and not args.file:
        raise SettingsError("--freshness reads features anew, from the events themselves: give --file")
    if args.plot and not args.freshness:
        raise SettingsError("--plot draws the table of --freshness: ask for that too")
    if args.split == "random" and args.part == "validation":
        raise SettingsError("--part validation is a cut in time: leave --split random out")


def _past(
    spark: SparkSession,
    values: Iterable[bytes],
    domain: Domain,
    definitions: Definitions,
    settings: Settings,
) -> Past:
    from pipelines.cli._file_rows import past_of, silver_of

    return past_of(spark, silver_of(values, domain, settings), domain, definitions, settings)


def _stored(spark: Lender, domain: Domain, settings: Settings) -> pa.Table:
    import pyarrow as pa

    from pipelines.contracts.gold import TRAINING_ROWS
    from pipelines.errors import TrainingError
    from pipelines.io.parts import read_part
    from pipelines.models.training_set import RANKING_COLUMNS

    part, most = ("domain", domain.name), settings.training.in_process_rows
    rows = read_part(settings, TRAINING_ROWS, part, RANKING_COLUMNS, spark, most=most)
    if isinstance(rows, pa.Table):
        return rows
    if (found := rows.count()) > most:
        raise TrainingError(
            f"gold.training_rows has {found:,} rows of {domain.name}, and one process judges {most:,} at "
            "most: raise training.in_process_rows if they fit into memory; the job train_ranker trains on "
            "more with Spark and records the same figures in MLflow"
        )
    return rows.toArrow()


def _report(
    args: argparse.Namespace,
    domain: Domain,
    definitions: Definitions,
    settings: Settings,
    rows: pa.Table,
    past: Past | None,
) -> dict[str, Any]:
    """Everything that was asked for, as plain values."""
    import dataclasses

    from pipelines.features.parsing import parse_features
    from pipelines.models.evaluation import evaluate_all
    from pipelines.models.experiments import Case, ablation, cut
    from pipelines.models.training_set import rankings

    training = settings.training
    if args.seed is not None:
        training = dataclasses.replace(training, seed=args.seed)
    part: Literal["test", "validation"] = args.part or ("validation" if args.ablation else "test")

    def parts(made: pa.Table) -> tuple[Rankings, Rankings]:
        return cut(rankings(made, definitions).judged(), training, args.split, part)

    case = Case(*parts(rows), definitions, training, args.seeds)
    about = {
        "domain": domain.name,
        "definitions_hash": definitions.hash,
        "features": len(definitions.names),
        "split": args.split,
        "part": part,
        "learnt_from": len(case.past),
        "seed": training.seed,
    }
    if args.ablation:
        reference = float(case.reference().mean())
        found = ablation(case, parse_features(domain))
        return about | {
            "decisions": len(case.judges),
            "outcome_rate": reference,
            "ablation": [dataclasses.asdict(variant) for variant in found],
        }
    rankers = case.rankers()
    evaluation = evaluate_all(case.judges, case.scores(rankers), training.seed)
    report = about | {"rounds": rankers[0].rounds, "spread": evaluation.spread} | evaluation.as_dict()
    if told := case.told(rankers, case.reference()):
        report["told_positions"] = dataclasses.asdict(told)
    if args.freshness and past:
        judges = {
            name: parts(past.rows(domain, definitions, knowledge))[1] if knowledge else case.judges
            for name, knowledge in _knowledge().items()
        }
        report["freshness"] = _freshness(case, rankers, judges, args.plot)
    return report


def _knowledge() -> dict[str, Any]:
    """Of each line of a table of freshness what the reader of the features knows; None is all of it."""
    from pipelines.features.stale import NEVER, Knowledge

    delays = {f"{delay} s late": Knowledge(user_delay_ms=delay * 1000) for delay in DELAYS_S[1:]}
    never = {"never: an unknown user": Knowledge(user_delay_ms=NEVER)}
    return {"fresh": None, **delays, **never, "unknown items": Knowledge(knows_items=False)}


def _freshness(
    case: Case, rankers: list[Any], judges: dict[str, Rankings], plot: str | None
) -> list[dict[str, Any]]:
    import dataclasses

    from pipelines.models import plots
    from pipelines.models.experiments import staleness

    found = staleness(case, rankers, judges)
    if plot:
        plots.freshness(found, float(case.reference().mean())).savefig(Path(plot))
    return [dataclasses.asdict(variant) for variant in found]
