"""Processes by their pid files: recognised, measured, stopped with all that they started."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pipelines.errors import StackError
from pipelines.settings import Settings
from pipelines.stack import processes
from pipelines.stack.processes import Running

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"


def started(settings: Settings, program: str, lines: int = 1) -> Running:
    """A Python process that has written so many lines to its log."""
    running = processes.start(settings, "sleeper", [sys.executable, "-c", program], os.environ)
    log = Path(running.log)
    assert processes.wait_until(lambda: log.read_text().count("ready") == lines, 20)
    return running


def test_a_process_is_found_again_by_its_pid_file(settings: Settings) -> None:
    running = started(settings, SLEEP)
    try:
        assert processes.recorded(settings, "sleeper") == running
        assert processes.is_alive(running)
        assert os.getsid(running.pid) == running.pid  # a Ctrl-C of our terminal does not reach it
        assert 3 < processes.memory_mb(running) < 200
    finally:
        assert processes.stop(running, 10)
    assert not processes.is_alive(running)


def test_a_later_process_of_the_same_pid_is_a_stranger(settings: Settings) -> None:
    ours = started(settings, SLEEP)
    earlier = Running("sleeper", ours.pid, "another boot:7", 0, "", ours.log)
    try:
        assert not processes.is_alive(earlier)
        assert processes.members(earlier) == []
        assert processes.stop(earlier, 0.1)
        assert processes.is_alive(ours)
    finally:
        processes.stop(ours, 10)


def test_what_ignores_sigterm_is_killed_after_its_grace(settings: Settings) -> None:
    running = started(settings, STUBBORN)
    since = time.monotonic()
    assert not processes.stop(running, 0.5)
    assert 0.5 < time.monotonic() - since < 5
    assert not processes.is_alive(running)


def test_what_outlives_its_starter_is_stopped_too(settings: Settings) -> None:
    running = started(settings, WITH_CHILD, lines=2)
    os.kill(running.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not processes.is_alive(running), 10)
    assert len(processes.members(running)) == 1
    processes.stop(running, 5)
    assert processes.members(running) == []


def test_a_process_that_ended_is_not_alive_although_its_parent_has_not_asked(settings: Settings) -> None:
    running = processes.start(settings, "sleeper", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    assert processes.wait_until(lambda: not processes.is_alive(running), 20)


def test_logs_are_continued_and_large_ones_put_aside(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.stop(started(settings, SLEEP), 10)
    log = Path(started(settings, SLEEP, lines=2).log)
    running = processes.recorded(settings, "sleeper")
    assert running is not None
    processes.stop(running, 10)
    monkeypatch.setattr(processes, "LOG_LIMIT", 3)
    processes.stop(started(settings, SLEEP), 10)
    assert (log.read_text(), log.with_suffix(".log.1").read_text()) == ("ready\n", "ready\nready\n")


def test_a_damaged_pid_file_is_named(settings: Settings) -> None:
    path = processes.pid_file(settings, "sleeper")
    path.parent.mkdir(parents=True)
    path.write_text('{"part": "sleeper", "pid": "many"}')
    with pytest.raises(StackError, match=r"sleeper\.pid is damaged .*stop the process of sleeper"):
        processes.recorded(settings, "sleeper")


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert processes.last_lines(log) == "    (nothing)"
    log.write_text("one\ntwo\nthree\n")
    assert processes.last_lines(log, 2) == "    two\n    three"
