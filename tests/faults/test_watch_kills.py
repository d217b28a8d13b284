"""Kill the streams of the watch with SIGKILL in the middle of their micro-batches and start them again: the
rows are those of one clean run, and none is there twice."""

import datetime
import os
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipelines import settings as settings_module
from pipelines.anomalies.behaviour import NAMES
from pipelines.anomalies.calibrating import calibrated
from pipelines.anomalies.calibration import Rule
from pipelines.contracts.gold import BEHAVIOUR_VECTORS, OUTLIERS
from pipelines.contracts.ops import OUTLIER_BATCHES
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import METRIC_VERDICTS
from pipelines.io import delta, lake
from pipelines.models import package
from pipelines.models.outliers import OutlierModel
from pipelines.models.registered import Training
from pipelines.models.registry import Registry
from tests import apart
from tests.builders_gold import SHOP, a_history, an_event
from tests.builders_gold import rows_of as silver_rows
from tests.jobs.test_watch_metrics import DAYS, publish, rows_of
from tests.test_exactly_once import unfinished


class Installation:
    """A state folder of its own, with one stream of the watch."""

    def __init__(self, state, job, domain, **settings):
        self.job, self.domain = job, domain
        given = {f"LAKEPULSE__{name.upper()}": str(value) for name, value in settings.items()}
        given |= {"LAKEPULSE__PATHS__STATE": str(state), "LAKEPULSE__SPARK__DRIVER_MEMORY": "1g"}
        self.environment = os.environ | given
        self.settings = settings_module.load(environ=given)
        self.settings.state.mkdir(parents=True, exist_ok=True)
        self.process = None

    def command(self, *more):
        return [sys.executable, "-m", f"jobs.{self.job}", "--domain", str(self.domain), *more]

    def start(self):
        with (self.settings.state / "stream.log").open("a") as log:
            self.process = apart.start(self.command(), self.environment, log)

    def finish(self):
        """Let the stream do what there is, to its end."""
        apart.run_to_end(self.command("--once"), self.environment)

    def killed_in_a_batch(self, chance):
        """Start the stream and kill it a moment after it planned a micro-batch; whether it was in it."""
        checkpoint = self.settings.state / "checkpoints" / self.job
        owner, began = self.settings.state / "checkpoints" / "_owners" / f"{self.job}.json", time.time()
        deadline = time.monotonic() + 300
        self.start()
        while not (owner.exists() and owner.stat().st_mtime > began and unfinished(checkpoint)):
            said = (self.settings.state / "stream.log").read_text()[-3000:]
            assert self.process.poll() is None, said
            assert time.monotonic() < deadline, said
        time.sleep(chance.random() * 3)
        apart.kill(self.process)
        return unfinished(checkpoint)


def killed_and_clean(killed, clean, feed, parts):
    """Feed one installation part by part, with a kill in between, the other at once; both then have done all
    there is."""
    chance, hits = np.random.default_rng(4), 0
    try:
        for part in range(parts):
            feed(killed.settings, part)
            hits += killed.killed_in_a_batch(chance)
    finally:
        if killed.process is not None and killed.process.poll() is None:
            apart.kill(killed.process)
    killed.finish()
    for part in range(parts):
        feed(clean.settings, part)
    clean.finish()
    assert hits, "no kill came before the end of a micro-batch"


def valid(settings, table, but=()):
    """The valid rows of a table by key, without what differs between runs."""
    rows = lake.rows(settings, table, table.schema.names).to_pylist()
    kept = [{name: value for name, value in row.items() if name not in but} for row in rows]
    return {tuple(str(row[name]) for name in table.key): row for row in kept}


@pytest.fixture
def corner(tmp_path):
    """A domain file of the tests' small shop."""
    file = tmp_path / "corner.yml"
    file.write_text(SHOP)
    return file


