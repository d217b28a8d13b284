"""Train the detector that finds unusual behaviour in a shop, and put it in charge when the gate accepts it.

| task | what it does | what ends the run here |
|---|---|---|
| train | trains and registers a new version, the challenger | too little behaviour to learn from |
| gate | judges the challenger, records the verdict | nothing: a refusal skips the promotion |
| promote | gives the challenger the alias `champion` | |
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, chain

SHOP = os.environ.get("LAKEPULSE_DOMAIN", "shop")
JOB = {
    "owner": "lakepulse",
    "retries": 1,
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(hours=1),
    "cwd": str(Path(__file__).resolve().parent.parent),
    "env": {"DOMAIN": "{{ params.domain }}"},
    "append_env": True,
}

with DAG(
    dag_id="train_outliers",
    doc_md=__doc__,
    tags=["training", "outliers"],
    schedule="@weekly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=3),
    params={"domain": Param(SHOP, type="string", minLength=1, description="name or file of a domain")},
    default_args=JOB,
):
    train = BashOperator(task_id="train", bash_command='./spark-submit.sh train_outliers --domain "$DOMAIN"')
    gate = BashOperator(
        task_id="gate", bash_command='./spark-submit.sh gate --model "$DOMAIN-outliers"', skip_on_exit_code=99
    )
    promote = BashOperator(
        task_id="promote", bash_command='./spark-submit.sh promote --model "$DOMAIN-outliers"'
    )
    chain(train, gate, promote)
