"""Processes that outlive the command that started them: recognised, measured and stopped by pid files."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from pipelines.clock import now_ms
from pipelines.errors import StackError
from pipelines.settings import Settings
from pipelines.stack import records

POLL_S = 0.05
KILLED_S = 10.0
THREADS = 17  # place of num_threads behind the state in /proc/<pid>/stat
LOG_LIMIT = 20 << 20  # bytes; a larger log is put aside at the next start


class Running(msgspec.Struct, frozen=True):
    """A process of the stack, as its pid file describes it.

    `mark` is the boot of the machine and the tick at which the process started, so that a later process of
    the same pid is not taken for it. `given` holds what it was told at its start, such as addresses.
    """

    part: str
    pid: int
    mark: str
    started_ms: int
    address: str
    log: str
    given: dict[str, str] = {}


def pid_file(settings: Settings, part: str) -> Path:
    """Where the process of a part is recorded."""
    return records.run_folder(settings) / f"{part}.pid"


def log_file(settings: Settings, part: str) -> Path:
    """Where a part writes its log."""
    return settings.state / "logs" / f"{part}.log"


def recorded(settings: Settings, part: str) -> Running | None:
    """What the part's pid file says, None without one. Raises StackError for one that cannot be read."""
    path = pid_file(settings, part)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as problem:
        raise StackError(
            f"the pid file {path} is damaged ({problem}): stop the process of {part}, if any, and delete it"
        ) from None


def forget(settings: Settings, part: str) -> None:
    """Remove the part's pid file."""
    pid_file(settings, part).unlink(missing_ok=True)


def start(
    settings: Settings,
    part: str,
    command: Sequence[str],
    environ: Mapping[str, str],
    address: str = "",
    given: Mapping[str, str] | None = None,
) -> Running:
    """Start a part's process and record it.

    It has a session of its own, so that no Ctrl-C reaches it, reads nothing and writes to the part's log.
    """
    log = log_file(settings, part)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.is_file() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    # An interrupt between the start and its record would leave a process that nobody knows.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        pid = os.posix_spawnp(
            command[0],
            list(command),
            dict(environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
        )
        running = Running(part, pid, _mark(pid), now_ms(), address, str(log), dict(given or {}))
        records.write(pid_file(settings, part), msgspec.structs.asdict(running))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    return running


def is_alive(running: Running) -> bool:
    """Whether the recorded process still runs; a later process of the same pid does not count."""
    with suppress(ChildProcessError):
        os.waitpid(running.pid, os.WNOHANG)
    return running.mark != "" and _mark(running.pid) == running.mark


def members(running: Running) -> list[int]:
    """Pids of the process and of all that it started, as far as they run; also of what outlived it."""
    if _mark(running.pid) not in ("", running.mark):
        return []  # the pid belongs to a stranger, so nothing is left of our session
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if _session(pid) == running.pid]


def memory_mb(running: Running) -> int:
    """Resident memory of the process and of all that it started, in MiB."""
    pages = 0
    for pid in members(running):
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def stop(running: Running, grace_s: float, receiver: int | None = None) -> bool:
    """End the process and all that it started: SIGTERM, after `grace_s` seconds SIGKILL for what is left.

    `receiver` is that one of its processes which handles SIGTERM, by default the recorded one. True when
    SIGTERM was enough. Raises StackError when the system cannot even kill it.
    """
    clean = True
    if is_alive(running):
        with suppress(ProcessLookupError):
            os.kill(receiver or running.pid, signal.SIGTERM)
        clean = wait_until(lambda: not is_alive(running), grace_s)
    for pid in members(running):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not wait_until(lambda: not is_alive(running) and not members(running), KILLED_S):
        raise StackError(
            f"{running.part} (pid {running.pid}) does not end although it was killed: does its disk answer?"
        )
    return clean


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def last_lines(log: str | Path, lines: int = 12) -> str:
    """The end of a log, indented."""
    path = Path(log)
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return "\n".join(f"    {line[:300]}" for line in text.splitlines()[-lines:]) or "    (nothing)"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from `state` on; empty when there is no such process, or a dead one.

    A process of several threads is dead when the last of them is: until then it holds its files and locks.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    fields = text.rpartition(")")[2].split()
    is_dead = fields[0] in "ZX" and int(fields[THREADS]) <= 1
    return [] if is_dead else fields


def _mark(pid: int) -> str:
    fields = _stat(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}" if fields else ""


def _session(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[3]) if fields else 0
