"""Acts for tests of behaviour vectors: rows as `arrivals` gives them, made without Spark."""

import pyarrow as pa

from pipelines.anomalies.acts import TEXTS, Recent, parted
from pipelines.anomalies.behaviour import NAMES, Kind, vectors

HOUR = 3600.0
HISTORY_MS = 24 * 3_600_000
DAY_0 = 20_000 * 24 * HOUR  # a midnight
LETTERS = [*TEXTS.values()]


def act(seconds, kind="view", user_id="ann", **more):
    """An act so many seconds after a midnight; what is not named is unknown."""
    row = {"at": round((DAY_0 + seconds) * 1000), "kind": kind, "user_id": user_id} | more
    return row if "id" in row else row | {"id": repr(sorted(row.items()))}


def change(seconds, item_id, category):
    """A version of an item."""
    return {"at": round((DAY_0 + seconds) * 1000), "item_id": item_id, "category": category}


def table(rows):
    """The rows as Arrow."""
    texts = ["id", "kind", "category", *(name for name in LETTERS if name != "event_type")]
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in texts}
    columns |= {name: pa.array([row.get(name) for row in rows], pa.int64()) for name in ("at", "money")}
    return pa.table(columns | {"shown": pa.array([row.get("shown") for row in rows], pa.int32())})


def known(rows):
    """Memory that holds the rows."""
    recent = Recent()
    recent.add(*parted(table(rows)))
    return recent


def found(rows, kind="user/5", windows=None, history_ms=HISTORY_MS):
    """The vectors of all windows, or of some, by entity and number of the window from the first midnight."""
    recent, kind = known(rows), Kind.of(kind)
    acts = recent.between(-(2**60), 2**60)
    first = round(DAY_0 * 1000) // kind.length
    own = sorted({int(at) // kind.length for at in acts["at"]})
    chosen = own if windows is None else [first + number for number in windows]
    import numpy as np

    made = vectors(recent, kind, np.array(chosen, np.int64), history_ms, 1)
    return {
        (row["entity_id"], int(row["window_start"].timestamp() * 1000) // kind.length - first): row
        for row in made.to_pylist()
    }


def the_vector(*rows, kind="user/5", of="ann", window=0, history_ms=HISTORY_MS):
    """One vector as a dictionary by name."""
    row = found(rows, kind, history_ms=history_ms)[(of, window)]
    return dict(zip(NAMES, row["vector"], strict=True))
