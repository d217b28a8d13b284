"""The DAGs of `dags/`, run by the project's own Airflow with the settings of this process."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
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


def dags_test(
    dag_ids: Sequence[str], conf: Mapping[str, object], settings: Settings, say: Say = print
) -> tuple[DagRun, ...]:
    """Run DAGs once, side by side, to their ends, with `airflow dags test`; each change of a task's state is
    said.

    `conf` holds the parameters of all of them. An interrupt of this process stops the runs and their jobs,
    then goes on. Raises StackError for an unknown DAG and when Airflow refuses to start one, for a wrong
    parameter say.
    """
    known = list(dag_titles(settings))
    for dag_id in dag_ids:
        if dag_id not in known:
            raise StackError(f"no DAG {dag_id!r}{nearest(dag_id, known)}; known: {', '.join(known)}")
    prepare(settings, say)
    date = datetime.fromtimestamp(now_ms() / 1000, UTC)
    width = max(map(len, dag_ids))
    names = [f"  {dag_id:<{width}}" if len(dag_ids) > 1 else "" for dag_id in dag_ids]
    runs = [
        _Run(dag_id, date, settings, partial(_say_after, name, say))
        for dag_id, name in zip(dag_ids, names, strict=True)
    ]
    arguments = [date.isoformat(), "--conf", json.dumps(dict(conf))]
    try:
        with ExitStack() as stack:
            for run in runs:
                say(f"{run.dag}: log {run.log}")
                run.start(stack, arguments)
                # What all DAGs have in common is written by the first that comes to the database.
                while _any_runs([run]) and not run.look():
                    pass
            while _any_runs(runs):
                for run in runs:
                    run.look()
    except BaseException:
        for run in runs:
            give_up(settings, run.dag, date)
        raise
    return tuple(run.ended() for run in runs)


class _Run:
    """A DAG run on its way."""

    def __init__(self, dag: str, date: datetime, settings: Settings, say: Say) -> None:
        self.dag, self.log = dag, log_file(settings, f"dag_{dag}_{date:%Y%m%dT%H%M%S}")
        self.process: subprocess.Popen[bytes] | None = None
        self._date, self._settings, self._say = date, settings, say
        self._told: dict[str, tuple[str, int]] = {}

    def start(self, stack: ExitStack, arguments: list[str]) -> None:
        """Start it; `stack` ends what of it still runs."""
        out = stack.enter_context(self.log.open("wb"))
        command = ["dags", "test", self.dag, *arguments]
        self.process = stack.enter_context(started(self._settings, command, out))

    def look(self) -> tuple[TaskRun, ...]:
        """The tasks that Airflow knows of; what is new of them is said."""
        tasks = task_runs(self._settings, self.dag, self._date)
        _tell(tasks, self._told, self._say)
        return tasks

    def ended(self) -> DagRun:
        """What came of it."""
        tasks = self.look()
        if not tasks or self.process is None:
            raise StackError(f"Airflow did not start {self.dag}: see the end of {self.log}")
        return DagRun(self.dag, self.process.returncode == 0, self.log, tasks)


def _say_after(name: str, say: Say, line: str) -> None:
    say(name + line)


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


def _any_runs(runs: Sequence[_Run]) -> bool:
    """Whether one still runs, after a moment's wait if so."""
    going = [run.process for run in runs if run.process and run.process.poll() is None]
    if not going:
        return False
    with suppress(subprocess.TimeoutExpired):
        going[0].wait(POLL_S)
    return True


def _tell(tasks: tuple[TaskRun, ...], told: dict[str, tuple[str, int]], say: Say) -> None:
    for task in tasks:
        seen = (task.state, task.tries)
        if task.state not in NOT_BEGUN and told.get(task.task) != seen:
            told[task.task] = seen
            took = f"  {task.seconds:.0f} s" if task.state != "running" and task.seconds else ""
            again = f"  (try {task.tries})" if task.tries > 1 else ""
            say(f"  {task.task:<16} {task.state}{took}{again}")
