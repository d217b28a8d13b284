"""B23: what a click farm does to a ranker, and what is left of that with the learning firewall.

The same shop three times: quiet, attacked, and attacked with accounts, devices and addresses of the campaigns
held out from training rows and from the states that features are read from, as after a review. Lists of real
customers in the last part of the time judge, by the labels of the simulation; no ranker sees these."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.anomalies.firewall import held, taught_by
from pipelines.anomalies.reviews import Confirmed
from pipelines.cli._file_rows import past_of, silver_of_arrivals
from pipelines.contracts.silver import DECISIONS, EVENTS
from pipelines.domain import load_domain
from pipelines.features.definitions import compile_definitions
from pipelines.models.evaluation import ndcg_at, paired_gain
from pipelines.models.training import learn
from pipelines.models.training_set import Rankings, rankings
from pipelines.models.trees import from_booster
from pipelines.session import spark_session
from pipelines.simulate.config import DAY_MS, Attack, ShopConfig
from pipelines.simulate.shop import records

KINDS = {"user": "user_id", "device": "device_id", "address": "ip_hash"}
QUIET, ATTACKED, HELD = "quiet", "attacked", "attacked, held out"


def played(config: ShopConfig, events: int) -> tuple[list[bytes], list[int], set[str]]:
    """Lines, arrivals, and the sessions of bots."""
    chunks = list(records(config, events))
    sessions = {one["session_id"] for c in chunks for one in c.labels if one["label"] == "bot"}
    return [line for c in chunks for line in c.lines], [at for c in chunks for at in c.arrivals], sessions


def spans(silver: dict[str, pa.Table], sessions: set[str]) -> list[Confirmed]:
    """Who took part in the campaigns, for good: what reviewers would have confirmed."""
    whole = pa.concat_tables(
        [silver[t.name].select([*KINDS.values(), "session_id"]) for t in (EVENTS, DECISIONS)]
    )
    theirs = whole.filter(pa.array([s in sessions for s in whole["session_id"].to_pylist()]))
    return [
        Confirmed(kind, who, 0, 2**60, "campaign")
        for kind, column in KINDS.items()
        for who in theirs[column].drop_null().unique().to_pylist()
    ]


def judged(past: Rankings, later: Rankings, definitions: Any, training: Any) -> Any:
    """nDCG@10 of each of the later lists, by a ranker that has learnt from the earlier ones."""
    booster = learn(past, definitions, training).booster
    served = definitions.as_served(later.features)
    return ndcg_at(later, from_booster(booster).sums(np.ascontiguousarray(served)))


def main() -> None:
    """Play, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000, help="records (default: 60,000)")
    parser.add_argument("--days", type=float, default=3.0, help="days they spread over (default: 3)")
    parser.add_argument("--campaigns", type=int, nargs="*", default=[40, 160], help="of 240 events each")
    args = parser.parse_args()
    settings = settings_module.load(environ={})
    domain = load_domain("shop", settings)
    definitions = compile_definitions(domain)
    training = dataclasses.replace(settings.training, min_child_weight=30.0)
    plain = ShopConfig(
        rate=args.events / (args.days * DAY_MS / 1000), bot_share=0.0, stolen_share=0.0, malformed_share=0.0
    )
    spark = spark_session(settings, "benchmark")
    rows: list[list[Any]] = []
    for campaigns in args.campaigns:
        hours = np.random.default_rng(campaigns).uniform(0.5, 24 * args.days * 0.75, campaigns)
        attacks = tuple(Attack(float(at), "boost") for at in sorted(hours))
        found: dict[str, Any] = {}
        for name, config in {QUIET: plain, ATTACKED: dataclasses.replace(plain, attacks=attacks)}.items():
            lines, arrivals, sessions = played(config, args.events + 240 * campaigns * (name != QUIET))
            silver = silver_of_arrivals(lines, arrivals, domain, settings)
            holds = spans(silver, sessions)
            kept = silver | {t.name: taught_by(silver[t.name], holds) for t in (EVENTS, DECISIONS)}
            for case, tables in {name: silver, HELD: kept}.items() if holds else {name: silver}.items():
                past = past_of(spark, tables, domain, definitions, settings)
                table = past.rows(domain, definitions)
                real = real_lists(table, silver, holds)
                found[case] = parted(
                    rankings(table, definitions), rankings(real, definitions), args.days, plain
                )
                found[case] = judged(*found[case], definitions, training)
        count = min(len(ndcg) for ndcg in found.values())
        for case in (ATTACKED, HELD):
            other = found[QUIET] if case == ATTACKED else found[ATTACKED]
            of = QUIET if case == ATTACKED else ATTACKED
            rows.append(line(campaigns, case, found[case], other, of, count))
        rows.append([campaigns, QUIET, float(found[QUIET].mean()), None, None, None, len(found[QUIET])])
    spark.stop()
    columns = ["campaigns", "shop", "nDCG@10", "gain", "low", "high", "lists judged"]
    title = (
        "B23: lists of real customers while a click farm is at work (gain of held out over attacked, paired)"
    )
    harness.publish("b23_firewall", title, columns, rows, events=args.events)


def line(campaigns: int, case: str, ours: Any, theirs: Any, of: str, count: int) -> list[Any]:
    """A row; paired where the same lists are judged."""
    if of == QUIET or len(ours) != len(theirs):
        return [campaigns, case, float(ours.mean()), None, None, None, len(ours)]
    gain = paired_gain(ours, theirs, seed=1)
    return [campaigns, case, float(ours.mean()), gain.mean, gain.low, gain.high, len(ours)]


def real_lists(table: pa.Table, silver: dict[str, pa.Table], holds: Sequence[Confirmed]) -> pa.Table:
    """The training rows of decisions that no bot asked for."""
    decisions = silver[DECISIONS.name]
    bots = set(decisions.filter(pa.array(held(decisions, holds)))["decision_id"].to_pylist())
    return table.filter(pa.array([d not in bots for d in table["decision_id"].to_pylist()]))


def parted(all_lists: Rankings, real: Rankings, days: float, config: ShopConfig) -> tuple[Rankings, Rankings]:
    """(the first four fifths of the time, to learn from; the real lists with outcomes after it)."""
    cut = config.start_ms + round(0.8 * days * DAY_MS)
    return all_lists.between(0, cut).judged(), real.between(cut).judged()


if __name__ == "__main__":
    main()
