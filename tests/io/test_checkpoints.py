"""One checkpoint has one owner."""

import json
import os
import subprocess
import sys

import pytest

from pipelines.errors import OwnershipError
from pipelines.io import checkpoints

TAKE = (
    "import sys; from pipelines import settings; from pipelines.io import checkpoints; "
    "checkpoints.own(settings.load(), 'q/a')"
)


def take_in_another_process(state):
    environment = os.environ | {"LAKEPULSE__PATHS__STATE": str(state)}
    return subprocess.run(
        [sys.executable, "-c", TAKE], env=environment, capture_output=True, text=True, check=False
    )


def test_a_second_process_is_refused_and_told_who_owns_the_checkpoint(settings):
    checkpoints.own(settings, "q/a")
    try:
        refused = take_in_another_process(settings.state)
    finally:
        checkpoints.disown(settings, "q/a")
    assert refused.returncode != 0
    assert f'"pid": {os.getpid()}' in refused.stderr
    assert "lakepulse down" in refused.stderr


def test_the_same_process_cannot_run_a_query_twice(settings):
    checkpoints.own(settings, "q")
    with pytest.raises(OwnershipError, match="one checkpoint has one running query"):
        checkpoints.own(settings, "q")
    checkpoints.disown(settings, "q")


def test_an_owner_that_is_gone_owns_nothing(settings):
    assert take_in_another_process(settings.state).returncode == 0
    checkpoints.own(settings, "q/a")
    owner = json.loads((settings.state / "checkpoints" / "_owners" / "q.a.json").read_text())
    assert owner["pid"] == os.getpid()
    checkpoints.disown(settings, "q/a")


def test_other_queries_are_free(settings):
    checkpoints.own(settings, "q/a")
    checkpoints.own(settings, "q/b")
    for query in ("q/a", "q/b"):
        checkpoints.disown(settings, query)
