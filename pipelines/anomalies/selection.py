"""Which findings pass what reviewers have taught, which non-alerts they see, and which incidents twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

from pipelines.anomalies.findings import DROP, Finding
from pipelines.anomalies.incidents import key_of, pattern_of
from pipelines.anomalies.reviews import Evidence
from pipelines.sections import Alerts

DISTRUST = 0.2
"""Trust below which a finding must also be more unusual than every reviewed false alarm of its pattern."""
FAR_MORE = 2.0
"""So many times the exposure of every reviewed false alarm passes, whatever its pattern."""
FIRST_DAY = 10_000
"""Hypotheses a day that are expected before a day was counted."""


def chance_of(seed: int, *names: object) -> float:
    """A number of [0, 1) that these names always get: what is drawn by it is drawn again at a repeat.

    >>> chance_of(7, "user", "ann") == chance_of(7, "user", "ann")
    True
    """
    digest = hashlib.sha256("|".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:7]) / float(1 << 56)


def passing(evidence: Mapping[str, Evidence], bound: float, config: Alerts) -> Callable[[Finding], bool]:
    """Whether a finding passes what reviewers have said of its pattern; other patterns are not touched.

    `bound` is the p-value up to which this micro-batch selects: the less a pattern is trusted, the smaller p
    must be. What would pass by chance alone (`explore_share`) lets a pattern win trust back.
    """

    def passes(finding: Finding) -> bool:
        known = evidence.get(pattern_of(finding))
        if known is None or known.trust >= 1:
            return True
        if finding.exposure > FAR_MORE * known.greatest_exposure:
            return True
        drawn = chance_of(config.seed, "explore", key_of(finding), finding.window_start_ms)
        if drawn < config.explore_share:
            return True
        limit = known.least_p if finding.kind == DROP else bound
        if known.trust < DISTRUST:
            return finding.p < min(known.least_p, limit * known.trust)
        return finding.p <= limit * known.trust

    return passes


def sample(others: Iterable[Finding], hypotheses_a_day: int, config: Alerts) -> tuple[list[Finding], float]:
    """Of the hypotheses that are no findings those that reviewers see, and the chance by which each was
    drawn."""
    chance = min(1.0, config.samples_per_day / (hypotheses_a_day or FIRST_DAY))
    drawn = [
        f
        for f in others
        if chance_of(config.seed, "sample", key_of(f), f.window_start_ms, f.window_end_ms) < chance
    ]
    return drawn, chance


def asks_twice(incident_id: str, config: Alerts) -> bool:
    """Whether an incident is one of those that a second reviewer judges too."""
    return chance_of(config.seed, "double", incident_id) < config.double_share
