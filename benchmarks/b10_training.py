"""B10: a ranker trained on 1 M rows of 30 features, 50 trees: ours from the Delta table on, beside
SparkXGBRanker with two workers on the same table, and XGBoost alone on arrays that are in memory already.

Each contender runs in a process of its own, in turn, with the same parameters, the same cuts in time and two
threads or two workers. Start-up (imports, the Spark session) is left out; the peak of memory counts the whole
process tree, the JVM too. nDCG@10 is that of the held-out decisions. "XGBoost alone" stops on the validation
part as the others do; "without validation" trains blindly.
"""

from __future__ import annotations

import argparse
import tempfile

from benchmarks import harness
from benchmarks.b10_case import LIST

CONTENDERS = {
    "ours, from Delta": "ours",
    "SparkXGBRanker, 2 workers, from Delta": "spark",
    "XGBoost alone, from memory": "bare",
    "the same without validation": "bare_blind",
}
ALIKE = 0.001


def main() -> None:
    """Fill a table, run all contenders in turn, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table (default: 1 M)")
    parser.add_argument("--trees", type=int, default=50, help="trees of the ranker (default: 50)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each contender (default: 2)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakepulse-b10-") as state:
        env = {
            "LAKEPULSE__PATHS__STATE": state,
            "LAKEPULSE__TRAINING__ROUNDS": str(args.trees),
            "LAKEPULSE__TRAINING__EARLY_STOPPING": str(args.trees),
            "LAKEPULSE__TRAINING__NUM_WORKERS": "2",
            "LAKEPULSE__TRAINING__THREADS": "2",
        }
        harness.case("benchmarks.b10_case", "prepare", "--decisions", str(args.rows // LIST), env=env)
        cases = {
            title: (lambda n=name: harness.case("benchmarks.b10_case", n, env=env))
            for title, name in CONTENDERS.items()
        }
        found = harness.alternate(cases, args.rounds)
    ours, table = "ours, from Delta", []
    for title, runs in found.items():
        cpu, wall = harness.median(runs, "cpu_s"), harness.median(runs, "wall_s")
        ratios = (cpu / harness.median(found[ours], "cpu_s"), wall / harness.median(found[ours], "wall_s"))
        peak, ndcg = harness.median(runs, "peak_mb"), harness.median(runs, "ndcg")
        table.append([title, cpu, wall, *ratios, peak, f"{ndcg:.4f}"])
    columns = ["contender", "CPU s", "wall s", "CPU / ours", "wall / ours", "peak MB", "nDCG@10"]
    title = f"B10: {args.rows:,} rows of 30 features, {args.trees} trees, {args.rounds} rounds, medians"
    harness.publish("b10_training", title, columns, table, runs=found)
    quality = [run["ndcg"] for name, runs in found.items() for run in runs if "without" not in name]
    if max(quality) - min(quality) > ALIKE:
        raise SystemExit(f"the rankers differ by more than {ALIKE} of nDCG@10: {sorted(quality)}")


if __name__ == "__main__":
    main()
