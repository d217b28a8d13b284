"""A model as a folder: a closed list of files, each with its sha256 in `manifest.json`, and no pickle
anywhere."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from pipelines.errors import ModelError
from pipelines.features.vectors import Vectors
from pipelines.models.calibration import Calibrator, from_json
from pipelines.models.outliers import OutlierModel
from pipelines.models.packed_vectors import VECTORS, packed_vectors, unpacked_vectors
from pipelines.models.trees import Forest, from_booster

MANIFEST = "manifest.json"
FORMAT = 1
FILES = {
    "ranker": frozenset({"ranker.ubj", "definitions.json", "example.npz"}),
    "outliers": frozenset({"outliers.npz", "outliers.json", "example.npz"}),
}
CALIBRATION = "calibration.json"
OPTIONAL = {"ranker": frozenset({VECTORS, CALIBRATION}), "outliers": frozenset[str]()}
"""Vectors are there where the features need some; a calibration is missing in packages of older versions."""
PICKLE_NAME = re.compile(r"\.(pkl|pickle|joblib|dill|pt|pth|bin)$")
EXAMPLE_ROWS = 16


@dataclass(frozen=True)
class Ranker:
    """A ranker that was loaded and has given the scores it gave where it was made; with the vectors that its
    features are computed from, where they need some, and the definitions of its features as JSON."""

    names: tuple[str, ...]
    definitions_hash: str
    booster: xgboost.Booster
    forest: Forest
    example: NDArray[np.float32]
    definitions: str
    vectors: Vectors | None = None
    calibrator: Calibrator | None = None

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """One score for each row of `features` float32[n, names], higher first; a row's score does not
        depend on the others.

        Raises ModelError for another width or type, and when a score is not a number.
        """
        return _finite(self.forest.sums(features))

    def chance(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The chance of an outcome, 0..1, that each score stands for. Raises ModelError for a ranker of an
        older version, which does not know it."""
        if self.calibrator is None:
            raise ModelError(
                "this ranker knows no chances: its package has no calibration.json; train it again"
            )
        return self.calibrator.chance(scores)


def save_ranker(
    folder: Path,
    booster: xgboost.Booster,
    definitions: str,
    definitions_hash: str,
    example: NDArray[np.float32],
    vectors: Vectors | None = None,
    calibrator: Calibrator | None = None,
) -> None:
    """Write a ranker's package: the booster, the definitions of its features as JSON, what it scores
    `example` rows, the vectors that its features were computed from, and the chances that its scores stand
    for.

    Raises ModelError when the features need vectors and none are given, or the other way round.
    """
    more, named = packed_vectors(definitions, vectors)
    rows = np.ascontiguousarray(example[:EXAMPLE_ROWS], np.float32)
    scores = _finite(from_booster(booster).sums(rows))
    files = {
        "ranker.ubj": bytes(booster.save_raw("ubj")),
        "definitions.json": definitions.encode(),
        "example.npz": _npz({"rows": rows, "scores": scores}),
    }
    if calibrator is not None:
        files[CALIBRATION] = calibrator.to_json().encode()
    about = {"features": list(booster.feature_names or ()), "definitions_hash": definitions_hash}
    _seal(folder, "ranker", files | more, about | named)


def load_ranker(folder: Path, definitions_hash: str | None = None) -> Ranker:
    """The ranker of a package.

    Raises ModelError when a file is missing, foreign, damaged or a pickle, when the ranker was trained on
    other definitions than those of `definitions_hash`, when its width is not that of its features, when its
    vectors are not those of its training, and when it scores its example rows otherwise than where it was
    made.
    """
    about, files = _unseal(folder, "ranker")
    theirs = str(about["definitions_hash"])
    if definitions_hash is not None and theirs != definitions_hash:
        raise ModelError(
            f"the ranker in {folder} was trained on features {theirs}, the domain's are {definitions_hash}: "
            "train again, or use the domain file that it was trained with"
        )
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(files["ranker.ubj"]))
    except xgboost.core.XGBoostError as problem:
        raise ModelError(
            f"{folder / 'ranker.ubj'} is not a booster: {str(problem).splitlines()[0]}"
        ) from None
    names = tuple(about["features"])
    if booster.num_features() != len(names) or list(names) != booster.feature_names:
        raise ModelError(
            f"the ranker in {folder} takes {booster.num_features()} features, "
            f"its manifest names {len(names)}: it is damaged"
        )
    forest = from_booster(booster)
    example = _arrays(folder / "example.npz", files["example.npz"])
    vectors = unpacked_vectors(folder, about, files)
    known = files.get(CALIBRATION)
    calibrator = None if known is None else from_json(known.decode())
    definitions = files["definitions.json"].decode()
    ranker = Ranker(names, theirs, booster, forest, example["rows"], definitions, vectors, calibrator)
    _check_example(folder, ranker.score(example["rows"]), example["scores"])
    return ranker


def save_outliers(folder: Path, model: OutlierModel, example: NDArray[np.float64]) -> None:
    """Write an outlier model's package: its frozen numbers, and what it scores `example` rows."""
    rows = np.ascontiguousarray(example[:EXAMPLE_ROWS], np.float64)
    arrays, about = model.frozen()
    files = {
        "outliers.npz": _npz(arrays),
        "outliers.json": json.dumps(about, sort_keys=True).encode(),
        "example.npz": _npz({"rows": rows, "scores": _finite(model.score(rows))}),
    }
    _seal(folder, "outliers", files, {"features": list(model.names)})


def load_outliers(folder: Path) -> OutlierModel:
    """The outlier model of a package. Raises ModelError like `load_ranker`."""
    about, files = _unseal(folder, "outliers")
    arrays = _arrays(folder / "outliers.npz", files["outliers.npz"])
    model = OutlierModel.from_frozen(arrays, json.loads(files["outliers.json"]))
    if list(model.names) != about["features"]:
        raise ModelError(
            f"the outlier model in {folder} has other features than its manifest names: it is damaged"
        )
    example = _arrays(folder / "example.npz", files["example.npz"])
    _check_example(folder, _finite(model.score(example["rows"])), example["scores"], 1e-3)
    return model


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


def _seal(folder: Path, kind: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
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


def _unseal(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, bytes]]:
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


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _arrays(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except (ValueError, OSError) as problem:
        raise ModelError(
            f"{path} cannot be read without running code in it, or is damaged: {problem}"
        ) from None


def _finite(scores: NDArray[Any]) -> NDArray[Any]:
    bad = ~np.isfinite(scores)
    if bad.any():
        raise ModelError(
            f"the model is damaged: {int(bad.sum())} of {len(scores)} rows got a score that is not a number"
        )
    return scores


def _check_example(
    folder: Path, scores: NDArray[Any], expected: NDArray[Any], tolerance: float = 0.0
) -> None:
    """`tolerance` is relative. Trees add the same numbers everywhere; logarithms differ in the last bit by C
    library."""
    if scores.shape != expected.shape or not np.allclose(scores, expected, rtol=tolerance, atol=0.0):
        raise ModelError(
            f"the model in {folder} does not score its example rows as it did where it was made: "
            "another version of this software made it; train again"
        )
