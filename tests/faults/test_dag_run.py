"""The training DAG by the real Airflow and the real jobs: each task is a spark-submit of its own."""

import dataclasses
import shutil

import pytest

from pipelines.io import lake
from pipelines.models.registry import Registry
from pipelines.stack import airflow

NAME = "corner-shop"


@pytest.fixture
def corner_shop(walked, tmp_path):
    """A shop of its own, given as a file, with the history of the walk, whose models stay as they are."""
    shutil.copytree(walked.settings.state / "lake", tmp_path / "state" / "lake")
    settings = dataclasses.replace(
        walked.settings,
        paths=dataclasses.replace(walked.settings.paths, state=str(tmp_path / "state")),
        spark=dataclasses.replace(walked.settings.spark, driver_memory="1g"),
    )
    shipped = (settings.root / "conf" / "domains" / "shop.yml").read_text()
    file = tmp_path / "my shop.yml"
    file.write_text(shipped.replace("name: shop\n", f"name: {NAME}\n"))
    return settings, file


def test_a_run_ends_with_a_champion_and_its_verdict(corner_shop, airflow_installed):
    settings, file = corner_shop
    (run,) = airflow.dags_test(["train_ranker"], {"domain": str(file)}, settings)

    states = [(task.task, task.state) for task in run.tasks]
    chain = ["audit", "training_set", "train", "gate", "promote"]
    assert states == [(task, "success") for task in chain], airflow.last_words(run)
    assert run.succeeded
    champion = Registry(settings.tracking_uri).current(f"{NAME}-ranker")
    verdicts = lake.query(
        settings, f"SELECT accepted, challenger FROM ops.gate_records WHERE model_name = '{NAME}-ranker'"
    )
    assert verdicts.to_dict("records") == [{"accepted": True, "challenger": champion}]
    rows = lake.query(settings, f"SELECT count(*) AS n FROM gold.training_rows WHERE domain = '{NAME}'")
    assert rows["n"][0] > 0
