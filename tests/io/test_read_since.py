"""A store that notes what changes tells who has read it before what to read again."""

import pytest

from pipelines.io.changes import GENERATIONS
from pipelines.io.lmdb_store import LmdbStore
from tests.io.store_processes import PLACE, VERSION, key


@pytest.fixture
def store(tmp_path):
    with LmdbStore(tmp_path / "store", VERSION, readonly=False) as opened:
        yield opened


def write(store, *keys):
    fences = store.fences()
    store.write({one: b"new" for one in keys}, {PLACE: fences.get(PLACE, 0) + 1}, fences)


def since(store, generation):
    """(what is told to have changed, the snapshot)."""
    told = []

    def lacking(changed):
        told.append(changed)
        return [key(1, b"i")]

    snapshot = store.read_since(generation, lacking)
    return told[0], snapshot


def test_changes_of_items_and_values_are_told_and_those_of_users_are_not(store):
    write(store, key(1, b"i"), key(7))
    changed, first = since(store, None)
    assert changed is None, "who has read nothing yet has to read everything"
    assert first.records == {key(1, b"i"): b"new"}
    assert since(store, first.generation)[0] == b""
    write(store, key(2, b"v"), key(8))
    write(store, key(1, b"i"))
    changed, second = since(store, first.generation)
    assert changed == key(2, b"v") + key(1, b"i")
    assert second.fences == {PLACE: 3}
    assert since(store, second.generation)[0] == b""


def test_a_reader_of_long_ago_or_of_another_store_reads_everything(store, tmp_path):
    write(store, key(1, b"i"))
    _, first = since(store, None)
    for _ in range(GENERATIONS):
        write(store, key(2, b"i"))
    assert since(store, first.generation)[0] is None
    with LmdbStore(tmp_path / "other", VERSION, readonly=False) as other:
        write(other, key(1, b"i"))
        assert since(store, since(other, None)[1].generation)[0] is None


def test_a_transaction_that_changes_very_much_is_told_as_anything(store, monkeypatch):
    monkeypatch.setattr("pipelines.io.changes._MANY", 20)
    write(store, key(1, b"i"))
    _, first = since(store, None)
    write(store, *(key(n, b"i") for n in range(5)))
    assert since(store, first.generation)[0] is None
