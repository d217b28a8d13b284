"""Processes that train trials: each takes the settings of a trial, tells how it goes, and ends when told to.

Only the process that owns a study talks to its storage and to MLflow; these train and nothing else.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xgboost

from pipelines.errors import TrainingError
from pipelines.models import ranker
from pipelines.models.ranker import METRIC, Examples
from pipelines.sections import Training

PARTS = ("train", "validation")
ARRAYS = ("features", "labels", "sizes")
GOES_ON, ENDS = "goes on", "ends"
PATIENCE_S = 10


@dataclass(frozen=True)
class News:
    """What a process tells of its trial: after `rounds` rounds the best nDCG@10 so far was `score`.

    `running` waits for the answer whether the trial goes on; `stopped` means that it did not; `finished` that
    nothing better was to come, with the rounds up to the best one; `failed` says why in `reason`.
    """

    state: Literal["running", "stopped", "finished", "failed"]
    rounds: int = 0
    score: float = float("nan")
    reason: str = ""


class _Watch(xgboost.callback.TrainingCallback):
    """Tells how a training goes every so many rounds, and ends it when it is told to."""

    def __init__(self, line: Connection, every: int) -> None:
        self.line, self.every, self.best, self.is_stopped = line, every, float("-inf"), False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """After each round; true ends the training."""
        self.best = max(self.best, float(evals_log["validation"][METRIC][-1]))
        if (epoch + 1) % self.every == 0:
            self.line.send(News("running", epoch + 1, self.best))
            self.is_stopped = self.line.recv() == ENDS
        return self.is_stopped


def work(line: Connection, folder: Path, names: list[str]) -> None:
    """Train one trial after the other until the process at the other end of the line is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    examples, validation = (_load(folder, part) for part in PARTS)
    try:
        while True:
            training, every = line.recv()
            line.send(_train(line, examples, validation, names, training, every))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _train(
    line: Connection,
    examples: Examples,
    validation: Examples,
    names: list[str],
    training: Training,
    every: int,
) -> News:
    watch = _Watch(line, every)
    try:
        trained = ranker.train(examples, validation, names, training, [watch])
    except (TrainingError, xgboost.core.XGBoostError, MemoryError) as problem:
        reason = str(problem).strip().splitlines() or [""]
        return News("failed", reason=f"{type(problem).__name__}: {reason[0]}")
    return News("stopped" if watch.is_stopped else "finished", trained.rounds, watch.best)


class Crew:
    """Processes that train trials on the same rows, one each at a time; `idle` are those without one."""

    def __init__(self, folder: Path, names: list[str], processes: int) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._workers: dict[Connection, BaseProcess] = {}
        # Ctrl-C goes to every process of a terminal; what becomes of a trial is for this one to say. (The
        # tracker would let the signal through again if it were started below.)
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for number in range(processes):
                line, theirs = spawning.Pipe()
                worker = spawning.Process(
                    target=work, args=(theirs, folder, names), name=f"trials-{number + 1}", daemon=True
                )
                worker.start()
                theirs.close()
                self._workers[line] = worker
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.idle = list(self._workers)

    def begin(self, training: Training, every: int) -> Connection:
        """Let an idle process train a trial; the line on which it will tell."""
        line = self.idle.pop()
        self._send(line, (training, every))
        return line

    def news(self) -> list[tuple[Connection, News]]:
        """Wait until a process tells something. Raises TrainingError when one has died."""
        told = []
        for line in wait([line for line in self._workers if line not in self.idle]):
            assert isinstance(line, Connection)
            try:
                found: News = line.recv()
            except (EOFError, ConnectionResetError):
                raise self._died(line) from None
            if found.state != "running":
                self.idle.append(line)
            told.append((line, found))
        return told

    def answer(self, line: Connection, goes_on: bool) -> None:
        """Tell a process whether its trial goes on."""
        self._send(line, GOES_ON if goes_on else ENDS)

    def end(self) -> None:
        """End all processes, whatever they do."""
        for line, worker in self._workers.items():
            line.close()
            worker.terminate()
            worker.join(PATIENCE_S)

    def _send(self, line: Connection, message: Any) -> None:
        try:
            line.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._died(line) from None

    def _died(self, line: Connection) -> TrainingError:
        worker = self._workers[line]
        worker.join(PATIENCE_S)
        return TrainingError(
            f"the process {worker.name} of a trial has died with exit code {worker.exitcode}; -9 is often a "
            "lack of memory: lower tuning.processes, or give the machine more. The same command goes on with "
            "the study"
        )


@contextmanager
def crew(examples: Examples, validation: Examples, names: list[str], processes: int) -> Iterator[Crew]:
    """Processes that train on these rows, which they share on disk; all have ended when the block is left."""
    with tempfile.TemporaryDirectory(prefix="lakepulse-tuning-") as name:
        folder = Path(name)
        for part, rows in zip(PARTS, (examples, validation), strict=True):
            for array in ARRAYS:
                np.save(folder / f"{part}-{array}.npy", getattr(rows, array))
        found = Crew(folder, names, processes)
        try:
            yield found
        finally:
            found.end()


def _load(folder: Path, part: str) -> Examples:
    return Examples(*(np.load(folder / f"{part}-{array}.npy", mmap_mode="r") for array in ARRAYS))
