"""What text, images, behaviour and the user's own past are worth: the same ranker without each of them.

Every variant learns from the same decisions and is judged on the same later ones, with three seeds; the gain
of leaving something out is paired by decision, with a 95 % bootstrap interval. The judges are a part of the
training time: the part that judges models (`training.test_share`) is cut away first, and so nothing is chosen
by it. Vectors are built from what came before the judges.

RankLens has no images and no queries. The simulated shop has both, made from the latent tastes that make its
clicks: its figures show that the parts work together, not what images are worth in a shop.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.cli._file_rows import past_of, silver_of
from pipelines.contracts.silver import DECISIONS, EVENTS
from pipelines.domain import Domain, parse_domain
from pipelines.features.columns import as_ms
from pipelines.features.definitions import compile_definitions
from pipelines.features.parsing import parse_features
from pipelines.io.replay import source_values
from pipelines.models import ranker
from pipelines.models.ablation import Group, in_behaviour, in_images, in_text, of_user, of_vectors, without
from pipelines.models.evaluation import Floats, ndcg_at, paired_gain
from pipelines.models.split import Split, by_time, is_later
from pipelines.models.training import as_served
from pipelines.models.training_set import rankings
from pipelines.models.trees import from_booster
from pipelines.session import spark_session
from pipelines.settings import Settings
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

SEEDS = (1, 2, 3)
JUDGES = 0.3
"""Last share of the training time that judges here."""
ITEMS = {
    "ranklens": """vectors:
  text: {of: [title, description, genres, tags, actors, director, writer], size: 32}
  behaviour: {of: [click], size: 32}
  covisits: {of: [click], keep: 200}
""",
    "shop": """vectors:
  text: {of: [title, description, tags, category, brand], size: 32}
  behaviour: {of: [click, cart, purchase], size: 32}
  image: {of: image, size: 16}
  covisits: {of: [click, cart, purchase], keep: 64}
""",
}
FEATURES = """
  - {name: v_text, kind: vector_similarity, space: text, of: click, last: 32, aggregate: [mean, max]}
  - {name: v_bought, kind: vector_similarity, space: behaviour, of: click, last: 32, aggregate: [mean, max]}
  - {name: v_shown, kind: vector_similarity, space: text, of: shown, last: 120}
  - {name: v_goes_with, kind: covisited, of: click, last: 32, aggregate: [sum, max]}
"""
OF_IMAGES = """
  - {name: v_image, kind: vector_similarity, space: image, of: click, last: 32, aggregate: [mean, max]}
  - {name: v_match, kind: query_match, measure: [bm25, cosine]}
