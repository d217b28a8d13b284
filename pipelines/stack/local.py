"""The local stack: its parts in their order, brought up, taken down and looked at."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import msgspec

from pipelines.clock import now_ms
from pipelines.errors import StackError, nearest
from pipelines.settings import Settings
from pipelines.stack import processes, records
from pipelines.stack.kafka import KAFKA
from pipelines.stack.mlflow_server import MLFLOW
from pipelines.stack.part import Part
from pipelines.stack.processes import Running
from pipelines.stack.reviews import REVIEWS
from pipelines.stack.service import SERVICE
from pipelines.stack.streams import DOMAIN, STREAMS, WATCH

PARTS: tuple[Part, ...] = (KAFKA, MLFLOW, STREAMS, WATCH, SERVICE, REVIEWS)
NAMES = tuple(part.name for part in PARTS)
ANSWER_S = 20.0  # for the first answer of a part that starts
QUICK_S = 3.0  # for an answer of one that runs
LOCK_S = 300.0

Tell = Callable[[str, str, bool], None]
"""Takes a part's name, what is going on, and whether that is worth keeping or only the progress of now."""

State = Literal["running", "not answering", "died", "stopped", "elsewhere"]


class Seen(msgspec.Struct, frozen=True):
    """A part as `status` finds it: `died` should run and does not, `elsewhere` is named by the settings."""

    part: str
    state: State
    pid: int | None = None
    address: str = ""
    uptime_s: int | None = None
    memory_mb: int | None = None
    log: str = ""

    @property
    def is_well(self) -> bool:
        """Whether the part is as it should be."""
        return self.state not in ("died", "not answering")


def chosen(only: Sequence[str] | None) -> tuple[Part, ...]:
    """The parts of these names and what they need, in the order of their start; all parts for None.

    Raises StackError for an unknown name.
    """
    for name in only or ():
        if name not in NAMES:
            raise StackError(f"no part {name!r}{nearest(name, NAMES)}; the parts are {', '.join(NAMES)}")
    if only is None:
        return PARTS
    needed = {need for part in PARTS if part.name in only for need in part.needs}
    return tuple(part for part in PARTS if part.name in needed.union(only))


def running_domain(settings: Settings) -> str | None:
    """The domain that the streams run for; None while they do not run."""
    running = processes.recorded(settings, STREAMS.name)
    return running.given.get(DOMAIN) if running and processes.is_alive(running) else None


def up(settings: Settings, domain: str, only: Sequence[str] | None, tell: Tell) -> None:
    """Bring up the chosen parts, except for those that run already; returns when all answer.

    Raises StackError when one cannot start. An interrupt stops again what was started.
    """
    parts = chosen(only)
    with _alone(settings, tell):
        present = running_domain(settings)
        if STREAMS in parts and present not in (None, domain):
            raise StackError(
                f"the streams run for the domain {present}: `lakepulse down` first, then "
                f"`lakepulse up --domain {domain}`"
            )
        begun: list[Part] = []
        try:
            _bring_up(settings, domain, parts, begun, tell)
        except (KeyboardInterrupt, SystemExit):
            _stop_all(settings, begun, tell)
            raise


def down(settings: Settings, tell: Tell) -> list[str]:
    """Stop all parts, the last started first, and give their names. Raises StackError when one survives."""
    with _alone(settings, tell):
        return _stop_all(settings, PARTS, tell)


def status(settings: Settings) -> list[Seen]:
    """All parts in the order of their start, as they are now."""
    return [_seen(settings, part) for part in PARTS]


def _bring_up(settings: Settings, domain: str, parts: Sequence[Part], begun: list[Part], tell: Tell) -> None:
    """Start what does not run, several at a time where none needs the other; `begun` collects these."""
    waiting: list[tuple[Part, Running]] = []
    for part in parts:
        for needed in [pair for pair in waiting if pair[0].name in part.needs]:
            waiting.remove(needed)
            _await(settings, *needed, tell)
        if not _is_there(settings, part, domain, tell):
            begun.append(part)
            waiting.append((part, _start(settings, part, domain, tell)))
    for pair in waiting:
        _await(settings, *pair, tell)


def _is_there(settings: Settings, part: Part, domain: str, tell: Tell) -> bool:
    """Whether the part is as it should be, here or elsewhere; if not, what is left of it is cleared away."""
    running = processes.recorded(settings, part.name)
    if running is None:
        if elsewhere := part.configured(settings):
            part.complete(settings)
            tell(part.name, f"elsewhere, at {elsewhere}", True)
        return bool(elsewhere)
    if not processes.is_alive(running):
        problem = f"its process {running.pid} is gone"
    elif running.given != part.given(settings, domain):
        problem = f"what it was given ({', '.join(running.given)}) has changed"
    elif not part.answers(settings, running, QUICK_S):
        problem = f"its process {running.pid} does not answer"
    else:
        part.complete(settings)
        tell(part.name, f"runs already{_at(running)}, pid {running.pid}", True)
        return True
    tell(part.name, f"{problem}: starting it again", True)
    _clear(settings, part, running)
    return False


