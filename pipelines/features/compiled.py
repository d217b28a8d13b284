"""`compiled`: numba's `njit` with a cache that knows when any kernel changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])
ROOM = Path(__file__).resolve().parent
SOURCES = (
    "abreast",
    "arithmetic",
    "bits",
    "blocks",
    "cells",
    "compact",
    "compiled",
    "entries",
    "formulas",
    "hashing",
    "kernel",
    "kinds/amounts",
    "kinds/context",
    "kinds/counters",
    "kinds/preferences",
    "kinds/rings",
    "kinds/session",
    "lacking",
    "lent",
    "lookups",
    "program",
    "reading",
    "records",
    "replay",
    "rows",
    "shapes",
    "vectors_kernel",
)
"""Modules of this room that hold kernels, or numbers that are compiled into them."""


def _stamp() -> str:
    # numba's own cache looks at the file of a function, not at the files of the functions that it calls.
    states = [(ROOM / f"{name}.py").stat() for name in SOURCES]
    known = [(state.st_mtime_ns, state.st_size) for state in states]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:12]


CACHE = str(ROOM / "__pycache__" / f"kernels-{_stamp()}")


def compiled(function: Kernel) -> Kernel:
    """`function` as machine code, compiled at its first call and kept on disk for the next process.

    It releases the GIL, and divides as numpy does: by zero gives an infinity or NaN, not an error. It is
    inlined where another kernel calls it: a call would copy the descriptors of a dozen arrays.
    """
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = CACHE
    try:
        options: Any = {"cache": True, "nogil": True, "error_model": "numpy", "forceinline": True}
        return cast(Kernel, numba.njit(**options)(function))
    finally:
        config.CACHE_DIR = before
