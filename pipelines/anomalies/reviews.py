"""What reviewers have said, and what follows from it.

Reviews are rows of gold.reviews, as dictionaries, in any order. A reviewer's last verdict on an incident
counts; the one of the first reviewer is the incident's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.anomalies.findings import OUTLIER
from pipelines.anomalies.incidents import CAPPED, LEVELS, MERGED, SAMPLE, UNUSUAL
from pipelines.sections import Alerts

CONFIRMED, EXPECTED, FALSE_ALARM, NEW_TREND = "confirmed", "expected", "false_alarm", "new_trend"
VERDICTS = (CONFIRMED, EXPECTED, FALSE_ALARM, NEW_TREND)
VERDICT, ASSIGNMENT = "verdict", "assignment"
DAY_MS = 86_400_000
NEUTRAL = 0.5
"""Precision that a pattern nobody has reviewed is held to have."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """What verdicts say of a pattern: confirmed and false ones, old ones counting less, and how unusual the
    false ones were at most."""

    confirmed: float
    false: float
    least_p: float = 1.0
    greatest_exposure: float = 0.0

    @property
    def precision(self) -> float:
        """The mean of the Beta posterior over a uniform prior.

        >>> Evidence(0, 0).precision, Evidence(0, 2).precision
        (0.5, 0.25)
        """
        return (self.confirmed + 1) / (self.confirmed + self.false + 2)

    @property
    def trust(self) -> float:
        """1 unless the pattern is more often false than not; then its precision's share of one half."""
        return min(1.0, self.precision / NEUTRAL)


@dataclass(frozen=True)
class Confirmed:
    """An entity that did in this time what a reviewer has confirmed to be wrong."""

    entity: str
    entity_id: str
    from_ms: int
    until_ms: int
    incident_id: str


@dataclass(frozen=True)
class Agreement:
    """Incidents that two have judged, the share on which they agree, and Cohen's kappa (1960)."""

    incidents: int
    share: float | None
    kappa: float | None


def verdicts(reviews: Iterable[Row]) -> dict[str, list[Row]]:
    """Incident → each reviewer's last verdict, in the order in which the reviewers first judged."""
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in sorted(reviews, key=lambda r: (r["reviewed_at"], r["review_id"])):
        if row["action"] == VERDICT:
            found[row["incident_id"]][row["reviewer"]] = row
    return {incident: list(by.values()) for incident, by in found.items()}


def settled(reviews: Iterable[Row]) -> dict[str, Row]:
    """Incident → the verdict that counts."""
    return {incident: rows[0] for incident, rows in verdicts(reviews).items()}


def confirmed_entities(reviews: Iterable[Row]) -> list[Confirmed]:
    """Who did what is confirmed, and when: to be left out of labels, counters, Q values and calibration."""
    return [
        Confirmed(e["entity"], e["entity_id"], *_span(row), incident)
        for incident, row in sorted(settled(reviews).items())
        if row["verdict"] == CONFIRMED
        for e in row["entities"] or ()
    ]


def held_out(alerts: Iterable[Row], reviews: Iterable[Row], config: Alerts) -> list[Confirmed]:
    """Entities that models must not learn from: those of confirmed incidents, and those of incidents from
    `hold_level` on that nobody has judged yet. `alerts` are valid rows of gold.alerts."""
    judged, least = settled(reviews), LEVELS.index(config.hold_level)
    found = confirmed_entities(judged.values())
    for row in alerts:
        is_severe = LEVELS.index(row["level"]) >= least
        if is_severe and row["state"] not in (MERGED, CAPPED) and row["incident_id"] not in judged:
            found += [
                Confirmed(m["entity"], m["entity_id"], *_span(m), row["incident_id"])
                for m in row["members"] or ()
            ]
    return found


