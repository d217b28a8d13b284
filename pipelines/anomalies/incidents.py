"""Incidents: findings of one cause, what they add up to, and what is kept of them between micro-batches.

Everything of a member is a least or a greatest value over its windows, so that findings may come twice, late
or in any order and add up to the same incident.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter

import msgspec

from pipelines.anomalies.findings import DROP, Finding, Reason
from pipelines.sections import Alerts

OPEN, CLOSED, CAPPED, MERGED = "open", "closed", "capped", "merged"
SAMPLE = "sample"
UNUSUAL = "unusual"
"""Kind of an incident that no test has found: among the most unusual of its day."""
LEVELS = ("low", "medium", "high", "critical")
LEAST_P = 1e-16
MINUTE_MS = 60_000
EVERYWHERE = "all"
"""The segment of a drop that concerns the whole site."""
_SIGNATURE = 2  # chief reasons that make a pattern
_TOLD = 3  # chief reasons of a member that count for its incident
_LINK_ORDER = ("address", "device", "agent", "pattern")

Told = tuple[str, float, float, float]
"""A reason: name, value, low, high."""


class Member(msgspec.Struct):
    """An entity of an incident, over all its windows; `reasons` are of the window with the least p, `learnt`
    is the highest."""

    entity: str
    entity_id: str
    p: float
    exposure: float
    first_ms: int
    last_ms: int
    best_ms: int
    reasons: list[Told]
    links: dict[str, str]
    calibration: str
    learnt: float | None = None

    @property
    def key(self) -> str:
        """What names the entity."""
        return f"{self.entity}={self.entity_id}"


class Incident(msgspec.Struct):
    """One cause; `segments` are what a site-wide drop mutes, `notified_level` the highest level told."""

    incident_id: str
    fingerprint: str
    kind: str
    opened_ms: int
    state: str
    members: dict[str, Member]
    segments: dict[str, float] = {}
    merged_into: str = ""
    notifications: int = 0
    notified_ms: int = 0
    notified_level: int = -1
    chance: float | None = None
    revision: int = 0

    @property
    def p(self) -> float:
        """The least p-value of a member."""
        return min(member.p for member in self.members.values())

    @property
    def exposure(self) -> float:
        """What is at stake: the members' exposures together."""
        return math.fsum(member.exposure for member in self.members.values())

    @property
    def learnt(self) -> float | None:
        """The highest log-odds of a member that it is confirmed, where reviews have taught an order."""
        return _highest(*(member.learnt for member in self.members.values()))

    @property
    def first_ms(self) -> int:
        """Start of the first window."""
        return min(member.first_ms for member in self.members.values())

    @property
    def last_ms(self) -> int:
        """End of the last window."""
        return max(member.last_ms for member in self.members.values())


def key_of(finding: Finding) -> str:
    """What names the finding's entity."""
    return f"{finding.entity}={finding.entity_id}"


def place_of(finding: Finding) -> tuple[str, str]:
    """A drop's metric and segment.

    >>> place_of(Finding("drop", "metric", "clicks@source=web", 0, 1, 0.01, 5.0, (), "1"))
    ('clicks', 'source=web')
    """
    metric, _, segment = finding.entity_id.partition("@")
    return metric, segment or EVERYWHERE


def links_of(finding: Finding) -> dict[str, str]:
    """What the finding may share with others: a drop its place, an outlier what it was found with."""
    if finding.kind == DROP:
        return {"place": place_of(finding)[1]}
    return {kind: value for kind, value in finding.links.items() if value}


def signature(kind: str, entity: str, reasons: list[Told] | tuple[Reason, ...]) -> str:
    """The pattern of a finding: kind, entity, and its chief reasons with their direction, in any order.

    >>> signature("outlier", "user", [("clicks", 9.0, 0.0, 3.0), ("gap", 0.1, 1.0, 5.0), ("carts", 8, 0, 1)])
    'outlier user: clicks high, gap low'
    """
    told = [r if isinstance(r, tuple) else _told(r) for r in reasons[:_SIGNATURE]]
    names = sorted(f"{name} {'low' if value < low else 'high'}" for name, value, low, _ in told)
    return f"{kind} {entity}: {', '.join(names)}"


def pattern_of(finding: Finding) -> str:
    """The pattern that reviews of this finding teach about; a drop's is its metric."""
    if finding.kind == DROP:
        return f"{DROP} {place_of(finding)[0]}"
    return signature(finding.kind, finding.entity, finding.reasons)


def pattern(incident: Incident) -> str:
    """The commonest pattern of the members."""
    found = sorted(_member_pattern(incident, member) for member in incident.members.values())
    return Counter(found).most_common(1)[0][0]


def _member_pattern(incident: Incident, member: Member) -> str:
    if incident.kind == DROP:
        return f"{DROP} {member.entity_id.partition('@')[0]}"
    return signature(incident.kind, member.entity, member.reasons)


