"""B7: the registered champion over a table in Spark: ours (`mapInArrow` and the flat tree kernel) beside
`mlflow.pyfunc.spark_udf(env_manager="local")`.

The peer runs twice: with the very model that we registered, and with the same booster logged by
`mlflow.xgboost.log_model`, as one would without us. Each reads the layout that suits it from Delta (all
features packed into one column, or one column a feature). Scores are compared before any time is told;
start-up and loading are not in the figures.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost
from deltalake import write_deltalake

from benchmarks import harness
from benchmarks.b07_case import MODEL, PACKED, PLAIN, WIDE
from pipelines.models import package
from pipelines.models.packed_features import packed
from pipelines.models.registered import Training
from pipelines.models.registry import Registry

CONTENDERS = {
    "ours: mapInArrow": "ours",
    "spark_udf of our model": "ours_udf",
    "spark_udf of mlflow.xgboost": "plain_udf",
}
CLOSE = 1e-5
FILES = 8  # of a table: as many tasks


def booster_of(width: int, rounds: int) -> xgboost.Booster:
    """A ranker of made-up decisions: how good it is does not matter here, how large it is does."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(40_000, width)).astype(np.float32)
    features[rng.random(features.shape) < 0.05] = np.nan
    liking = np.nan_to_num(features) @ rng.normal(size=width) + rng.gumbel(size=len(features))
    data = xgboost.DMatrix(
        features, label=liking > np.quantile(liking, 0.9), qid=np.repeat(np.arange(2_000), 20)
    )
    data.feature_names = [f"f{i}" for i in range(width)]
    settings = {"objective": "rank:ndcg", "max_depth": 6, "eta": 0.05, "seed": 7, "nthread": 2}
    return xgboost.train(settings, data, num_boost_round=rounds)


def register(booster: xgboost.Booster, uri: str, folder: Path) -> None:
    """Our package and a plain XGBoost model of the booster, both `champion`."""
    names = booster.feature_names
    example = np.random.default_rng(1).normal(size=(20, len(names))).astype(np.float32)
    package.save_ranker(folder, booster, "{}", "benchmark", example)
    frame = pd.DataFrame(example, columns=names)
    registry = Registry(uri)
    registry.promote(
        MODEL, registry.register(Training(MODEL, "benchmark", folder, frame, {}, {}, {}, "none", 0))
    )
    with mlflow.start_run():
        signature = mlflow.models.infer_signature(frame, booster.predict(xgboost.DMatrix(frame)))
        logged = mlflow.xgboost.log_model(
            booster, name=PLAIN, registered_model_name=PLAIN, signature=signature, model_format="ubj"
        )
    registry.promote(PLAIN, str(logged.registered_model_version))


def tables(state: Path, rows: int, width: int) -> None:
    """The same rows twice: one float column a feature, and all features packed into one column."""
    rng = np.random.default_rng(3)
    for part in np.array_split(np.arange(rows), FILES):
        values = rng.normal(size=(len(part), width)).astype(np.float32)
        values[rng.random(values.shape) < 0.05] = np.nan
        columns = {f"f{i}": pa.array(np.ascontiguousarray(values[:, i])) for i in range(width)}
        write_deltalake(str(state / WIDE), pa.table({"id": part, **columns}), mode="append")
        rows_packed = pa.table({"id": part, "features": packed(values, np.arange(len(part) + 1))})
        write_deltalake(str(state / PACKED), rows_packed, mode="append")


def scores(folder: Path) -> np.ndarray[Any, Any]:
    """Kept scores, by id."""
    found = pq.read_table(folder).sort_by("id")
    return np.asarray(found["score"].to_numpy(), np.float64)


def compare(env: dict[str, str], state: Path) -> float:
    """Run each contender once with its scores kept; the largest difference from ours."""
    for name in CONTENDERS.values():
        harness.case("benchmarks.b07_case", name, "--keep", str(state / f"scores_{name}"), env=env)
    own = scores(state / "scores_ours")
    return max(
        float(np.abs(scores(state / f"scores_{name}") - own).max())
        for name in CONTENDERS.values()
        if name != "ours"
    )


def main() -> None:
    """Make the tables and models, compare scores, run all contenders in turn, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to score (default: 1 M)")
    parser.add_argument("--width", type=int, default=20, help="features (default: 20)")
    parser.add_argument("--trees", type=int, default=200, help="trees of depth 6 (default: 200)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender (default: 3)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakepulse-b07-") as folder:
        state, uri = Path(folder), f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.create_experiment("benchmark", artifact_location=str(state / "artifacts"))
        mlflow.set_experiment("benchmark")
        register(booster_of(args.width, args.trees), uri, state / "package")
        tables(state, args.rows, args.width)
        env = {"LAKEPULSE__PATHS__STATE": folder, "LAKEPULSE__MLFLOW__TRACKING_URI": uri}
        apart = compare(env, state)
        if apart > CLOSE:
            raise SystemExit(f"the contenders' scores differ by up to {apart:g}: nothing to compare")
        cases = {
            title: (lambda n=name: harness.case("benchmarks.b07_case", n, env=env))
            for title, name in CONTENDERS.items()
        }
        found = harness.alternate(cases, args.rounds)
    base = found["ours: mapInArrow"]
    rows = []
    for title, runs in found.items():
        cpu, wall = harness.median(runs, "cpu_s"), harness.median(runs, "wall_s")
        ratios = cpu / harness.median(base, "cpu_s"), wall / harness.median(base, "wall_s")
        rows.append([title, cpu, wall, args.rows / wall, *ratios])
    columns = ["contender", "CPU s", "wall s", "rows/s", "CPU / ours", "wall / ours"]
    size = f"{args.rows:,} rows of {args.width} features, {args.trees} trees of depth 6"
    title = f"B7: {size}, {args.rounds} rounds, medians; scores differ by {apart:.1g} at most"
    harness.publish("b07_scoring", title, columns, rows, runs=found)


if __name__ == "__main__":
    main()
