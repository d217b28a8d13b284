"""`lakepulse doctor` on the real installation, and on what can be wrong with one."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.stack import bootstrap, checks

ROOT = Path(__file__).resolve().parent.parent.parent


def findings(**environ):
    """Every check by its name, for an environment with these variables."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith("LAKEPULSE_")}
    for name in ("JAVA_HOME", "SPARK_HOME", "PYSPARK_PYTHON"):
        clean.pop(name, None)
    return {check.name: check for check in checks.check_all(clean | environ)}


def test_this_installation_can_do_its_work():
    found = findings()
    assert [f"{c.name}: {c.found}" for c in found.values() if c.state == "failed"] == []
    assert {"system", "python", "java", ".venv", "jars", "settings", "state folder", "disk", "memory"} <= set(
        found
    )


@pytest.mark.parametrize(
    ("variable", "given", "name", "says", "remedy"),
    [
        ("JAVA_HOME", "/no/java", "java", "JAVA_HOME=/no/java has no bin/java", "install a Java runtime, 17"),
        ("SPARK_HOME", "/opt/spark", "SPARK_HOME", "/opt/spark, which is not", "unset SPARK_HOME"),
        ("PYSPARK_PYTHON", "/bin/sh", "PYSPARK_PYTHON", "/bin/sh, which is not", "unset PYSPARK_PYTHON"),
        ("LAKEPULSE__KAFKA__PROT", "1", "settings", "did you mean 'port'", "correct the named setting"),
        ("LAKEPULSE__PATHS__STATE", "/proc/x", "state folder", "/proc/x cannot be written", "paths.state"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(variable, given, name, says, remedy):
    check = findings(**{variable: given})[name]
    assert check.state == "failed"
    assert says in check.found
    assert remedy in check.remedy


def test_a_configured_port_that_is_taken_names_who_has_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = findings(LAKEPULSE__KAFKA__PORT=str(port))["kafka.port"]
    assert check.state == "failed"
    assert check.found == f"{port} is in use by python (pid {os.getpid()})"
    assert findings(LAKEPULSE__KAFKA__PORT=str(port))["kafka.port"].state == "ok"


def test_packages_that_differ_from_their_pins_are_named(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for name in (bootstrap.PIPELINE, bootstrap.AIRFLOW, ".cache"):
        (tmp_path / name).symlink_to(ROOT / name)
    pins = tmp_path / "requirements" / "pipeline.txt"
    others = "no-such-package==1.0\nof-another-system==1.0 ; sys_platform == 'none'\n"
    pins.write_text(pins.read_text().replace("pandas==2.3.3", "pandas==2.3.9") + others)
    monkeypatch.setenv("LAKEPULSE_HOME", str(tmp_path))
    check = findings()[".venv"]
    assert check.state == "failed"
    assert check.found == "pandas 2.3.3 (pinned 2.3.9), no-such-package missing (pinned 1.0)"
    assert check.remedy == "run `make setup`"


def test_the_command_ends_with_1_when_a_check_failed(monkeypatch, capsys):
    monkeypatch.setenv("JAVA_HOME", "/no/java")
    assert cli.main(["doctor", "--json"]) == 1
    told = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert told["java"]["state"] == "failed"
    assert cli.main(["doctor"]) == 1
    assert "not well: java" in capsys.readouterr().out
