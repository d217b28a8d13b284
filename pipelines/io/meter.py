"""Progress of something that counts, for people at a terminal and for logs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

SECONDS_BETWEEN_LINES = 5.0


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")


@contextmanager
def meter(what: str, count: Callable[[], int], total: int | None = None) -> Iterator[None]:
    """Show `count()` and its speed on stderr while the block runs: a bar on a terminal, else lines."""
    console = Console(file=sys.stderr)
    shown = _bar(console, what, count, total) if console.is_terminal else _lines(what, count)
    done = threading.Event()
    thread = threading.Thread(target=shown, args=(done,), name=f"meter: {what}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _bar(
    console: Console, what: str, count: Callable[[], int], total: int | None
) -> Callable[[threading.Event], None]:
    def show(done: threading.Event) -> None:
        columns = (
            TextColumn("{task.description} {task.completed:>11,.0f}"),
            BarColumn(),
            _Speed(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(what, total=total)
            while not done.wait(0.2):
                progress.update(task, completed=count())
            progress.update(task, completed=count())

    return show


def _lines(what: str, count: Callable[[], int]) -> Callable[[threading.Event], None]:
    def show(done: threading.Event) -> None:
        begin = last = time.monotonic()
        before = 0
        while not done.wait(SECONDS_BETWEEN_LINES):
            now, counted = time.monotonic(), count()
            pace = (counted - before) / (now - last)
            print(
                f"{what}: {counted:,} after {now - begin:.0f} s, {pace:,.0f}/s", file=sys.stderr, flush=True
            )
            last, before = now, counted

    return show
