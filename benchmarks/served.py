"""A shop that can be served: a real broker and registry, a catalog in the lake, records of users and items in
the online store, a ranker of 300 trees in charge."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import xgboost
from deltalake import write_deltalake
from numpy.typing import NDArray

from benchmarks.harness import ROOT
from pipelines import settings as settings_module
from pipelines.cli._file_rows import past_of, silver_of_arrivals
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.domain import load_domain
from pipelines.features.carriers import Carrier, Request
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import in_arrival_order
from pipelines.io import lake
from pipelines.io.online_store import open_store
from pipelines.models.registered import Training
from pipelines.models.registry import Registry
from pipelines.models.training import Origin, pack_ranker, train_ranker
from pipelines.session import spark_session
from pipelines.settings import Settings, variables
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from pipelines.stack import local, ports

TREES = 300
READY_WITHIN_S = 180.0


@dataclass(frozen=True)
class Shop:
    """An installation whose service can be started, what is asked of it, and its ranker."""

    settings: Settings
    users: list[str]
    items: list[str]
    names: list[str]
    booster: xgboost.Booster
    training: Training
    features: NDArray[np.float32]
    """Of the first user and every item, at the end of the past."""


@contextlib.contextmanager
def shop(folder: Path, users: int = 2_000, items: int = 2_000, events: int = 40_000) -> Iterator[Shop]:
    """A simulated shop in `folder`, its past folded into the store, its ranker trained and promoted; broker
    and registry run until the end of the block."""
    settings = settings_module.load(
        overrides={
            "paths": {"state": str(folder)},
            "serving": {"access_log": False, "max_body_bytes": 1 << 20},
        }
    )
    local.up(settings, "shop", ["kafka", "mlflow"], lambda *_: None)
    try:
        yield _filled(settings, ShopConfig(users=users, items=items), events)
    finally:
        local.down(settings, lambda *_: None)


def _filled(settings: Settings, config: ShopConfig, events: int) -> Shop:
    domain = load_domain("shop", settings)
    definitions = compile_definitions(domain)
    chunks = list(records(config, events))
    lines = [line for chunk in chunks for line in chunk.lines]
    silver = silver_of_arrivals(lines, [a for chunk in chunks for a in chunk.arrivals], domain, settings)
    spark = spark_session(settings, "benchmark")
    past = past_of(spark, silver, domain, definitions, settings)
    spark.stop()
    kept = dataclasses.replace(settings.training, rounds=TREES, early_stopping=0)
    trained = train_ranker(past.rows(domain, definitions), definitions, kept)
    origin = Origin({}, "benchmark", 0)
    package = settings.state / "package"
    training = pack_ranker(trained, domain, definitions, kept, package, origin, past.vectors)
    registry = Registry(settings.tracking_uri)
    registry.promote(training.name, registry.register(training))

    write_deltalake(lake.location(settings, ITEMS), silver[ITEMS.name])
    catalog = Catalog(definitions, past.vectors)
    catalog.learn(silver[ITEMS.name])
    carrier = Carrier(definitions, catalog)
    history = in_arrival_order(silver[EVENTS.name], silver[DECISIONS.name], definitions.events)
    folded, _ = carrier.update(history, {})
    with open_store(settings, definitions, readonly=False) as store:
        store.write(folded, {("interactions", 0): 0}, store.fences())
    who = silver[EVENTS.name]["user_id"].unique().to_pylist()
    what = silver[ITEMS.name]["item_id"].unique().to_pylist()
    parts = []
    for start in range(0, len(what), 500):
        asked = Request(who[0], what[start : start + 500], int(history.arrived[-1]))
        parts.append(carrier.read(asked, folded))
    features = np.concatenate(parts)
    return Shop(settings, who, what, list(definitions.names), trained.trained.booster, training, features)


@contextlib.contextmanager
def process(command: list[str], environ: Mapping[str, str], log: Path) -> Iterator[psutil.Process]:
    """A server in a process of its own until the end of the block."""
    with log.open("wb") as out:
        started = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stdout=out, stderr=out)
    try:
        yield psutil.Process(started.pid)
    finally:
        for child in psutil.Process(started.pid).children(recursive=True):
            child.terminate()
        started.terminate()
        started.wait(30)


@contextlib.contextmanager
def service(of: Shop, **serving: object) -> Iterator[tuple[int, psutil.Process]]:
    """The scoring service, ready: its port and its process."""
    settings = dataclasses.replace(of.settings, serving=dataclasses.replace(of.settings.serving, **serving))
    port = ports.free_port()
    command = [sys.executable, "-m", "jobs.serve_scores", "--port", str(port)]
    log = of.settings.state / f"service_{port}.log"
    with process(command, variables(settings), log) as running:
        await_ok(port, "GET", "/ready", None, running, log)
        yield port, running


@contextlib.contextmanager
def stream(of: Shop) -> Iterator[None]:
    """The stream that folds what the service logs into the store, until the end of the block."""
    command = [sys.executable, "-m", "jobs.update_online_store", "--domain", "shop"]
    log = of.settings.state / "stream.log"
    with process(command, variables(of.settings), log) as running:
        until = time.monotonic() + READY_WITHIN_S
        while "running: update_online_store" not in log.read_text():
            if time.monotonic() > until or running.status() == psutil.STATUS_ZOMBIE:
                raise SystemExit(f"the online store's stream does not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield


def await_ok(
    port: int, method: str, path: str, body: bytes | None, running: psutil.Process, log: Path
) -> bytes:
    """Ask until the answer is 200; that answer. Ends the benchmark, with the log, when it does not come."""
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and running.is_running() and running.status() != psutil.STATUS_ZOMBIE:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == http.client.OK:
                return text
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise SystemExit(f"nothing answers {path} at port {port}:\n{log.read_text()[-3000:]}")


def bodies(of: Shop, size: int, users: Sequence[str]) -> list[bytes]:
    """Requests for lists of so many items, one by each of the users."""
    chance, found = np.random.default_rng(12), []
    for user in users:
        chosen = chance.choice(len(of.items), size, replace=False)
        asked = {"user_id": user, "items": [of.items[at] for at in chosen]}
        found.append(json.dumps(asked).encode())
    return found
