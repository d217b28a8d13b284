"""Airflow in an environment of its own: the DAGs of `dags/`, run with the settings of this process."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import psutil

from pipelines.clock import now_ms
from pipelines.errors import PrerequisiteError, StackError, nearest
from pipelines.settings import Settings, variables

ENVIRONMENT = ".venv-airflow"
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SPARK_HOME")
NOT_BEGUN = ("waiting", "scheduled", "queued")
JOB_OUTPUT = "[airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook]"
POLL_S = 0.5
STOP_GRACE_S = 15

Say = Callable[[str], None]


@dataclass(frozen=True)
class TaskRun:
    """A task of a DAG run: Airflow's word for its state, the number of tries, the seconds of the last one."""

    task: str
    state: str
    tries: int
    seconds: float | None


@dataclass(frozen=True)
class DagRun:
    """A finished DAG run: its log, its tasks in the order of their starts. A skipped task is no failure."""

    dag: str
    succeeded: bool
    log: Path
    tasks: tuple[TaskRun, ...]


def dag_titles(settings: Settings) -> dict[str, str]:
    """First line of each DAG's description, by the DAG's id, which is its file's name."""
    files = sorted((settings.root / "dags").glob("*.py"))
    described = {f.stem: ast.get_docstring(ast.parse(f.read_text(encoding="utf-8"))) or "" for f in files}
    return {name: text.partition("\n")[0] for name, text in described.items()}


def environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables of every Airflow command of the project: its own home and programs, our settings, UTC.

    What `environ` says of another Airflow, or of this process's own Python environment, is left out.
    """
    kept = {k: v for k, v in environ.items() if k not in FOREIGN and not k.startswith("AIRFLOW_")}
    ours = {
        "PATH": os.pathsep.join([str(_program(settings).parent), environ.get("PATH", os.defpath)]),
        "TZ": "UTC",
        "AIRFLOW_HOME": str(_home(settings)),
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
    if not _program(settings).is_file():
        raise PrerequisiteError(f"no Airflow in {settings.root / ENVIRONMENT}: run `make airflow`")
    pins = sha256((settings.root / "requirements" / "airflow.txt").read_bytes()).hexdigest()
    database, marker = _database(settings), _home(settings) / "migrated"
    database.parent.mkdir(parents=True, exist_ok=True)
    with _alone(_home(settings) / "migrate.lock"):
        if database.is_file() and marker.is_file() and marker.read_text() == pins:
            return
        say(f"airflow: preparing its database {database}")
        log = _log(settings, "airflow_migrate")
        with log.open("wb") as out:
            done = subprocess.run(
                [str(_program(settings)), "db", "migrate"],
                env=environment(settings, os.environ),
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise StackError(f"Airflow cannot migrate {database}: see {log}, or delete it to start anew")
        marker.write_text(pins)


def dags_test(dag_id: str, conf: Mapping[str, object], settings: Settings, say: Say = print) -> DagRun:
    """Run a DAG once, to its end, with `airflow dags test`; each change of a task's state is said.

    `conf` holds the run's parameters. An interrupt of this process stops the run and its jobs, then goes on.
    Raises StackError for an unknown DAG and when Airflow refuses to start it, for a wrong parameter say.
    """
    known = list(dag_titles(settings))
    if dag_id not in known:
        raise StackError(f"no DAG {dag_id!r}{nearest(dag_id, known)}; known: {', '.join(known)}")
    prepare(settings, say)
    started = datetime.fromtimestamp(now_ms() / 1000, UTC)
    log = _log(settings, f"dag_{dag_id}_{started:%Y%m%dT%H%M%S}")
    say(f"{dag_id}: log {log}")
    told: dict[str, tuple[str, int]] = {}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                str(_program(settings)),
                "dags",
                "test",
                dag_id,
                started.isoformat(),
                "-c",
                json.dumps(dict(conf)),
            ],
            env=environment(settings, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while _runs(process):
                _tell(_tasks(settings, dag_id, started), told, say)
        finally:
            _stop(process)
    tasks = _tasks(settings, dag_id, started)
    _tell(tasks, told, say)
    if not tasks:
        raise StackError(f"Airflow did not start {dag_id}: see the end of {log}")
    return DagRun(dag_id, process.returncode == 0, log, tasks)


def last_words(run: DagRun, lines: int = 15) -> list[str]:
    """The last lines that the run's jobs wrote, without what Airflow puts around each."""
    written = run.log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [
        line.partition("] ")[2].partition(JOB_OUTPUT)[0].rstrip() for line in written if JOB_OUTPUT in line
    ]
    return said[-lines:]


def standalone(settings: Settings, say: Say = print) -> int:
    """Run Airflow's scheduler and page on this machine until Ctrl-C; DAGs then keep their schedules."""
    prepare(settings, say)
    port = settings.airflow.port or _free_port()
    address = f"http://127.0.0.1:{port}"
    own = {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        # The page listens on this machine alone, for the one person who started it.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    say(f"Airflow: {address} (answers in about half a minute; Ctrl-C ends it)")
    command = [str(_program(settings)), "standalone"]
    return subprocess.run(command, env=environment(settings, os.environ) | own, check=False).returncode


def _home(settings: Settings) -> Path:
    return settings.state / "airflow"


def _database(settings: Settings) -> Path:
    return _home(settings) / "airflow.db"


def _program(settings: Settings) -> Path:
    return settings.root / ENVIRONMENT / "bin" / "airflow"


def _log(settings: Settings, name: str) -> Path:
    folder = settings.state / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _tasks(settings: Settings, dag_id: str, logical_date: datetime) -> tuple[TaskRun, ...]:
    """The tasks of the run of that date, in the order of their starts; those that did not start come last."""
    query = (
        "SELECT t.task_id, coalesce(t.state, 'waiting'), t.try_number, t.duration FROM task_instance t"
        " JOIN dag_run r ON r.dag_id = t.dag_id AND r.run_id = t.run_id"
        " WHERE r.dag_id = ? AND r.logical_date = ? ORDER BY t.start_date IS NULL, t.start_date"
    )
    address = f"file:{quote(str(_database(settings)))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=30)) as database:
        rows = database.execute(query, (dag_id, f"{logical_date:%Y-%m-%d %H:%M:%S.%f}")).fetchall()
    return tuple(TaskRun(*row) for row in rows)


def _tell(tasks: tuple[TaskRun, ...], told: dict[str, tuple[str, int]], say: Say) -> None:
    for task in tasks:
        seen = (task.state, task.tries)
        if task.state not in NOT_BEGUN and told.get(task.task) != seen:
            told[task.task] = seen
            took = f"  {task.seconds:.0f} s" if task.state != "running" and task.seconds else ""
            again = f"  (try {task.tries})" if task.tries > 1 else ""
            say(f"  {task.task:<16} {task.state}{took}{again}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the run and every job it started, unless it has ended by itself."""
    if process.poll() is not None:
        return
    # Airflow takes a signal for a failed task and retries it: hold it while its jobs are counted, end it first.
    airflow = psutil.Process(process.pid)
    airflow.suspend()
    jobs = airflow.children(recursive=True)
    airflow.kill()
    process.wait()
    for job in jobs:
        with suppress(psutil.NoSuchProcess):
            job.terminate()
    _, stubborn = psutil.wait_procs(jobs, timeout=STOP_GRACE_S)
    for job in stubborn:
        with suppress(psutil.NoSuchProcess):
            job.kill()
