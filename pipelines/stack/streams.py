"""The streams of a local installation: two Spark applications, started as any job is. One is the walk of
events, the other the watch, which waits where both want the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jobs import STREAMS as WALK
from jobs import WATCH as WATCHING
from pipelines.errors import PrerequisiteError
from pipelines.ready import READY_FILE
from pipelines.settings import Settings, variables
from pipelines.stack import records
from pipelines.stack.part import Launch, Part
from pipelines.stack.processes import Running, members

DOMAIN = "domain"
WAITS = ("nice", "-n", "5")


def prepare(
    name: str, streams: Sequence[str], before: Sequence[str], settings: Settings, domain: str
) -> Launch:
    """The job `run_streams` of that domain with these streams and exactly these settings; `before` is a
    command that runs it."""
    submit = settings.root / "spark-submit.sh"
    if not submit.is_file():
        raise PrerequisiteError(f"no {submit}: is LAKEPULSE_HOME the project's folder?")
    ready = _ready_file(name, settings)
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    environ = {**os.environ, **variables(settings), READY_FILE: str(ready)}
    words = [str(submit), "run_streams", "--domain", domain, "--only", ",".join(streams)]
    return Launch([*before, *words], environ)


def given(settings: Settings, domain: str) -> dict[str, str]:
    """The domain, and where Kafka and MLflow are; an application keeps these for its life."""
    return {DOMAIN: domain, "kafka": settings.bootstrap, "mlflow": settings.tracking_uri}


def answers(name: str, settings: Settings, running: Running, _timeout_s: float) -> bool:
    """Whether the application runs and has started its streams."""
    return _driver(name, settings, running) is not None


def _driver(name: str, settings: Settings, running: Running) -> int | None:
    """The process that started the streams and stops them when asked; None while there is none."""
    pid = records.read(_ready_file(name, settings)).get("pid")
    return int(pid) if pid in members(running) else None


def _ready_file(name: str, settings: Settings) -> Path:
    return records.run_folder(settings) / f"{name}.ready"


def _application(name: str, streams: Sequence[str], before: Sequence[str] = ()) -> Part:
    return Part(
        name=name,
        prepare=partial(prepare, name, streams, before),
        answers=partial(answers, name),
        given=given,
        needs=("kafka", "mlflow"),
        patience_s=300,
        grace_s=lambda settings: settings.streams.stop_grace_s,
        stop_on=partial(_driver, name),
    )


STREAMS = _application("streams", WALK)
WATCH = _application("watch", WATCHING, WAITS)
