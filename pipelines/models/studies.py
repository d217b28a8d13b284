"""Studies: where they are kept, who goes on with one, and what it must be about for its trials to compare."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState

from pipelines.domain import Domain
from pipelines.errors import OwnershipError, SettingsError
from pipelines.features.definitions import Definitions
from pipelines.models import space
from pipelines.sections import Training, Tuning

FACTS = "facts"
RETRY_OF = "retry_of"
FIXED = ("test_share", "validation_share", "rounds", "early_stopping", "seed")
"""Settings of training that all trials of a study share."""
NAME = re.compile(r"[\w.:-]{1,200}")


@dataclass(frozen=True)
class Subject:
    """What a study is about: rows of a domain at a version of gold.training_rows, and the settings."""

    domain: Domain
    definitions: Definitions
    version: int
    training: Training
    tuning: Tuning

    def facts(self) -> dict[str, Any]:
        """What must stay as it is while a study goes on, or its trials would not compare."""
        return {
            "domain": self.domain.name,
            "definitions_hash": self.definitions.hash,
            "version": self.version,
            "report_rounds": self.tuning.report_rounds,
            **{name: getattr(self.training, name) for name in FIXED},
            **space.described(self.tuning),
        }


def study_name(domain: str, definitions_hash: str, version: int) -> str:
    """The usual name of a study: another domain file or other rows make another one."""
    return f"{domain}-{definitions_hash}-v{version}"


@contextlib.contextmanager
def open_study(folder: Path, tuning: Tuning, name: str, seed: int) -> Iterator[optuna.Study]:
    """The study of this name, new or as it was left, for this process alone.

    It is kept in `tuning.storage`, or in a file of `folder`. Trials that an earlier process left unfinished
    are marked as failed and come first in turn. Raises OwnershipError when another process has the study, and
    SettingsError for a wrong name or storage.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot name a study: use letters, digits, and . : _ -")
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _owned(folder / f"{name}.lock", name):
        url = tuning.storage or f"sqlite:///{folder / 'studies.db'}"
        try:
            storage = optuna.storages.RDBStorage(url)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as problem:
            # The text of the URL is left out: it may hold a password.
            reason = str(problem).splitlines()[0]
            raise SettingsError(
                f"the studies in tuning.storage cannot be opened ({type(problem).__name__}: {reason}): give "
                "a URL such as postgresql://host/studies whose driver is installed, or leave it empty"
            ) from None
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=tuning.prune_after_trials, n_warmup_steps=tuning.prune_after_rounds
            ),
        )
        # The seed grows with the trials: a study that goes on would otherwise draw its first ones again.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        abandon(study)
        try:
            yield study
        finally:
            storage.engine.dispose()


def version_of(study: optuna.Study, newest: int) -> int:
    """The version of gold.training_rows that the study was begun with; `newest` for a new one."""
    return int(study.user_attrs.get(FACTS, {}).get("version", newest))


def abandon(study: optuna.Study) -> None:
    """Mark trials that nobody trains any more as failed, and put their settings first in turn."""
    again = {trial.user_attrs.get(RETRY_OF) for trial in study.trials}
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if trial.number not in again:
            study.enqueue_trial(trial.params, user_attrs={RETRY_OF: trial.number})
        study.tell(trial.number, state=TrialState.FAIL)


def begin(study: optuna.Study, subject: Subject) -> None:
    """Refuse a study of other things; note what a new one is about, and let it begin with what is set now."""
    ours, theirs = subject.facts(), study.user_attrs.get(FACTS)
    for name, value in ours.items():
        if theirs is not None and theirs.get(name) != value:
            raise SettingsError(
                f"study {study.study_name} was begun with {name} = {theirs.get(name)}, now it is {value}: "
                "its trials would not compare. Set it back, or give another name with --study"
            )
    if theirs is None:
        study.set_user_attr(FACTS, ours)
        present = space.values_of(subject.training)
        if space.lies_in(present, subject.tuning):
            study.enqueue_trial(present)


@contextlib.contextmanager
def _owned(path: Path, name: str) -> Iterator[None]:
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip() or "another one"
            raise OwnershipError(
                f"study {name} is in the hands of process {owner}: one process at a time goes on with a "
                "study. Wait for it, stop it, or give another name with --study"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
