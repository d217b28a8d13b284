"""B13: scoring 1, 10, 100 and 1,000 rows with 300 boosted trees in one thread: our tree kernel, XGBoost's
`inplace_predict`, and ONNX Runtime with the trees converted by hand. The scores are compared first."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import xgboost
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper

from benchmarks import harness
from pipelines.models.trees import from_booster

FEATURES, TREES, DEPTH, LIST = 60, 300, 6, 20
SIZES = (1, 10, 100, 1_000)
OURS, PEER, ONNX = "tree kernel", "XGBoost inplace_predict", "ONNX Runtime"
Score = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def a_booster(seed: int) -> xgboost.Booster:
    """A ranker on noisy features, a tenth of them missing, of which some are counts with few values."""
    chance, n = np.random.default_rng(seed), 2_500 * LIST
    rows = some_rows(n, seed)
    liking = np.nan_to_num(rows[:, :12]) @ np.linspace(0.5, 0.1, 12) + chance.gumbel(size=n)
    clicked = (liking.reshape(-1, LIST) >= np.sort(liking.reshape(-1, LIST))[:, [-2]]).ravel()
    data = xgboost.DMatrix(rows, clicked.astype(np.float32), group=[LIST] * (n // LIST))
    parameters = {"objective": "rank:ndcg", "max_depth": DEPTH, "eta": 0.05, "nthread": 2, "seed": seed}
    return xgboost.train(parameters, data, TREES)


def some_rows(n: int, seed: int) -> NDArray[np.float32]:
    """Features float32[n, FEATURES]; a tenth is missing."""
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(n, FEATURES)).astype(np.float32)
    rows[:, FEATURES // 2 :] = np.floor(rows[:, FEATURES // 2 :] * 3)
    rows[chance.random(rows.shape) < 0.1] = np.nan
    return rows


def as_onnx(booster: xgboost.Booster) -> bytes:
    """The booster's margins as an ONNX model. Written by hand, node by node: the usual converter takes no
    account of a ranker's objective."""
    model = json.loads(bytes(booster.save_raw("json")))["learner"]
    base = float(json.loads(model["learner_model_param"]["base_score"])[0])
    nodes: dict[str, list[Any]] = {name: [] for name in ONNX_NODES}
    targets: dict[str, list[Any]] = {name: [] for name in ONNX_TARGETS}
    for number, tree in enumerate(model["gradient_booster"]["model"]["trees"]):
        for at, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
            leaf = left < 0
            values = (
                *(number, at, 0 if leaf else tree["split_indices"][at]),
                0.0 if leaf else np.float32(tree["split_conditions"][at]).item(),
                *("LEAF" if leaf else "BRANCH_LT", max(left, 0), max(right, 0)),
                int(not leaf and bool(tree["default_left"][at])),
            )
            for name, value in zip(ONNX_NODES, values, strict=True):
                nodes[name].append(value)
            if leaf:
                weight = np.float32(tree["split_conditions"][at]).item()
                for name, value in zip(ONNX_TARGETS, (number, at, 0, weight), strict=True):
                    targets[name].append(value)
    trees = helper.make_node(
        "TreeEnsembleRegressor",
        ["rows"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[base],
        **nodes,
        **targets,
    )
    graph = helper.make_graph(
        [trees],
        "trees",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=versions, ir_version=8)
    checker.check_model(made)
    return made.SerializeToString()


ONNX_NODES = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_values",
    "nodes_modes",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
ONNX_TARGETS = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def contenders(booster: xgboost.Booster) -> dict[str, Score]:
    """The three ways of scoring, each in one thread."""
    booster.set_param({"nthread": 1})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(as_onnx(booster), options, providers=["CPUExecutionProvider"])
    return {
        PEER: lambda rows: booster.inplace_predict(rows, predict_type="margin"),
        ONNX: lambda rows: session.run(None, {"rows": rows})[0][:, 0],
        OURS: from_booster(booster).sums,
    }


def measure(score: Score, size: int, seconds: float) -> dict[str, float]:
    """CPU µs of a call, on rows that differ from call to call."""
    rows = some_rows(size * 50, seed=size)
    parts = [np.ascontiguousarray(rows[start : start + size]) for start in range(0, len(rows), size)]
    for part in parts:
        score(part)
    calls, cpu, end = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for part in parts:
            score(part)
        calls += len(parts)
    return {"cpu_us": (time.process_time() - cpu) / calls * 1e6}


def main() -> None:
    """Compare the scores, then measure in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default: 2)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    scores = contenders(a_booster(seed=13))
    golden = some_rows(20_000, seed=1)
    expected = scores[PEER](golden)
    if not np.array_equal(scores[OURS](golden), expected):
        raise SystemExit("the tree kernel's scores are not those of inplace_predict, bit for bit")
    furthest = float(np.abs(scores[ONNX](golden) - expected).max())
    if furthest > 1e-4:
        raise SystemExit(f"ONNX Runtime's scores differ by up to {furthest}: the conversion is wrong")
    rows = []
    for size in SIZES:
        cases = {name: lambda s=score, n=size: measure(s, n, args.seconds) for name, score in scores.items()}
        runs = harness.alternate(cases, args.rounds)
        took = {name: harness.median(found, "cpu_us") for name, found in runs.items()}
        rows += [[f"{name}, {size:,}", us, took[PEER] / us, took[ONNX] / us] for name, us in took.items()]
    columns = ["scorer, rows", "CPU us a call", "inplace_predict / this", "ONNX Runtime / this"]
    title = (
        f"B13: {TREES} trees of depth {DEPTH}, {FEATURES} features, one thread, {args.rounds} rounds, medians"
    )
    harness.publish("b13_trees", title, columns, rows, furthest_of_onnx=furthest)


if __name__ == "__main__":
    main()
