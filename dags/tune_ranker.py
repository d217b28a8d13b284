"""Search better settings for a shop's ranker, when asked to, and put the winner in charge if it is better.

| task | what it does | what ends the run here |
|---|---|---|
| tune | goes on with the study of the newest rows, registers the winner | rows that cannot train |
| gate | compares challenger and champion, records the verdict | nothing: a refusal skips the promotion |
| promote | gives the challenger the alias `champion` | |

A run that was stopped loses nothing: while the training rows stay as they are, the next one goes on with the
same study. `trials` is the budget of the whole study, `minutes` of this run.
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
    "execution_timeout": timedelta(hours=10),
    "cwd": str(Path(__file__).resolve().parent.parent),
    "env": {
        "DOMAIN": "{{ params.domain }}",
        "TRIALS": "{{ params.trials }}",
        "MINUTES": "{{ params.minutes }}",
    },
    "append_env": True,
}
COMMAND = './spark-submit.sh tune_ranker --domain "$DOMAIN" --trials "$TRIALS" --minutes "$MINUTES"'

with DAG(
    dag_id="tune_ranker",
    doc_md=__doc__,
    tags=["training", "ranker"],
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=11),
    params={
        "domain": Param(SHOP, type="string", minLength=1, description="name or file of a domain"),
        "trials": Param(50, type="integer", minimum=1),
        "minutes": Param(60, type="integer", minimum=0),
    },
    default_args=JOB,
):
    tune = BashOperator(task_id="tune", bash_command=COMMAND)
    gate = BashOperator(
        task_id="gate", bash_command='./spark-submit.sh gate --model "$DOMAIN-ranker"', skip_on_exit_code=99
    )
    promote = BashOperator(
        task_id="promote", bash_command='./spark-submit.sh promote --model "$DOMAIN-ranker"'
    )
    chain(tune, gate, promote)
