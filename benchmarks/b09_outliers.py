"""B9: outliers among behaviour vectors. The whole Spark path (vectors in Delta → scores, ranks, p-values,
reasons, discoveries → rows of gold.outliers in Delta), and each frozen detector beside PyOD's own
`decision_function` in one thread, on the same rows. The detectors' outputs are compared before any time is
told."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray
from pyod.models.cblof import CBLOF
from pyod.models.gmm import GMM
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.models.pca import PCA
from threadpoolctl import threadpool_limits

from benchmarks import harness
from pipelines.anomalies.calibrating import calibrated
from pipelines.anomalies.calibration import Rule
from pipelines.anomalies.vectors import OutlierConfig, OutlierModel
from pipelines.contracts.scoring import TO_JUDGE
from pipelines.contracts.types import arrow_schema
from pipelines.models import package
from pipelines.models.densities import Clusters, Components, Mixture
from pipelines.models.detectors import Histograms, Isolation
from pipelines.models.neighbours import Neighbours

WIDTH, TAUGHT, FILES = 24, 10_000, 8
Numbers = NDArray[np.float64]
Score = Callable[[Numbers], Numbers]
CLOSE = 1e-4  # relative; the neighbours' distances are in single precision


def some_vectors(n: int, seed: int) -> Numbers:
    """Vectors as shops have them: counts, heavy tails, shares."""
    chance = np.random.default_rng(seed)
    vectors = chance.gamma(1.5, 4.0, size=(n, WIDTH))
    vectors[:, :8] = np.floor(vectors[:, :8])
    vectors[:, 8:14] = np.expm1(vectors[:, 8:14] / 3)
    vectors[:, 14:20] = chance.beta(2.0, 5.0, size=(n, 6))
    return vectors


def contenders(plain: Numbers, config: OutlierConfig) -> dict[str, tuple[Score, Score]]:
    """Of each detector our frozen form and PyOD's, fitted alike."""
    near = Neighbours.fit(plain, config.reference, config.nearest, config.around, 1)
    components = Components.fit(plain, 1)
    clusters = Clusters.fit(plain, config.clusters, 1)
    mixture = Mixture.fit(plain, config.parts, config.floor, 1)
    assert near is not None
    assert components is not None
    assert clusters is not None
    assert mixture is not None
    reference = near.reference.T.astype(np.float64)
    forest = Isolation.fit(plain, config.trees, config.rows_a_tree, 1)
    peer = IForest(n_estimators=config.trees, max_samples=config.rows_a_tree, random_state=1)
    peer.fit(plain.astype(np.float32))
    depth = 2 * (np.log(config.rows_a_tree - 1) + np.euler_gamma)
    depth = (depth - 2 * (config.rows_a_tree - 1) / config.rows_a_tree) * config.trees
    gmm = GMM(n_components=config.parts, reg_covar=config.floor, random_state=1).fit(plain)
    return {
        "IForest": (
            lambda rows: 2 ** (forest.scores(rows) / depth) + peer.offset_,
            lambda rows: peer.decision_function(rows.astype(np.float32)),
        ),
        "HBOS": (
            Histograms.fit(plain, config.bins, config.smoothing, config.reach).scores,
            HBOS(n_bins=config.bins, alpha=config.smoothing, tol=config.reach).fit(plain).decision_function,
        ),
        "PCA": (components.scores, PCA(random_state=1, svd_solver="full").fit(plain).decision_function),
        "CBLOF": (
            clusters.scores,
            CBLOF(n_clusters=config.clusters, random_state=1).fit(plain).decision_function,
        ),
        "GMM": (mixture.scores, gmm.decision_function),
        "KNN": (
            lambda rows: near.scores(rows)[0],
            KNN(n_neighbors=config.nearest).fit(reference).decision_function,
        ),
        "LOF": (
            lambda rows: near.scores(rows)[1],
            LOF(n_neighbors=config.around, novelty=True).fit(reference).decision_function,
        ),
    }


