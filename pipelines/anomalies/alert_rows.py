"""Incidents as rows of gold.alerts, what was suppressed as rows of gold.suppressed, and what channels are
told."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa

from pipelines.anomalies import incidents as of
from pipelines.anomalies.alert_batches import Notification, Suppressed
from pipelines.anomalies.findings import DROP
from pipelines.anomalies.incidents import LEVELS, Incident
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import ALERTS, SUPPRESSED
from pipelines.sections import Alerts

MOST_MEMBERS = 5_000
MOST_SHOWN = 10


class Message(msgspec.Struct, frozen=True):
    """An alert on its way: `key` is the same for each attempt, `fingerprint` for each alert of a cause.

    `opened_ms` and what follows say what it is about, for channels that write sentences.
    """

    key: str
    fingerprint: str
    incident_id: str
    why: str
    level: str
    severity: float
    kind: str
    title: str
    reasons: list[str]
    entities: int
    members: list[str]
    segments: list[str]
    p: float
    exposure: float
    window_start_ms: int
    window_end_ms: int
    notified_ms: int
    schema_version: int = 1


def alert_rows(incidents: Iterable[Incident], now_ms: int, config: Alerts) -> pa.Table:
    """Rows of gold.alerts of these incidents as they are now."""
    rows = [_alert_row(incident, now_ms, config) for incident in incidents]
    return pa.Table.from_pylist(rows, arrow_schema(ALERTS.schema))


def _alert_row(incident: Incident, now_ms: int, config: Alerts) -> dict[str, Any]:
    severity = 0.0 if incident.kind == of.SAMPLE else of.severity(incident, config)
    members = sorted(incident.members.values(), key=lambda m: (m.p, -m.exposure, m.key))
    reasons = [
        dict(zip(("name", "value", "low", "high"), told, strict=True)) | {"share": share}
        for told, share in of.chief_reasons(incident)
    ]
    links = of.shared(incident) if incident.kind != DROP else []
    return {
        "incident_id": incident.incident_id,
        "day": utc(incident.opened_ms).date(),
        "fingerprint": incident.fingerprint,
        "kind": incident.kind,
        "state": incident.state,
        "merged_into": incident.merged_into or None,
        "pattern": of.pattern(incident),
        "severity": severity,
        "level": LEVELS[of.level(severity, config)],
        "p": incident.p,
        "exposure": incident.exposure,
        "opened_at": utc(incident.opened_ms),
        "updated_at": utc(now_ms),
        "window_start": utc(incident.first_ms),
        "window_end": utc(incident.last_ms),
        "entities": len(members),
        "members": [_member_row(member) for member in members[:MOST_MEMBERS]],
        "reasons": reasons[:MOST_SHOWN],
        "links": [{"kind": k, "value": v, "entities": n} for k, v, n in links[:MOST_SHOWN]],
        "segments": sorted(incident.segments, key=lambda name: (incident.segments[name], name)),
        "notifications": incident.notifications,
        "calibrations": sorted({member.calibration for member in members}),
        "chance": incident.chance,
        "learnt": incident.learnt,
        "revision": incident.revision,
    }


def _member_row(member: of.Member) -> dict[str, Any]:
    return {
        "entity": member.entity,
        "entity_id": member.entity_id,
        "p": member.p,
        "exposure": member.exposure,
        "window_start": utc(member.first_ms),
        "window_end": utc(member.last_ms),
    }


def suppressed_rows(suppressed: Iterable[Suppressed], now_ms: int) -> pa.Table:
    """Rows of gold.suppressed."""
    rows = [
        {
            "suppressed_at": utc(now_ms),
            "day": utc(now_ms).date(),
            "why": one.why,
            "told": one.told,
            "kind": one.finding.kind,
            "entity": one.finding.entity,
            "entity_id": one.finding.entity_id,
            "window_start": utc(one.finding.window_start_ms),
            "window_end": utc(one.finding.window_end_ms),
            "p": one.finding.p,
            "exposure": one.finding.exposure,
            "reasons": [
                {"name": r.name, "value": r.value, "low": r.low, "high": r.high} for r in one.finding.reasons
            ],
        }
        for one in suppressed
    ]
    return pa.Table.from_pylist(rows, arrow_schema(SUPPRESSED.schema))


def message(notification: Notification, now_ms: int, config: Alerts) -> Message:
    """What channels are told of a notification."""
    incident = notification.incident
    severity = of.severity(incident, config)
    members = sorted(incident.members.values(), key=lambda m: (m.p, -m.exposure, m.key))
    return Message(
        key=notification.key,
        fingerprint=incident.fingerprint,
        incident_id=incident.incident_id,
        why=notification.why,
        level=LEVELS[of.level(severity, config)],
        severity=round(severity, 2),
        kind=incident.kind,
        title=title(incident),
        reasons=[reason_told(told) for told, _ in of.chief_reasons(incident)[:3]],
        entities=len(members),
        members=[member.key for member in members[:MOST_SHOWN]],
        segments=sorted(incident.segments)[:MOST_SHOWN],
        p=incident.p,
        exposure=incident.exposure,
        window_start_ms=incident.first_ms,
        window_end_ms=incident.last_ms,
        notified_ms=now_ms,
    )


def title(incident: Incident) -> str:
    """An incident in a few words."""
    members = sorted(incident.members.values(), key=lambda m: (m.p, m.key))
    if incident.kind == DROP:
        names = sorted({member.entity_id for member in members})
        return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''} changed"
    if len(members) == 1:
        return f"{members[0].entity} {members[0].entity_id} behaves unusually"
    links = of.shared(incident)
    along = f" sharing {links[0][0]} {links[0][1]}" if links else ""
    return f"{len(members)} entities behave unusually{along}"


def reason_told(told: of.Told) -> str:
    """A reason as a sentence's part.

    >>> reason_told(("clicks", 90.0, 0.0, 12.0))
    'clicks 90 (usual: 0 to 12)'
    """
    name, value, low, high = told
    return f"{name} {value:.4g} (usual: {low:.4g} to {high:.4g})"


def utc(ms: int) -> datetime.datetime:
    """Epoch ms as a time."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
