"""What the machine must bring: Linux, Python 3.11 and Java 17 or newer. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import PrerequisiteError

OLDEST_JAVA = 17
JAVA_REMEDY = """Get one, then run this again:
  Debian, Ubuntu                 apt install openjdk-17-jre-headless
  Fedora, RHEL, Rocky, Alma      dnf install java-17-openjdk-headless
  openSUSE                       zypper install java-17-openjdk-headless
One in another place is named like this:  export JAVA_HOME=/path/to/jdk"""


def java_program(environ: Mapping[str, str]) -> str:
    """Path of the Java that Spark and Kafka will use: JAVA_HOME's, otherwise the one on PATH.

    Raises PrerequisiteError when there is none.
    """
    home = environ.get("JAVA_HOME")
    if home:
        program = Path(home) / "bin" / "java"
        if not os.access(program, os.X_OK):
            raise PrerequisiteError(f"JAVA_HOME={home} has no bin/java. {JAVA_REMEDY}")
        return str(program)
    found = shutil.which("java", path=environ.get("PATH"))
    if not found:
        raise PrerequisiteError(
            f"no Java found; LakePulse needs a runtime of version {OLDEST_JAVA} or newer. {JAVA_REMEDY}"
        )
    return found


def java_version(program: str) -> str:
    """The version that a Java says of itself, such as `17.0.15`.

    Raises PrerequisiteError when it says none, or one that is too old.
    """
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "([^"]+)"', done.stderr + done.stdout)
    if done.returncode or not version:
        raise PrerequisiteError(
            f"{program} -version fails: {(done.stderr or done.stdout).strip()}. {JAVA_REMEDY}"
        )
    if major(version.group(1)) < OLDEST_JAVA:
        raise PrerequisiteError(
            f"{program} is Java {version.group(1)}; LakePulse needs {OLDEST_JAVA} or newer. {JAVA_REMEDY}"
        )
    return version.group(1)


def major(version: str) -> int:
    """The number that counts in a Java version: 17 in `17.0.15`, 8 in `1.8.0_412`, 25 in `25-ea`."""
    numbers = [int(n) for n in re.findall(r"\d+", version)]
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]
