"""MLflow: runs, models, versions and aliases. The only module that talks to it.

A version is one package (see `package`). Its tags say what it is: `kind`, `domain`, `definitions_hash`,
`package_sha256`, `stage` (challenger, champion, retired, refused), the gate's verdict, and which champion it
followed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from requests.exceptions import RequestException

from pipelines.alone import alone
from pipelines.errors import ModelError, RegistryError
from pipelines.models import sealed
from pipelines.models.registered import FOLLOWS, STAGE, Training, Version

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a log is not a terminal

CHAMPION, PREVIOUS = "champion", "previous"
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
NEEDED = ("mlflow", "xgboost-cpu", "numpy", "numba", "pandas")
"""Distributions without which a version cannot be loaded elsewhere."""


def fail_fast() -> None:
    """From now on this process gives up a request that MLflow does not answer after seconds instead of
    minutes."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "5"


class Registry:
    """The models of one MLflow server or store. Every method raises RegistryError when it does not answer."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)

    def register(self, training: Training) -> str:
        """Log a run with everything of the training and register its package as the next version. Returns the
        version."""
        with _answered(self.uri):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            mlflow.set_experiment(training.domain)
            with mlflow.start_run(run_name=training.name) as run:
                self._log(run.info.run_id, training)
                version = self._store(training)
            self._tag_version(training, version)
            return version

    def _log(self, run_id: str, training: Training) -> None:
        at = training.finished_at_ms
        metrics = [Metric(name, float(value), at, 0) for name, value in training.figures.items()]
        for curve, values in training.curves.items():
            metrics += [Metric(curve, float(value), at, step) for step, value in enumerate(values, 1)]
        facts = {
            **training.parameters,
            **{f"delta_version.{t}": v for t, v in training.versions_read.items()},
        }
        params = [
            Param(name, str(value)) for name, value in {**facts, "git_revision": training.revision}.items()
        ]
        for start in range(0, max(len(metrics), len(params)), 100):
            self._client.log_batch(run_id, metrics[start : start + 100], params[start : start + 100])
        self._client.set_tag(run_id, "git_revision", training.revision)
        for name, table in training.tables.items():
            mlflow.log_text(table.to_csv(index=False), name)
        for name, picture in training.pictures.items():
            mlflow.log_figure(picture, name)

    def _store(self, training: Training) -> str:
        outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, "score")]
        if sealed.kind_of(training.folder) == "outliers":
            outputs.append(ColSpec(DataType.double, "rank"))
        inputs = Schema([ColSpec(DataType.double, str(name)) for name in training.example.columns])
        installed = {d: importlib.metadata.version(d) for d in NEEDED}
        with tempfile.TemporaryDirectory() as folder:
            copied = shutil.copytree(training.folder, Path(folder) / "package")
            logged = mlflow.pyfunc.log_model(
                name=training.name,
                python_model=str(Path(__file__).with_name("pyfunc.py")),
                artifacts={"package": str(copied)},
                code_paths=[str(Path(__file__).resolve().parents[1])],
                signature=ModelSignature(inputs=inputs, outputs=Schema(outputs)),
                input_example=training.example.astype(np.float64),
                pip_requirements=[
                    f"{distribution}=={version}" for distribution, version in installed.items()
                ],
                registered_model_name=training.name,
            )
        return str(logged.registered_model_version)

    def _tag_version(self, training: Training, version: str) -> None:
        kind = sealed.kind_of(training.folder)
        tags = {
            "kind": kind,
            "domain": training.domain,
            "package_sha256": sealed.fingerprint(training.folder),
            "package_bytes": str(sealed.size(training.folder)),
            STAGE: "challenger",
        }
        if kind == "ranker":
            tags["definitions_hash"] = str(sealed.unseal(training.folder, kind)[0]["definitions_hash"])
        self.tag(training.name, version, tags)

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with _answered(self.uri):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, version, key, value)

    def names(self) -> list[str]:
        """Names of all registered models."""
        with _answered(self.uri):
            return sorted(model.name for model in self._client.search_registered_models())

    def versions(self, name: str) -> list[Version]:
        """The model's versions, newest first; none for an unknown model."""
        with _answered(self.uri):
            found = self._client.search_model_versions(f"name = '{name}'")
            aliases = {} if not found else self._client.get_registered_model(name).aliases
        versions = [
            Version(
                name,
                str(v.version),
                str(v.run_id),
                v.creation_timestamp,
                _of(aliases, str(v.version)),
                dict(v.tags),
            )
            for v in found
        ]
        return sorted(versions, key=lambda v: int(v.version), reverse=True)

    def version(self, name: str, version: str) -> Version:
        """One version. Raises ModelError when there is none, naming those there are."""
        known = self.versions(name)
        for found in known:
            if found.version == version:
                return found
        raise ModelError(f"{name} has no version {version}; it has {[v.version for v in known] or 'none'}")

    def latest(self, name: str) -> Version:
        """The newest version. Raises ModelError when the model has none."""
        known = self.versions(name)
        if not known:
            raise ModelError(
                f"no model {name} is registered; train it first. Known: {self.names() or 'none'}"
            )
        return known[0]

    def current(self, name: str, alias: str = CHAMPION) -> str | None:
        """The version that has the alias, or None: one small request."""
        with _answered(self.uri):
            try:
                return str(self._client.get_model_version_by_alias(name, alias).version)
            except MlflowException as problem:
                if problem.error_code in MISSING:
                    return None
                raise

    def figures(self, version: Version) -> dict[str, float]:
        """Metrics of the run that made the version."""
        with _answered(self.uri):
            return dict(self._client.get_run(version.run_id).data.metrics)

    def parameters(self, version: Version) -> dict[str, str]:
        """Parameters of the run that made the version."""
        with _answered(self.uri):
            return dict(self._client.get_run(version.run_id).data.params)

    def fetch(self, name: str, version: str, cache: Path) -> Path:
        """The version's package in `cache/<name>/<version>`, downloaded when it is not there.

        Raises ModelError when what was downloaded is not the package that was registered.
        """
        folder = cache / name / version
        if (folder / sealed.MANIFEST).is_file():
            return folder
        expected = self._package_of(name, version)
        with alone(cache / f"{name}.lock"):
            # Whoever held the lock before may have downloaded it.
            if not (folder / sealed.MANIFEST).is_file():
                self._download(name, version, expected, folder)
        return folder

    def _package_of(self, name: str, version: str) -> str | None:
        """The fingerprint of the version's package. The other versions are not asked for: there may be
        hundreds."""
        with _answered(self.uri):
            try:
                tags: Mapping[str, str] = self._client.get_model_version(name, version).tags
            except MlflowException as problem:
                if problem.error_code not in MISSING:
                    raise
                tags = self.version(name, version).tags
        return tags.get("package_sha256")

    def _download(self, name: str, version: str, expected: str | None, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as downloading:
            with _answered(self.uri):
                mlflow.set_tracking_uri(self.uri)
                uri = f"models:/{name}/{version}/artifacts/package"
                found = Path(
                    mlflow.artifacts.download_artifacts(uri, dst_path=downloading, tracking_uri=self.uri)
                )
            if sealed.fingerprint(found) != expected:
                raise ModelError(
                    f"version {version} of {name} holds another package than was registered: it is refused"
                )
            shutil.rmtree(folder, ignore_errors=True)  # what a damaged cache has left
            found.rename(folder)

    def leave(self, version: Version, name: str, text: str) -> None:
        """Leave a text as an artifact of the run that made the version."""
        with _answered(self.uri):
            self._client.log_text(version.run_id, text, name)

    def promote(self, name: str, version: str) -> str | None:
        """Give the version the alias `champion`, and `previous` to the one that had it. Returns that one."""
        before = self.current(name)
        if before is not None and before != version:
            self.tag(name, version, {FOLLOWS: before})
        self._put_in_charge(name, version, before)
        return before

    def rollback(self, name: str) -> tuple[str, str]:
        """Give the alias `champion` back to the version that had it before. Returns (from, to). Raises
        ModelError without one."""
        now = self.current(name)
        before = self.version(name, now).tags.get(FOLLOWS) if now else None
        if now is None or before is None:
            raise ModelError(f"{name} has no earlier champion to go back to: promote a version instead")
        self.version(name, before)  # it may have been deleted: then this says so
        self._put_in_charge(name, before, now)
        return now, before

    def _put_in_charge(self, name: str, version: str, instead_of: str | None) -> None:
        with _answered(self.uri):
            self._client.set_registered_model_alias(name, CHAMPION, version)
        if instead_of is not None and instead_of != version:
            self.tag(name, instead_of, {STAGE: "retired"})
        self.tag(name, version, {STAGE: CHAMPION})
        known = {found.version: found for found in self.versions(name)}
        earlier = known[version].tags.get(FOLLOWS)
        with _answered(self.uri):
            if earlier in known:
                self._client.set_registered_model_alias(name, PREVIOUS, earlier)
            elif self.current(name, PREVIOUS) is not None:
                self._client.delete_registered_model_alias(name, PREVIOUS)


def _of(aliases: Mapping[str, Any], version: str) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, v in aliases.items() if str(v) == version))


@contextlib.contextmanager
def _answered(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, RequestException) as problem:
        reason = str(problem).splitlines()[0]
        raise RegistryError(
            f"MLflow at {uri}: {reason}. `lakepulse status` shows whether it is up"
        ) from problem
