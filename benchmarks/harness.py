"""What every benchmark shares: a broker of its own, CPU seconds of a Spark application, alternating runs,
tables, result files."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table as Sheet

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Ours beside what one would otherwise run: the same data, in the same run, in turn. Each benchmark writes its
table here when it ends (`make bench`, or some: `make bench ARGS="B1 B7"`). Read CPU seconds and ratios: wall
times of a shared machine say less."""
console = Console(width=140)


def cpu_seconds(spark: Any) -> float:
    """User and system seconds so far of this process, the JVM behind `spark` and every Python worker."""
    own = os.times()
    total = own.user + own.system
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@contextlib.contextmanager
def measured(spark: Any) -> Iterator[dict[str, float]]:
    """CPU and wall seconds of the block; what came before (start-up, compilation of the session) is not in
    it."""
    figures: dict[str, float] = {}
    wall, cpu = time.perf_counter(), cpu_seconds(spark)
    yield figures
    figures["wall_s"] = time.perf_counter() - wall
    figures["cpu_s"] = cpu_seconds(spark) - cpu


def case(module: str, *arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a case in a process of its own; its last line of output is its figures as JSON. Fails loudly with
    the case's log."""
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+") as log:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{log.read()[-4000:]}\n{done.stdout[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def alternate(cases: dict[str, Callable[[], dict[str, Any]]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Run the cases in turn, A B C A B C …, so that a slow minute of the machine hits all of them alike."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, run in cases.items():
            console.print(f"  round {number + 1}/{rounds}: {name} …")
            found[name].append(run())
    return found


def median(runs: list[dict[str, Any]], figure: str) -> float:
    """Median of a figure over the runs."""
    return statistics.median(run[figure] for run in runs)


def publish(name: str, title: str, columns: list[str], rows: list[list[Any]], **facts: Any) -> None:
    """Print a table of results, keep it with its `facts` and the machine in benchmarks/results/<name>.json,
    and write docs/benchmarks.md anew from all that is kept."""
    show(title, columns, rows)
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "cpus": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    kept = {"title": title, "columns": columns, "rows": rows, "machine": machine, **facts}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=2) + "\n")
    PAGE.write_text(
        page({path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))})
    )


def show(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print a table of results."""
    sheet = Sheet(title=title, title_justify="left")
    for column in columns:
        sheet.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        sheet.add_row(*map(told, row))
    console.print(sheet)


def told(cell: Any) -> str:
    """A cell for people: three digits of a small number, no fraction of a large one, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.3g}" if cell < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def page(results: dict[str, dict[str, Any]]) -> str:
    """docs/benchmarks.md: for each benchmark, by name, what was run, by which command, and its table."""
    parts = [HEAD]
    for name, kept in results.items():
        machine = kept["machine"]
        lines = [
            "| " + " | ".join(kept["columns"]) + " |",
            "|---" + "|---:" * (len(kept["columns"]) - 1) + "|",
        ]
        lines += ["| " + " | ".join(map(told, row)) + " |" for row in kept["rows"]]
        command = f"python -m benchmarks.{name}{kept.get('arguments', '')}"
        about = f"`{command}`, on {machine['cpus']} cores ({machine['processor']})."
        parts.append("\n".join([f"## {kept['title']}", about, "", *lines]))
    return "\n\n".join(parts) + "\n"
