"""What other processes do with a store, in a module that they import quickly."""

from pipelines.io.lmdb_store import LmdbStore

VERSION = "0123456789abcdef"
PLACE = ("interactions", 0)


def key(number, kind=b"u"):
    """The key of a record."""
    return kind + number.to_bytes(8, "big")


def read_when_told(root, pipe):
    with LmdbStore(root, VERSION, readonly=True) as store:
        pipe.send(store.get_many([key(1)]).get(key(1)))
        number = pipe.recv()
        pipe.send(store.get_many([key(number)]).get(key(number)))


def write_for_ever(root):
    with LmdbStore(root, VERSION, readonly=False) as store:
        while True:
            fences = store.fences()
            number = fences.get(PLACE, 0) + 1
            store.write({key(n): number.to_bytes(8, "big") for n in range(50)}, {PLACE: number}, fences)
