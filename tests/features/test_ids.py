"""Ids hashed without Arrow, and histories made without tables, are those made with."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.features.hashing import hash_text, hash_texts
from pipelines.features.history import joined, of_one
from pipelines.features.ids import hash_id, hash_list
from pipelines.features.program import DECISION_CODE
from tests.builders_features import NOW, a_decision, a_history, an_event, definitions_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(deadline=None)  # the first call compiles
@given(st.lists(texts, max_size=20))
def test_hashes_are_the_same(ids):
    np.testing.assert_array_equal(hash_list(ids), hash_texts(pa.array(ids, pa.string())))
    for one in ids:
        assert hash_id(one) == hash_text(one)


@pytest.fixture(scope="module")
def rows():
    asks = {"event_id": "e2", "user_id": "bob", "item_id": None, "query": "Red shoes"}
    return [
        an_event(event_id="e1", user_id="ann", item_id="i3", event_time=NOW, arrived_at=NOW),
        an_event(**asks, event_time=NOW + 1, arrived_at=NOW + 5),
        a_decision(items=["i1", "i2"], event_time=NOW + 9, arrived_at=NOW + 9),
    ]


def test_histories_made_one_by_one_are_those_of_tables(rows):
    definitions = definitions_of()
    whole = a_history(rows, definitions)
    made = []
    for row in rows:
        about = {"user_id": row["user_id"], "query": row.get("query")}
        time, arrived = row["event_time"], row["arrived_at"]
        if "items" in row:
            parts = {"event_id": row["decision_id"], "items": row["items"]}
            made.append(of_one(DECISION_CODE, arrived, time=time, **about, **parts))
        else:
            parts = {"event_id": row["event_id"], "item_id": row["item_id"]}
            made.append(of_one(definitions.events[row["event_type"]], arrived, time=time, **about, **parts))
    together = joined(made)
    for name in ("times", "arrived", "codes", "users", "ids", "items"):
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name), name)
    for i in range(len(rows)):
        for which, kept in (("lists", "listed"), ("queries", "terms")):
            found = [
                getattr(h, kept)[getattr(h, f"{which}_from")[i] : getattr(h, f"{which}_to")[i]]
                for h in (together, whole)
            ]
            np.testing.assert_array_equal(*found)
