"""What the gate asks of a challenger, one named check each, and the verdict that they make together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

FEWEST = 30
"""Decisions that a check needs: what fewer of them say is mostly chance."""
PASSED, FAILED, NOT_JUDGED = "passed", "failed", "not judged"


@dataclass(frozen=True)
class Check:
    """One question: the value that was found, its limit, and what became of it (`passed`, `failed` or `not
    judged`). `told` says it in a sentence, with the remedy where it failed."""

    name: str
    verdict: str
    told: str
    value: float | None = None
    limit: float | None = None

    @property
    def passed(self) -> bool:
        """Whether it found what it wants."""
        return self.verdict == PASSED


def check(
    name: str, passed: bool, told: str, value: float | None = None, limit: float | None = None
) -> Check:
    """A check that passed or failed."""
    return Check(name, PASSED if passed else FAILED, told, value, limit)


def not_judged(name: str, told: str) -> Check:
    """A check that had nothing to go by."""
    return Check(name, NOT_JUDGED, told)


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may take over: when no check failed. `figures` are the figures behind it."""

    checks: tuple[Check, ...]
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == FAILED)

    @property
    def reason(self) -> str:
        """What the failed checks found; where none failed, what the first one found."""
        return "; ".join(check.told for check in self.failed or self.checks[:1])


def verdict(checks: Iterable[Check], figures: Mapping[str, float] | None = None) -> Verdict:
    """The verdict that these checks make."""
    return Verdict(tuple(checks), figures or {})
