"""Alerts come out the same wherever the process that raises them is killed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def kill_every(step, folder):
    """Each death after so many lines more than the one before must leave the same."""
    command = [sys.executable, "-m", "tests.io.raising_runs", str(folder), str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    calm, *killed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(killed) > 3
    assert len(calm["gold.alerts"]) >= 6
    assert [json.loads(row)["why"] for row in calm["gold.suppressed"]] == ["inhibited"]
    assert len(calm["told"]) >= 2
    for one in killed:
        assert one == calm


def test_a_kill_anywhere_gives_the_same_alerts(tmp_path):
    kill_every(83, tmp_path)
