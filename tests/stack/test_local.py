"""`lakepulse up`, `status` and `down` with the real parts, called as a user calls them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipelines import settings as settings_module
from pipelines.errors import StackError
from pipelines.settings import Settings
from pipelines.stack import local, processes, records
from pipelines.stack.processes import Running
from tests.fixtures_stack import silent

CALL = [sys.executable, "-c", "import sys; from pipelines.cli import main; sys.exit(main())"]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


class Stack:
    """A local stack with a state folder of its own, worked by commands."""

    def __init__(self, state: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LAKEPULSE__")}
        own = {"LAKEPULSE__PATHS__STATE": str(state), "LAKEPULSE__KAFKA__HEAP_MB": "256"}
        self.environ = {**kept, **own}
        self.settings = settings_module.load(environ=self.environ)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [*CALL, *words],
            env=self.environ,
            cwd=self.settings.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, *words: str, code: int = 0) -> str:
        """What a command prints; its exit code must be the given one."""
        with self.begin(*words) as process:
            printed, _ = process.communicate(timeout=240)
        assert process.returncode == code, printed
        return printed

    def parts(self, code: int = 0) -> dict[str, dict[str, Any]]:
        """What `status` says of each part."""
        return {row["part"]: row for row in json.loads(self.call("status", "--json", code=code))}

    def record(self, part: str) -> Running:
        """The pid file of a part that is up."""
        running = processes.recorded(self.settings, part)
        assert running is not None
        return running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of Kafka and MLflow that is up; every test leaves it up."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.call("up", "--only", "kafka,mlflow")
        yield stack
    finally:
        stack.call("down")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Stack]:
    """A stack of which nothing was started yet."""
    stack = Stack(tmp_path)
    yield stack
    local.down(stack.settings, silent)


def test_status_shows_what_answers_where(stack: Stack) -> None:
    parts = stack.parts()
    assert {name: row["state"] for name, row in parts.items()} == {
        "kafka": "running",
        "mlflow": "running",
        "streams": "stopped",
        "watch": "stopped",
        "service": "stopped",
        "reviews": "stopped",
    }
    assert parts["kafka"]["address"] == stack.settings.bootstrap
    assert parts["mlflow"]["address"] == stack.settings.tracking_uri
    assert all(50 < parts[name]["memory_mb"] < 1000 for name in ("kafka", "mlflow"))
    table = stack.call("status")
    for name in ("kafka", "mlflow"):
        row = parts[name]
        assert all(str(row[column]) in table for column in ("part", "state", "pid", "address", "log"))


def test_up_twice_is_harmless(stack: Stack) -> None:
    before = {name: row["pid"] for name, row in stack.parts().items()}
    printed = stack.call("up", "--only", "kafka,mlflow")
    assert printed.count("runs already") == 2
    assert {name: row["pid"] for name, row in stack.parts().items()} == before


def test_a_killed_part_is_seen_and_repaired_alone(stack: Stack) -> None:
    before = stack.parts()
    os.kill(before["kafka"]["pid"], signal.SIGKILL)
    assert processes.wait_until(lambda: not processes.is_alive(stack.record("kafka")), 10)
    assert stack.parts(code=3)["kafka"]["state"] == "died"
    assert "kafka: `lakepulse up` starts again" in stack.call("status", code=3)
    printed = stack.call("up", "--only", "kafka,mlflow")
    assert f"kafka    its process {before['kafka']['pid']} is gone: starting it again" in printed
    after = stack.parts()
    assert after["kafka"]["state"] == "running"
    assert after["kafka"]["address"] == before["kafka"]["address"]
    assert after["mlflow"]["pid"] == before["mlflow"]["pid"]


def test_a_part_that_hangs_is_seen_and_repaired(stack: Stack) -> None:
    hanging = stack.record("kafka").pid
    os.kill(hanging, signal.SIGSTOP)
    assert stack.parts(code=3)["kafka"]["state"] == "not answering"
    printed = stack.call("up", "--only", "kafka")
    assert f"its process {hanging} does not answer: starting it again" in printed
    assert stack.parts()["kafka"]["state"] == "running"


def test_two_at_once_bring_up_one_and_down_stops_it(fresh: Stack) -> None:
    both = [fresh.begin("up", "--only", "kafka") for _ in range(2)]
    printed = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert sum("runs already" in text for text in printed) == 1
    running, since = fresh.record("kafka"), time.monotonic()
    assert "kafka    stopped" in fresh.call("down")
    assert time.monotonic() - since < 20
    assert processes.members(running) == []
    assert fresh.parts()["kafka"]["state"] == "stopped"
    assert "nothing to stop" in fresh.call("down")


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_stops_what_it_started(fresh: Stack, sign: signal.Signals, code: int) -> None:
    with fresh.begin("up", "--only", "kafka") as process:
        assert processes.wait_until(processes.pid_file(fresh.settings, "kafka").is_file, 60)
        running = fresh.record("kafka")
        process.send_signal(sign)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == code, printed
    assert "kafka    stopped" in printed
    assert processes.members(running) == []


def test_a_pid_file_from_before_is_repaired_and_the_stranger_left_alone(fresh: Stack) -> None:
    stranger = processes.start(fresh.settings, "stranger", SLEEP, os.environ)
    try:
        stale = Running("kafka", stranger.pid, "another boot:7", 0, "127.0.0.1:1", stranger.log)
        records.write(processes.pid_file(fresh.settings, "kafka"), msgspec.structs.asdict(stale))
        assert fresh.parts(code=3)["kafka"]["state"] == "died"
        assert f"its process {stranger.pid} is gone: starting it again" in fresh.call("up", "--only", "kafka")
        assert processes.is_alive(stranger)
    finally:
        processes.stop(stranger, 5)
        processes.forget(fresh.settings, "stranger")


def test_a_part_that_cannot_start_shows_the_end_of_its_log(fresh: Stack) -> None:
    fresh.environ["LAKEPULSE__KAFKA__HEAP_MB"] = "1"
    printed = fresh.call("up", "--only", "kafka", code=1)
    assert "kafka ended while it started; the end of its log" in printed
    assert "Too small maximum heap" in printed or "OutOfMemoryError" in printed
    assert fresh.parts()["kafka"]["state"] == "stopped"


def test_another_domain_must_wait_until_the_streams_are_down(settings: Settings) -> None:
    streams = processes.start(settings, "streams", SLEEP, os.environ, given={"domain": "shop"})
    try:
        assert local.running_domain(settings) == "shop"
        with pytest.raises(StackError, match=r"the streams run for the domain shop: `lakepulse down` first"):
            local.up(settings, "ranklens", None, silent)
    finally:
        processes.stop(streams, 5)


def test_a_misspelt_part_is_answered_with_the_nearest(settings: Settings) -> None:
    with pytest.raises(StackError, match=r"no part 'kafak'; did you mean 'kafka'\?"):
        local.up(settings, "shop", ["kafak"], silent)


def test_a_chosen_part_brings_what_it_needs() -> None:
    assert [part.name for part in local.chosen(["streams"])] == ["kafka", "mlflow", "streams"]
    assert [part.name for part in local.chosen(["mlflow"])] == ["mlflow"]


def test_down_ends_in_time_whatever_the_parts_do(settings: Settings) -> None:
    needed = {name for part in local.PARTS for name in part.needs}
    one_by_one = sum(part.grace_s(settings) for part in local.PARTS if part.name in needed)
    together = max(part.grace_s(settings) for part in local.PARTS if part.name not in needed)
    assert one_by_one + together <= 19
