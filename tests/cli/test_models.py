"""`lakepulse models`, on a real MLflow server: what it shows, what it moves, and what it keeps of that."""

import datetime
import json

import pytest

from pipelines import cli
from pipelines import settings as settings_module
from pipelines.io import verdicts
from pipelines.models.registry import Registry
from tests.models.builders import a_training, impatient

NAME = "listed-ranker"
AT = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def registry(mlflow_server, tmp_path_factory):
    """A model with three versions, of which nobody is in charge."""
    made, folder = Registry(mlflow_server.uri), tmp_path_factory.mktemp("listed") / "ranker"
    for depth in (4, 6, 6):
        figures = {"ndcg_at_10": depth / 10, "gain_over_outcome_rate": 0.02}
        made.register(a_training(folder, NAME, parameters={"depth": depth}, figures=figures))
    return made


@pytest.fixture
def house(registry, tmp_path, monkeypatch):
    """An installation with a lake of its own whose models are in that MLflow."""
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(tmp_path))
    monkeypatch.setenv("LAKEPULSE__MLFLOW__TRACKING_URI", registry.uri)
    impatient(monkeypatch)
    return settings_module.load()


def judged(house, version, accepted):
    """Keep a verdict of the gate on a version."""
    told = "the gain +0.0100 [+0.0050, +0.0150] is above 0" if accepted else "the gain is not above 0"
    check = {"name": "gain", "verdict": "passed" if accepted else "failed", "told": told}
    record = {
        "decided_at": AT,
        "model_name": NAME,
        "challenger": version,
        "champion": None,
        "action": "gate",
        "decided_by": "the gate",
        "accepted": accepted,
        "reason": told,
        "figures": {"gain": 0.01},
        "checks": [check | {"value": 0.01, "limit": 0.0}],
    }
    verdicts.keep(record, house, pytest.fail)


def models(capsys, *words):
    """Exit code, standard output and error of a call."""
    code = cli.main(["models", *words])
    return code, *capsys.readouterr()


def as_json(capsys, *words):
    code, out, _ = models(capsys, *words, "--json")
    assert code in (0, 99)
    return json.loads(out)


def test_a_version_is_promoted_once_the_gate_accepts_it_and_rolled_back_with_a_reason(
    house, registry, capsys
):
    code, out, _ = models(capsys, "promote", NAME, "1")
    assert (code, out) == (
        99,
        f"{NAME} 1 is not promoted: no gate has judged it: run the job gate --model {NAME}\n",
    )
    judged(house, "1", accepted=True)
    judged(house, "2", accepted=False)
    assert models(capsys, "promote", NAME, "1")[:2] == (0, f"{NAME} 1 is the champion, after nobody\n")
    code, out, _ = models(capsys, "promote", NAME, "2")
    assert (code, out) == (99, f"{NAME} 2 is not promoted: the gain is not above 0\n")
    assert models(capsys, "promote", NAME, "2", "--force") == (
        1,
        "",
        'lakepulse models: a promotion by force needs its reason, for those who come later: --why "…"\n',
    )
    forced = as_json(capsys, "promote", NAME, "2", "--force", "--why", "a campaign needs it")
    assert (forced["version"], forced["before"], forced["done"]) == ("2", "1", True)
    assert (registry.current(NAME), registry.current(NAME, "previous")) == ("2", "1")

    code, _, told = models(capsys, "rollback", NAME)
    assert code == 1
    assert "a rollback needs its reason" in told
    code, out, _ = models(capsys, "rollback", NAME, "--why", "clicks fell")
    assert (code, out) == (0, f"{NAME} 1 is the champion again, instead of 2\n")
    assert (registry.current(NAME), registry.current(NAME, "previous")) == ("1", None)
    code, _, told = models(capsys, "rollback", NAME, "--why", "again")
    assert code == 1
    assert (
        told == f"lakepulse models: {NAME} has no earlier champion to go back to: promote a version instead\n"
    )

    withdrawn, forced, gate = [r for r in verdicts.of_model(house, NAME) if r["challenger"] == "2"]
    assert (withdrawn["action"], withdrawn["champion"], withdrawn["accepted"]) == ("rollback", "1", False)
    assert withdrawn["reason"] == f"rollback by {withdrawn['decided_by']}: clicks fell"
    assert (forced["action"], forced["accepted"]) == ("promotion by force", True)
    assert "a campaign needs it" in forced["reason"]
    assert gate["checks"][0]["told"] == "the gain is not above 0"
    code, out, _ = models(capsys, "promote", NAME, "2")
    assert code == 99, "what was rolled back stays away until it is judged again"
    assert "clicks fell" in out


