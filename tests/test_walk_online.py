"""The walk's online store: what the stream folded from Kafka is what the replay of silver says, and what
`rebuild_store` makes of bronze, while others read."""

import threading

import pytest

from pipelines import cli
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.features.catalog import ITEM_COLUMNS, Catalog
from pipelines.features.definitions import compile_definitions
from pipelines.features.history import DECISION_COLUMNS, EVENT_COLUMNS, in_arrival_order
from pipelines.features.replay import Replay
from pipelines.io.online_store import open_store
from pipelines.io.stored import StoredRows
from pipelines.settings import variables
from tests.builders_features import records_of, some_vectors
from tests.fixtures_walk import run_job
from tests.jobs.store_runs import contents


@pytest.fixture(scope="module")
def updated(walked, spark):
    """The walk, with its online store filled by the stream."""
    assert run_job("update_online_store", walked.settings, spark, walked.domain) == 0
    return walked


@pytest.fixture(scope="module")
def definitions(walked):
    return compile_definitions(walked.domain)


def test_the_stream_s_states_are_those_of_the_replay_of_silver(updated, spark, definitions):
    rows = StoredRows(spark, updated.settings)
    items = rows.columns(ITEMS, list(ITEM_COLUMNS))
    catalog = Catalog(definitions, some_vectors(items["item_id"].unique().to_pylist()))
    catalog.learn(items)
    replay = Replay(definitions, catalog)
    events = rows.columns(EVENTS, list(EVENT_COLUMNS))
    decisions = rows.columns(DECISIONS, list(DECISION_COLUMNS))
    replay.advance(in_arrival_order(events, decisions, definitions.events))
    with open_store(updated.settings, definitions) as store:
        records, fences = contents(store)
    states = {key: record[8:] for key, record in records.items() if key[:1] in b"eivu"}
    assert sum(fences.values()) == len(updated.sent)
    assert states == records_of(replay)


def test_a_rebuild_gives_the_same_store_while_others_read(updated, spark, definitions):
    done, seen = threading.Event(), set()

    def read():
        with open_store(updated.settings, definitions) as reader:
            key = next(iter(reader.scan(b"u")))[0]
            while not done.is_set():
                seen.add(reader.get_many([key]).get(key))

    with open_store(updated.settings, definitions) as store:
        before, folder = contents(store), (updated.settings.store_path / "current").resolve()
    reading = threading.Thread(target=read)
    reading.start()
    try:
        assert run_job("rebuild_store", updated.settings, spark, updated.domain) == 0
    finally:
        done.set()
        reading.join(30)
    with open_store(updated.settings, definitions) as store:
        assert contents(store) == before
    assert (updated.settings.store_path / "current").resolve() != folder
    assert not folder.exists()
    assert len(seen) == 1
    assert None not in seen


def test_the_verb_shows_what_the_store_holds(updated, monkeypatch, capsys):
    for name, value in variables(updated.settings).items():
        monkeypatch.setenv(name, value)
    assert cli.main(["store"]) == 0
    shown = capsys.readouterr().out
    assert "a million users take" in shown
    assert "interactions: 0 messages behind Kafka" in shown
