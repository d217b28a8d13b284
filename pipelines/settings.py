"""Settings: read once at a process's start, checked, frozen, and passed on.

`conf/base.yml` holds every key with its unit and default; a profile (`conf/<profile>.yml`) overrides single
keys, an environment variable `LAKEPULSE__SECTION__KEY` overrides both.
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import SettingsError, nearest
from pipelines.sections import (
    Airflow,
    Alerts,
    Gate,
    Gold,
    Kafka,
    Mlflow,
    Outliers,
    Parity,
    Paths,
    Serving,
    Silver,
    Spark,
    Store,
    Streams,
    Training,
    Tuning,
    Vectors,
)
from pipelines.watch_sections import Watch

PREFIX = "LAKEPULSE__"


def project_root() -> Path:
    """The folder that holds `conf/` and `jobs/`: LAKEPULSE_HOME when set, otherwise where this package was
    installed from."""
    return Path(os.environ.get("LAKEPULSE_HOME") or Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class Settings:
    """All settings of a process."""

    paths: Paths
    kafka: Kafka
    spark: Spark
    streams: Streams
    silver: Silver
    gold: Gold
    outliers: Outliers
    store: Store
    vectors: Vectors
    training: Training
    tuning: Tuning
    mlflow: Mlflow
    gate: Gate
    parity: Parity
    serving: Serving
    airflow: Airflow
    watch: Watch
    alerts: Alerts
    profile: str = "local"
    root: Path = field(default_factory=project_root)

    @property
    def state(self) -> Path:
        """Folder of everything that a local installation writes, absolute."""
        return (self.root / self.paths.state).resolve()

    @property
    def lake(self) -> str:
        """URI or absolute folder of the lake."""
        return self.paths.lake or str(self.state / "lake")

    @property
    def checkpoints(self) -> str:
        """URI or absolute folder of the checkpoints."""
        return self.paths.checkpoints or str(self.state / "checkpoints")

    @property
    def store_path(self) -> Path:
        """Folder of the online store, where it is one of this machine."""
        return Path(self.store.path) if self.store.path else self.state / "store"

    @property
    def drops(self) -> str:
        """Folder of partner files."""
        return self.paths.drops or str(self.state / "drops")

    @property
    def bootstrap(self) -> str:
        """Kafka's bootstrap servers: the configured ones, otherwise the local broker's. Raises SettingsError
        when there is neither."""
        return self.kafka.bootstrap or self._running("kafka", "kafka.bootstrap")

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the configured one, otherwise the local server's. Raises SettingsError when there
        is neither."""
        return self.mlflow.tracking_uri or self._running("mlflow", "mlflow.tracking_uri")

    def _running(self, part: str, key: str) -> str:
        stack = self.state / "run" / "stack.json"
        address = json.loads(stack.read_text()).get(part, "") if stack.is_file() else ""
        if not address:
            raise SettingsError(
                f"{key} is not set and no local {part} is known in {stack}: run `lakepulse up`, or set {key}"
            )
        return str(address)


SECTIONS: dict[str, type] = {
    f.name: typing.get_type_hints(Settings)[f.name]
    for f in dataclasses.fields(Settings)
    if f.name not in ("profile", "root")
}


def load(
    profile: str = "local",
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    root: Path | None = None,
) -> Settings:
    """Settings of a profile, the environment's variables and `overrides` (section → key → value) on top, in
    that order.

    Raises SettingsError for an unknown profile, section or key (naming the nearest known one) and for a value
    of a wrong type.
    """
    root = root or project_root()
    environ = os.environ if environ is None else environ
    merged = _read(root / "conf" / "base.yml")
    layers = [
        (f"conf/{profile}.yml", _read(root / "conf" / f"{profile}.yml")),
        ("environment", _from_environment(environ)),
    ]
    for origin, layer in [*layers, ("arguments", overrides or {})]:
        _merge(merged, layer, origin)
    sections = {name: _section(name, cls, merged.get(name, {})) for name, cls in SECTIONS.items()}
    return Settings(**sections, profile=profile, root=root)


def variables(settings: Settings) -> dict[str, str]:
    """The environment variables that give another process exactly these settings, whatever its profile."""
    values = {
        f"{PREFIX}{section}__{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for section in SECTIONS
        for key, value in dataclasses.asdict(getattr(settings, section)).items()
    }
    return values | {"LAKEPULSE_HOME": str(settings.root)}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yml") if p.stem != "base")
        raise SettingsError(
            f"no settings file {path}; profiles: {known}; LAKEPULSE_HOME names the project's folder"
        )
    content = _yaml(path.read_text(), str(path)) or {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold sections of settings, not {content!r}")
    return content


def _yaml(text: str, origin: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise SettingsError(f"{origin} is not YAML: {problem}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    layer: dict[str, dict[str, Any]] = {}
    for name, text in environ.items():
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("__")
            layer.setdefault(section, {})[key] = _Text(text)
    return layer


class _Text(str):
    """A value given as text, to be read as its field's type."""


def _merge(into: dict[str, dict[str, Any]], layer: Mapping[str, Mapping[str, Any]], origin: str) -> None:
    for section, values in layer.items():
        if section not in SECTIONS:
            raise SettingsError(f"unknown section {section!r} in {origin}{nearest(section, list(SECTIONS))}")
        if not isinstance(values, Mapping | None):
            raise SettingsError(f"section {section} in {origin} must hold keys and values, not {values!r}")
        known = [f.name for f in dataclasses.fields(SECTIONS[section])]
        for key, value in (values or {}).items():
            if key not in known:
                raise SettingsError(f"unknown setting {section}.{key} in {origin}{nearest(key, known)}")
            into.setdefault(section, {})[key] = value


def _section(name: str, cls: type, values: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise SettingsError(f"unknown setting {name}.{key} in conf/base.yml{nearest(key, list(hints))}")
    missing = [key for key in hints if key not in values]
    if missing:
        raise SettingsError(f"conf/base.yml lacks {name}.{missing[0]}: every setting needs its default there")
    return cls(**{key: _value(f"{name}.{key}", hint, values[key]) for key, hint in hints.items()})


def _value(name: str, hint: Any, value: Any) -> Any:
    if isinstance(value, _Text) and hint is not str:
        value = _yaml(value, name)
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_value(name, typing.get_args(hint)[0], item) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = typing.get_origin(hint) or hint
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise SettingsError(f"{name} must be {getattr(hint, '__name__', hint)}, not {value!r}")
    return str(value) if plain is str else value