def cpu_us(score: Score, rows: Numbers) -> dict[str, float]:
    """CPU µs a row, compiled and warm."""
    score(rows[:100])
    started = time.process_time()
    score(rows)
    return {"us": (time.process_time() - started) / len(rows) * 1e6}


def detectors(rounds: int, rows: int) -> list[list[object]]:
    """A line of each detector: what both cost a row."""
    model = OutlierModel.fit(some_vectors(TAUGHT, 1), seed=1)
    pairs = contenders(model.plain(some_vectors(TAUGHT, 1)), model.config)
    new = model.plain(some_vectors(rows, 2))
    # PyOD's histograms put a value on the edge of two bins into the one that did not count it at fit: ours
    # does not.
    compared = new[:2_000] + np.random.default_rng(3).uniform(0, 1e-3, (2_000, WIDTH))
    lines: list[list[object]] = []
    for name, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(ours(compared), theirs(compared), rtol=CLOSE, err_msg=name)
        cases = {"ours": lambda s=ours: cpu_us(s, new), "PyOD": lambda s=theirs: cpu_us(s, new)}
        runs = harness.alternate(cases, rounds)
        mine, other = (harness.median(runs[side], "us") for side in ("ours", "PyOD"))
        lines.append([f"{name}, one thread", None, mine, other, other / mine])
    return lines


def tables(folder: Path, rows: int) -> None:
    """Delta tables of `rows` behaviour vectors together, one for each micro-batch, of two files each."""
    schema = arrow_schema(TO_JUDGE)
    for number, part in enumerate(np.array_split(np.arange(rows), FILES)):
        vectors = some_vectors(len(part), 100 + number)
        starts = np.arange(len(part) + 1) * WIDTH
        columns = {
            "entity": pa.array(["user"] * len(part)),
            "entity_id": pa.array([f"u{i}" for i in part]),
            "window_minutes": pa.array(np.full(len(part), 5)),
            "window_start": pa.array(part * 1_000_000, pa.timestamp("us", tz="UTC")),
            "vector": pa.ListArray.from_arrays(pa.array(starts, pa.int32()), pa.array(vectors.ravel())),
            "links": pa.nulls(len(part), schema.field("links").type),
            "exposure": pa.array(np.zeros(len(part))),
            "revision": pa.array(np.ones(len(part), np.int64)),
        }
        made = pa.table([columns[name] for name in schema.names], names=schema.names)
        write_deltalake(str(folder / str(number // 2)), made.cast(schema), mode="append")


def packed_model(cache: Path) -> None:
    """A package of a model, as a stream loads it."""
    model = OutlierModel.fit(some_vectors(TAUGHT, 1), seed=1, names=[f"f{i}" for i in range(WIDTH)])
    outliers = calibrated({"user/5": model}, {"user/5": some_vectors(TAUGHT, 9)}, Rule())
    package.save_outliers(cache / "bench-outliers" / "1", outliers, {"user/5": some_vectors(20, 5)})


def main() -> None:
    """Compare outputs, then measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600_000, help="vectors in the table (default: 600,000)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with threadpool_limits(1):
        lines = detectors(args.rounds, 20_000)
    with tempfile.TemporaryDirectory(prefix="lakepulse-b09-") as name:
        state = Path(name)
        tables(state / "vectors", args.rows)
        packed_model(state / "models")
        env = {"LAKEPULSE__PATHS__STATE": name}
        where = str(state / "vectors"), str(state / "models")
        runs = [harness.case("benchmarks.b09_case", *where, env=env) for _ in range(args.rounds)]
    wall, cpu = harness.median(runs, "wall_s"), harness.median(runs, "cpu_s")
    path = ["whole path in Spark", args.rows / wall, cpu / args.rows * 1e6, None, None]
    columns = ["what", "vectors/s", "ours, CPU us a vector", "PyOD, CPU us a vector", "PyOD / ours"]
    title = f"B9: outliers among vectors of {WIDTH} features, {args.rounds} rounds, medians"
    harness.publish("b09_outliers", title, columns, [path, *lines], rows_scored=args.rows, runs=runs)


if __name__ == "__main__":
    main()
