"""How a process tells whoever started it that it now does its work."""

import json
import os
from pathlib import Path

READY_FILE = "LAKEPULSE_READY_FILE"
"""The variable that names the file to write; without it nobody asked."""


def tell_ready() -> None:
    """Write this process's id to the file that LAKEPULSE_READY_FILE names, whole or not at all."""
    if path := os.environ.get(READY_FILE):
        beside = Path(f"{path}.new")
        beside.write_text(json.dumps({"pid": os.getpid()}) + "\n", encoding="utf-8")
        beside.replace(path)
