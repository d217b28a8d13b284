"""A study finds better settings on validation alone, goes on where it was, and registers its winner."""

import argparse
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pytest
from optuna.trial import TrialState

from jobs import tune_ranker
from pipelines import settings as settings_module
from pipelines.clock import now_ms
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.domain import load_domain
from pipelines.errors import OwnershipError, SettingsError, TrainingError
from pipelines.features.definitions import compile_definitions
from pipelines.io import delta
from pipelines.models import space, studies, tuning
from pipelines.models.registry import Registry
from pipelines.models.study_runs import PARENT, StudyRuns
from tests.models.builders import store, training_rows

ROOT = Path(__file__).resolve().parent.parent.parent
SHOP = load_domain("shop", settings_module.load(environ={}))
DEFINITIONS = compile_definitions(SHOP)
QUICK = {"rounds": 24, "early_stopping": 8, "min_child_weight": 1.0, "l2": 1.0, "learning_rate": 0.3}
SMALL = {
    "processes": 1,
    "report_rounds": 2,
    "prune_after_trials": 2,
    "prune_after_rounds": 4,
    "learning_rate": [0.001, 0.5],
    "min_child_weight": [1.0, 20.0],
}


@pytest.fixture(scope="module")
def rows(spark):
    """Rows of 60 decisions: 600."""
    return training_rows(spark, DEFINITIONS, "shop", decisions=60).toArrow()


@pytest.fixture
def quick(tmp_path, mlflow_server):
    """Settings of a small study, of the suite's MLflow, in a folder of their own."""
    return settings_of(tmp_path, mlflow_server.uri)


def settings_of(state, uri, training=None, **tuning):
    overrides = {
        "paths": {"state": str(state)},
        "mlflow": {"tracking_uri": uri},
        "training": QUICK | (training or {}),
        "tuning": SMALL | tuning,
    }
    return settings_module.load(environ={}, overrides=overrides)


def asked(settings, study, trials=None, minutes=None, newest=3):
    given = argparse.Namespace(domain=SHOP, study=study, trials=trials, minutes=minutes)
    return tuning.asked(settings, given, newest)


def tune(settings, rows, study, trials, tell=lambda line: None, now=now_ms, **changes):
    """Go on with a study; its trials when it has ended, and the winner."""
    with asked(settings, study, trials, **changes) as (found, about):
        runs = StudyRuns(settings.tracking_uri, "tuned", study)
        winner = tuning.tune(found, about, rows, runs, now, tell)
        tuning.finish(winner, found, runs)
        return found.trials, winner, runs


def values(trials):
    return [(t.number, t.state, t.value, t.params) for t in trials]


def below(runs):
    """Runs of the trials, by their numbers."""
    client = mlflow.MlflowClient(tracking_uri=runs.uri)
    experiment = client.get_run(runs.run_id).info.experiment_id
    found = client.search_runs([experiment], f"tags.`{PARENT}` = '{runs.run_id}'")
    return {int(run.data.tags["trial"]): run for run in found}


@pytest.fixture(scope="module")
def ended(rows, mlflow_server, tmp_path_factory):
    """A study of eight trials, one process; the lines it told."""
    settings, lines = settings_of(tmp_path_factory.mktemp("ended"), mlflow_server.uri), []
    trials, winner, runs = tune(settings, rows, "ended", 8, lines.append)
    return settings, trials, winner, runs, lines


def test_it_begins_with_the_settings_of_now_and_finds_ones_as_good(ended):
    settings, trials, winner, _, lines = ended
    assert trials[0].params == space.values_of(settings.training)
    best = max(t.value for t in trials if t.state == TrialState.COMPLETE)
    assert winner.trial.value == best >= trials[0].value
    assert [line.split()[0] for line in lines] == [f"{n}/8" for n in range(1, 9)]
    assert f"best {best:.4f} (trial {winner.trial.number})" in lines[-1]


def test_a_trial_worse_than_the_median_is_given_up_early(ended):
    settings, trials, _, _, lines = ended
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        assert 4 <= trial.last_step < settings.training.rounds
        earlier = [
            t.intermediate_values[trial.last_step]
            for t in trials[: trial.number]
            if t.state == TrialState.COMPLETE and trial.last_step in t.intermediate_values
        ]
        assert trial.value < np.median(earlier)
    assert sum("given up after" in line for line in lines) == len(pruned)


def test_every_trial_is_a_run_below_the_studys(ended):
    _, trials, winner, runs, _ = ended
    written = below(runs)
    assert sorted(written) == list(range(8))
    for trial in trials:
        run = written[trial.number]
        assert run.data.params == {name: str(value) for name, value in trial.params.items()}
        assert run.data.metrics["best_validation_ndcg_at_10"] == trial.value
        assert (run.info.status, run.data.tags["trial_state"]) == ("FINISHED", trial.state.name)
    client = mlflow.MlflowClient(tracking_uri=runs.uri)
    names = {item.path for item in client.list_artifacts(runs.run_id)}
    assert names == {"parameter_importances.png", "settings.yml", "trials.csv", "trials.png"}
    parent = client.get_run(runs.run_id)
    assert parent.data.metrics["best_validation_ndcg_at_10"] == winner.trial.value
    assert parent.info.status == "FINISHED"