def test_versions_are_listed_newest_first(house, capsys):
    found = [one for one in as_json(capsys, "list") if one["model"] == NAME]
    assert [one["version"] for one in found] == ["3", "2", "1"]
    assert found[0] | {"created_at": ""} == {
        "model": NAME,
        "version": "3",
        "aliases": [],
        "stage": "challenger",
        "gate": None,
        "created_at": "",
        "ndcg_at_10": 0.6,
        "gain_over_outcome_rate": 0.02,
    }
    code, out, _ = models(capsys, "list", NAME)
    assert code == 0
    assert out.splitlines()[0].split() == [
        "model",
        "version",
        "aliases",
        "stage",
        "gate",
        "created",
        "nDCG@10",
        "over",
        "outcome",
        "rate",
    ]
    assert len(out.splitlines()) == 4


def test_a_version_is_shown_with_its_verdicts_figures_and_parameters(house, capsys):
    judged(house, "3", accepted=True)
    code, out, _ = models(capsys, "show", NAME, "3")
    assert code == 0
    assert out.startswith(f"{NAME} 3: challenger, made 20")
    assert "2026-01-01 12:00 UTC, gate: accepted" in out
    assert "the gain +0.0100 [+0.0050, +0.0150] is above 0" in out
    found = as_json(capsys, "show", NAME, "3")
    assert found["parameters"]["depth"] == "6"
    assert found["records"][0]["checks"][0]["limit"] == 0.0
    assert found["tags"]["definitions_hash"] == "0123abcd"


def test_two_versions_are_compared_by_figures_and_what_differs(house, capsys):
    found = as_json(capsys, "compare", NAME, "1", "3")
    assert found["figures"]["ndcg_at_10"] == [0.4, 0.6]
    assert found["differing_parameters"] == {"depth": ["4", "6"]}
    code, out, _ = models(capsys, "compare", NAME, "1")
    assert code == 0
    assert "version 1 and version 3" in out
    assert "+0.2000" in out
    assert "all parameters are the same" in models(capsys, "compare", NAME, "2", "3")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", "listed-rankr"), "no model listed-rankr is registered; did you mean 'listed-ranker'"),
        (("show", NAME, "9"), r"listed-ranker has no version 9; it has ['3', '2', '1']"),
        (
            ("show", NAME, "shadow"),
            "no version of listed-ranker has the alias shadow; `lakepulse models list",
        ),
        (("show", "nobody-ranker"), "no model nobody-ranker is registered; train it first. Known:"),
        (("promote", "nobody-ranker"), "no model nobody-ranker is registered; train it first. Known:"),
        (("compare", NAME, "1", "9"), "listed-ranker has no version 9"),
    ],
)
def test_what_is_not_there_is_an_error_of_one_line(house, capsys, words, told):
    code, out, error = models(capsys, *words)
    assert (code, out) == (1, "")
    assert error.startswith(f"lakepulse models: {told}")
    assert error.count("\n") == 1


def test_without_mlflow_the_remedy_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(tmp_path))
    code, _, told = models(capsys, "list")
    assert code == 1
    assert "mlflow.tracking_uri is not set and no local mlflow is known" in told
    assert "run `lakepulse up`" in told
