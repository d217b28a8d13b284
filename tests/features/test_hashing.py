"""Ids are hashed by XXH64, as published."""

import pyarrow as pa
import pytest

from pipelines.features.hashing import hash_text, hash_texts

PUBLISHED = [
    ("", 0, 0xEF46DB3751D8E999),
    ("a", 0, 0xD24EC4F1A98C6E5B),
    ("abc", 0, 0x44BC2CF5AD770999),
    ("Nobody inspects the spammish repetition", 0, 0xFBCEA83C8A378BF1),
    ("xxhash", 20141025, 0xB559B98D844E0635),
]


@pytest.mark.parametrize(("text", "seed", "digest"), PUBLISHED)
def test_hashes_are_those_of_the_specification(text, seed, digest):
    assert hash_text(text, seed) % 2**64 == digest


def test_a_column_is_hashed_row_by_row_whatever_its_chunks_and_slices():
    texts = ["", "ä", "日本" * 30, "x" * 31, "x" * 32, "x" * 33, None]
    column = pa.chunked_array([pa.array(["skipped", *texts])[1:], pa.array([], pa.string()), pa.array(texts)])
    alone = [hash_text(text or "") for text in texts]
    assert hash_texts(column).tolist() == alone * 2


def test_another_seed_gives_other_hashes():
    assert hash_text("drama", hash_text("genres")) != hash_text("drama", hash_text("tags"))