def test_verdicts_on_metrics(corner, tmp_path):
    rows, parts = rows_of(range(DAYS * 24), (DAYS * 24 - 30, {"source=web": 0.7})), 3
    told = {"window_minutes": 60, "settle_minutes": 60, "level_lag_minutes": 180, "published_hours": 10_000}
    about = {f"watch__{name}": value for name, value in told.items()} | {"streams__watch_trigger_ms": 100}
    killed, clean = (
        Installation(tmp_path / n, "watch_metrics", corner, **about) for n in ("killed", "clean")
    )
    size = -(-len(rows) // parts)
    killed_and_clean(killed, clean, lambda s, n: publish(s, rows[n * size : (n + 1) * size]), parts)
    found = valid(killed.settings, METRIC_VERDICTS, {"revision"})
    assert found == valid(clean.settings, METRIC_VERDICTS, {"revision"})
    assert lake.stored_rows(killed.settings, METRIC_VERDICTS) == len(found) > 1_000
    assert [row for row in found.values() if row["alert"]]


def test_behaviour_vectors(corner, tmp_path):
    done, lists, versions = a_history(seed=5, rows=240)
    done.append(an_event(60 * 60, event_id="last"))
    parts = 3

    def feed(settings, part):
        for table, rows in ((EVENTS, done), (DECISIONS, lists), (ITEMS, versions)):
            rows = sorted(rows, key=lambda row: row[table.event_time])
            size = -(-len(rows) // parts)
            delta.ensure_local(settings, table)
            own = silver_rows(table, rows)
            delta.append_arrow(own.slice(part * size, size), table, settings, mark="")

    about = {"streams__behaviour_trigger_ms": 100}
    killed, clean = (
        Installation(tmp_path / n, "watch_behaviour", corner, **about) for n in ("killed", "clean")
    )
    killed_and_clean(killed, clean, feed, parts)
    found = valid(killed.settings, BEHAVIOUR_VECTORS, {"revision"})
    assert found == valid(clean.settings, BEHAVIOUR_VECTORS, {"revision"})
    assert len(found) > 400


def vectors_of(part, size=1_500):
    """Behaviour vectors of users in one window, a few of them unlike the others."""
    vectors = np.random.default_rng(part).gamma(2.0, 5.0, (size, len(NAMES)))
    vectors[:3] = 1e6
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(minutes=5 * part)
    columns = {
        "entity": ["user"] * size,
        "entity_id": [f"u{n}" for n in range(size)],
        "window_minutes": np.full(size, 5, np.int32),
        "window_start": [start] * size,
        "day": [start.date()] * size,
        "vector": list(vectors),
        "links": pa.array([[("device", "d")]] * size, pa.map_(pa.string(), pa.string())),
        "exposure": np.full(size, 2.0),
        "revision": np.ones(size, np.int64),
    }
    return pa.table(columns, schema=arrow_schema(BEHAVIOUR_VECTORS.schema))


def promoted(uri, folder):
    """An outlier model of such vectors, in charge."""
    taught, later = (vectors_of(100 + n)["vector"].combine_chunks().flatten() for n in range(2))
    taught, later = (part.to_numpy().reshape(-1, len(NAMES))[3:] for part in (taught, later))
    models = {"user/5": OutlierModel.fit(taught, names=NAMES, seed=1)}
    package.save_outliers(folder, calibrated(models, {"user/5": later}, Rule()), {"user/5": taught})
    example = pd.DataFrame(taught[:2], columns=list(NAMES))
    registry = Registry(uri)
    made = Training("killshop-outliers", "killshop", folder, example, {}, {}, {}, "unknown", 0)
    registry.promote(made.name, registry.register(made))


def test_judged_vectors(corner, tmp_path, mlflow_server):
    promoted(mlflow_server.uri, tmp_path / "package")
    corner.write_text(SHOP.replace("name: corner", "name: killshop"))
    parts = 3

    def feed(settings, part):
        delta.ensure_local(settings, BEHAVIOUR_VECTORS)
        delta.append_arrow(vectors_of(part), BEHAVIOUR_VECTORS, settings, mark="")

    about = {"streams__outliers_trigger_ms": 100, "mlflow__tracking_uri": mlflow_server.uri}
    killed, clean = (
        Installation(tmp_path / n, "watch_outliers", corner, **about) for n in ("killed", "clean")
    )
    killed_and_clean(killed, clean, feed, parts)
    # What is found depends on what was judged together; everything else is the row's own.
    found = valid(killed.settings, OUTLIERS, {"is_found", "revision"})
    assert found == valid(clean.settings, OUTLIERS, {"is_found", "revision"})
    assert lake.stored_rows(killed.settings, OUTLIERS) == len(found) == 1_500 * parts
    batches = lake.rows(killed.settings, OUTLIER_BATCHES, ["vectors"])["vectors"].to_pylist()
    assert sum(batches) == len(found)
    rows = lake.rows(killed.settings, OUTLIERS, ["entity_id", "is_found"]).to_pylist()
    assert {row["entity_id"] for row in rows if row["is_found"]} == {"u0", "u1", "u2"}
