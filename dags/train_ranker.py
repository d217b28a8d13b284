"""Train a shop's ranker on its history, and put it in charge if it has shown to be better.

| task | what it does | what ends the run here |
|---|---|---|
| audit | checks silver and gold against their contracts | an expectation that does not hold |
| training_set | labels the decisions and computes the features of their moment | too little history |
| train | trains and registers a new version, the challenger | data that cannot train or judge a model |
| gate | compares challenger and champion, records the verdict | nothing: a refusal skips the promotion |
| promote | gives the challenger the alias `champion` | |

A refused challenger is an answer, not a failure: `gate` and `promote` show as skipped, the run succeeds.
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
    "execution_timeout": timedelta(hours=2),
    "cwd": str(Path(__file__).resolve().parent.parent),
    "env": {"DOMAIN": "{{ params.domain }}"},
    "append_env": True,
}

with DAG(
    dag_id="train_ranker",
    doc_md=__doc__,
    tags=["training", "ranker"],
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    params={"domain": Param(SHOP, type="string", minLength=1, description="name or file of a domain")},
    default_args=JOB,
):
    # A failed audit is a finding and stays one: a retry would only delay it.
    audit = BashOperator(
        task_id="audit", bash_command='./spark-submit.sh audit_quality --domain "$DOMAIN"', retries=0
    )
    training_set = BashOperator(
        task_id="training_set", bash_command='./spark-submit.sh build_training_set --domain "$DOMAIN"'
    )
    train = BashOperator(task_id="train", bash_command='./spark-submit.sh train_ranker --domain "$DOMAIN"')
    gate = BashOperator(
        task_id="gate", bash_command='./spark-submit.sh gate --model "$DOMAIN-ranker"', skip_on_exit_code=99
    )
    promote = BashOperator(
        task_id="promote", bash_command='./spark-submit.sh promote --model "$DOMAIN-ranker"'
    )
    chain(audit, training_set, train, gate, promote)
