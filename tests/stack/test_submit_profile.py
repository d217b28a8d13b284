"""Where a job runs when nobody says it on the command line."""

import pytest

from pipelines.stack import submit


@pytest.mark.parametrize(
    ("variable", "words", "profile"),
    [
        (None, ["land_bronze"], "local"),
        ("yarn", ["land_bronze"], "yarn"),
        ("yarn", ["land_bronze", "--profile", "k8s"], "k8s"),
        ("yarn", ["--profile", "local", "land_bronze", "--once"], "local"),
    ],
)
def test_the_usual_profile_comes_by_environment_and_the_command_line_wins(
    monkeypatch, variable, words, profile
):
    monkeypatch.delenv("LAKEPULSE_PROFILE", raising=False)
    if variable:
        monkeypatch.setenv("LAKEPULSE_PROFILE", variable)
    assert submit.parse(words).profile == profile


def test_an_unknown_usual_profile_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("LAKEPULSE_PROFILE", "yrn")
    with pytest.raises(SystemExit):
        submit.parse(["land_bronze"])
    assert "invalid choice: 'yrn'" in capsys.readouterr().err
