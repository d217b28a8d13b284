"""The DAGs of `dags/`, run by the project's own Airflow with the settings of this process."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.clock import now_ms
from pipelines.errors import StackError, nearest
from pipelines.settings import Settings
from pipelines.stack.airflow_home import Say, TaskRun, give_up, log_file, prepare, started, task_runs

NOT_BEGUN = ("waiting", "scheduled", "queued")
JOB_OUTPUT = "[airflow.task.hooks.airflow.providers.standard.hooks.subprocess.SubprocessHook]"
POLL_S = 0.5


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


def dags_test(dag_id: str, conf: Mapping[str, object], settings: Settings, say: Say = print) -> DagRun:
    """Run a DAG once, to its end, with `airflow dags test`; each change of a task's state is said.

    `conf` holds the run's parameters. An interrupt of this process stops the run and its jobs, then goes on.
    Raises StackError for an unknown DAG and when Airflow refuses to start it, for a wrong parameter say.
    """
    known = list(dag_titles(settings))
    if dag_id not in known:
        raise StackError(f"no DAG {dag_id!r}{nearest(dag_id, known)}; known: {', '.join(known)}")
    prepare(settings, say)
    date = datetime.fromtimestamp(now_ms() / 1000, UTC)
    log = log_file(settings, f"dag_{dag_id}_{date:%Y%m%dT%H%M%S}")
    say(f"{dag_id}: log {log}")
    told: dict[str, tuple[str, int]] = {}
    arguments = ["dags", "test", dag_id, date.isoformat(), "--conf", json.dumps(dict(conf))]
    try:
        with log.open("wb") as out, started(settings, arguments, out) as process:
            while _runs(process):
                _tell(task_runs(settings, dag_id, date), told, say)
    except BaseException:
        give_up(settings, dag_id, date)
        raise
    tasks = task_runs(settings, dag_id, date)
    _tell(tasks, told, say)
    if not tasks:
        raise StackError(f"Airflow did not start {dag_id}: see the end of {log}")
    return DagRun(dag_id, process.returncode == 0, log, tasks)


def last_words(run: DagRun, lines: int = 15) -> list[str]:
    """The last lines that the run's jobs wrote, without what Airflow puts around each."""
    written = run.log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.partition("] ")[2].partition(JOB_OUTPUT)[0] for line in written if JOB_OUTPUT in line]
    return [line.rstrip() for line in said[-lines:]]


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
    say(f"airflow: {address} (answers within a minute; Ctrl-C ends it)")
    with started(settings, ["standalone"], None, own) as process:
        return process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _tell(tasks: tuple[TaskRun, ...], told: dict[str, tuple[str, int]], say: Say) -> None:
    for task in tasks:
        seen = (task.state, task.tries)
        if task.state not in NOT_BEGUN and told.get(task.task) != seen:
            told[task.task] = seen
            took = f"  {task.seconds:.0f} s" if task.state != "running" and task.seconds else ""
            again = f"  (try {task.tries})" if task.tries > 1 else ""
            say(f"  {task.task:<16} {task.state}{took}{again}")
