"""The most unusual of each day, for reviewers, while too few verdicts exist to have shown what is wrong.

Where nobody has reviewed the past, attacks are a part of what is usual: they set the scale of p-values,
nothing is found, and there is nothing to review. So the few most unusual causes of each day of event time are
shown all the same. They are no findings: nobody is told of them, and they weigh less than what was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pipelines.anomalies.alert_batches import DAY_MS
from pipelines.anomalies.findings import Finding
from pipelines.anomalies.grouping import Carriers, grouped
from pipelines.anomalies.incidents import LEAST_P, MINUTE_MS, key_of, pattern_of
from pipelines.anomalies.reviews import Evidence
from pipelines.sections import Alerts

SUSPECT_P = 0.01
"""p-value up to which a window is looked at again when its day is over."""
MOST = 1_000
"""Windows of a day that are kept, those with the least p-values."""
Days = dict[int, list[Finding]]
"""Windows by the number of their day."""


def is_wanted(judged: int, config: Alerts) -> bool:
    """Whether so many verdicts on outliers are too few to have shown what is wrong."""
    return config.unusual_per_day > 0 and judged < config.unusual_until


def gather(days: Days, new: Iterable[Finding], shown: int) -> None:
    """Add windows to their days, if after day `shown`; of a window that comes again the newer one stays."""
    touched = set()
    for finding in new:
        day = finding.window_start_ms // DAY_MS
        if day > shown and finding.p <= SUSPECT_P:
            days.setdefault(day, []).append(finding)
            touched.add(day)
    for day in touched:
        latest = {(key_of(f), f.window_start_ms, f.window_end_ms): f for f in days[day]}
        days[day] = sorted(latest.values(), key=_order)[:MOST]


def due(days: Days, newest_ms: int, gap_ms: int) -> list[int]:
    """The days that are over, with all that belongs to them, when the newest window starts at this time."""
    return sorted(day for day in days if (day + 1) * DAY_MS + gap_ms <= newest_ms)


def most_unusual(
    findings: Sequence[Finding],
    carriers: Carriers,
    evidence: Mapping[str, Evidence],
    config: Alerts,
) -> list[list[Finding]]:
    """A day's windows as causes (see `grouping.grouped`), the most unusual first.

    A cause is as unusual as all kinds of its windows together say: the sum of -log10 of each kind's least p.
    What a device, an address and a user show at once, within minutes and over a day, comes before a single
    odd window. One of a pattern that reviewers found false comes later.
    """
    gap_ms = config.merge_gap_minutes * MINUTE_MS
    causes = grouped(findings, [], carriers, config.link_share, gap_ms)

    def rank(cause: list[Finding]) -> tuple[float, str, int]:
        trusts = [known.trust for f in cause if (known := evidence.get(pattern_of(f)))]
        first = min(cause, key=_order)
        return -_unusual(cause) * min(trusts, default=1.0), key_of(first), first.window_start_ms

    return sorted((cause.findings for cause in causes), key=rank)


def _unusual(cause: Sequence[Finding]) -> float:
    least: dict[tuple[str, int], float] = {}
    for finding in cause:
        kind = finding.entity, finding.window_end_ms - finding.window_start_ms
        least[kind] = min(finding.p, least.get(kind, 1.0))
    return -math.fsum(math.log10(max(p, LEAST_P)) for p in least.values())


def _order(finding: Finding) -> tuple[float, int, str, int]:
    return finding.p, finding.window_start_ms, key_of(finding), finding.window_end_ms
