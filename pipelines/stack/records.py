"""The small JSON files of the local stack, written whole or not at all: no reader sees half of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import StackError
from pipelines.settings import Settings


def run_folder(settings: Settings) -> Path:
    """Folder of pid files, ports and addresses."""
    return settings.state / "run"


def read(path: Path) -> dict[str, Any]:
    """What the file holds, nothing when there is none. Raises StackError when it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as problem:
        raise StackError(f"{path} is damaged ({problem}): delete it, then run `lakepulse up`") from None


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file's content; its folder is made when it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)
