"""The search for better settings of a ranker: a study of trials that can be stopped and goes on where it was.

A trial learns from the training part and is judged by nDCG@10 of the validation part; the test part plays no
part in it. The winner learns once more from everything before the test part, and only then is judged by it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
from optuna.trial import FrozenTrial, Trial, TrialState
from pyspark.sql import DataFrame

from pipelines.errors import RegistryError, TrainingError
from pipelines.features.definitions import compile_definitions
from pipelines.features.vectors import Vectors
from pipelines.models import space, study_plots
from pipelines.models.registry import Registry
from pipelines.models.split import by_time
from pipelines.models.studies import Subject, abandon, begin, open_study, study_name, version_of
from pipelines.models.study_runs import StudyRuns
from pipelines.models.training import Origin, TrainedRanker, as_served, pack_ranker, refit_ranker
from pipelines.models.training_set import Rankings, rankings
from pipelines.models.trials import Crew, News, crew
from pipelines.sections import Training
from pipelines.settings import Settings

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Winner:
    """The ranker with the best settings of a study, trained on all before the test part, and its trial."""

    ranker: TrainedRanker
    training: Training
    trial: FrozenTrial
    study: str
    trials: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What a search takes on the command line."""
    parser.add_argument("--trials", type=int, help="trials of the study in all (default: tuning.trials)")
    parser.add_argument(
        "--minutes",
        type=int,
        help="after so many minutes no further trial begins, 0 = no limit (default: tuning.minutes)",
    )
    parser.add_argument(
        "--study",
        help="name of the study (default: domain, hash of its feature definitions and version of "
        "gold.training_rows, so that other rows make another study). A study named here goes on with "
        "the version of the rows that it was begun with; other definitions, ranges or cuts are refused",
    )


@contextlib.contextmanager
def asked(
    settings: Settings, args: argparse.Namespace, newest: int
) -> Iterator[tuple[optuna.Study, Subject]]:
    """The study that the command line asks for, and what it is about; `newest` is the version of
    gold.training_rows now. Raises SettingsError for a wrong budget or range, and like `open_study`."""
    changed = {n: v for n in ("trials", "minutes") if (v := getattr(args, n)) is not None}
    tuning, known = dataclasses.replace(settings.tuning, **changed), compile_definitions(args.domain)
    space.search_space(tuning)
    name = args.study or study_name(args.domain.name, known.hash, newest)
    with open_study(settings.state / "tuning", tuning, name, settings.training.seed) as study:
        yield study, Subject(args.domain, known, version_of(study, newest), settings.training, tuning)


def tune(
    study: optuna.Study,
    subject: Subject,
    rows: pa.Table | DataFrame,
    runs: StudyRuns,
    now: Callable[[], int],
    tell: Tell,
) -> Winner:
    """Go on with the study until its budget is spent; the winner, trained on all before the test part.

    `now` gives ms, `tell` takes a line for each trial. Raises SettingsError when the study was begun with
    other rows, ranges or settings, TrainingError for rows that cannot train, for a trial that fails and when
    no trial was complete. Whatever ends it early, finished trials are kept and the others come first when the
    study goes on.
    """
    values, definitions = space.search_space(subject.tuning), subject.definitions
    known = rankings(_in_process(rows, subject), definitions)
    split = by_time(known.judged(), subject.training.test_share, subject.training.validation_share)
    examples, validation = split.train.examples(), as_served(split.validation, definitions).examples()
    examples.check("the training part")
    validation.check("the validation part")
    begin(study, subject)
    search = _Search(study, subject, values, runs, now, tell)
    runs.write(study.trials)
    try:
        with crew(examples, validation, definitions.names, search.processes()) as workers:
            search.run(workers)
    except BaseException as problem:
        abandon(study)
        if isinstance(problem, KeyboardInterrupt):
            with contextlib.suppress(RegistryError):  # the study itself is safe, and written when it goes on
                runs.write(study.trials)
                runs.end("KILLED")
            tell(f"stopped: {search.finished()} trials of {study.study_name} are kept; start again to go on")
        raise
    return _winner(study, subject, known, search.finished())