def add(incident: Incident, finding: Finding) -> None:
    """Take a finding up; one that is there already changes nothing."""
    key, reasons = key_of(finding), [_told(reason) for reason in finding.reasons]
    new = Member(
        *(finding.entity, finding.entity_id, max(finding.p, LEAST_P), max(finding.exposure, 0.0)),
        *(finding.window_start_ms, finding.window_end_ms, finding.window_start_ms),
        *(reasons, links_of(finding), finding.calibration),
        learnt=finding.learnt,
    )
    known = incident.members.get(key)
    incident.members[key] = new if known is None else _joined(known, new)


def _told(reason: Reason) -> Told:
    """A reason whose numbers can be compared: one that is not known counts as 0."""
    value, low, high = (0.0 if math.isnan(n) else n for n in (reason.value, reason.low, reason.high))
    return reason.name, value, low, high


def _joined(one: Member, other: Member) -> Member:
    """The member over the windows of both. Ties of p go to the earlier window, then to the lesser reasons."""
    best = min(one, other, key=lambda m: (m.p, m.best_ms, m.reasons))
    return Member(
        *(one.entity, one.entity_id, best.p, max(one.exposure, other.exposure)),
        *(min(one.first_ms, other.first_ms), max(one.last_ms, other.last_ms), best.best_ms),
        *(best.reasons, best.links, best.calibration),
        learnt=_highest(one.learnt, other.learnt),
    )


def _highest(*numbers: float | None) -> float | None:
    return max((number for number in numbers if number is not None), default=None)


def absorb(into: Incident, other: Incident) -> None:
    """Move another incident's members into this one; the other one says where they went."""
    for key, member in other.members.items():
        known = into.members.get(key)
        into.members[key] = member if known is None else _joined(known, member)
    for segment, p in other.segments.items():
        into.segments[segment] = min(p, into.segments.get(segment, 1.0))
    into.notifications = max(into.notifications, other.notifications)
    into.notified_ms = max(into.notified_ms, other.notified_ms)
    into.notified_level = max(into.notified_level, other.notified_level)
    other.state, other.merged_into = MERGED, into.incident_id


def severity(incident: Incident, config: Alerts) -> float:
    """How unusual times how much is at stake: -log10 p · (1 + log10(1 + exposure / unit)). In the same order,
    but below 1, for what no test has found."""
    found = weight(incident.p, incident.exposure, config.exposure_unit)
    return found / (1 + found) if incident.kind == UNUSUAL else found


def weight(p: float, exposure: float, unit: float) -> float:
    """How unusual times how much is at stake, see `severity`."""
    return -math.log10(p) * (1 + math.log10(1 + exposure / unit))


def level(severity: float, config: Alerts) -> int:
    """Index into LEVELS."""
    return sum(severity >= bound for bound in config.levels)


def shared(incident: Incident) -> list[tuple[str, str, int]]:
    """(kind, value, members) of what two members or more share, the most shared first."""
    counts = Counter(pair for m in incident.members.values() for pair in m.links.items())
    found = [(kind, value, number) for (kind, value), number in counts.items() if number > 1]
    return sorted(found, key=lambda link: (-link[2], _rank(link[0]), link[1]))


def _rank(kind: str) -> int:
    return _LINK_ORDER.index(kind) if kind in _LINK_ORDER else len(_LINK_ORDER)


def chief_reasons(incident: Incident) -> list[tuple[Told, float]]:
    """Reasons with the share of members that have each among their first three, the most common first; the
    values are of the most unusual member."""
    share: Counter[str] = Counter()
    example: dict[str, Told] = {}
    for member in sorted(incident.members.values(), key=lambda m: (m.p, m.key)):
        for place, told in enumerate(member.reasons[:_TOLD]):
            share[told[0]] += 4 - place  # an earlier reason weighs a little more among equally common ones
            example.setdefault(told[0], told)
    having = Counter(r[0] for m in incident.members.values() for r in m.reasons[:_TOLD])
    order = sorted(share, key=lambda name: (-share[name], name))
    return [(example[name], having[name] / len(incident.members)) for name in order]


def fingerprint(incident: Incident) -> str:
    """What stays the same when the same cause comes again: the kind with what most members share, else the
    most unusual member; of a drop the place with the most unusual metric."""
    worst = min(incident.members.values(), key=lambda m: (m.p, m.key))
    links = shared(incident) if incident.kind != DROP else []
    cause = f"{links[0][0]}={links[0][1]}" if links else worst.key
    return hashlib.sha256(f"{incident.kind}|{cause}".encode()).hexdigest()[:16]


def begun(findings: list[Finding], kind: str, opened_ms: int) -> Incident:
    """A new incident of these findings. Its id follows from what it is made of, not from when it is made."""
    found = Incident("", "", kind, opened_ms, OPEN, {})
    for finding in findings:
        add(found, finding)
    found.fingerprint = fingerprint(found)
    found.incident_id = f"{found.fingerprint[:12]}-{found.first_ms // MINUTE_MS:x}"
    return found