"""


VARIANTS: dict[str, Group] = {
    "without text vectors and match": in_text,
    "without image vectors": in_images,
    "without behaviour vectors, covisits": in_behaviour,
    "without any vectors": of_vectors,
    "without the user's state": of_user,
    "without the user's state and vectors": lambda feature: of_user(feature) or of_vectors(feature),
}


def with_vectors(name: str, settings: Settings) -> Domain:
    """The shipped domain with vectors of every kind that it can have, and features of each."""
    path = settings.root / "conf" / "domains" / f"{name}.yml"
    before, _, after = path.read_text().partition("features:\n")
    before = before.partition("\nvectors:\n")[0] + "\n"
    after = re.sub(r".*kind: (vector_similarity|covisited|query_match|has_vector),.*\n", "", after)
    extra = FEATURES + (OF_IMAGES if name == "shop" else "")
    return parse_domain(f"{before}{ITEMS[name]}features:\n{extra}{after}", str(path))


def values_of(name: str, events: int) -> Iterator[bytes]:
    """Source records: the real file, or the simulated shop."""
    if name == "shop":
        return (line for chunk in records(ShopConfig(rate=0.3), events) for line in chunk.lines)
    shared = Path(os.environ.get("LAKEPULSE_SHARED_DATA") or harness.ROOT.parent / "shared" / "data")
    return source_values(str(shared / "ranklens" / "events.jsonl.gz"), None)


def before_test(silver: dict[str, pa.Table], share: float) -> dict[str, pa.Table]:
    """Silver without the decisions that judge models, and without anything that arrived after the first."""
    times = as_ms(silver[DECISIONS.name]["event_time"])
    cut = int(times[is_later(times, share)].min())
    kept = {}
    for table in (EVENTS, DECISIONS):
        rows = silver[table.name]
        kept[table.name] = rows.filter(pa.array(as_ms(rows["arrived_at"]) < cut))
    return silver | kept


def judged(split: Split, names: list[str], kept: list[int], settings: Settings) -> Floats:
    """nDCG@10 of each judging decision by rankers of the kept columns, mean over the seeds."""
    found = []
    for seed in SEEDS:
        training = dataclasses.replace(settings.training, seed=seed, threads=1)
        parts = [
            dataclasses.replace(p.examples(), features=np.ascontiguousarray(p.features[:, kept]))
            for p in (split.train, split.validation)
        ]
        booster = ranker.train(*parts, [names[k] for k in kept], training).booster
        scores = from_booster(booster).sums(np.ascontiguousarray(split.test.features[:, kept]))
        found.append(ndcg_at(split.test, scores))
    return np.asarray(np.mean(found, axis=0))


def table(name: str, events: int, settings: Settings) -> list[str]:
    """Lines of the table of one shop."""
    domain = with_vectors(name, settings)
    settings = domain.over(settings)
    definitions, declared = compile_definitions(domain), parse_features(domain)
    silver = before_test(silver_of(values_of(name, events), domain, settings), settings.training.test_share)
    judging = dataclasses.replace(settings.training, test_share=JUDGES)
    spark = spark_session(settings, "modalities")
    try:
        made = dataclasses.replace(settings, training=judging)
        rows = past_of(spark, silver, domain, definitions, made).rows(domain, definitions)
    finally:
        spark.stop()
    decisions = rankings(rows, definitions).judged()
    learnt, stopped, judges = by_time(decisions, JUDGES, judging.validation_share)
    split = Split(learnt, as_served(stopped, definitions), as_served(judges, definitions))
    everything = judged(split, definitions.names, list(range(len(declared))), settings)
    queries = silver[DECISIONS.name]["query"]
    lines = [
        f"{name}: {len(judges):,} judging decisions, {len(learnt):,} learnt from, "
        f"{len(queries) - queries.null_count:,} of {len(queries):,} with a query, "
        f"{pc.sum(pc.list_value_length(silver[DECISIONS.name]['items'])).as_py():,} items shown",
        f"{'':38}{'features':>9}{'nDCG@10':>9}   against everything",
        f"{'outcome rate so far':38}{'':9}{ndcg_at(judges, judges.outcome_rate).mean():9.4f}",
        f"{'everything':38}{len(declared):9}{everything.mean():9.4f}",
    ]
    for title, leave_out in VARIANTS.items():
        kept = without(declared, leave_out)
        if len(kept) == len(declared):
            lines.append(f"{title:38}{len(kept):9}{'':9}   nothing to leave out: {name} has none")
            continue
        found = judged(split, definitions.names, kept, settings)
        gain = paired_gain(found, everything, seed=1)
        told = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        lines.append(f"{title:38}{len(kept):9}{found.mean():9.4f}   {told}")
    return lines


def main() -> int:
    """Print a table for each shop asked for."""
    parser = argparse.ArgumentParser(prog="modalities", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(ITEMS), help="ranklens, shop (default: both)")
    parser.add_argument("--events", type=int, default=120_000, help="records of the simulated shop")
    args = parser.parse_args()
    settings = settings_module.load(overrides={"spark": {"log_level": "ERROR"}})
    for name in args.names:
        print("\n".join(table(name, args.events, settings)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
