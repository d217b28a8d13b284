"""Which state of the project made a model."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def git_revision(root: Path) -> str:
    """The commit that the project stands at, with `+changes` where files differ from it; `unknown` outside of
    git."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "unknown"
    commit = subprocess.run([git, "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    changed = subprocess.run(
        [git, "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=False
    )
    return (
        commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
        if commit.returncode == 0
        else "unknown"
    )
