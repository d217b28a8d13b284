"""Kill the stream of the online store with SIGKILL again and again, run two at once, lose checkpoints: the
states are those of one clean run."""

import shutil
import time

import numpy as np
import pytest

from tests import apart
from tests.jobs.store_runs import installed, lines


@pytest.fixture
def installation(tmp_path, kafka_broker):
    with installed(tmp_path, kafka_broker) as made:
        yield made


def test_killed_at_any_moment_each_message_is_folded_once(installation, tmp_path):
    chance, sent, done = np.random.default_rng(3), lines(30_000), 0
    for round_ in range(6):
        before, stream = installation.folded(), installation.start()
        for _ in range(int(chance.integers(2, 6))):
            size = int(chance.integers(500, 1_500))
            installation.send(sent[done : done + size])
            done += size
            time.sleep(chance.random() * 0.5)
        installation.wait_for(before, stream)
        apart.kill(stream)
        if round_ % 2:
            shutil.rmtree(installation.settings.checkpoints, ignore_errors=True)
    installation.send(sent[done:])
    installation.finish()
    assert installation.folded() == len(sent)
    assert installation.held() == installation.clean_run(tmp_path / "clean")


def test_two_at_once_fold_each_message_once(installation, tmp_path):
    sent = lines(20_000)
    streams = [
        installation.start(LAKEPULSE__PATHS__CHECKPOINTS=str(tmp_path / f"checkpoints-{number}"))
        for number in range(2)
    ]
    for start in range(0, len(sent), 1_000):
        installation.send(sent[start : start + 1_000])
        time.sleep(0.5)
    installation.wait_for(len(sent) - 1, streams[0])
    assert all(stream.poll() is None for stream in streams)
    for stream in streams:
        apart.kill(stream)
    assert installation.held() == installation.clean_run(tmp_path / "clean")
