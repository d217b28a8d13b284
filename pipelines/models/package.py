"""A model as a folder: what is written into a package, and what a loaded one can do."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from pipelines.errors import ModelError
from pipelines.features.vectors import Vectors
from pipelines.models import sealed
from pipelines.models.calibration import Calibrator, from_json
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.packed_vectors import packed_vectors, unpacked_vectors
from pipelines.models.sealed import CALIBRATION
from pipelines.models.trees import Forest, from_booster

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
    sealed.seal(folder, "ranker", files | more, about | named)


def load_ranker(folder: Path, definitions_hash: str | None = None) -> Ranker:
    """The ranker of a package.

    Raises ModelError when a file is missing, foreign, damaged or a pickle, when the ranker was trained on
    other definitions than those of `definitions_hash`, when its width is not that of its features, when its
    vectors are not those of its training, and when it scores its example rows otherwise than where it was
    made.
    """
    about, files = sealed.unseal(folder, "ranker")
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


def save_outliers(folder: Path, outliers: Outliers, example: Mapping[str, NDArray[np.float64]]) -> None:
    """Write the package of outlier models: their frozen numbers, what each scores its kind's `example` rows,
    and how scores become p-values, for kinds that are calibrated."""
    arrays, about, calibrated = outliers.frozen()
    rows = {kind: np.ascontiguousarray(example[kind][:EXAMPLE_ROWS], np.float64) for kind in outliers.models}
    scored = {f"{kind}:rows": of for kind, of in rows.items()}
    scored |= {f"{kind}:scores": _finite(outliers.models[kind].score(of)) for kind, of in rows.items()}
    files = {
        "outliers.npz": _npz(arrays),
        "outliers.json": json.dumps(about, sort_keys=True).encode(),
        "example.npz": _npz(scored),
        CALIBRATION: json.dumps(calibrated, sort_keys=True).encode(),
    }
    sealed.seal(folder, "outliers", files, {"features": list(outliers.names), "kinds": list(outliers.models)})


def load_outliers(folder: Path) -> Outliers:
    """The outlier models of a package. Raises ModelError like `load_ranker`."""
    about, files = sealed.unseal(folder, "outliers")
    arrays = _arrays(folder / "outliers.npz", files["outliers.npz"])
    calibrated = json.loads(files.get(CALIBRATION, b"{}"))
    outliers = Outliers.from_frozen(arrays, json.loads(files["outliers.json"]), calibrated)
    if list(outliers.names) != about["features"]:
        raise ModelError(
            f"the outlier model in {folder} has other features than its manifest names: it is damaged"
        )
    example = _arrays(folder / "example.npz", files["example.npz"])
    for kind, model in outliers.models.items():
        scores = _finite(model.score(example[f"{kind}:rows"]))
        _check_example(folder, scores, example[f"{kind}:scores"], 1e-3)
    return outliers


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