def test_the_winner_has_learnt_from_all_before_the_test_part(ended, rows):
    _, _, winner, _, _ = ended
    found = winner.ranker
    assert winner.training.rounds == found.trained.rounds == winner.trial.user_attrs["rounds"]
    assert len(found.test) == 12
    last = rows.filter(pc.equal(rows["decision_id"], "d47"))  # the newest decision before the test part
    changed = pc.if_else(pc.equal(rows["decision_id"], "d47"), 1.0, rows["label"])
    assert last.num_rows == 10
    place = rows.column_names.index("label")
    other = rows.set_column(place, "label", changed.cast(pa.float32()))
    about = dataclasses.replace(SUBJECT, training=winner.training)
    models = [retrained(part, about) for part in (rows, rows, other)]
    assert models[0] == models[1] == bytes(found.trained.booster.save_raw("ubj")) != models[2]


SUBJECT = studies.Subject(
    SHOP, DEFINITIONS, 3, settings_module.load(environ={}).training, settings_module.load(environ={}).tuning
)


def retrained(rows, about):
    known = tuning.rankings(rows, DEFINITIONS)
    found = tuning.refit_ranker(known, DEFINITIONS, about.training, about.training.rounds)
    return bytes(found.trained.booster.save_raw("ubj"))


def test_the_test_part_plays_no_part(ended, rows, mlflow_server, tmp_path):
    _, trials, _, _, _ = ended
    is_test = pc.greater_equal(rows["decided_at"], pc.max(rows["decided_at"]).as_py().replace(minute=48))
    assert pc.sum(is_test).as_py() == 120
    place = rows.column_names.index("label")
    turned = pc.if_else(is_test, pc.subtract(2.0, rows["label"]), rows["label"]).cast(pa.float32())
    again, _, _ = tune(
        settings_of(tmp_path, mlflow_server.uri), rows.set_column(place, "label", turned), "turned", 3
    )
    assert values(again) == values(trials[:3])


def test_a_study_goes_on_where_it_was(quick, rows):
    first, _, _ = tune(quick, rows, "goes-on", 2)
    then, _, runs = tune(quick, rows, "goes-on", 4, newest=9)
    assert values(then[:2]) == values(first)
    assert len(then) == 4
    assert then[2].params != then[0].params != then[3].params, "it does not draw its first trials again"
    assert sorted(below(runs)) == [0, 1, 2, 3]
    again, winner, _ = tune(quick, rows, "goes-on", 4)
    assert (len(again), winner.trials) == (4, 4), "a study whose budget is spent only names its winner"


def test_unfinished_trials_fail_and_come_first_when_it_goes_on(quick, rows):
    tune(quick, rows, "cut-off", 1)
    with asked(quick, "cut-off") as (study, about):
        cut = study.ask(space.search_space(about.tuning))
    trials, _, runs = tune(quick, rows, "cut-off", 2)
    assert [t.state for t in trials[:2]] == [TrialState.COMPLETE, TrialState.FAIL]
    assert trials[2].params == cut.params
    assert trials[2].user_attrs["retry_of"] == 1
    assert [below(runs)[n].info.status for n in (1, 2)] == ["FAILED", "FINISHED"]


def test_no_trial_begins_after_its_minutes(quick, rows):
    clock = iter([0, 30_000, *[60_000] * 99])
    trials, _, _ = tune(quick, rows, "timed", 50, minutes=1, now=lambda: next(clock))
    assert len(trials) == 1


