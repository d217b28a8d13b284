"""`lakepulse alerts`: what the page shows and takes, as a user types it."""

import json

import pytest

from pipelines import cli
from tests.serving import review_stage as stage


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    settings = stage.an_installation(tmp_path)
    stage.fill(settings)
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(tmp_path))
    monkeypatch.setenv("LAKEPULSE__ALERTS__DOUBLE_SHARE", "0.0")

    def typed(*words, code=0):
        assert cli.main(["alerts", *words]) == code
        told = capsys.readouterr()
        return told.out if code == 0 else told.err

    return typed


def test_an_incident_is_listed_shown_and_reviewed(call):
    found = json.loads(call("list", "--text", "u907", "--json"))["alerts"]
    [incident] = [a["incident_id"] for a in found]
    assert incident in call("list")
    shown = call("show", incident)
    assert "user u907 behaves unusually" in shown
    assert "spent_minor" in shown
    call("assign", incident, "bob")
    assert "kept as review" in call("review", incident, "confirmed", "--reason", "stolen", "--as", "ann")
    assert incident not in call("list")
    assert incident in call("list", "--all", "--assigned", "bob")
    assert "precision 100%: 1 confirmed" in call("precision")
    shown = call("show", incident)
    assert "for bob" in shown
    assert "stolen" in shown


def test_a_silence_begins_and_ends(call):
    told = call("silence", "key=user=bot*", "--hours", "2", "--reason", "a load test")
    name = told.split()[1]
    assert "key=user=bot*" in call("silences")
    assert "has ended" in call("silences", "--end", name)
    assert call("silences") == "no silence\n"


def test_what_cannot_be_is_told(call):
    assert "no incident nothing" in call("show", "nothing", code=1)
    assert "did you mean 'metric'" in call("silence", "metrics=a", "--hours", "1", "--reason", "x", code=1)
    assert "needs its reason" in call("silence", "metric=a", "--hours", "1", code=1)
