"""The stream of the online store on the real broker: killed and started again, it has folded each message
once. More kills are in tests/faults/test_store_kills.py."""

import shutil

import pytest

from tests import apart
from tests.fixtures_walk import run_job
from tests.jobs.store_runs import installed, lines


@pytest.fixture
def installation(tmp_path, kafka_broker):
    with installed(tmp_path, kafka_broker) as made:
        yield made


def test_killed_and_without_its_checkpoint_it_goes_on_where_the_store_is(installation, spark, tmp_path):
    sent = lines(6_000)
    installation.send(sent[:3_000])
    stream = installation.start()
    installation.wait_for(0, stream)
    installation.send(sent[3_000:])
    installation.wait_for(3_000, stream)
    apart.kill(stream)
    shutil.rmtree(installation.settings.checkpoints)
    assert run_job("update_online_store", installation.settings, spark, installation.domain) == 0
    assert installation.folded() == len(sent)
    assert installation.held() == installation.clean_run(tmp_path / "clean")