def _start(settings: Settings, part: Part, domain: str, tell: Tell) -> Running:
    tell(part.name, "starting", False)
    launch = part.prepare(settings, domain)
    given = part.given(settings, domain)
    running = processes.start(settings, part.name, launch.command, launch.environ, launch.address, given)
    if launch.address:
        _publish(settings, part, launch.address)
    return running


def _await(settings: Settings, part: Part, running: Running, tell: Tell) -> None:
    """Wait until a part answers. Raises StackError with the end of its log when it ends or takes too long."""

    def has_settled() -> bool:
        tell(part.name, f"starting, {_age_s(running):.0f} s", False)
        return not processes.is_alive(running) or part.answers(settings, running, ANSWER_S)

    in_time = processes.wait_until(has_settled, part.patience_s)
    if not in_time or not processes.is_alive(running):
        problem = "ended while it started" if in_time else f"does not answer after {part.patience_s:.0f} s"
        last = processes.last_lines(running.log)
        _clear(settings, part, running)
        raise StackError(
            f"{part.name} {problem}; the end of its log {running.log}:\n{last}\n"
            "  Mend what it says, then `lakepulse up` again; `lakepulse down` stops what is up."
        )
    part.complete(settings)
    tell(part.name, f"up{_at(running)}, pid {running.pid}, {_age_s(running):.1f} s", True)


def _stop_all(settings: Settings, parts: Sequence[Part], tell: Tell) -> list[str]:
    """Stop those of the parts that are recorded, the last one first, and give their names. Those that no
    other part needs are asked at once, and waited for together."""
    found = [(part, processes.recorded(settings, part.name)) for part in reversed(parts)]
    known = [(part, running) for part, running in found if running is not None]
    alive = {part.name: processes.is_alive(running) for part, running in known}
    together = [name for name in alive if not any(name in other.needs for other in PARTS)]
    with ThreadPoolExecutor(max(1, len(together))) as pool:
        ending = {
            part.name: pool.submit(_ended, settings, part, running)
            for part, running in known
            if part.name in together
        }
        for part, running in known:
            tell(part.name, "stopping", False)
            since, name = now_ms(), part.name
            clean = ending[name].result() if name in ending else _ended(settings, part, running)
            _forget(settings, part)
            if not alive[name]:
                tell(name, f"its process {running.pid} was gone already", True)
            else:
                how = "stopped" if clean else "did not end when asked, so it was killed"
                tell(name, f"{how}, {(now_ms() - since) / 1000:.1f} s", True)
    return [part.name for part, _ in known]


def _clear(settings: Settings, part: Part, running: Running) -> bool:
    """End what runs of a part, and forget it. True when it ended by itself."""
    clean = _ended(settings, part, running)
    _forget(settings, part)
    return clean


def _ended(settings: Settings, part: Part, running: Running) -> bool:
    return processes.stop(running, part.grace_s(settings), part.stop_on(settings, running))


def _forget(settings: Settings, part: Part) -> None:
    _publish(settings, part, None)
    processes.forget(settings, part.name)


def _publish(settings: Settings, part: Part, address: str | None) -> None:
    """Let every process find the part's address, or know that it has none."""
    path = records.run_folder(settings) / "stack.json"
    others = {name: known for name, known in records.read(path).items() if name != part.name}
    records.write(path, others | ({part.name: address} if address else {}))


def _seen(settings: Settings, part: Part) -> Seen:
    running = processes.recorded(settings, part.name)
    if running is None:
        elsewhere = part.configured(settings)
        return Seen(part.name, "elsewhere" if elsewhere else "stopped", address=elsewhere)
    if not processes.is_alive(running):
        return Seen(part.name, "died", running.pid, running.address, log=running.log)
    return Seen(
        part.name,
        "running" if part.answers(settings, running, QUICK_S) else "not answering",
        running.pid,
        running.address,
        int(_age_s(running)),
        processes.memory_mb(running),
        running.log,
    )


def _at(running: Running) -> str:
    return f" at {running.address}" if running.address else ""


def _age_s(running: Running) -> float:
    return (now_ms() - running.started_ms) / 1000


@contextmanager
def _alone(settings: Settings, tell: Tell) -> Iterator[None]:
    """Let one process at a time change the stack of this state folder; StackError when one takes too long."""
    path: Path = records.run_folder(settings) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        if not _took(lock):
            lock.seek(0)
            owner = lock.read() or "unknown"
            tell("stack", f"process {owner} is starting or stopping it: waiting", True)
            if not processes.wait_until(lambda: _took(lock), LOCK_S):
                raise StackError(
                    f"process {owner} has been changing the stack for {LOCK_S:.0f} s: stop it first"
                )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _took(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
