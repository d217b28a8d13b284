"""Look every day whether p-values of behaviour still hold, and calibrate the models anew where they do not.

| task | what it does | what ends the run here |
|---|---|---|
| recalibrate | compares newer vectors with the calibration, renews it where they differ | no champion yet |

A new calibration takes seconds; `train_outliers` is for when that is not enough.
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
    "retry_delay": timedelta(seconds=30),
    "execution_timeout": timedelta(hours=1),
    "cwd": str(Path(__file__).resolve().parent.parent),
    "env": {"DOMAIN": "{{ params.domain }}"},
    "append_env": True,
}

with DAG(
    dag_id="recalibrate_outliers",
    doc_md=__doc__,
    tags=["calibration", "outliers"],
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    params={"domain": Param(SHOP, type="string", minLength=1, description="name or file of a domain")},
    default_args=JOB,
):
    BashOperator(
        task_id="recalibrate", bash_command='./spark-submit.sh recalibrate_outliers --domain "$DOMAIN"'
    )
