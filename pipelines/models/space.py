"""Which values of which settings a study tries, as the section `tuning` says."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pipelines.errors import SettingsError, nearest
from pipelines.sections import OBJECTIVES, Training, Tuning


class Limits(NamedTuple):
    """Between which values a range may lie, and whether its values are tried by their order of magnitude."""

    least: float
    most: float
    log: bool = False


TINY = 1e-6
RANGES = {
    "learning_rate": Limits(TINY, 1.0, log=True),
    "depth": Limits(1, 16),
    "min_child_weight": Limits(TINY, 1e9, log=True),
    "l2": Limits(TINY, 1e9, log=True),
    "row_share": Limits(TINY, 1.0),
    "feature_share": Limits(TINY, 1.0),
}
BINS = (2, 4096)
LEAST = {
    "trials": 1,
    "minutes": 0,
    "processes": 1,
    "threads": 1,
    "report_rounds": 1,
    "prune_after_trials": 0,
    "prune_after_rounds": 0,
}


def search_space(tuning: Tuning) -> dict[str, BaseDistribution]:
    """Of each setting that is searched the values to try. Raises SettingsError for a wrong range, choice or
    budget."""
    for name, least in LEAST.items():
        if getattr(tuning, name) < least:
            raise SettingsError(f"tuning.{name} is {getattr(tuning, name)}: give {least} or more")
    space: dict[str, BaseDistribution] = {name: _range(tuning, name) for name in RANGES}
    _check_choices("bins", tuning.bins)
    for bins in tuning.bins:
        if not BINS[0] <= bins <= BINS[1]:
            raise SettingsError(f"tuning.bins has {bins}: give numbers from {BINS[0]} to {BINS[1]}")
    _check_choices("objective", tuning.objective)
    for objective in tuning.objective:
        if objective not in OBJECTIVES:
            hint = nearest(objective, OBJECTIVES)
            raise SettingsError(f"tuning.objective has {objective!r}{hint}; known: {', '.join(OBJECTIVES)}")
    space["bins"] = CategoricalDistribution(tuning.bins)
    space["objective"] = CategoricalDistribution(tuning.objective)
    return space


def described(tuning: Tuning) -> dict[str, list[Any]]:
    """The values to try as plain lists, to keep beside a study."""
    return {name: list(getattr(tuning, name)) for name in (*RANGES, "bins", "objective")}


def values_of(training: Training) -> dict[str, Any]:
    """What these settings have for everything that is searched."""
    return {name: getattr(training, name) for name in (*RANGES, "bins", "objective")}


def with_values(training: Training, values: dict[str, Any]) -> Training:
    """The settings with the values of a trial."""
    return dataclasses.replace(training, **values)


def lies_in(values: dict[str, Any], tuning: Tuning) -> bool:
    """Whether a study with these ranges could try the values."""
    ranges = all(getattr(tuning, name)[0] <= values[name] <= getattr(tuning, name)[1] for name in RANGES)
    return ranges and values["bins"] in tuning.bins and values["objective"] in tuning.objective


def _range(tuning: Tuning, name: str) -> BaseDistribution:
    given, limits = getattr(tuning, name), RANGES[name]
    if len(given) != 2 or not given[0] <= given[1]:
        raise SettingsError(
            f"tuning.{name} is {list(given)}: give the least and the greatest value, as in [low, high]; "
            "the same twice tries only that"
        )
    if not (limits.least <= given[0] and given[1] <= limits.most):
        raise SettingsError(
            f"tuning.{name} is {list(given)}: values from {limits.least:g} to {limits.most:g} have a meaning"
        )
    if name == "depth":
        return IntDistribution(given[0], given[1])
    return FloatDistribution(given[0], given[1], log=limits.log)


def _check_choices(name: str, given: tuple[Any, ...]) -> None:
    if not given or len(set(given)) != len(given):
        raise SettingsError(f"tuning.{name} is {list(given)}: give one value or more, each of them once")
