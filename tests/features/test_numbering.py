"""Users' records in few bytes: what is packed comes back as it was, whatever the record holds."""

import contextlib
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.errors import FeatureError
from pipelines.features import shapes
from pipelines.features.definitions import compile_definitions
from pipelines.features.numbering import BLOCK, UserRecords
from pipelines.features.shapes import shape_of
from pipelines.io.packing import FORMAT
from tests.builders_features import HOUR, NOW, a_history, a_replay, a_user_record
from tests.features.test_laws import DEFINITIONS, ITEMS, QUICK, happenings, in_order

SETTINGS = settings_module.load(environ={})
DOMAINS = ["shop", "ranklens"]
WORDS = DEFINITIONS.layouts.user.itemsize // 8
HEAD = bytes.fromhex(DEFINITIONS.layouts.hash)
words = st.one_of(
    st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**63 - 1, -(2**63)])
)


def users_of(made):
    """Words of the users of a history, a row each."""
    replay = a_replay(DEFINITIONS, ITEMS)
    replay.advance(a_history(in_order(made), DEFINITIONS))
    return replay.states.users[: replay.users.count].copy()


def recorded(rows):
    return [HEAD + row.tobytes() for row in rows]


def learnt(records, definitions=DEFINITIONS):
    packing = UserRecords(definitions)
    packing.learn(records)
    return packing


@pytest.mark.parametrize(
    "definitions", [DEFINITIONS, *(compile_definitions(load_domain(d, SETTINGS)) for d in DOMAINS)]
)
def test_every_word_is_in_one_section(definitions):
    shape, met = shape_of(definitions), np.zeros(definitions.layouts.user.itemsize // 8, np.int64)
    for kind, at, size, _, _, block, _ in shape.sections:
        more = {
            shapes.WORDS: size,
            shapes.WINDOW: 1 + size,
            shapes.SKETCH: 1 + size,
            shapes.RING: 1 + 2 * size,
        }
        met[at : at + more.get(int(kind), size * (2 + block))] += 1
    assert (met == 1).all()


@QUICK
@given(happenings)
def test_records_of_any_history_come_back_from_few_bytes(made):
    records = recorded(users_of(made))
    packing = learnt(records)
    for record in records:
        small = packing.packed(record)
        assert small is not None
        assert packing.unpacked(small) == record
        assert len(small) < len(record) // 4


@settings(max_examples=150, deadline=None)
@given(happenings, st.lists(st.tuples(st.integers(0, WORDS - 1), words), max_size=30))
def test_whatever_words_a_record_holds_they_come_back_or_it_is_refused(made, changes):
    rows = np.vstack([users_of(made), np.zeros((1, WORDS), np.int64)])
    for place, word in changes:
        rows[:, place] = word
    records = recorded(rows)
    packing = learnt(records)
    for record in records:
        small = packing.packed(record)
        assert small is None or packing.unpacked(small) == record


@settings(max_examples=150, deadline=None)
@given(happenings, st.binary(max_size=400))
def test_bytes_that_are_no_record_do_no_harm(made, damaged):
    packing, found = learnt(recorded(users_of(made))), None
    with contextlib.suppress(FeatureError):
        found = packing.unpacked(damaged)
    assert found is None or len(found) == 8 * (1 + WORDS)


def test_a_record_of_another_layout_is_refused():
    packing = UserRecords(DEFINITIONS)
    record = HEAD + bytes(8 * WORDS)
    assert packing.packed(record) is not None
    assert packing.packed(record + bytes(8)) is None
    assert packing.packed(bytes(8) + record[8:]) is None


def test_who_takes_the_blocks_reads_what_others_packed():
    writer, reader = UserRecords(DEFINITIONS), UserRecords(DEFINITIONS)
    hashes = np.random.default_rng(1).integers(1, 2**63, 3 * BLOCK + 7)
    for first in range(0, hashes.size, 100):
        before = writer.count
        records = [a_user_record(DEFINITIONS, number) for number in hashes[first : first + 100]]
        writer.learn(records)
        small = writer.packed(records[-1])
        with pytest.raises(FeatureError, match="items without a number"):
            reader.unpacked(small)
        blocks = dict(writer.blocks(before))
        assert set(reader.lacking(writer.count)) == set(blocks)
        reader.take([blocks[place] for place in sorted(blocks)])
        assert reader.unpacked(small) == records[-1]
    assert writer.count == reader.count == hashes.size
    assert list(writer.blocks(writer.count)) == []
    assert list(reader.lacking(reader.count)) == []


def test_an_item_without_a_number_is_not_packed():
    assert UserRecords(DEFINITIONS).packed(a_user_record(DEFINITIONS, 7)) is None


def test_stores_that_are_there_can_still_be_read():
    """Bytes of another form need another FORMAT in `io.packing`: then put the new ones here."""
    times = range(NOW, NOW + 5 * HOUR, HOUR)
    made = [
        {
            "user_id": "ann",
            "item_id": f"i{n % 3}",
            "event_type": "click",
            "event_time": at,
            "event_id": f"e{n}",
        }
        for n, at in enumerate(times)
    ]
    records = recorded(users_of(made))
    small = learnt(records).packed(records[0])
    assert (FORMAT, hashlib.sha256(small).hexdigest()[:16]) == (1, "b1c7195542a564ed")
