"""A package: a folder with a closed list of files, each with its sha256 in `manifest.json`, and no pickle
anywhere. What stands in the files is `package`'s affair, which is heavy to import; who moves packages about
needs this alone."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import ModelError

VECTORS = "vectors.npz"
MANIFEST = "manifest.json"
FORMAT = 1
FILES = {
    "ranker": frozenset({"ranker.ubj", "definitions.json", "example.npz"}),
    "outliers": frozenset({"outliers.npz", "outliers.json", "example.npz"}),
}
CALIBRATION = "calibration.json"
OPTIONAL = {"ranker": frozenset({VECTORS, CALIBRATION}), "outliers": frozenset({CALIBRATION})}
"""Vectors are there where the features need some; a calibration is missing in packages of older versions."""
PICKLE_NAME = re.compile(r"\.(pkl|pickle|joblib|dill|pt|pth|bin)$")


def kind_of(folder: Path) -> str:
    """`ranker` or `outliers`. Raises ModelError when the folder is no package."""
    return str(_manifest(folder).get("kind"))


def fingerprint(folder: Path) -> str:
    """sha256 of the manifest, which names every other file's: two packages with the same fingerprint are the
    same model."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def size(folder: Path) -> int:
    """Bytes of all files of the package."""
    return sum(path.stat().st_size for path in folder.iterdir())


def seal(folder: Path, kind: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Write the files and their manifest; a folder that was there is replaced whole."""
    entries = {
        n: {"sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for n, d in sorted(files.items())
    }
    manifest = {"format": FORMAT, "kind": kind, **about, "files": entries}
    building = folder.with_name(folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    for name, data in files.items():
        (building / name).write_bytes(data)
    (building / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)


def unseal(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and all files of a package of this kind, each checked against the manifest.

    Raises ModelError when one is missing, foreign, damaged or a pickle.
    """
    manifest = _manifest(folder)
    if manifest.get("format") != FORMAT or manifest.get("kind") != kind:
        raise ModelError(
            f"{folder} holds a {manifest.get('kind')} package of format {manifest.get('format')}, "
            f"not a {kind} package of format {FORMAT}: train again with this version"
        )
    found = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(found):
        if PICKLE_NAME.search(name):
            raise ModelError(
                f"{folder / name} is a pickle, which can run code when it is loaded: it is refused"
            )
    optional = OPTIONAL[kind] & (found | ({CALIBRATION} & set(manifest["files"])))
    if found - FILES[kind] - optional:
        raise ModelError(
            f"{folder} holds {sorted(found - FILES[kind] - optional)}, which no {kind} package has: it is "
            "refused"
        )
    files = {}
    for name in sorted(FILES[kind] | optional):
        files[name] = _verified(folder / name, manifest["files"].get(name))
    return manifest, files


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(
            f"{folder} has no {MANIFEST}: it is not a model package, or its download was cut short"
        )
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as problem:
        raise ModelError(
            f"{path} is not JSON ({problem}): the package is damaged, download it again"
        ) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ModelError(f"{path} lists no files: the package is damaged, download it again")
    return manifest


def _verified(path: Path, entry: Any) -> bytes:
    if not path.is_file() or entry is None:
        raise ModelError(f"{path} is missing from the package or its manifest: download the model again")
    data = path.read_bytes()
    if data[:1] == b"\x80":
        raise ModelError(f"{path} is a pickle, which can run code when it is loaded: it is refused")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ModelError(
            f"{path} ({len(data)} bytes) is not the file its manifest names: download the model again"
        )
    return data
