"""A query that waits for what it needs looks like any other query, and can be stopped, awaited and seen to
fail."""

import threading

import pytest

from pipelines.errors import OwnershipError
from pipelines.late import LateQuery


@pytest.fixture
def clock(spark):
    """Starts a query of one row a second that does nothing with it."""
    started = []

    def start():
        rows = spark.readStream.format("rate").load()
        started.append(rows.writeStream.foreachBatch(lambda frame, batch: None).start())
        return started[-1]

    yield start
    for query in started:
        query.stop()


def test_it_runs_at_once_when_it_is_ready(clock):
    query = LateQuery("clock", lambda: True, clock)
    assert query.isActive
    assert query.exception() is None
    query.stop()
    assert not query.isActive


def test_it_waits_until_it_is_ready(clock):
    ready, asked = threading.Event(), threading.Event()

    def is_ready():
        asked.set()
        return ready.is_set()

    query = LateQuery("clock", is_ready, clock, pause_s=0.01)
    assert asked.is_set()
    assert query.isActive
    assert query.awaitTermination(0) is False
    ready.set()
    assert query._done.wait(30)
    assert query.isActive, "now it runs"
    query.stop()
    assert query.awaitTermination(10) is True


def test_it_can_be_stopped_while_it_waits():
    query = LateQuery("clock", lambda: False, lambda: pytest.fail("it must not start"), pause_s=60)
    query.stop()
    assert not query.isActive
    assert query.exception() is None
    assert query.awaitTermination(1) is True


def test_once_it_is_asked_one_time_only():
    asked = []
    query = LateQuery(
        "clock", lambda: bool(asked.append(1)), lambda: pytest.fail("it must not start"), once=True
    )
    assert asked == [1]
    assert not query.isActive
    assert query.awaitTermination() is True


def test_what_it_fails_with_is_told():
    answers = iter([False, True])

    def refuse():
        raise OwnershipError("another process runs it")

    query = LateQuery("clock", lambda: next(answers), refuse, pause_s=0.01)
    assert query.awaitTermination(30) is True
    assert not query.isActive
    assert "another process" in str(query.exception())
    with pytest.raises(OwnershipError):
        LateQuery("clock", lambda: True, refuse)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_while_it_waits_is_told_too():
    answers = iter([False])  # the second question finds no answer

    query = LateQuery("clock", lambda: next(answers), lambda: None, pause_s=0.01)
    assert query.awaitTermination(30) is True
    assert "died while it waited" in str(query.exception())
    for thread in threading.enumerate():  # its death is reported inside this test, not in the next one
        if thread.name == "waiting-clock":
            thread.join(30)
