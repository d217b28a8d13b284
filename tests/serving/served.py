"""The scoring service in a process of its own, for tests that speak HTTP."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from deltalake import write_deltalake

from pipelines import settings as settings_module
from pipelines.contracts.silver import ITEMS
from pipelines.io import lake
from pipelines.models.registered import Training
from pipelines.models.registry import Registry
from pipelines.settings import variables
from pipelines.stack import ports
from tests.models.builders import a_training
from tests.serving import stage

MODEL = "shop-ranker"
ROOT = Path(__file__).resolve().parent.parent.parent


def installation(state, kafka_broker, mlflow_server, **serving):
    """Settings of a service whose lake and store hold the small shop."""
    overrides = {
        "paths": {"state": str(state)},
        "kafka": {"bootstrap": kafka_broker.bootstrap},
        "mlflow": {"tracking_uri": mlflow_server.uri},
        "serving": {"refresh_s": 0.3, **serving},
    }
    settings = settings_module.load(environ={}, overrides=overrides)
    write_deltalake(lake.location(settings, ITEMS), stage.silver()[ITEMS.name])
    with stage.a_store(settings) as store:
        stage.fold(store, stage.past(), next_offset=0)
    return settings


def renamed(folder, name):
    """The file of the shop's domain under another name, for models of one's own in the suite's registry."""
    text = (ROOT / "conf" / "domains" / "shop.yml").read_text()
    assert "\nname: shop\n" in text
    (folder / f"{name}.yml").write_text(text.replace("\nname: shop\n", f"\nname: {name}\n"))
    return folder / f"{name}.yml"


def register(settings, folder, model, seed):
    """Register a ranker of the shop under that name; its version comes back."""
    package = stage.a_package(folder, seed)
    names = stage.definitions().names
    training = a_training(package, model, example=pd.DataFrame([[0.0] * len(names)], columns=names))
    assert isinstance(training, Training)
    return Registry(settings.tracking_uri).register(training)


class Served:
    """A running service, and a client of it."""

    def __init__(self, settings, log, context=None, domain="shop"):
        """`context` is the TLS of who asks, for a service that speaks TLS."""
        self.settings, self.port, self.context = settings, ports.free_port(), context
        environ = {**os.environ, **variables(settings), "PYTHONPATH": str(settings.root)}
        command = [sys.executable, "-m", "jobs.serve_scores", "--domain", str(domain)]
        command += ["--port", str(self.port)]
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, env=environ, stdout=out, stderr=out, cwd=settings.root)

    def ask(self, method, path, body=None, token="front", headers=None):
        """(status, headers, JSON or text) of a request."""
        if self.context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {token}"} if token else {}
        content = json.dumps(body).encode() if isinstance(body, dict | list) else body
        connection.request(method, path, content, {**sent, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, answer.headers, json.loads(text) if is_json else text.decode()

    def await_(self, condition, seconds=120):
        """Wait until a condition holds, asked again and again."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if condition():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        pytest.fail(f"it did not come to that within {seconds} s: {self.log.read_text()[-3000:]}")

    def version(self):
        return self.ask("GET", "/health")[2].get("model", {}).get("version")

    def stop(self):
        """Ask it to stop; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
