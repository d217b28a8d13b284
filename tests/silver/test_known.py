"""Known ids against a list of them."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.silver.known import KnownIds, identities

ROWS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 50)), max_size=12)


def arrays(rows):
    return np.array([r[0] for r in rows], np.int64), np.array([r[1] for r in rows], np.int64)


@given(st.lists(ROWS, max_size=6), ROWS, st.integers(0, 10))
def test_a_row_is_near_when_some_known_row_of_its_id_is(batches, asked, within):
    known = KnownIds()
    for batch in batches:
        known.add(*arrays(batch))
    every = [row for batch in batches for row in batch]
    expected = [any(i == j and abs(t - u) <= within for j, u in every) for i, t in asked]
    assert known.near(*arrays(asked), within).tolist() == expected
    assert len(known) == len(every)


@given(st.lists(ROWS, max_size=6), ROWS, st.integers(0, 50))
def test_what_is_before_the_horizon_is_forgotten(batches, asked, horizon):
    known = KnownIds()
    for batch in batches:
        known.add(*arrays(batch))
    known.forget_before(horizon)
    every = [(i, t) for batch in batches for i, t in batch if t >= horizon]
    assert known.horizon_ms == horizon
    assert known.near(*arrays(asked), 3).tolist() == [
        any(i == j and abs(t - u) <= 3 for j, u in every) for i, t in asked
    ]


def test_an_id_is_the_same_number_in_every_process():
    assert (
        identities(pa.array(["e1", "e2"])).tolist() == identities(pa.chunked_array([["e1"], ["e2"]])).tolist()
    )
    assert identities(pa.array(["e1"])).tolist() != identities(pa.array(["e2"])).tolist()
