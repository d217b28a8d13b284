"""`compiled`: numba's `njit` for this room's kernels, with a cache that knows when any of them changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

ROOM = Path(__file__).resolve().parent
SOURCES = ("drop_expected", "drop_kernel", "drop_learning", "machine", "novelty", "tails")
"""Modules of this room that hold kernels, or numbers that are compiled into them."""


def _stamp() -> str:
    # numba's own cache looks at the file of a function, not at the files of the functions that it calls.
    states = [(ROOM / f"{name}.py").stat() for name in SOURCES]
    known = [(state.st_mtime_ns, state.st_size) for state in states]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


CACHE = str(ROOM / "__pycache__" / f"kernels-{_stamp()}")


def compiled(function: Callable[..., object]) -> Any:
    """`function` as machine code, compiled at its first call and kept on disk for the next process. It
    divides as numpy does: by zero gives an infinity or NaN, not an error."""
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before