def evidence(reviews: Iterable[Row], now_ms: int, config: Alerts) -> dict[str, Evidence]:
    """Pattern → what its verdicts say; a verdict counts half after `evidence_days`."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    extremes: dict[str, tuple[float, float]] = {}
    for row in settled(reviews).values():
        if row["kind"] == SAMPLE or row["verdict"] not in (CONFIRMED, FALSE_ALARM):
            continue
        age_days = max(0.0, (now_ms - millis(row["reviewed_at"])) / DAY_MS)
        sums[row["pattern"]][row["verdict"]] += 0.5 ** (age_days / config.evidence_days)
        if row["verdict"] == FALSE_ALARM:
            p, exposure = extremes.get(row["pattern"], (1.0, 0.0))
            extremes[row["pattern"]] = (min(p, row["p"] or 1.0), max(exposure, row["exposure"] or 0.0))
    return {
        name: Evidence(found[CONFIRMED], found[FALSE_ALARM], *extremes.get(name, (1.0, 0.0)))
        for name, found in sums.items()
    }


def precision(reviews: Iterable[Row]) -> dict[str, Any]:
    """Counts of verdicts on what was found, and the share confirmed of those confirmed or false."""
    found = (r for r in settled(reviews).values() if r["kind"] not in (SAMPLE, UNUSUAL))
    return _counted(found)


def of_unusual(reviews: Iterable[Row]) -> dict[str, Any]:
    """The same of the most unusual of each day, which no test has found."""
    return _counted(r for r in settled(reviews).values() if r["kind"] == UNUSUAL)


def judged_outliers(reviews: Iterable[Row]) -> list[Row]:
    """The verdicts that count on outliers, found or not, that were judged to be right or wrong."""
    outliers = (row for row in settled(reviews).values() if row["kind"] in (OUTLIER, UNUSUAL))
    return [row for row in outliers if row["verdict"] in (CONFIRMED, FALSE_ALARM)]


def enough_at(reviews: Iterable[Row], number: int) -> int | None:
    """When (epoch ms) so many outliers were judged to be right or wrong; None before that, and for 0."""
    times = sorted(millis(row["reviewed_at"]) for row in judged_outliers(reviews))
    return times[number - 1] if 0 < number <= len(times) else None


def _counted(judged_rows: Iterable[Row]) -> dict[str, Any]:
    counts = Counter(row["verdict"] for row in judged_rows)
    judged = counts[CONFIRMED] + counts[FALSE_ALARM]
    return {
        "reviewed": sum(counts.values()),
        **{verdict: counts[verdict] for verdict in VERDICTS},
        "precision": counts[CONFIRMED] / judged if judged else None,
    }


def missed(reviews: Iterable[Row]) -> dict[str, Any]:
    """What the reviewed samples of non-alerts say: how many were drawn and confirmed, and an estimate of the
    missed ones, each confirmed one standing for 1 / chance (Horvitz and Thompson, 1952)."""
    drawn = [row for row in settled(reviews).values() if row["kind"] == SAMPLE]
    hits = [row for row in drawn if row["verdict"] == CONFIRMED]
    return {
        "reviewed": len(drawn),
        "confirmed": len(hits),
        "estimated": sum(1 / row["chance"] for row in hits) if drawn else None,
    }


def agreement(reviews: Iterable[Row]) -> Agreement:
    """How far the first two reviewers of an incident agree."""
    pairs = [(rows[0]["verdict"], rows[1]["verdict"]) for rows in verdicts(reviews).values() if len(rows) > 1]
    if not pairs:
        return Agreement(0, None, None)
    share = sum(one == other for one, other in pairs) / len(pairs)
    ones, others = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    by_chance = sum(ones[v] * others[v] for v in VERDICTS) / len(pairs) ** 2
    return Agreement(len(pairs), share, None if by_chance == 1 else (share - by_chance) / (1 - by_chance))


def assigned(reviews: Sequence[Row]) -> dict[str, str]:
    """Incident → whom it was last given to."""
    found = {}
    for row in sorted(reviews, key=lambda r: (r["reviewed_at"], r["review_id"])):
        if row["action"] == ASSIGNMENT:
            found[row["incident_id"]] = row["assigned_to"] or ""
    return found


def millis(time: Any) -> int:
    """Epoch ms of a time with its zone."""
    ms: float = time.timestamp() * 1000
    return round(ms)


def _span(row: Row) -> tuple[int, int]:
    return millis(row["window_start"]), millis(row["window_end"])
