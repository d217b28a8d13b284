"""Install what LakePulse needs into its own folder: .venv, .venv-airflow, jars; each once per set of pins.

Runs with the machine's own Python, before there is an environment: standard library only. When everything
is there it reads a few files and returns; it needs the network only for what is missing.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import PrerequisiteError
from pipelines.stack import jars, machine

ROOT = Path(__file__).resolve().parent.parent.parent
PIPELINE, AIRFLOW = ".venv", ".venv-airflow"
PINS = {PIPELINE: "requirements/pipeline.txt", AIRFLOW: "requirements/airflow.txt"}
STAMP = "lakepulse.stamp"
NETWORK = (
    "The first run needs the network. Behind a proxy set HTTPS_PROXY; for a mirror set PIP_INDEX_URL and "
    "UV_DEFAULT_INDEX; then run this again."
)
# What the installation of our own package depends on.
OWN = ("setup.py", "pipelines/__init__.py", "requirements/pipeline.in")


def main(arguments: Sequence[str] | None = None) -> int:
    """Install the part that is asked for; exit code 1, with the remedy on stderr, when that fails."""
    parser = argparse.ArgumentParser(prog="bootstrap.sh", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("pipeline", "airflow"), help="pipeline: .venv, jars; airflow: all")
    args = parser.parse_args(arguments)
    try:
        java = machine.java_program(os.environ)
        machine.java_version(java)
        with _alone(ROOT / ".cache" / "setup.lock"):
            install_pipeline(ROOT)
            jars.fetch(ROOT, pyspark_folder(ROOT), java, say)
            if args.part == "airflow":
                install_airflow(ROOT)
    except PrerequisiteError as missing:
        print(f"setup: {missing}", file=sys.stderr)
        return 1
    return 0


def say(text: str) -> None:
    """A line of progress, at once."""
    print(f"setup: {text}", flush=True)


def stamp(root: Path, environment: str) -> str:
    """What a complete environment is stamped with: its folder, the sha256 of its pins, of our own package."""
    own = OWN if environment == PIPELINE else ()
    return f"{root / environment}\n{_digest(root, [PINS[environment]])}\n{_digest(root, own)}\n"


def is_current(root: Path, environment: str) -> bool:
    """Whether an environment is complete, in the place it was made for, and of the present pins."""
    folder = root / environment
    return _stamped(folder) == stamp(root, environment) and os.access(folder / "bin" / "python", os.X_OK)


def pyspark_folder(root: Path) -> Path:
    """Where pyspark is in .venv."""
    return root / PIPELINE / "lib" / "python3.11" / "site-packages" / "pyspark"


def install_pipeline(root: Path) -> None:
    """Make .venv what requirements/pipeline.txt says, with the project itself installed from its folder."""
    if is_current(root, PIPELINE):
        return
    folder, pins = root / PIPELINE, root / PINS[PIPELINE]
    if not _only_our_own_changed(root):
        _environment(folder)
        _install_uv(folder, pins)
        _sync(root, PIPELINE)
    # The tools that build the package are pinned and installed by now: nothing is downloaded for it.
    own = ["--no-deps", "--no-build-isolation", "--offline", "--quiet", "--editable", str(root)]
    _do([*_uv_pip(root, "install", folder), *own], "LakePulse itself could not be installed")
    (folder / STAMP).write_text(stamp(root, PIPELINE), encoding="utf-8")


def install_airflow(root: Path) -> None:
    """Make .venv-airflow what requirements/airflow.txt says; .venv must be there, its uv does the work."""
    if is_current(root, AIRFLOW):
        return
    _environment(root / AIRFLOW)
    _sync(root, AIRFLOW)
    (root / AIRFLOW / STAMP).write_text(stamp(root, AIRFLOW), encoding="utf-8")


def _only_our_own_changed(root: Path) -> bool:
    """Whether .venv is complete and of its pins, so that nothing has to be looked up for it."""
    present, expected = _stamped(root / PIPELINE).splitlines(), stamp(root, PIPELINE).splitlines()
    return present[:2] == expected[:2] and os.access(root / PIPELINE / "bin" / "python", os.X_OK)


def _digest(root: Path, names: Sequence[str]) -> str:
    return hashlib.sha256(b"\0".join((root / name).read_bytes() for name in names)).hexdigest()


def _stamped(folder: Path) -> str:
    path = folder / STAMP
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _environment(folder: Path) -> None:
    """Keep an environment that runs where it stands, make any other anew; it is not current from here on."""
    moved = _stamped(folder).partition("\n")[0] not in ("", str(folder))
    (folder / STAMP).unlink(missing_ok=True)
    if not moved and _says(folder / "bin" / "python", "-m", "pip", "--version"):
        return
    say(f"{folder.name}: making an environment of Python {sys.version.partition(' ')[0]}")
    _do([sys.executable, "-m", "venv", "--clear", str(folder)], f"{folder} could not be made")


def _install_uv(folder: Path, pins: Path) -> None:
    """The uv of the pins, which then installs everything else in a fraction of the time."""
    pin = re.search(r"^uv==(\S+)$", pins.read_text(encoding="utf-8"), re.MULTILINE)
    if not pin:
        raise PrerequisiteError(f"{pins} does not pin uv: add a line uv==<version>")
    if pin.group(1) in _says(folder / "bin" / "uv", "--version").split():
        return
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _do([*pip, pin.group(0)], f"{pin.group(0)} could not be installed", NETWORK)


def _sync(root: Path, environment: str) -> None:
    folder, pins = root / environment, root / PINS[environment]
    count = sum(1 for line in pins.read_text(encoding="utf-8").splitlines() if "==" in line)
    say(f"{folder.name}: installing {count} packages of {pins.relative_to(root)}")
    _do(
        [*_uv_pip(root, "sync", folder), str(pins)], f"the packages of {pins} could not be installed", NETWORK
    )


def _uv_pip(root: Path, verb: str, folder: Path) -> list[str]:
    return [str(root / PIPELINE / "bin" / "uv"), "pip", verb, "--python", str(folder / "bin" / "python")]


def _says(program: Path, *arguments: str) -> str:
    """What a program prints; nothing when it is not there or fails."""
    if not os.access(program, os.X_OK):
        return ""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode else done.stdout


def _do(command: list[str], failure: str, remedy: str = "The lines above say why.") -> None:
    # Output of a tool is progress: it is shown, and never mixed up with what a command prints as its result.
    if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise PrerequisiteError(f"{failure} ({Path(command[0]).name} ended with {code}). {remedy}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One set-up at a time in this folder; the next one waits, and says so."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work in this folder, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
