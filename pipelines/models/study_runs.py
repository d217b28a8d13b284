"""Runs of a study in MLflow: one for the study, and below it one for each trial."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from optuna.trial import FrozenTrial, TrialState

from pipelines.models.registry import _answered as answered

os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a line for each trial is ours

PARENT = "mlflow.parentRunId"
STUDY, TRIAL, STATE = "study", "trial", "trial_state"
ENDED_AS = {TrialState.COMPLETE: "FINISHED", TrialState.PRUNED: "FINISHED", TrialState.FAIL: "FAILED"}
PAGE = 1000


class StudyRuns:
    """The runs of one study. A study that goes on goes on in the same run; each trial is written once.

    Every method raises RegistryError when MLflow does not answer.
    """

    def __init__(self, tracking_uri: str, experiment: str, study: str) -> None:
        self.uri, self.study = tracking_uri, study
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        with answered(self.uri):
            known = self._client.get_experiment_by_name(experiment)
            self._experiment = known.experiment_id if known else self._client.create_experiment(experiment)
            self.run_id = self._parent()
            self._written = {
                int(run.data.tags[TRIAL]): run for run in self._below() if TRIAL in run.data.tags
            }

    def write(self, trials: list[FrozenTrial]) -> None:
        """Write the trials that have ended and are not written yet."""
        for trial in trials:
            written = self._written.get(trial.number)
            if trial.state.is_finished() and (written is None or written.info.status == "RUNNING"):
                with answered(self.uri):
                    self._written[trial.number] = self._write(trial, written)

    def end(
        self,
        status: str,
        figures: Mapping[str, float] | None = None,
        tables: Mapping[str, pd.DataFrame] | None = None,
        texts: Mapping[str, str] | None = None,
        pictures: Mapping[str, Figure] | None = None,
    ) -> None:
        """End the study's run (FINISHED or KILLED) with what is known of it, by file or metric name."""
        with answered(self.uri):
            for name, value in (figures or {}).items():
                self._client.log_metric(self.run_id, name, value)
            for name, table in (tables or {}).items():
                self._client.log_text(self.run_id, table.to_csv(index=False), name)
            for name, text in (texts or {}).items():
                self._client.log_text(self.run_id, text, name)
            for name, picture in (pictures or {}).items():
                self._client.log_figure(self.run_id, picture, name)
            self._client.set_terminated(self.run_id, status)

    def _parent(self) -> str:
        mine = f"tags.`{STUDY}` = '{self.study}' and tags.`kind` = 'study'"
        for run in self._client.search_runs([self._experiment], mine, max_results=1):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        tags = {STUDY: self.study, "kind": "study"}
        made = self._client.create_run(self._experiment, tags=tags, run_name=self.study)
        return str(made.info.run_id)

    def _below(self) -> list[Run]:
        found: list[Run] = []
        token: str | None = ""
        while token is not None:
            mine = f"tags.`{PARENT}` = '{self.run_id}'"
            page = self._client.search_runs(
                [self._experiment], mine, max_results=PAGE, page_token=token or None
            )
            found, token = [*found, *page], page.token or None
        return found

    def _write(self, trial: FrozenTrial, begun: Run | None) -> Run:
        ended_at = _ms(trial.datetime_complete)
        run = begun or self._client.create_run(
            self._experiment,
            start_time=_ms(trial.datetime_start),
            tags={PARENT: self.run_id, STUDY: self.study, TRIAL: str(trial.number), STATE: trial.state.name},
            run_name=f"trial {trial.number}",
        )
        metrics = [
            Metric("validation_ndcg_at_10", value, ended_at, rounds)
            for rounds, value in sorted(trial.intermediate_values.items())
        ]
        if trial.value is not None:
            metrics.append(Metric("best_validation_ndcg_at_10", trial.value, ended_at, 0))
        if rounds := trial.user_attrs.get("rounds"):
            metrics.append(Metric("rounds", float(rounds), ended_at, 0))
        params = [Param(name, str(value)) for name, value in trial.params.items()]
        for start in range(0, max(len(metrics), len(params)), 100):
            self._client.log_batch(run.info.run_id, metrics[start : start + 100], params[start : start + 100])
        for name in ("reason", "retry_of"):
            if name in trial.user_attrs:
                self._client.set_tag(run.info.run_id, name, str(trial.user_attrs[name]))
        self._client.set_terminated(run.info.run_id, ENDED_AS[trial.state], ended_at)
        return self._client.get_run(run.info.run_id)


def _ms(moment: datetime.datetime | None) -> Any:
    return None if moment is None else int(moment.timestamp() * 1000)
