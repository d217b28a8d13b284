"""The reviewers' desk: what is to be looked at and in which order, what is known of an incident, and verdicts
as rows of gold.reviews. Alerts and reviews are valid rows of their tables, as dictionaries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.anomalies import reviews as said
from pipelines.anomalies.alert_rows import utc
from pipelines.anomalies.findings import DROP
from pipelines.anomalies.incidents import LEVELS, MERGED, SAMPLE, UNUSUAL
from pipelines.anomalies.reviews import ASSIGNMENT, EXPECTED, VERDICT, VERDICTS, Evidence
from pipelines.anomalies.selection import asks_twice, chance_of
from pipelines.errors import RequestError, nearest
from pipelines.sections import Alerts

Row = Mapping[str, Any]
FIRST, SECOND, NONE = "review", "second review", ""
"""What an incident still wants of reviewers."""
MOST_REASON = 2_000
_ALONE = {SAMPLE: "was drawn by chance", UNUSUAL: "was among the day's most unusual"}
_SUMMARY = (
    *("incident_id", "kind", "state", "level", "severity", "pattern", "p", "exposure", "entities"),
    *("opened_at", "window_start", "window_end", "notifications", "chance", "learnt", "revision"),
)


@dataclass(frozen=True)
class Filters:
    """Which incidents are shown; what is empty is not asked for. `wants` none shows reviewed ones too."""

    state: str = ""
    kind: str = ""
    level: str = ""
    assigned: str = ""
    text: str = ""
    all: bool = False


@dataclass(frozen=True)
class Desk:
    """Alerts and reviews of one moment; `order` is the row of ops.alert_orders of the models in charge."""

    alerts: Sequence[Row]
    reviews: Sequence[Row]
    evidence: Mapping[str, Evidence]
    config: Alerts
    order: Row | None = None

    def queue(self, filters: Filters, reviewer: str = "") -> list[dict[str, Any]]:
        """What is to be reviewed: by severity times the pattern's trust; within a level by the learnt order,
        where one is in use; samples of non-alerts at places by chance. An incident that this reviewer has
        judged is not asked for again."""
        verdicts, given = said.verdicts(self.reviews), said.assigned(self.reviews)
        found = []
        for alert in self.alerts:
            judged = verdicts.get(alert["incident_id"], [])
            shown = self.summary(alert, judged, given.get(alert["incident_id"], ""))
            is_done = shown["wants"] == NONE or any(row["reviewer"] == reviewer for row in judged)
            if alert["state"] != MERGED and (filters.all or not is_done) and _fits(shown, filters):
                found.append(shown)
        is_learnt = any(row["learnt"] is not None for row in found)
        ordered = sorted(found, key=lambda row: _place(row, is_learnt))
        ranked = [row for row in ordered if row["kind"] != SAMPLE]
        for row in (row for row in ordered if row["kind"] == SAMPLE):
            place = chance_of(self.config.seed, "place", row["incident_id"]) * (len(ranked) + 1)
            ranked.insert(int(place), row)
        return ranked

    def summary(self, alert: Row, judged: Sequence[Row], assigned_to: str) -> dict[str, Any]:
        """An incident as the queue shows it."""
        known = self.evidence.get(alert["pattern"])
        trust = known.trust if known else 1.0
        return {
            **{name: alert[name] for name in _SUMMARY},
            "title": title(alert),
            "reason": (alert["reasons"] or [{"name": ""}])[0]["name"],
            "trust": trust,
            "priority": alert["severity"] * trust,
            "assigned_to": assigned_to,
            "verdict": judged[0]["verdict"] if judged else None,
            "wants": self.wants(alert["incident_id"], judged),
        }

    def wants(self, incident_id: str, judged: Sequence[Row]) -> str:
        """Whether an incident needs a review, a second one, or none."""
        if not judged:
            return FIRST
        return SECOND if len(judged) == 1 and asks_twice(incident_id, self.config) else NONE

    def alert(self, incident_id: str) -> Row:
        """The incident. Raises RequestError 404 for an unknown one."""
        found = next((a for a in self.alerts if a["incident_id"] == incident_id), None)
        if found is None:
            hint = nearest(incident_id, [a["incident_id"] for a in self.alerts])
            raise RequestError(404, f"there is no incident {incident_id}{hint}")
        return found

    def detail(self, incident_id: str) -> dict[str, Any]:
        """All that the tables say of an incident, with earlier ones of the same cause or entities."""
        alert = self.alert(incident_id)
        judged = said.verdicts(self.reviews).get(incident_id, [])
        assigned_to = said.assigned(self.reviews).get(incident_id, "")
        entities = {(m["entity"], m["entity_id"]) for m in alert["members"] or ()}
        own = [dict(row) for row in self.reviews if row["incident_id"] == incident_id]
        return {
            **dict(alert),
            **self.summary(alert, judged, assigned_to),
            "members": list(alert["members"] or ())[:50],
            "reviews": sorted(own, key=lambda row: row["reviewed_at"]),
            "history": self.history(entities, alert["fingerprint"], incident_id),
        }

    def history(
        self, entities: Iterable[tuple[str, str]], fingerprint: str = "", but: str = ""
    ) -> list[dict[str, Any]]:
        """Incidents of these entities or that cause, newest first."""
        wanted, verdicts = set(entities), said.verdicts(self.reviews)
        found = []
        for alert in self.alerts:
            is_of = alert["fingerprint"] == fingerprint or any(
                (m["entity"], m["entity_id"]) in wanted for m in alert["members"] or ()
            )
            if is_of and alert["incident_id"] != but and alert["state"] != MERGED:
                found.append(self.summary(alert, verdicts.get(alert["incident_id"], []), ""))
        return sorted(found, key=lambda row: row["window_start"], reverse=True)[:50]

    def figures(self) -> dict[str, Any]:
        """Precision so far, of each pattern too, what samples say is missed, how far reviewers agree, and
        whether a learnt order is in use."""
        agreed = said.agreement(self.reviews)
        patterns = [
            {"pattern": name, "confirmed": e.confirmed, "false_alarm": e.false, "trust": e.trust}
            for name, e in sorted(self.evidence.items())
        ]
        return {
            **said.precision(self.reviews),
            "missed": said.missed(self.reviews),
            "order": dict(self.order) if self.order else None,
            "unusual": said.of_unusual(self.reviews) | self._still_shown(),
            "agreement": {"incidents": agreed.incidents, "share": agreed.share, "kappa": agreed.kappa},
            "patterns": patterns,
            "waiting": sum(row["wants"] != NONE for row in self.queue(Filters(state="open", all=True))),
        }

    def _still_shown(self) -> dict[str, int]:
        """How many verdicts on outliers there are, and with how many the most unusual of a day are shown no
        longer."""
        return {"judged": len(said.judged_outliers(self.reviews)), "until": self.config.unusual_until}


def _place(shown: Mapping[str, Any], is_learnt: bool) -> tuple[int, float, float, str]:
    """Where an incident stands in the queue. One that no order knows, such as a drop, is as likely to be
    confirmed as not; what no test has found comes after all that was found."""
    level = LEVELS.index(shown["level"]) if is_learnt else 0
    level = -1 if shown["kind"] == UNUSUAL else level
    return -level, -(shown["learnt"] or 0.0), -shown["priority"], shown["incident_id"]


def _fits(shown: Mapping[str, Any], filters: Filters) -> bool:
    for name in ("state", "kind", "level"):
        asked = getattr(filters, name)
        if asked and shown[name] not in asked.split(","):
            return False
    if filters.assigned and shown["assigned_to"] != filters.assigned:
        return False
    text = " ".join(str(shown[name]) for name in ("incident_id", "title", "pattern", "assigned_to"))
    return filters.text.lower() in text.lower()


def title(alert: Row) -> str:
    """A row of gold.alerts in a few words."""
    members = alert["members"] or []
    if alert["kind"] == DROP:
        names = sorted(m["entity_id"] for m in members)
        return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''} changed"
    if alert["entities"] == 1 and members:
        what = _ALONE.get(alert["kind"], "behaves unusually")
        return f"{members[0]['entity']} {members[0]['entity_id']} {what}"
    link = (alert["links"] or [None])[0]
    along = f" sharing {link['kind']} {link['value']}" if link else ""
    what = "were among the day's most unusual" if alert["kind"] == UNUSUAL else "behave unusually"
    return f"{alert['entities']} entities{along} {what}" if along else f"{alert['entities']} entities {what}"


def review_row(alert: Row, verdict: str, reason: str, reviewer: str, now_ms: int, key: str) -> dict[str, Any]:
    """A verdict as a row of gold.reviews; the same `key` gives the same review. Raises RequestError 422."""
    if verdict not in VERDICTS:
        told = ", ".join(VERDICTS)
        raise RequestError(422, f"no verdict {verdict!r}{nearest(verdict, VERDICTS)}; verdicts: {told}")
    members = alert["members"] or []
    return _row(alert, reviewer, now_ms, key, reason) | {
        "action": VERDICT,
        "verdict": verdict,
        "p": alert["p"],
        "exposure": max((m["exposure"] for m in members), default=0.0),
        "entities": [{"entity": m["entity"], "entity_id": m["entity_id"]} for m in members],
    }


def assignment_row(alert: Row, to: str, reviewer: str, now_ms: int, key: str) -> dict[str, Any]:
    """An assignment as a row of gold.reviews; to nobody with an empty text."""
    return _row(alert, reviewer, now_ms, key, "") | {"action": ASSIGNMENT, "assigned_to": to[:100]}


def _row(alert: Row, reviewer: str, now_ms: int, key: str, reason: str) -> dict[str, Any]:
    if len(reason) > MOST_REASON:
        raise RequestError(422, f"a reason has {MOST_REASON:,} characters at most, this one {len(reason):,}")
    named = f"{alert['incident_id']}|{reviewer}|{key}"
    return {
        "review_id": hashlib.sha256(named.encode()).hexdigest()[:16],
        "reviewed_at": utc(now_ms),
        "day": utc(now_ms).date(),
        "incident_id": alert["incident_id"],
        "alert_revision": alert["revision"],
        "verdict": None,
        "reason": reason,
        "reviewer": reviewer,
        "assigned_to": None,
        **{name: alert[name] for name in ("kind", "fingerprint", "pattern", "level", "chance")},
        "p": None,
        "exposure": None,
        "entities": [],
        "window_start": alert["window_start"],
        "window_end": alert["window_end"],
    }


def expected_matchers(alert: Row) -> list[dict[str, str]]:
    """What the verdict `expected` silences: each metric at its place, what the entities share, or the entity
    with its pattern."""
    members = alert["members"] or []
    if alert["kind"] == DROP:
        named = [member["entity_id"].partition("@") for member in members]
        return [{"metric": metric, "segment": segment} for metric, _, segment in named]
    link = (alert["links"] or [None])[0]
    if link and link["entities"] > 1:
        kind = "pattern_link" if link["kind"] == "pattern" else link["kind"]
        return [{kind: link["value"], "kind": alert["kind"]}]
    return [{"key": f"{members[0]['entity']}={members[0]['entity_id']}", "pattern": alert["pattern"]}]


def is_expected(row: Row) -> bool:
    """Whether a review says that this is as it should be."""
    return bool(row["verdict"] == EXPECTED)
