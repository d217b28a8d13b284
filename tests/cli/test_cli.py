"""The command `lakepulse` itself: its verbs, its help, its exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

import pipelines
from pipelines import cli
from pipelines.cli import doctor
from pipelines.errors import StackError

ROOT = Path(__file__).resolve().parent.parent.parent
VERBS = sorted(p.stem.replace("_", "-") for p in (ROOT / "pipelines" / "cli").glob("[a-z]*.py"))


@pytest.fixture
def failing(monkeypatch):
    """Let `lakepulse doctor` end with an exception."""

    def give(problem):
        def run(_args):
            raise problem

        monkeypatch.setattr(doctor, "run", run)

    return give


def test_help_names_every_verb_without_loading_what_is_heavy():
    code = (
        "import sys; from pipelines import cli\n"
        "heavy = {'pyspark', 'pandas', 'mlflow', 'numba', 'numpy'}\n"
        "try: cli.main(['--help'])\n"
        "finally: print(*sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.strip() == ""
    assert [
        verb for verb in VERBS if f"\n    {verb} " not in done.stdout and f"\n    {verb}\n" not in done.stdout
    ] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"usage: lakepulse {verb}" in capsys.readouterr().out


def test_version_is_the_packages(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"lakepulse {pipelines.__version__}\n"


def test_an_unknown_verb_is_answered_with_the_nearest_one(capsys):
    assert cli.main(["docter"]) == 2
    assert "no verb 'docter'; did you mean 'doctor'?" in capsys.readouterr().err


def test_an_error_of_ours_is_one_line_and_exit_code_1(failing, capsys):
    failing(StackError("the broker of the shop is gone"))
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().err == "lakepulse doctor: the broker of the shop is gone\n"


def test_a_defect_is_not_hidden(failing):
    failing(ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_ctrl_c_is_exit_code_130(failing):
    failing(KeyboardInterrupt())
    assert cli.main(["doctor"]) == 130