def test_other_rows_make_another_study_and_a_named_one_keeps_its_version(quick):
    with asked(quick, None, newest=3) as (first, _), asked(quick, None, newest=4) as (second, about):
        assert first.study_name == f"shop-{DEFINITIONS.hash}-v3"
        assert (second.study_name, about.version) == (f"shop-{DEFINITIONS.hash}-v4", 4)
    with asked(quick, "named") as (study, about):
        studies.begin(study, about)
    with asked(quick, "named", newest=4) as (_, about):
        assert about.version == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"depth": [3, 4]}, r"begun with depth = \[3, 9\], now it is \[3, 4\]"),
        ({"training": {"test_share": 0.3}}, r"begun with test_share = 0.2, now it is 0.3"),
    ],
)
def test_trials_that_would_not_compare_are_not_mixed(quick, mlflow_server, rows, change, told):
    with asked(quick, "mixed") as (study, about):
        studies.begin(study, about)
    with pytest.raises(SettingsError, match=f"{told}.*another name with --study"):
        tune(settings_of(quick.state, mlflow_server.uri, **change), rows, "mixed", 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"depth": [9, 3]}, r"tuning.depth is \[9, 3\]: give the least and the greatest"),
        ({"l2": [1.0]}, r"tuning.l2 is \[1.0\]: give the least"),
        ({"learning_rate": [0.0, 0.3]}, r"learning_rate is \[0.0, 0.3\]: values from 1e-06 to 1"),
        ({"row_share": [0.5, 1.5]}, r"row_share is \[0.5, 1.5\]: values from"),
        ({"bins": []}, r"tuning.bins is \[\]: give one value or more"),
        ({"bins": [1]}, r"tuning.bins has 1: give numbers from 2 to 4096"),
        ({"objective": ["rank:ndgc"]}, r"'rank:ndgc'; did you mean 'rank:ndcg'"),
        ({"trials": 0}, r"tuning.trials is 0: give 1 or more"),
        ({"storage": "nowhere"}, r"tuning.storage cannot be opened .*: give a URL such as postgresql://"),
        ({"storage": "postgresql://u:hidden@h/d"}, r"whose driver is installed, or leave it empty"),
    ],
)
def test_wrong_settings_are_told_with_the_remedy(tmp_path, change, told):
    with pytest.raises(SettingsError, match=told) as problem, asked(settings_of(tmp_path, "", **change), "x"):
        pass
    assert "hidden" not in str(problem.value)


def test_a_study_has_one_process_at_a_time(quick):
    with (
        asked(quick, "owned"),
        pytest.raises(OwnershipError, match=f"owned is in the hands of process {os.getpid()}"),
        asked(quick, "owned"),
    ):
        pass


def test_a_dead_process_ends_the_study_and_its_trial_is_tried_again(quick, rows):
    def kill(line):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"died with exit code -9; .* lower tuning.processes"):
        tune(quick, rows, "killed", 3, kill)
    with asked(quick, "killed") as (study, _):
        assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(mlflow_server, rows, tmp_path):
    slow = {"rounds": 80, "early_stopping": 80}
    overrides = {
        "paths": {"state": str(tmp_path)},
        "mlflow": {"tracking_uri": mlflow_server.uri},
        "training": QUICK | slow,
        "tuning": SMALL | {"processes": 2},
    }
    pyarrow.feather.write_feather(rows, tmp_path / "rows.feather")
    program = [sys.executable, "-m", "tests.models.tune_alone", str(tmp_path / "rows.feather")]
    command = [*program, json.dumps(overrides)]
    with subprocess.Popen(
        [*command, "500"], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as begun:
        told = [begun.stdout.readline() for _ in range(2)]
        os.killpg(begun.pid, signal.SIGINT)  # as a terminal does: to every process of the command
        told += begun.stdout.readlines()
    assert begun.returncode == 130
    kept = int(told[-1].split()[1])
    assert told[-1] == f"stopped: {kept} trials of stopped are kept; start again to go on\n"
    assert kept >= len(told) - 1 >= 2
    before = trials_of(tmp_path)
    assert [t.state for t in before if t.state == TrialState.RUNNING] == []
    finished = [t for t in before if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    waiting = [t for t in before if t.state == TrialState.WAITING]
    failed = [t for t in before if t.state == TrialState.FAIL]
    assert len(finished) == kept
    assert len(waiting) == len(failed) >= 1

    done = subprocess.run([*command, str(kept + 1)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith(f"{kept + 1}/{kept + 1} trial {waiting[0].number}: ")
    after = trials_of(tmp_path)
    assert values(t for t in after if t.number in {f.number for f in finished}) == values(finished)
    assert after[waiting[0].number].params == waiting[0].system_attrs["fixed_params"]


def trials_of(state):
    return optuna.load_study(study_name="stopped", storage=f"sqlite:///{state}/tuning/studies.db").trials


def test_the_job_registers_the_winner_with_its_settings(spark, quick, capsys):
    store(spark, quick)
    delta.append(training_rows(spark, DEFINITIONS, "shop", 60), TRAINING_ROWS, quick)
    given = argparse.Namespace(domain=SHOP, study=None, trials=2, minutes=None)
    assert tune_ranker.run(quick, lambda: spark, given) == 0
    name, version = capsys.readouterr().out.splitlines()[-1].split()
    registry = Registry(quick.tracking_uri)
    kept = registry.parameters(registry.version(name, version))
    newest = delta.version(spark, quick, TRAINING_ROWS)
    assert kept["study"] == f"shop-{DEFINITIONS.hash}-v{newest}"
    assert kept["delta_version.gold.training_rows"] == str(newest)
    assert kept["trained_by"] == "one process, again on all decisions before the test part"
    assert {"trial", "trials", "learning_rate", "depth"} <= set(kept)
    assert registry.figures(registry.version(name, version))["validation_ndcg_at_10"] > 0
