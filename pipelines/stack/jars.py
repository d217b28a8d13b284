"""The two jar sets: fetched by the Ivy that pyspark ships, used only when their sha256 is the listed one.

Standard library only: this runs before anything is installed for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from pipelines.errors import PrerequisiteError

SETS = ("spark", "kafka")
# How Ivy and the JVM mark what went wrong.
PROBLEM = ("not found", "FAILED", "ERROR", "Exception")
MOST_PROBLEMS = 12
Say = Callable[[str], None]


def jars_folder(root: Path) -> Path:
    """Where the sets are kept, one folder each."""
    return root / ".cache" / "jars"


def listed(root: Path) -> dict[str, str]:
    """sha256 of each jar, by `<set>/<file>`, as requirements/jars.sha256 has them."""
    lines = (root / "requirements" / "jars.sha256").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}


def wrong(root: Path, folder: Path) -> dict[str, str]:
    """What is wrong with the jars in a folder, by `<set>/<file>`; empty when all is well.

    A jar can be missing, have another sha256, or be one that is not listed.
    """
    expected = listed(root)
    present = {f"{f.parent.name}/{f.name}": f for s in SETS for f in sorted((folder / s).glob("*.jar"))}
    faults = {name: "is missing" for name in expected if name not in present}
    for name, path in present.items():
        if name not in expected:
            faults[name] = "is not in requirements/jars.sha256"
        elif (found := _sha256(path)) != expected[name]:
            faults[name] = f"has sha256 {found}, requirements/jars.sha256 says {expected[name]}"
    return faults


def fetch(root: Path, pyspark: Path, java: str, say: Say = print) -> None:
    """Make the jar sets complete and right; touches no network when they are already.

    Raises PrerequisiteError when a jar cannot be fetched or has another sha256; the present ones stay then.
    """
    folder = jars_folder(root)
    if not wrong(root, folder):
        return
    fetched = folder / ".fetched"
    shutil.rmtree(fetched, ignore_errors=True)
    try:
        _retrieve(root, pyspark, java, fetched, say)
        _refuse_others(root, fetched)
        for jar_set in SETS:
            shutil.rmtree(folder / jar_set, ignore_errors=True)
            (fetched / jar_set).rename(folder / jar_set)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)


def _refuse_others(root: Path, fetched: Path) -> None:
    faults = wrong(root, fetched)
    if faults:
        listing = "\n".join(f"  {file} {fault}" for file, fault in sorted(faults.items()))
        raise PrerequisiteError(
            f"the fetched jars are not the ones that were checked:\n{listing}\n"
            f"Delete {root / '.cache' / '.ivy2'} and try again. If it stays, the place they come from serves "
            "other files: do not use them, ask whoever runs it."
        )


def _retrieve(root: Path, pyspark: Path, java: str, into: Path, say: Say) -> None:
    ivy = sorted((pyspark / "jars").glob("ivy-*.jar"))
    if not ivy:
        raise PrerequisiteError(
            f"no Ivy in {pyspark / 'jars'}: this is no whole pyspark; delete .venv, run `make setup`"
        )
    command = [java, f"-Duser.home={root / '.cache'}", "-cp", str(ivy[-1]), "org.apache.ivy.Main"]
    if settings := os.environ.get("IVY_SETTINGS"):
        command += ["-settings", settings]
    command += ["-ivy", str(root / "requirements" / "jars.xml"), "-confs", *SETS, "-types", "jar", "bundle"]
    command += ["-retrieve", f"{into}/[conf]/[artifact]-[revision].[ext]"]
    expected, arrived, problems = len(listed(root)), 0, []
    say(f"jars: looking up {expected} files (about 70 MB)")
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            if "[SUCCESSFUL ]" in line:
                arrived += 1
                if arrived % 10 == 0:
                    say(f"jars: {arrived} of {expected} fetched")
            elif any(sign in line for sign in PROBLEM):
                problems.append(f"  {line.strip()}")
    if process.returncode:
        told = "\n".join(problems[-MOST_PROBLEMS:])
        raise PrerequisiteError(
            f"the jars could not be fetched:\n{told}\n"
            "The first run needs the network. Behind a proxy set JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=…; "
            "for a mirror name an Ivy settings file: IVY_SETTINGS=/path/ivysettings.xml make setup"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
