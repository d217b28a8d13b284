"""Delta tables as everything else writes them: repeatable, exclusive, revisioned."""

import datetime
import multiprocessing
import time

import pytest

from pipelines.contracts.gold import USER_PROFILES
from pipelines.contracts.ops import STREAM_PROGRESS
from pipelines.contracts.table import Table
from pipelines.contracts.types import LONG, TEXT, columns
from pipelines.errors import ContractError
from pipelines.io import delta
from pipelines.io.delta import Batch

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def progress(spark, *batch_ids):
    return spark.createDataFrame([("q", i, AT, {"consumed": i}) for i in batch_ids], STREAM_PROGRESS.schema)


def stored(spark, settings):
    return sorted(r["batch_id"] for r in delta.read(spark, settings, STREAM_PROGRESS).collect())


@pytest.mark.parametrize("is_small", [True, False], ids=["without a Spark job", "with a Spark job"])
def test_a_batch_that_is_repeated_after_a_restart_is_written_once(spark, settings, is_small):
    first_run = [Batch("q:uuid", 0, True, is_small), Batch("q:uuid", 1, False, is_small)]
    for batch in first_run:
        assert delta.append_once(progress(spark, batch.id), STREAM_PROGRESS, settings, batch) == 1
    assert (
        delta.append_once(progress(spark, 1), STREAM_PROGRESS, settings, Batch("q:uuid", 1, True, is_small))
        == 0
    )
    assert (
        delta.append_once(progress(spark, 2), STREAM_PROGRESS, settings, Batch("q:uuid", 2, True, is_small))
        == 1
    )
    assert stored(spark, settings) == [0, 1, 2]


def test_commits_of_others_in_between_do_not_hide_a_repeat(spark, settings):
    delta.append_once(progress(spark, 7), STREAM_PROGRESS, settings, Batch("q:uuid", 7, True))
    delta.append(progress(spark, 100), STREAM_PROGRESS, settings)
    delta.append_once(progress(spark, 200), STREAM_PROGRESS, settings, Batch("other:uuid", 9, True))
    delta.compact(spark, settings, STREAM_PROGRESS)
    assert delta.append_once(progress(spark, 7), STREAM_PROGRESS, settings, Batch("q:uuid", 7, True)) == 0
    assert stored(spark, settings) == [7, 100, 200]


def test_a_new_checkpoint_of_the_same_query_is_another_writer(spark, settings):
    delta.append_once(progress(spark, 0), STREAM_PROGRESS, settings, Batch("q:old", 0, True))
    assert delta.append_once(progress(spark, 1), STREAM_PROGRESS, settings, Batch("q:new", 0, True)) == 1


def test_rows_without_a_column_of_the_contract_are_refused_by_name(spark, settings):
    with pytest.raises(ContractError, match=r"ops.stream_progress lack \['counts'\]"):
        delta.append(progress(spark, 1).drop("counts"), STREAM_PROGRESS, settings)


def test_readers_get_the_latest_revision_of_each_key(spark, settings):
    rows = [("a", 1, 10), ("b", 1, 5), ("a", 3, 30), ("a", 2, 20)]
    table = Table(
        "gold.test_revisions",
        columns(user_id=TEXT, revision=LONG, events=LONG),
        ("user_id",),
        revisioned=True,
    )
    delta.append(spark.createDataFrame(rows, table.schema), table, settings)
    assert sorted(map(tuple, delta.latest(spark, settings, table).collect())) == [("a", 3, 30), ("b", 1, 5)]


def test_replace_touches_nothing_but_its_predicate(spark, settings):
    delta.append(progress(spark, 1, 2, 3), STREAM_PROGRESS, settings)
    delta.replace(progress(spark, 3), STREAM_PROGRESS, settings, "batch_id >= 2")
    assert stored(spark, settings) == [1, 3]


def test_compaction_is_invisible_to_a_stream(spark, settings):
    for number in range(4):
        delta.append(progress(spark, number), STREAM_PROGRESS, settings)
    seen = []

    def write(rows, batch):
        found = [r["batch_id"] for r in rows.collect()]
        seen.extend(found)
        return len(found)

    def run():
        query = delta.start(
            delta.stream(spark, settings, STREAM_PROGRESS), write, settings, "reader", trigger_ms=0, once=True
        )
        assert query.awaitTermination(60)
        assert query.exception() is None
        delta.checkpoints.disown(settings, "reader")

    run()
    delta.compact(spark, settings, STREAM_PROGRESS)
    delta.append(progress(spark, 9), STREAM_PROGRESS, settings)
    run()
    assert sorted(seen) == [0, 1, 2, 3, 9]


def _hold(settings, held, released):
    with delta.lock(settings, USER_PROFILES):
        held.set()
        time.sleep(0.5)
        released.value = time.time()


def test_two_processes_do_not_write_a_local_table_at_once(settings):
    spawn = multiprocessing.get_context("spawn")
    held, released = spawn.Event(), spawn.Value("d", 0.0)
    other = spawn.Process(target=_hold, args=(settings, held, released))
    other.start()
    assert held.wait(30)
    with delta.lock(settings, USER_PROFILES):
        got = time.time()
    other.join()
    assert 0 < released.value <= got
