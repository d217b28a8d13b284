"""Text vectors: TF-IDF of items and queries in one space, reduced by a truncated SVD; and counts of terms for
BM25."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from pipelines.features.words import hashed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SPARE = 10
"""Directions that a randomised SVD looks at beyond those it returns; a smaller matrix is taken whole."""


@dataclass(frozen=True)
class TextSpace:
    """Fields as in `Vectors`; text vectors have length one, or are zeros for an item without terms."""

    text: NDArray[np.float32]
    term_keys: Ints
    term_idf: NDArray[np.float32]
    term_vectors: NDArray[np.float32]
    count_starts: Ints
    count_terms: Ints
    counts: NDArray[np.float32]
    lengths: NDArray[np.float32]


def text_space(
    items: Sequence[list[str]], queries: Sequence[list[str]], size: int, most_terms: int, seed: int
) -> TextSpace:
    """The space of these items' terms, one list an item; queries help to learn which terms go together.

    Kept are the `most_terms` terms that most items and queries have.
    """
    keys, counts = _counted([*items, *queries], most_terms)
    of_items = counts[: len(items)]
    document = np.diff(of_items.tocsc().indptr)
    idf = np.log1p((len(items) - document + 0.5) / (document + 0.5))
    text, term_vectors = _reduced(counts, len(items), size, seed)
    lengths = np.asarray(of_items.sum(axis=1)).ravel()
    mean = lengths[lengths > 0].mean() if lengths.any() else 1.0
    return TextSpace(
        text=unit(text),
        term_keys=keys,
        term_idf=idf.astype(np.float32),
        term_vectors=term_vectors.astype(np.float32),
        count_starts=of_items.indptr.astype(np.int64),
        count_terms=of_items.indices.astype(np.int64),
        counts=of_items.data.astype(np.float32),
        lengths=(lengths / mean).astype(np.float32),
    )


def _counted(documents: Sequence[list[str]], most_terms: int) -> tuple[Ints, Any]:
    """(hashes of terms, ascending; how often each document has each)."""
    flat = hashed([term for document in documents for term in document])
    rows = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    keys, columns = np.unique(flat, return_inverse=True)
    counts = sp.csr_matrix((np.ones(flat.size), (rows, columns)), (len(documents), keys.size))
    counts.sum_duplicates()
    if keys.size > most_terms:
        spread = np.diff(counts.tocsc().indptr)
        kept = np.sort(np.lexsort((keys, -spread))[:most_terms])
        keys, counts = keys[kept], counts[:, kept]
    counts.sort_indices()
    return keys, counts


def _reduced(counts: Any, items: int, size: int, seed: int) -> tuple[Floats, Floats]:
    """(vector of each item, of each term) in `size` dimensions."""
    if counts.nnz == 0:
        return np.zeros((items, size)), np.zeros((counts.shape[1], size))
    weigher = TfidfTransformer(sublinear_tf=True)
    weights = weigher.fit_transform(counts)
    directions = leading(weights, size, seed)
    return np.asarray(weights[:items] @ directions), weigher.idf_[:, None] * directions


def leading(matrix: Any, size: int, seed: int) -> Floats:
    """The `size` leading right singular vectors of a sparse matrix, as columns; zeros beyond its rank.

    Each is turned so that its largest entry is positive: the same rows and seed give the same numbers.
    """
    found = np.zeros((matrix.shape[1], size))
    if min(matrix.shape) <= size + SPARE:
        _, strength, rows = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        svd = TruncatedSVD(size, n_iter=7, n_oversamples=SPARE, random_state=seed).fit(matrix)
        strength, rows = svd.singular_values_, svd.components_
    rows = rows[:size][strength[:size] > 1e-9 * max(strength[0], 1e-300)]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    found[:, : len(rows)] = (rows * np.sign(largest)).T
    return found


def unit(vectors: Floats) -> NDArray[np.float32]:
    """The vectors at length one; zeros stay zeros, and so does what is only rounding."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-9)
    return np.asarray(found, np.float32)
