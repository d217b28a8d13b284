"""Prints, as JSON, what Airflow itself reads from a folder of DAGs. Runs under Airflow's own Python."""

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag


def seconds(duration):
    return None if duration is None else duration.total_seconds()


def task_facts(task):
    return {
        "id": task.task_id,
        "owner": task.owner,
        "operator": type(task).__name__,
        "retries": task.retries,
        "execution_timeout": seconds(task.execution_timeout),
        "command": getattr(task, "bash_command", None),
        "folder": getattr(task, "cwd", None),
        "before": sorted(task.downstream_task_ids),
    }


def dag_facts(dag):
    return {
        "id": dag.dag_id,
        "file": Path(dag.fileloc).stem,
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "dagrun_timeout": seconds(dag.dagrun_timeout),
        "params": sorted(dag.params),
        "tasks": [task_facts(task) for task in dag.tasks],
    }


bag = DagBag(dag_folder=sys.argv[1])
print(json.dumps({"errors": bag.import_errors, "dags": [dag_facts(dag) for dag in bag.dags.values()]}))
