"""Set-up from the outside: make, the bootstrap script, and what continuous integration runs."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipelines.errors import PrerequisiteError
from pipelines.stack import bootstrap, machine

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ["help", "setup", "airflow", "demo", "test", "faults", "lint", "bench", "clean"]


def outside_of_make():
    """The environment without what a make above us, such as `make test`, tells the makes below it."""
    return {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }


def make(*words):
    """What make would run, or with `help` does run."""
    env = outside_of_make()
    done = subprocess.run(["make", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def bare(tmp_path):
    """A project of which nothing is installed yet."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", tmp_path / "setup.py")
    return tmp_path


def set_up(root, **environ):
    """Run the bootstrap script of a project."""
    script = str(root / "pipelines" / "stack" / "bootstrap.sh")
    env = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"} | environ
    return subprocess.run([script, "pipeline"], env=env, capture_output=True, text=True, check=False)


def test_make_alone_lists_every_target():
    assert re.findall(r"^  make (\w+) ", make(), re.MULTILINE) == TARGETS


def test_the_demo_is_told_which_data_and_which_domain():
    assert 'lakepulse demo --domain "shop"' in make("-n", "demo")
    assert 'demo --domain "../my shop.yml" --data "a.jsonl.gz"' in make(
        "-n", "demo", "DATA=a.jsonl.gz", "DOMAIN=../my shop.yml"
    )


@pytest.mark.parametrize("target", ["demo", "test"])
def test_both_commands_set_up_everything_first(target):
    first, *_, last = make("-n", target).splitlines()
    assert first == "pipelines/stack/bootstrap.sh airflow"
    assert last.startswith(".venv/bin/")


@pytest.mark.parametrize(("tests", "lint", "code"), [(0, 0, 0), (3, 0, 2), (0, 1, 2), (5, 6, 2)])
def test_ci_runs_tests_and_lint_and_fails_when_one_does(tmp_path, tests, lint, code):
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "Makefile").write_text(
        f"test:\n\t@echo tested; exit {tests}\nlint:\n\t@echo linted; exit {lint}\n"
    )
    script, env = str(tmp_path / ".ci" / "run"), outside_of_make()
    done = subprocess.run([script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.splitlines()[:2] == ["tested", "linted"]


def test_without_python_3_11_the_remedy_comes_before_anything_else(bare):
    done = set_up(bare, PYTHON="/bin/false")
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
    assert "apt install python3.11 python3.11-venv" in done.stderr
    assert not (bare / ".venv").exists()
    assert not (bare / ".cache").exists()


def test_without_java_the_remedy_comes_before_anything_else(bare):
    done = set_up(bare, PYTHON=sys.executable, JAVA_HOME="/no/java")
    assert done.returncode == 1
    assert "JAVA_HOME=/no/java has no bin/java" in done.stderr
    assert "apt install openjdk-17-jre-headless" in done.stderr
    assert not (bare / ".venv").exists()
    assert not (bare / ".cache").exists()


def test_a_java_that_is_too_old_is_named_with_its_version(tmp_path):
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    program.chmod(0o755)
    with pytest.raises(PrerequisiteError, match=r"is Java 11\.0\.2; LakePulse needs 17 or newer"):
        machine.java_version(str(program))


@pytest.mark.parametrize(
    ("version", "major"), [("17.0.15", 17), ("1.8.0_412", 8), ("25-ea", 25), ("21", 21), ("11.0.2+9", 11)]
)
def test_the_number_that_counts_in_a_java_version(version, major):
    assert machine.major(version) == major


@pytest.mark.parametrize(
    ("environment", "changed"),
    [
        (bootstrap.PIPELINE, "requirements/pipeline.txt"),
        (bootstrap.PIPELINE, "setup.py"),
        (bootstrap.AIRFLOW, "requirements/airflow.txt"),
    ],
)
def test_an_environment_is_current_until_a_pin_changes_or_its_folder_moves(bare, environment, changed):
    python = bare / environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert not bootstrap.is_current(bare, environment)
    (bare / environment / bootstrap.STAMP).write_text(bootstrap.stamp(bare, environment))
    assert bootstrap.is_current(bare, environment)
    moved = bare.with_name(f"{bare.name}_moved")
    shutil.copytree(bare, moved, symlinks=True)
    assert not bootstrap.is_current(moved, environment)
    with (bare / changed).open("a") as file:
        file.write("\n# changed\n")
    assert not bootstrap.is_current(bare, environment)


def test_the_pins_are_complete_for_the_oldest_python_that_setup_takes():
    pins = {
        line.partition("==")[0] for line in (ROOT / "requirements" / "pipeline.txt").read_text().splitlines()
    }
    oldest = {**default_environment(), "python_full_version": "3.11.0", "extra": ""}
    missing = {
        f"{installed.name} needs {needed.name}"
        for installed in metadata.distributions()
        for needed in map(Requirement, installed.requires or ())
        if needed.marker and needed.marker.evaluate(oldest) and canonicalize_name(needed.name) not in pins
    }
    assert missing == set()


def test_the_installed_command_is_this_project():
    done = subprocess.run([ROOT / ".venv" / "bin" / "lakepulse", "--version"], capture_output=True, text=True)
    version = re.search(r'__version__ = "(.+)"', (ROOT / "pipelines" / "__init__.py").read_text())
    assert done.stdout == f"lakepulse {version.group(1)}\n"
