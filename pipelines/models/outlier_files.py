"""An outlier model as one file or as a folder: number arrays and JSON, never a pickle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ModelError

SUFFIX, ARRAYS = ".npz", "outliers.npz"
ABOUT = "about"
"""The member of the file that holds the JSON, as bytes."""


def write(place: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Write the model to `place`, a file that ends in .npz or a folder, by a rename: a reader sees all or
    nothing."""
    if place.suffix != SUFFIX:
        found = {path.name for path in place.iterdir()} if place.is_dir() else set()
        if found - {ARRAYS}:
            raise ModelError(f"{place} holds {sorted(found - {ARRAYS})}: choose a folder for the model alone")
        place.mkdir(parents=True, exist_ok=True)
        place = place / ARRAYS
    told = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    building = place.with_suffix(".building")
    with building.open("wb") as file:
        np.savez(file, allow_pickle=False, **{ABOUT: told}, **arrays)
    building.replace(place)


def read(place: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """(arrays, JSON) of `write`. Raises ModelError when it is missing, damaged or a pickle."""
    path = place / ARRAYS if place.is_dir() else place
    if not path.is_file():
        raise ModelError(f"{path} is missing: there is no outlier model")
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        about = json.loads(arrays.pop(ABOUT).tobytes())
    except (ValueError, TypeError, OSError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise ModelError(
            f"{path} cannot be read without running code in it, or is damaged: {problem}"
        ) from None
    return arrays, about
