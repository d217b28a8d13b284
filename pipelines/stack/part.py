"""What a part of the local stack is: how it is started, when it answers, how it is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.settings import Settings
from pipelines.stack.processes import Running


@dataclass(frozen=True)
class Launch:
    """A command, its environment, and the address at which it will answer (empty when it has none)."""

    command: list[str]
    environ: Mapping[str, str]
    address: str = ""


@dataclass(frozen=True)
class Part:
    """One process of the stack. Callables take the settings first, and where it matters the domain.

    `needs`: names of the parts that must answer before it is started.
    `prepare`: makes what must be there, and says how to start.
    `given`: what it is told at its start and keeps for its life; when that changes, it must be started again.
    `answers`: asked, with the seconds that it may take, until it is true, for at most `patience_s` seconds.
    `complete`: what is left to do when it answers.
    `configured`: its address when it runs elsewhere; it is then not started here.
    `stop_on`: the process that handles SIGTERM, None for the one that was started; it has `grace_s` seconds.
    """

    name: str
    prepare: Callable[[Settings, str], Launch]
    answers: Callable[[Settings, Running, float], bool]
    patience_s: float
    grace_s: Callable[[Settings], float]
    needs: tuple[str, ...] = ()
    given: Callable[[Settings, str], Mapping[str, str]] = lambda settings, domain: {}
    complete: Callable[[Settings], None] = lambda settings: None
    configured: Callable[[Settings], str] = lambda settings: ""
    stop_on: Callable[[Settings, Running], int | None] = lambda settings, running: None
