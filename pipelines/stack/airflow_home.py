"""The project's own Airflow: its environment and variables, its database, its processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil

from pipelines.alone import alone
from pipelines.errors import PrerequisiteError, StackError
from pipelines.settings import Settings, variables

ENVIRONMENT = ".venv-airflow"
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SPARK_HOME")
STOP_GRACE_S = 8

Say = Callable[[str], None]


@dataclass(frozen=True)
class TaskRun:
    """A task of a DAG run: Airflow's word for its state, the number of tries, the seconds of the last one."""

    task: str
    state: str
    tries: int
    seconds: float | None


def home(settings: Settings) -> Path:
    """Folder of Airflow's configuration, database and task logs."""
    return settings.state / "airflow"


def program(settings: Settings) -> Path:
    """The `airflow` command."""
    return settings.root / ENVIRONMENT / "bin" / "airflow"


def log_file(settings: Settings, name: str) -> Path:
    """A log beside those of the other parts; its folder exists."""
    folder = settings.state / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables of every Airflow command of the project: its own home and programs, our settings, UTC.

    What `environ` says of another Airflow, or of this process's own Python environment, is left out.
    """
    kept = {k: v for k, v in environ.items() if k not in FOREIGN and not k.startswith("AIRFLOW_")}
    ours = {
        "PATH": os.pathsep.join([str(program(settings).parent), environ.get("PATH", os.defpath)]),
        "TZ": "UTC",
        "AIRFLOW_HOME": str(home(settings)),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.root / "dags"),
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "utc",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(settings.airflow.parallelism),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_database(settings)}",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return kept | variables(settings) | ours


def prepare(settings: Settings, say: Say = print) -> None:
    """Make Airflow's database ready: created or migrated once for each set of pinned packages.

    Raises PrerequisiteError when Airflow is not installed, StackError when the migration fails.
    """
    if not program(settings).is_file():
        raise PrerequisiteError(f"no Airflow in {settings.root / ENVIRONMENT}: run `make airflow`")
    pins = sha256((settings.root / "requirements" / "airflow.txt").read_bytes()).hexdigest()
    database, marker = _database(settings), home(settings) / "migrated"
    home(settings).mkdir(parents=True, exist_ok=True)
    with alone(home(settings) / "migrate.lock"):
        if database.is_file() and marker.is_file() and marker.read_text() == pins:
            return
        say(f"airflow: preparing its database {database}")
        log = log_file(settings, "airflow_migrate")
        with log.open("wb") as out, started(settings, ["db", "migrate"], out) as process:
            code = process.wait()
        if code:
            raise StackError(f"Airflow cannot migrate {database}: see {log}, or delete it to start anew")
        marker.write_text(pins)


@contextmanager
def started(
    settings: Settings, arguments: list[str], out: IO[bytes] | None, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """An Airflow command, its output in `out`; what of it still runs at the end of the block is stopped."""
    process = subprocess.Popen(
        [str(program(settings)), *arguments],
        env=environment(settings, os.environ) | dict(more or {}),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT if out else None,
        # A Ctrl-C in the terminal is ours alone to answer: Airflow would take it for a failed task.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            _stop(process)


def task_runs(settings: Settings, dag_id: str, logical_date: datetime) -> tuple[TaskRun, ...]:
    """The tasks of the run of that date, in the order of their starts; those that did not start come last."""
    query = (
        "SELECT t.task_id, coalesce(t.state, 'waiting'), t.try_number, t.duration FROM task_instance t"
        " JOIN dag_run r ON r.dag_id = t.dag_id AND r.run_id = t.run_id"
        " WHERE r.dag_id = ? AND r.logical_date = ? ORDER BY t.start_date IS NULL, t.start_date"
    )
    address = f"file:{quote(str(_database(settings)))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
        rows = database.execute(query, (dag_id, _as_stored(logical_date))).fetchall()
    return tuple(TaskRun(*row) for row in rows)


def give_up(settings: Settings, dag_id: str, logical_date: datetime) -> None:
    """Close a run that was stopped: while it counts as running, a scheduler waits for it and resumes it."""
    run = {"dag": dag_id, "date": _as_stored(logical_date)}
    with closing(sqlite3.connect(_database(settings), timeout=30)) as database, database:
        database.execute(
            "UPDATE task_instance SET state = 'failed' WHERE dag_id = :dag AND run_id IN"
            " (SELECT run_id FROM dag_run WHERE dag_id = :dag AND logical_date = :date)"
            " AND coalesce(state, 'waiting') NOT IN ('success', 'failed', 'skipped', 'upstream_failed')",
            run,
        )
        database.execute(
            "UPDATE dag_run SET state = 'failed' WHERE dag_id = :dag AND logical_date = :date", run
        )


def _database(settings: Settings) -> Path:
    return home(settings) / "airflow.db"


def _as_stored(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Airflow retries a task that it sees fail: hold it while its processes are counted, and end it first.
    airflow = psutil.Process(process.pid)
    airflow.suspend()
    children = airflow.children(recursive=True)
    airflow.kill()
    process.wait()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, stubborn = psutil.wait_procs(children, timeout=STOP_GRACE_S)
    for child in stubborn:
        with suppress(psutil.NoSuchProcess):
            child.kill()
