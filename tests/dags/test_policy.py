"""What every DAG must be, checked on what Airflow itself reads from the files."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines import settings as settings_module
from pipelines.stack import airflow_home

ROOT = Path(__file__).resolve().parent.parent.parent
FACTS = Path(__file__).with_name("facts.py")
JOBS = {p.stem for p in (ROOT / "jobs").glob("*.py")} - {"__init__"}
COMMAND = re.compile(r'\./spark-submit\.sh (?P<job>\w+)( --[a-z-]+( "[^"]+"| \w+)?)*')
SECRET = re.compile(
    r"password|passwd|secret|token|api_?key|credential|AKIA[0-9A-Z]{16}|://[^/\s]+:[^/\s]+@", re.IGNORECASE
)
# What these find does not change when they look again.
NEVER_TRIED_AGAIN = {"audit_quality", "check_parity"}

WRONG = """
import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("another_name", schedule="@daily", start_date=pendulum.datetime(2026, 1, 1), catchup=True):
    BashOperator(task_id="one", bash_command="./spark-submit.sh gate --model {{ params.domain }}")
    BashOperator(task_id="two", bash_command="./spark-submit.sh gate --model $X", env={"PASSWORD": "hunter2"})
"""


def facts_of(folder, state):
    """What Airflow reads from a folder of DAGs."""
    settings = settings_module.load(environ={}, overrides={"paths": {"state": str(state)}})
    program = ROOT / airflow_home.ENVIRONMENT / "bin" / "python"
    environment = airflow_home.environment(settings, os.environ)
    done = subprocess.run(
        [program, FACTS, folder], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def breaches(dag, source):
    """What a DAG does against the policy, one sentence each."""
    rules = {
        f"its id {dag['id']} is not its file's name {dag['file']}": dag["id"] != dag["file"],
        "it has no tags": not dag["tags"],
        "it has no doc_md": not (dag["doc"] or "").strip(),
        "it catches up on the past": dag["catchup"],
        f"{dag['max_active_runs']} runs of it may be active": dag["max_active_runs"] != 1,
        "it has no dagrun_timeout": dag["dagrun_timeout"] is None,
        f"it has {len(source.splitlines())} lines": len(source.splitlines()) > 60,
        "it has no parameter domain": "domain" not in dag["params"],
        "it holds something like a secret": SECRET.search(source) is not None,
    }
    found = [sentence for sentence, broken in rules.items() if broken]
    return found + [
        f"task {task['id']}: {breach}" for task in dag["tasks"] for breach in task_breaches(task, dag)
    ]


def task_breaches(task, dag):
    """What a task does against the policy, one sentence each."""
    command = COMMAND.fullmatch(task["command"] or "")
    job = command["job"] if command else None
    longest = dag["dagrun_timeout"] or float("inf")
    rules = {
        "it has no owner": task["owner"] in ("", "airflow"),
        f"it is tried again {task['retries']} times": (task["retries"] < 1) != (job in NEVER_TRIED_AGAIN),
        "it has no execution_timeout": task["execution_timeout"] is None,
        "it may take longer than its run": (task["execution_timeout"] or 0) > longest,
        f"it is not one quoted command: {task['command']}": command is None,
        f"there is no job {job}": job is not None and job not in JOBS,
        f"it runs in {task['folder']}": task["folder"] != str(ROOT),
    }
    return [sentence for sentence, broken in rules.items() if broken]


@pytest.fixture(scope="module")
def facts(airflow_installed, tmp_path_factory):
    return facts_of(ROOT / "dags", tmp_path_factory.mktemp("airflow"))


def test_airflow_reads_every_file(facts):
    assert facts["errors"] == {}
    assert {dag["id"] for dag in facts["dags"]} == {p.stem for p in (ROOT / "dags").glob("*.py")}


def test_every_dag_keeps_the_policy(facts):
    found = {d["id"]: breaches(d, (ROOT / "dags" / f"{d['file']}.py").read_text()) for d in facts["dags"]}
    assert {dag: sentences for dag, sentences in found.items() if sentences} == {}


def test_the_ranker_is_promoted_only_after_audit_training_and_gate(facts):
    [dag] = [dag for dag in facts["dags"] if dag["id"] == "train_ranker"]
    order = {task["id"]: task["before"] for task in dag["tasks"]}
    chain = ["audit", "training_set", "train", "gate", "promote"]
    assert order == {task: [after] for task, after in pairwise(chain)} | {"promote": []}


def test_the_dags_import_airflow_and_the_standard_library_alone():
    from tests.test_architecture import imports

    for path in (ROOT / "dags").glob("*.py"):
        roots = {name.split(".")[0] for name in imports(path)}
        assert roots <= {"airflow"} | sys.stdlib_module_names, f"{path.name} imports {roots}"
        ours = {name for name in imports(path) if name.startswith("airflow")}
        assert all(name.startswith(("airflow.sdk", "airflow.providers")) for name in ours), (
            f"{path.name} imports {ours}"
        )


def test_the_policy_sees_each_breach(airflow_installed, tmp_path):
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "wrong.py").write_text(WRONG)
    [dag] = facts_of(folder, tmp_path)["dags"]
    assert breaches(dag, WRONG) == [
        "its id another_name is not its file's name wrong",
        "it has no tags",
        "it has no doc_md",
        "it catches up on the past",
        "16 runs of it may be active",
        "it has no dagrun_timeout",
        "it has no parameter domain",
        "it holds something like a secret",
        "task one: it has no owner",
        "task one: it is tried again 0 times",
        "task one: it has no execution_timeout",
        "task one: it is not one quoted command: ./spark-submit.sh gate --model {{ params.domain }}",
        "task one: it runs in None",
        "task two: it has no owner",
        "task two: it is tried again 0 times",
        "task two: it has no execution_timeout",
        "task two: it is not one quoted command: ./spark-submit.sh gate --model $X",
        "task two: it runs in None",
    ]


def test_a_job_that_is_not_there_is_a_breach():
    task = {
        "id": "one",
        "owner": "lakepulse",
        "retries": 1,
        "execution_timeout": 60.0,
        "command": './spark-submit.sh no_such_job --domain "$DOMAIN"',
        "folder": str(ROOT),
    }
    assert task_breaches(task, {"dagrun_timeout": 30.0}) == [
        "it may take longer than its run",
        "there is no job no_such_job",
    ]
