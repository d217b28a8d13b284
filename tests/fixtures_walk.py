"""One small walk, made once for the whole run of the suite: the simulated shop through every table and both
models."""

import argparse
import inspect
from dataclasses import dataclass

import pytest

from pipelines import settings as settings_module
from pipelines.domain import Domain, load_domain
from pipelines.io import checkpoints
from pipelines.io.producer import Sender
from pipelines.io.replay import TOPICS, ArrivalClock, Pace, Replay
from pipelines.session import Lender
from pipelines.settings import Settings
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

RECORDS = 24_000


@dataclass(frozen=True)
class Walk:
    """What a walk leaves: the settings of its installation, its domain, and the records that were sent."""

    settings: Settings
    domain: Domain
    sent: list[bytes]


def run_job(name, settings, spark, domain, **options):
    """Run a job in this process as its own would, to its end; its exit code."""
    job = __import__(f"jobs.{name}", fromlist=["run"])
    parser = argparse.ArgumentParser()
    if hasattr(job, "arguments"):
        job.arguments(parser)
    args = parser.parse_args(
        ["--model", options["model"]] if hasattr(job, "arguments") and "model" in options else []
    )
    for option, value in {"domain": domain, "once": True, "profile": "local", **options}.items():
        setattr(args, option, value)
    asks_for_spark = inspect.signature(job.run).parameters["spark"].annotation is Lender
    result = job.run(settings, (lambda: spark) if asks_for_spark else spark, args)
    if not isinstance(result, list):
        return result or 0
    for query in result:
        assert query.awaitTermination(240), f"{query.name} did not end"
        assert query.exception() is None
        checkpoints.disown(settings, query.name)
    return 0


@pytest.fixture(scope="session")
def walked(spark, kafka_broker, mlflow_server, tmp_path_factory) -> Walk:
    """A walk of the simulated shop; tests read it and leave it as it is."""
    kafka_broker.empty_topics()
    settings = settings_module.load(
        environ={},
        overrides={
            "paths": {"state": str(tmp_path_factory.mktemp("walk"))},
            "kafka": {"bootstrap": kafka_broker.bootstrap},
            "mlflow": {"tracking_uri": mlflow_server.uri},
            "training": {"rounds": 60, "min_child_weight": 10.0},
        },
    )
    domain = load_domain("shop", settings)
    sent = [line for chunk in records(ShopConfig(users=600, items=300), RECORDS) for line in chunk.lines]
    sender = Sender(settings, TOPICS)
    Replay(sender, domain, ArrivalClock(settings.silver.future_minutes * 60_000), Pace(0)).run(sent)
    sender.flush()
    assert sender.failed == 0, sender.first_failure
    for job in ("land_bronze", "refine_silver", "publish_gold", "watch_behaviour"):
        assert run_job(job, settings, spark, domain) == 0
    for job in ("build_training_set", "train_ranker", "train_outliers"):
        assert run_job(job, settings, spark, domain) == 0
    for model in ("ranker", "outliers"):
        for job in ("gate", "promote"):
            assert run_job(job, settings, spark, domain, model=f"shop-{model}") == 0
    for job in ("score_stream", "watch_outliers"):
        assert run_job(job, settings, spark, domain) == 0
    return Walk(settings, domain, sent)
