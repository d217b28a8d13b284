"""Words of texts, as items and queries are compared by them."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from pipelines.features.ids import hash_list
from pipelines.features.program import Ints

WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The words of a text in any script: letters and digits, without case or ways of writing one character.

    >>> words("Ärmel-lose T-Shirts, 2er")
    ['ärmel', 'lose', 't', 'shirts', '2er']
    """
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def phrase(text: str) -> list[str]:
    """The words of a short name (a tag, a category), and the name itself where it has several.

    >>> phrase("Science Fiction")
    ['science', 'fiction', 'science fiction']
    """
    found = words(text)
    return [*found, " ".join(found)] if len(found) > 1 else found


def hashed(terms: list[str]) -> Ints:
    """The hash of each term."""
    return hash_list(terms)


def query_terms(text: str | None) -> Ints:
    """Hashes of the different terms of a query, in order of the hash: its words, and the whole where it has
    several."""
    return np.unique(hashed(phrase(text))) if text else np.zeros(0, np.int64)