class _Search:
    """Trials that are trained now, and what becomes of them."""

    def __init__(
        self,
        study: optuna.Study,
        subject: Subject,
        values: dict[str, Any],
        runs: StudyRuns,
        now: Callable[[], int],
        tell: Tell,
    ) -> None:
        self.study, self.subject, self.values, self.runs = study, subject, values, runs
        self.now, self.tell, self.tuning = now, tell, subject.tuning
        self.training = dataclasses.replace(subject.training, threads=subject.tuning.threads)
        self.running: dict[Any, Trial] = {}
        minutes = self.tuning.minutes
        self.ends_at = now() + minutes * 60_000 if minutes else None

    def finished(self) -> int:
        """Trials that count: complete, or given up as worse than others."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))

    def processes(self) -> int:
        """Processes that have something to do."""
        return max(0, min(self.tuning.processes, self.tuning.trials - self.finished()))

    def run(self, workers: Crew) -> None:
        """Train trials until the budget is spent and the last one has ended."""
        while True:
            while workers.idle and self._may_begin():
                trial = self.study.ask(self.values)
                training = space.with_values(self.training, trial.params)
                self.running[workers.begin(training, self.tuning.report_rounds)] = trial
            if not self.running:
                return
            for line, news in workers.news():
                if news.state == "running":
                    trial = self.running[line]
                    trial.report(news.score, news.rounds)
                    workers.answer(line, goes_on=not trial.should_prune())
                else:
                    self._end(self.running.pop(line), news)

    def _may_begin(self) -> bool:
        is_in_time = self.ends_at is None or self.now() < self.ends_at
        return is_in_time and self.finished() + len(self.running) < self.tuning.trials

    def _end(self, trial: Trial, news: News) -> None:
        if news.state == "failed":
            trial.set_user_attr("reason", news.reason)
            self.study.tell(trial, state=TrialState.FAIL)
            self.runs.write(self.study.trials)
            raise TrainingError(
                f"trial {trial.number} failed with {trial.params}: {news.reason}. Its settings are not tried "
                "again; the same command goes on with the study"
            )
        trial.set_user_attr("rounds", news.rounds)
        if news.state == "stopped":
            ended = self.study.tell(trial, state=TrialState.PRUNED)
        else:
            ended = self.study.tell(trial, news.score)
        self.runs.write(self.study.trials)
        self.tell(self._line(ended))

    def _line(self, trial: FrozenTrial) -> str:
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        value = "" if trial.value is None else f"{trial.value:.4f}"
        if trial.state == TrialState.PRUNED:
            became = f"{value} given up after {trial.last_step} rounds"
        else:
            became = f"{value} with {trial.user_attrs['rounds']} rounds"
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        best = f"best {self.study.best_value:.4f} (trial {self.study.best_trial.number})" if complete else ""
        chosen = " ".join(f"{name}={_short(value)}" for name, value in trial.params.items())
        count = f"{self.finished()}/{self.tuning.trials}"
        return f"{count} trial {trial.number}: {became}, {seconds:.1f} s; {best}; {chosen}"


def register(
    winner: Winner, subject: Subject, registry: Registry, origin: Origin, vectors: Vectors | None
) -> str:
    """Register the winner as the next version of the domain's ranker, with its study and its settings, and
    with the vectors that its rows were made with. Returns the version."""
    with tempfile.TemporaryDirectory() as name:
        folder, found, known = Path(name) / "package", winner.ranker, subject.definitions
        packed = pack_ranker(found, subject.domain, known, winner.training, folder, origin, vectors)
        about = {"study": winner.study, "trial": winner.trial.number, "trials": winner.trials}
        figures = {**packed.figures, "validation_ndcg_at_10": float(winner.trial.value or 0.0)}
        parameters = {**packed.parameters, **about}
        return registry.register(dataclasses.replace(packed, parameters=parameters, figures=figures))


def finish(winner: Winner, study: optuna.Study, runs: StudyRuns) -> None:
    """Write what the study has shown to its run in MLflow: which settings matter, how it went, who won."""
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    # Of fewer trials Optuna cannot tell anything.
    shares = optuna.importance.get_param_importances(study) if len(complete) > 1 else {}
    pictures = {"trials.png": study_plots.history(study.trials)}
    if shares:
        pictures["parameter_importances.png"] = study_plots.parameters(shares)
    settings = "".join(f"  {name}: {_short(value)}\n" for name, value in winner.trial.params.items())
    runs.end(
        "FINISHED",
        figures={
            "best_validation_ndcg_at_10": float(winner.trial.value or 0.0),
            "trials": float(winner.trials),
            "test_ndcg_at_10": winner.ranker.evaluation.ndcg,
        },
        tables={"trials.csv": study.trials_dataframe(("number", "state", "value", "params", "user_attrs"))},
        texts={"settings.yml": f"training:\n{settings}"},
        pictures=pictures,
    )


def _winner(study: optuna.Study, subject: Subject, known: Rankings, finished: int) -> Winner:
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise TrainingError(
            f"no trial of {study.study_name} is complete, so nobody has won: give it more time (--minutes)"
        )
    best = study.best_trial
    rounds = int(best.user_attrs["rounds"])
    training = dataclasses.replace(space.with_values(subject.training, best.params), rounds=rounds)
    found = refit_ranker(known, subject.definitions, training, rounds)
    return Winner(found, training, best, study.study_name, finished)


def _in_process(rows: pa.Table | DataFrame, subject: Subject) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    most = subject.training.in_process_rows
    if (found := rows.count()) > most:
        raise TrainingError(
            f"gold.training_rows has {found:,} rows of {subject.domain.name}, and a trial trains in one "
            f"process on {most:,} at most: raise training.in_process_rows if they fit into memory"
        )
    return rows.toArrow()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
