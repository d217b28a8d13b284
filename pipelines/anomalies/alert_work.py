"""What one micro-batch of alerts works on: a state of its own, and what is asked of it again and again."""

from __future__ import annotations

from pipelines.anomalies import incidents as of
from pipelines.anomalies.alert_batches import BY_CAP, DAY_MS, Batch, Rules, State, Suppressed
from pipelines.anomalies.findings import Finding
from pipelines.anomalies.incidents import CLOSED, MERGED, OPEN, SAMPLE, UNUSUAL, Incident
from pipelines.sections import Alerts


class Work:
    """One micro-batch's work on a state that is its own."""

    def __init__(self, state: State, batch: Batch, now_ms: int, config: Alerts, rules: Rules) -> None:
        self.state, self.batch, self.now_ms, self.config, self.rules = state, batch, now_ms, config, rules
        self.gap_ms = config.merge_gap_minutes * of.MINUTE_MS
        self.memory_ms = self.gap_ms + config.cooldown_minutes * of.MINUTE_MS
        self.suppressed: list[Suppressed] = []
        self.touched: dict[str, Incident] = {}
        state.newest_ms = max(state.newest_ms, batch.newest_ms)
        day = now_ms // DAY_MS
        state.hypotheses[day] = state.hypotheses.get(day, 0) + batch.hypotheses

    def suppress(self, why: str, told: str, finding: Finding) -> None:
        """Report it, once."""
        window = "" if why == BY_CAP else f"|{finding.window_start_ms}|{finding.window_end_ms}"
        key = f"{why}|{of.key_of(finding)}{window}"
        if key not in self.state.told:
            self.suppressed.append(Suppressed(why, told, finding))
        self.state.told[key] = max(finding.window_end_ms, self.state.told.get(key, 0))

    def living(self, kind: str | None = None) -> list[Incident]:
        """Incidents that can still grow, the oldest first."""
        found = [i for i in self.state.incidents.values() if i.state != MERGED and i.kind != SAMPLE]
        return sorted(
            (i for i in found if kind in (None, i.kind)), key=lambda i: (i.opened_ms, i.incident_id)
        )

    def today(self) -> list[Incident]:
        """Incidents that take up what reviewers can look at today."""
        return [incident for incident in self.living() if self.is_of_today(incident)]

    def is_of_today(self, incident: Incident) -> bool:
        """Whether it was opened today, and not left out or merged since."""
        is_opened = incident.state in (OPEN, CLOSED)
        return is_opened and incident.opened_ms // DAY_MS == self.now_ms // DAY_MS

    def severity(self, incident: Incident) -> float:
        """How unusual times how much is at stake."""
        return of.severity(incident, self.config)

    def level(self, incident: Incident) -> int:
        """Index into LEVELS. What no test has found is below all: it makes room, and nobody is told of it."""
        return -1 if incident.kind == UNUSUAL else of.level(self.severity(incident), self.config)

    def rank(self, incident: Incident) -> tuple[int, float, float, str]:
        """The higher, the sooner it is to be looked at: level, the learnt order within it, severity."""
        return self.level(incident), incident.learnt or 0.0, self.severity(incident), incident.incident_id
