"""DAG runs by the real Airflow. Only the jobs are stand-ins: a spark-submit.sh that notes its calls."""

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pipelines import settings as settings_module
from pipelines.errors import PrerequisiteError, StackError
from pipelines.stack import airflow, airflow_home

ROOT = Path(__file__).resolve().parent.parent.parent
NOTING_JOB = """#!/usr/bin/env bash
printf '%s|' "$@" >> called
echo "${PYTHONPATH-none} ${VIRTUAL_ENV-none} $LAKEPULSE__PATHS__STATE $LAKEPULSE__GATE__MIN_GAIN" >> called
case $1 in
  gate) echo "the champion stays"; exit 99 ;;
  build_training_set) [ ! -e short ] || { echo "only 3 decisions: replay more" >&2; exit 1; } ;;
  compact_tables) echo $$ > sleeping; sleep 300 ;;
esac
"""


@pytest.fixture(scope="module")
def project(airflow_installed, tmp_path_factory):
    """A project folder with our DAGs, settings and pins, whose jobs only note that they were called."""
    root = tmp_path_factory.mktemp("a project")
    for name in ("conf", "requirements", airflow_home.ENVIRONMENT):
        (root / name).symlink_to(ROOT / name)
    (root / "dags").mkdir()
    for dag in (ROOT / "dags").glob("*.py"):
        (root / "dags" / dag.name).write_text(dag.read_text().replace('"retries": 1', '"retries": 0'))
    (root / "spark-submit.sh").write_text(NOTING_JOB)
    (root / "spark-submit.sh").chmod(0o755)
    overrides = {"gate": {"min_gain": 0.25}}
    return settings_module.load(environ={}, overrides=overrides, root=root)


def called(project):
    note = project.root / "called"
    lines = note.read_text().splitlines() if note.exists() else []
    note.unlink(missing_ok=True)
    return [line.split("|") for line in lines]


def test_settings_travel_as_variables(project):
    again = settings_module.load(environ=settings_module.variables(project), root=project.root)
    assert again == project


def test_nothing_of_another_airflow_or_python_reaches_ours(settings):
    foreign = {
        "PYTHONPATH": "/x",
        "VIRTUAL_ENV": "/y",
        "AIRFLOW_HOME": "/z",
        "AIRFLOW__CORE__FERNET_KEY": "k",
        "PATH": "/bin",
    }
    ours = airflow_home.environment(settings, foreign | {"LAKEPULSE_KAFKA_JAAS": "kept"})
    assert "PYTHONPATH" not in ours
    assert "VIRTUAL_ENV" not in ours
    assert "AIRFLOW__CORE__FERNET_KEY" not in ours
    assert ours["AIRFLOW_HOME"] == str(settings.state / "airflow")
    assert ours["AIRFLOW__CORE__PARALLELISM"] == "4"
    assert ours["PATH"] == f"{ROOT / '.venv-airflow' / 'bin'}:/bin"
    assert ours["LAKEPULSE_KAFKA_JAAS"] == "kept"


def test_a_refused_challenger_skips_the_promotion_and_the_run_succeeds(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/leak")
    monkeypatch.setenv("VIRTUAL_ENV", "/leak")
    said = []
    (run,) = airflow.dags_test(["train_ranker"], {"domain": "my shop; touch x"}, project, said.append)

    assert run.succeeded
    assert [(t.task, t.state) for t in run.tasks] == [
        ("audit", "success"),
        ("training_set", "success"),
        ("train", "success"),
        ("gate", "skipped"),
        ("promote", "skipped"),
    ]
    seen = "none none .lakepulse 0.25"
    assert called(project) == [
        ["audit_quality", "--domain", "my shop; touch x", seen],
        ["build_training_set", "--domain", "my shop; touch x", seen],
        ["train_ranker", "--domain", "my shop; touch x", seen],
        ["gate", "--model", "my shop; touch x-ranker", seen],
    ]
    assert [line.split()[:2] for line in said[-2:]] == [["gate", "skipped"], ["promote", "skipped"]]
    assert run.log.parent == project.state / "logs"


def test_a_failed_task_fails_the_run_and_its_last_words_are_there(project):
    (project.root / "short").touch()
    said = []
    (run,) = airflow.dags_test(["train_ranker"], {"domain": "shop"}, project, said.append)
    (project.root / "short").unlink()

    assert not run.succeeded
    states = {t.task: t.state for t in run.tasks}
    assert states == {"audit": "success", "training_set": "failed"} | dict.fromkeys(
        ["train", "gate", "promote"], "upstream_failed"
    )
    assert "only 3 decisions: replay more" in airflow.last_words(run)
    assert not any("database" in line for line in said), "the database was prepared a second time"
    called(project)


def test_dags_run_side_by_side_each_with_its_own_end(project):
    (project.root / "short").touch()
    said = []
    runs = airflow.dags_test(["train_ranker", "train_outliers"], {"domain": "shop"}, project, said.append)
    (project.root / "short").unlink()

    assert [(run.dag, run.succeeded) for run in runs] == [("train_ranker", False), ("train_outliers", True)]
    assert [(t.task, t.state) for t in runs[1].tasks] == [
        ("train", "success"),
        ("gate", "skipped"),
        ("promote", "skipped"),
    ]
    told = {line.split()[0] for line in said if line.startswith("  ")}
    assert told == {"train_ranker", "train_outliers"}
    assert ["train_outliers", "--domain", "shop"] in [words[:3] for words in called(project)]


def test_a_wrong_parameter_and_an_unknown_dag_are_refused(project):
    with pytest.raises(StackError, match=r"did not start train_ranker: see the end of .*\.log"):
        airflow.dags_test(["train_ranker"], {"domain": 7}, project)
    with pytest.raises(StackError, match="no DAG 'train_rankr'; did you mean 'train_ranker'"):
        airflow.dags_test(["train_rankr"], {}, project)
    assert called(project) == []


def test_an_interrupt_leaves_no_job_behind(project):
    program = (
        "from pathlib import Path; from pipelines import settings; from pipelines.stack import airflow;"
        f"airflow.dags_test(['upkeep'], {{}}, settings.load(root=Path({str(project.root)!r})))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | settings_module.variables(project)
    )
    note = project.root / "sleeping"
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_text().strip()):
        assert process.poll() is None
        assert time.monotonic() < deadline, "the job did not start"
        time.sleep(0.2)
    job = psutil.Process(int(note.read_text()))
    sleepers = [job, *job.children(recursive=True)]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    assert [p for p in sleepers if p.is_running()] == []
    with closing(sqlite3.connect(project.state / "airflow" / "airflow.db")) as database:
        runs = database.execute("SELECT DISTINCT state FROM dag_run WHERE dag_id = 'upkeep'").fetchall()
        tasks = database.execute(
            "SELECT DISTINCT state FROM task_instance WHERE dag_id = 'upkeep'"
        ).fetchall()
    assert runs == [("failed",)], "a scheduler would go on with the run"
    assert set(tasks) <= {("failed",), ("success",)}


def test_without_its_environment_the_remedy_is_named(settings, tmp_path):
    with pytest.raises(PrerequisiteError, match="make airflow"):
        airflow_home.prepare(dataclasses.replace(settings, root=tmp_path))
