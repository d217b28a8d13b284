"""Keep lake and store quick and sound: fold small files, audit silver and gold, compare what was served with
what is trained, purge the store.

| task | what it does | what a failure means |
|---|---|---|
| compact | folds small files into larger ones | tables stay correct and get slower to read |
| audit | checks silver and gold against their contracts | an expectation does not hold, see the Data Docs |
| parity | compares served features with what training has replayed since | some are served otherwise |
| purge | builds the online store anew without what is held out, when that has changed | the old one stays |

They do not wait for each other's success, but run one at a time: each wants the whole machine.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

SHOP = os.environ.get("LAKEPULSE_DOMAIN", "shop")
JOB = {
    "owner": "lakepulse",
    "retries": 1,
    "retry_delay": timedelta(minutes=1),
    "execution_timeout": timedelta(minutes=30),
    "cwd": str(Path(__file__).resolve().parent.parent),
    "env": {"DOMAIN": "{{ params.domain }}"},
    "append_env": True,
}

with DAG(
    dag_id="upkeep",
    doc_md=__doc__,
    tags=["upkeep"],
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    dagrun_timeout=timedelta(hours=1),
    params={"domain": Param(SHOP, type="string", minLength=1, description="name or file of a domain")},
    default_args=JOB,
):
    BashOperator(task_id="compact", bash_command="./spark-submit.sh compact_tables")
    # What audit and parity find is a finding and stays one: a retry would only delay it, or hide it.
    BashOperator(
        task_id="audit", bash_command='./spark-submit.sh audit_quality --domain "$DOMAIN"', retries=0
    )
    BashOperator(
        task_id="parity", bash_command='./spark-submit.sh check_parity --domain "$DOMAIN"', retries=0
    )
    BashOperator(task_id="purge", bash_command='./spark-submit.sh rebuild_store --purge --domain "$DOMAIN"')
