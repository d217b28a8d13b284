"""Vectors of items, as the batch step leaves them: one object that a model carries, arrays only, named by its
content."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import FeatureError
from pipelines.features.abreast import LANES
from pipelines.features.program import Ints
from pipelines.features.vectors_kernel import BEHAVIOUR, IMAGE, SPACES, TEXT, Spaces

Singles = npt.NDArray[np.float32]
FORMAT = 1
ALWAYS = -(2**62)
"""Start of the first block: before every decision."""


@dataclass(frozen=True)
class Vectors:
    """Vectors of the items with the hashes `item_keys` (ascending), and what compares a query with them.

    What was learnt from behaviour comes in blocks: block b was fitted on what had arrived before `blocks[b]`
    (ms) and is used for decisions from then on, so no decision is read with vectors that know of its outcome.
    A vector has length one; zeros mean that the item has none. `about` is JSON: what was built, how and until
    when.
    """

    about: str
    item_keys: Ints
    blocks: Ints
    text: Singles  # [n, d]
    image: Singles  # [n, d]
    behaviour: Singles  # [blocks, n, d]
    term_keys: Ints  # [t]: hashes of terms, ascending
    term_idf: Singles  # [t]: weight of a term in BM25
    term_vectors: Singles  # [t, d]: what a term adds to a query's text vector
    count_starts: Ints  # [n + 1]: an item's terms are count_terms[starts[i]:starts[i + 1]], ascending
    count_terms: Ints
    counts: Singles  # how often the item has the term
    lengths: Singles  # [n]: number of terms of the item over their mean
    pair_starts: Ints  # [blocks, n + 1]: neighbours of item i in block b are pair_items[starts[b, i]:…]
    pair_items: Ints
    pair_scores: Singles

    @cached_property
    def version(self) -> str:
        """Hash of the content: equal vectors have equal versions."""
        digest = hashlib.sha256(f"{FORMAT}\n{self.about}\n".encode())
        for name, array in self._arrays().items():
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def facts(self) -> dict[str, Any]:
        """`about` as values."""
        return dict(json.loads(self.about))

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "about"}

    def to_bytes(self) -> bytes:
        """The object as an npz file without pickles: equal vectors give equal bytes."""
        buffer = io.BytesIO()
        about = np.frombuffer(self.about.encode(), np.uint8)
        np.savez_compressed(buffer, allow_pickle=False, about=about, **self._arrays())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Vectors:
        """What `to_bytes` wrote. Raises FeatureError for anything else."""
        names = {f.name for f in fields(cls)}
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as problem:
            raise FeatureError(f"these are no vectors, or they are damaged: {problem}") from None
        if set(arrays) != names:
            missing, foreign = sorted(names - set(arrays)), sorted(set(arrays) - names)
            raise FeatureError(
                f"these are no vectors of this version: {missing} are missing, {foreign} are foreign; "
                "build them again"
            )
        vectors = cls(about=bytes(arrays.pop("about")).decode(), **arrays)
        vectors._check()
        return vectors

    def _check(self) -> None:
        """Raise FeatureError when an array points outside of another: a kernel would read foreign memory."""
        items, blocks, terms = self.item_keys.size, self.blocks.size, self.term_keys.size
        shapes = {
            "text": (items, self.text.shape[-1]),
            "image": (items, self.image.shape[-1]),
            "behaviour": (blocks, items, self.behaviour.shape[-1]),
            "term_idf": (terms,),
            "term_vectors": (terms, self.text.shape[-1]),
            "count_starts": (items + 1,),
            "counts": self.count_terms.shape,
            "lengths": (items,),
            "pair_starts": (blocks, items + 1),
            "pair_scores": self.pair_items.shape,
        }
        wrong = [name for name, shape in shapes.items() if getattr(self, name).shape != shape]
        points = {
            "count_starts": (self.count_starts, self.count_terms.size + 1),
            "count_terms": (self.count_terms, terms),
            "pair_starts": (self.pair_starts, self.pair_items.size + 1),
            "pair_items": (self.pair_items, items),
        }
        wrong += [name for name, (at, end) in points.items() if at.size and not _inside(at, end)]
        if wrong or not blocks:
            raise FeatureError(f"the vectors are damaged: {', '.join(wrong) or 'blocks'} do not fit the rest")

    def rows(self, items: Ints) -> Ints:
        """The row of each item (a hash), -1 for one without vectors."""
        place = np.searchsorted(self.item_keys, items)
        return np.where(np.append(self.item_keys, 0)[place] == items, place, -1)

    def spaces(self, items: Ints) -> Spaces:
        """The arrays as kernels take them; `items` are the hashes of the catalog's items, by row."""
        parts = {TEXT: self.text[None], BEHAVIOUR: self.behaviour, IMAGE: self.image[None]}
        parts = {space: _padded(part) for space, part in parts.items()}
        starts, at = np.zeros((SPACES, self.blocks.size), np.int64), 0
        for space in range(SPACES):
            blocks, count, size = parts[space].shape
            # Text and images are the same in every block.
            starts[space] = at + np.arange(self.blocks.size) * (count * size if blocks > 1 else 0)
            at += parts[space].size
        return Spaces(
            rows=self.rows(items),
            blocks=self.blocks,
            starts=starts,
            sizes=np.array([parts[space].shape[-1] for space in range(SPACES)], np.int64),
            values=np.concatenate([parts[space].ravel() for space in range(SPACES)]),
            term_keys=self.term_keys,
            term_idf=self.term_idf,
            term_vectors=self.term_vectors,
            count_starts=self.count_starts,
            count_terms=self.count_terms,
            counts=self.counts,
            lengths=self.lengths,
            pair_starts=self.pair_starts,
            pair_items=self.pair_items,
            pair_scores=self.pair_scores,
        )


def _padded(vectors: Singles) -> Singles:
    """Vectors with zeros behind, as many as make their size a multiple of LANES: no product changes."""
    return np.pad(vectors, ((0, 0), (0, 0), (0, -vectors.shape[-1] % LANES)))


def _inside(points: Ints, end: int) -> bool:
    return bool(points.min() >= 0 and points.max() < end)


def no_vectors() -> Vectors:
    """Vectors of no item: every similarity is missing."""
    none, nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
    flat = np.zeros((0, 0), np.float32)
    start, blocks = np.zeros(1, np.int64), np.array([ALWAYS], np.int64)
    kept = flat, flat, flat[None], none, nothing, flat, start, none, nothing, nothing
    return Vectors("{}", none, blocks, *kept, start[None], none, nothing)
