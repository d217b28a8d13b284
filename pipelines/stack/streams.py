"""The streams of a local installation: all in one Spark application, started as any job is."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.errors import PrerequisiteError
from pipelines.ready import READY_FILE
from pipelines.settings import Settings, variables
from pipelines.stack import records
from pipelines.stack.part import Launch, Part
from pipelines.stack.processes import Running, members

NAME = "streams"
DOMAIN = "domain"


def prepare(settings: Settings, domain: str) -> Launch:
    """The job `run_streams` of that domain, with exactly these settings."""
    submit = settings.root / "spark-submit.sh"
    if not submit.is_file():
        raise PrerequisiteError(f"no {submit}: is LAKEPULSE_HOME the project's folder?")
    ready = _ready_file(settings)
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)
    environ = {**os.environ, **variables(settings), READY_FILE: str(ready)}
    return Launch([str(submit), "run_streams", "--domain", domain], environ)


def given(settings: Settings, domain: str) -> dict[str, str]:
    """The domain, and where Kafka and MLflow are; an application keeps these for its life."""
    return {DOMAIN: domain, "kafka": settings.bootstrap, "mlflow": settings.tracking_uri}


def answers(settings: Settings, running: Running, _timeout_s: float) -> bool:
    """Whether the application runs and has started its streams."""
    return _driver(settings, running) is not None


def _driver(settings: Settings, running: Running) -> int | None:
    """The process that started the streams and stops them when asked; None while there is none."""
    pid = records.read(_ready_file(settings)).get("pid")
    return int(pid) if pid in members(running) else None


def _ready_file(settings: Settings) -> Path:
    return records.run_folder(settings) / "streams.ready"


STREAMS = Part(
    name=NAME,
    prepare=prepare,
    answers=answers,
    given=given,
    needs=("kafka", "mlflow"),
    patience_s=300,
    grace_s=lambda settings: settings.streams.stop_grace_s,
    stop_on=_driver,
)
