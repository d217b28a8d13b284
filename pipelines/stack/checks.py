"""What an installation needs, checked one by one: each finding that is not well comes with its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal

import msgspec
import psutil
from packaging.requirements import Requirement

from pipelines import settings as settings_module
from pipelines.errors import LakePulseError, StackError
from pipelines.settings import Settings
from pipelines.stack import bootstrap, jars, machine, ports, processes, submit

State = Literal["ok", "warning", "failed"]
GIB = 1 << 30
LEAST_DISK_GIB, GOOD_DISK_GIB = 1, 5
LEAST_MEMORY_GIB, GOOD_MEMORY_GIB = 2, 4
MOST_NAMED = 4
SETUP = "run `make setup`"


class Check(msgspec.Struct, frozen=True):
    """A finding: a `warning` works, though not for long or not well; what `failed` does not work."""

    name: str
    state: State
    found: str
    remedy: str = ""


def check_all(environ: Mapping[str, str]) -> list[Check]:
    """Every check, in the order in which a newcomer would mend what failed. Changes nothing."""
    found = [_system(), _python(), *_java(environ), *_interpreters(environ)]
    root = settings_module.project_root()
    found += [_packages(root, bootstrap.PIPELINE, "failed", SETUP), _jars(root), _airflow(root)]
    try:
        settings = settings_module.load(environ=environ)
    except LakePulseError as problem:
        return [*found, Check("settings", "failed", str(problem), "correct the named setting")]
    found.append(Check("settings", "ok", f"profile {settings.profile}, state in {settings.state}"))
    return [*found, _writable(settings), _disk(settings), _memory(), *_ports(settings)]


def _system() -> Check:
    found = f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores"
    if platform.system() != "Linux":
        return Check("system", "failed", found, "use a Linux machine, a virtual one or WSL 2")
    return Check("system", "ok", found)


def _python() -> Check:
    found = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] != (3, 11):
        return Check("python", "failed", found, f"LakePulse runs on Python 3.11: {SETUP} and use .venv/bin")
    return Check("python", "ok", found)


def _java(environ: Mapping[str, str]) -> Iterator[Check]:
    try:
        program = machine.java_program(environ)
        yield Check("java", "ok", f"{machine.java_version(program)} ({program})")
    except StackError as problem:
        remedy = (
            f"install a Java runtime, {machine.OLDEST_JAVA} or newer (Debian, Ubuntu: apt install "
            "openjdk-17-jre-headless), or point JAVA_HOME to one"
        )
        yield Check("java", "failed", str(problem).partition(". ")[0], remedy)


def _interpreters(environ: Mapping[str, str]) -> Iterator[Check]:
    """What the environment tells about Python and Spark; without that, those of .venv are used."""
    own = {"PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(submit.spark_home())}
    for name, expected in own.items():
        given = environ.get(name, "")
        if given and Path(shutil.which(given) or given).resolve() != Path(expected).resolve():
            yield Check(name, "failed", f"{given}, which is not {expected}", f"unset {name}")
        else:
            yield Check(name, "ok", given or "not set: that of .venv is used")


def _packages(root: Path, environment: str, worst: State, remedy: str) -> Check:
    pins_file = root / bootstrap.PINS[environment]
    lines = pins_file.read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if "==" in line]
    pins = {
        one.name: str(one.specifier).removeprefix("==")
        for one in wanted
        if one.marker is None or one.marker.evaluate()
    }
    folder = root / environment / "lib" / "python3.11" / "site-packages"
    installed = {_normal(d.metadata["Name"]): d.version for d in distributions(path=[str(folder)])}
    wrong = [
        f"{name} {installed.get(_normal(name), 'missing')} (pinned {version})"
        for name, version in pins.items()
        if installed.get(_normal(name)) != version
    ]
    if wrong:
        return Check(environment, worst, _some(wrong), remedy)
    if not bootstrap.is_current(root, environment):
        return Check(
            environment, "warning", "not set up by `make`, or for other pins or another folder", remedy
        )
    return Check(environment, "ok", f"{len(pins)} packages as pinned in requirements/{pins_file.name}")


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _some(faults: list[str]) -> str:
    more = len(faults) - MOST_NAMED
    return ", ".join(faults[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _jars(root: Path) -> Check:
    faults = jars.wrong(root, jars.jars_folder(root))
    if faults:
        return Check("jars", "failed", _some([f"{name} {fault}" for name, fault in faults.items()]), SETUP)
    return Check("jars", "ok", f"{len(jars.listed(root))} files, each with its sha256")


def _airflow(root: Path) -> Check:
    remedy = "run `make airflow` (`make demo` and `make test` do)"
    if not (root / bootstrap.AIRFLOW / "bin" / "airflow").is_file():
        return Check(bootstrap.AIRFLOW, "warning", "Airflow is not installed: no DAG can run", remedy)
    return _packages(root, bootstrap.AIRFLOW, "failed", remedy)


def _writable(settings: Settings) -> Check:
    folder = next(f for f in (settings.state, *settings.state.parents) if f.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("state folder", "ok", f"{settings.state} can be written")
    except OSError as problem:
        return Check(
            "state folder",
            "failed",
            f"{settings.state} cannot be written: {problem.strerror}",
            "give it to this user, or set paths.state (LAKEPULSE__PATHS__STATE) to another folder",
        )


def _disk(settings: Settings) -> Check:
    folder = next(f for f in (settings.state, *settings.state.parents) if f.exists())
    return _enough(
        "disk",
        shutil.disk_usage(folder).free,
        LEAST_DISK_GIB,
        GOOD_DISK_GIB,
        f"free at {folder}",
        "free some, or set paths.state to another disk",
    )


def _memory() -> Check:
    memory = psutil.virtual_memory()
    return _enough(
        "memory",
        memory.available,
        LEAST_MEMORY_GIB,
        GOOD_MEMORY_GIB,
        f"available of {memory.total / GIB:.1f} GiB",
        "end other programs, or make spark.driver_memory and kafka.heap_mb smaller",
    )


def _enough(name: str, size: int, least: int, good: int, of_what: str, remedy: str) -> Check:
    found = f"{size / GIB:.1f} GiB {of_what}"
    if size >= good * GIB:
        return Check(name, "ok", found)
    return Check(name, "warning" if size >= least * GIB else "failed", f"{found}, {good} are good", remedy)


def _ports(settings: Settings) -> Iterator[Check]:
    """A finding per configured port; one that is in use is well when the part it is meant for has it."""
    configured = {
        "kafka.port": ("kafka", settings.kafka.port),
        "kafka.controller_port": ("kafka", settings.kafka.controller_port),
        "mlflow.port": ("mlflow", settings.mlflow.port),
        "airflow.port": ("airflow", settings.airflow.port),
    }
    if not any(port for _, port in configured.values()):
        yield Check("ports", "ok", "none is configured: free ones are taken")
    for setting, (part, port) in configured.items():
        if not port:
            continue
        running = processes.recorded(settings, part)
        if ports.is_free(port):
            yield Check(setting, "ok", f"{port} is free")
        elif running and processes.is_alive(running):
            yield Check(setting, "ok", f"{port} is in use by our own {part}")
        else:
            user = ports.listener(port)
            yield Check(
                setting,
                "failed",
                f"{port} is in use by {user}",
                f"stop it, or set {setting} (0 = a free port)",
            )
