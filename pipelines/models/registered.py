"""What the registry takes of a training, and what it gives of a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

STAGE, FOLLOWS = "stage", "follows"


@dataclass(frozen=True)
class Training:
    """What a training leaves behind: the sealed package in `folder` and everything that is worth knowing
    about it.

    `curves` are values by round; `figures` the metrics, baselines beside them; `read` the versions of Delta
    tables by name; `tables` small tables and `pictures` matplotlib figures, by file name; `example` rows of
    features.
    """

    name: str
    domain: str
    folder: Path
    example: pd.DataFrame
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    versions_read: Mapping[str, int]
    revision: str
    finished_at_ms: int
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    version: str
    run_id: str
    created_at_ms: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def stage(self) -> str:
        """challenger, champion, retired or refused."""
        return self.tags.get(STAGE, "challenger")
