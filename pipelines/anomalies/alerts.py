"""From findings to few incidents: what is heard of, what is added to what, and who is told how often.

Two clocks: windows follow each other in event time, so that a backlog gives the incidents that it would have
given; silences, the daily cap and notifications are a matter of the people's time, an argument.
"""

from __future__ import annotations

import msgspec

from pipelines.anomalies import incidents as of
from pipelines.anomalies import unusual
from pipelines.anomalies.alert_batches import (
    BY_CAP,
    BY_PATTERN,
    DAY_MS,
    ESCALATED,
    INHIBITED,
    OPENED,
    SILENCED,
    Batch,
    Notification,
    Raised,
    Rules,
    State,
)
from pipelines.anomalies.alert_work import Work
from pipelines.anomalies.findings import DROP, OUTLIER, Finding
from pipelines.anomalies.grouping import Group, grouped
from pipelines.anomalies.incidents import CAPPED, CLOSED, LEVELS, MERGED, OPEN, SAMPLE, UNUSUAL, Incident
from pipelines.anomalies.selection import passing
from pipelines.sections import Alerts

MOST_SEGMENTS = 50


def raise_incidents(before: State, batch: Batch, now_ms: int, config: Alerts, rules: Rules) -> Raised:
    """What a micro-batch makes of the incidents so far. `before` stays as it is.

    The same findings once more change no incident, suppress nothing anew and tell nobody.
    """
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=State)
    work = _Work(state, batch, now_ms, config, rules)
    work.take(work.heard())
    work.take_samples()
    work.mute_segments()
    work.close()
    work.admit()
    work.take_unusual()
    notifications = work.notify()
    changed = work.revise(before)
    work.forget()
    return Raised(state, changed, work.suppressed, notifications)


class _Work(Work):
    """What findings become."""

    def heard(self) -> list[Finding]:
        """The findings that are neither silenced nor of a pattern that reviewers distrust."""
        passes = passing(self.rules.evidence, self.batch.bound, self.config)
        found = []
        for finding in self.batch.findings:
            silence = next((s for s in self.rules.silences if s.covers(finding, self.now_ms)), None)
            if silence is not None:
                self.suppress(SILENCED, silence.silence_id, finding)
            elif not passes(finding):
                self.suppress(BY_PATTERN, of.pattern_of(finding), finding)
            else:
                found.append(finding)
        return found

    def take(self, findings: list[Finding]) -> None:
        """Put findings where they belong: into an incident that there is, or into a new one."""
        site_wide = [f for f in findings if self._is_site_wide(f)]
        muted = [f for f in findings if self._is_muted(f, site_wide)]
        rest = [f for f in findings if not any(f is m for m in muted)] if muted else findings
        about = (self.batch.carriers, self.config.link_share, self.gap_ms)
        causes: dict[str, Incident] = {}
        for known in self.living() if rest else ():
            _index(causes, known)
        for group in sorted(grouped(rest, self.living(), *about), key=_first_window):
            incident = self._survivor(group, causes)
            for finding in group.findings:
                of.add(incident, finding)
            _index(causes, incident)
            self.touch(incident)
        for finding in muted:
            self._add_segment(finding)

    def touch(self, incident: Incident) -> None:
        """Something of the incident is new: one that had ended goes on."""
        self.touched[incident.incident_id] = incident
        if incident.state == CLOSED:
            incident.state = OPEN

    def _survivor(self, group: Group, causes: dict[str, Incident]) -> Incident:
        if group.incidents:
            first, *others = sorted(group.incidents, key=lambda i: (i.state == CAPPED, *_age(i)))
            for other in others:
                of.absorb(first, other)
            return first
        new = of.begun(group.findings, group.findings[0].kind, self.now_ms)
        for cause in (f"{new.kind}|{new.fingerprint}", *(f"{new.kind}|{key}" for key in new.members)):
            earlier = causes.get(cause)
            if earlier is not None and new.first_ms <= earlier.last_ms + self.memory_ms:
                return earlier
        new.state = CAPPED  # until it is admitted
        while new.incident_id in self.state.incidents:
            new.incident_id += "-2"
        self.state.incidents[new.incident_id] = new
        return new

    def take_samples(self) -> None:
        """Non-alerts that were drawn for reviewers."""
        for finding in self.batch.samples:
            drawn = of.begun([finding], SAMPLE, self.now_ms)
            drawn.chance = self.batch.chance
            self.state.incidents.setdefault(drawn.incident_id, drawn)

    def take_unusual(self) -> None:
        """The most unusual of each day that is over, beside what was found, while reviews are too few."""
        state, config = self.state, self.config
        unusual.gather(state.unusual, self.batch.unusual, state.shown)
        for day in unusual.due(state.unusual, state.newest_ms, self.gap_ms):
            windows, state.shown = state.unusual.pop(day), day
            known = {key for incident in self.living(OUTLIER) for key in incident.members}
            heard = [f for f in windows if not any(s.covers(f, self.now_ms) for s in self.rules.silences)]
            causes = unusual.most_unusual(heard, self.batch.carriers, self.rules.evidence, config)
            new = [cause for cause in causes if known.isdisjoint(map(of.key_of, cause))]
            wanted = config.unusual_per_day if unusual.is_wanted(self.rules.judged, config) else 0
            for cause in new[:wanted]:
                incident = of.begun(cause, UNUSUAL, self.now_ms)
                self.state.incidents.setdefault(incident.incident_id, incident)
                if len(self.today()) > config.capacity_per_day:
                    incident.state = CAPPED
                    self._cap(incident)

    def _is_site_wide(self, finding: Finding) -> bool:
        return finding.kind == DROP and of.place_of(finding)[1] == of.EVERYWHERE

    def _is_muted(self, drop: Finding, site_wide: list[Finding]) -> bool:
        if drop.kind != DROP or self._is_site_wide(drop):
            return False
        metric = of.place_of(drop)[0]
        spans = [(f.window_start_ms, f.window_end_ms) for f in site_wide if of.place_of(f)[0] == metric]
        whole = f"metric={metric}@{of.EVERYWHERE}"
        spans += [(i.first_ms, i.last_ms) for i in self.living(DROP) if whole in i.members]
        return any(self._follows(drop.window_start_ms, drop.window_end_ms, *span) for span in spans)

    def _follows(self, start: int, end: int, first: int, last: int) -> bool:
        return start <= last + self.gap_ms and first <= end + self.gap_ms

    def _add_segment(self, drop: Finding) -> None:
        whole = f"metric={of.place_of(drop)[0]}@{of.EVERYWHERE}"
        incident = next(i for i in reversed(self.living(DROP)) if whole in i.members)
        self._mute(incident, drop.entity_id, max(drop.p, of.LEAST_P))
        self.suppress(INHIBITED, incident.incident_id, drop)

    def _mute(self, incident: Incident, segment: str, p: float) -> None:
        is_known = segment in incident.segments
        if is_known or len(incident.segments) < MOST_SEGMENTS:
            incident.segments[segment] = min(p, incident.segments.get(segment, 1.0))

    def mute_segments(self) -> None:
        """Incidents of segments whose metric has dropped on the whole site become part of that incident."""
        drops = self.living(DROP)
        for whole in drops:
            everywhere = [m for m in whole.members.values() if m.links["place"] == of.EVERYWHERE]
            metrics = {member.entity_id.partition("@")[0] for member in everywhere}
            for part in drops if metrics else []:
                places = [m.entity_id.partition("@") for m in part.members.values()]
                is_part = all(place != of.EVERYWHERE and metric in metrics for metric, _, place in places)
                span = (part.first_ms, part.last_ms, whole.first_ms, whole.last_ms)
                if part is not whole and part.state != MERGED and is_part and self._follows(*span):
                    for member in part.members.values():
                        self._mute(whole, member.entity_id, member.p)
                    members = dict(whole.members)
                    of.absorb(whole, part)
                    whole.members = members

    def close(self) -> None:
        """Incidents to which nothing was added for the merge gap end."""
        for incident in self.state.incidents.values():
            is_over = incident.last_ms + self.gap_ms < self.state.newest_ms
            if incident.state == OPEN and incident.kind not in (SAMPLE, UNUSUAL) and is_over:
                incident.state = CLOSED

    def admit(self) -> None:
        """Open what is new as far as reviewers can look at it today, in the order of `rank`; a higher level
        takes the place of the last one of a lower level that nobody has reviewed."""
        waiting = [i for i in self.touched.values() if i.state == CAPPED]
        today = self.today()
        for incident in sorted(waiting, key=self.rank, reverse=True):
            if len(today) >= self.config.capacity_per_day:
                free = [i for i in today if i.incident_id not in self.rules.reviewed]
                weakest = min(free, key=self.rank, default=None)
                if weakest is None or self.level(weakest) >= self.level(incident):
                    self._cap(incident)
                    continue
                today.remove(weakest)
                weakest.state = CAPPED
                self._cap(weakest)
            incident.state, incident.opened_ms = OPEN, self.now_ms
            today.append(incident)

    def _cap(self, incident: Incident) -> None:
        about = (incident.first_ms, incident.last_ms, incident.p, incident.exposure)
        told = f"{self.config.capacity_per_day} incidents a day are looked at"
        self.suppress(BY_CAP, told, Finding(incident.kind, "incident", incident.incident_id, *about, (), ""))

    def notify(self) -> list[Notification]:
        """Tell of open incidents whose level is higher than what was told, seldom enough."""
        found = []
        least = LEVELS.index(self.config.notify_level)
        for incident in self.living():
            level = self.level(incident)
            is_news = incident.state == OPEN and level > incident.notified_level and level >= least
            if not is_news or incident.notifications >= self.config.most_notifications:
                continue
            if self._waits(incident, level):
                continue
            why = ESCALATED if incident.notifications else OPENED
            incident.notifications += 1
            incident.notified_ms, incident.notified_level = self.now_ms, level
            found.append(Notification(incident, why))
        return found

    def _waits(self, incident: Incident, level: int) -> bool:
        """Whether it is too soon to tell: parts of one campaign may still find each other; nobody is told of
        one thing again and again. Drops, and what is critical, are told of at once."""
        if incident.notifications:
            return self.now_ms < incident.notified_ms + self.config.notify_pause_minutes * of.MINUTE_MS
        if incident.kind == DROP or level == len(LEVELS) - 1:
            return False
        wait_ms = self.config.notify_wait_minutes * of.MINUTE_MS
        is_young = self.state.newest_ms < incident.first_ms + wait_ms
        return is_young and self.now_ms < incident.opened_ms + wait_ms

    def revise(self, before: State) -> list[Incident]:
        """Incidents that are not as they were, each with its next revision."""
        changed = [i for i in self.state.incidents.values() if before.incidents.get(i.incident_id) != i]
        for incident in changed:
            incident.revision += 1
        return changed

    def forget(self) -> None:
        """Let go of what cannot come again."""
        state, today = self.state, self.now_ms // DAY_MS
        for key, incident in list(state.incidents.items()):
            is_over = incident.last_ms + self.memory_ms < state.newest_ms
            if is_over and not self.is_of_today(incident):
                del state.incidents[key]
        told = {key: until for key, until in state.told.items() if until + self.memory_ms >= state.newest_ms}
        state.told = told
        state.hypotheses = {day: n for day, n in state.hypotheses.items() if day >= today - 1}


def _age(incident: Incident) -> tuple[int, str]:
    return incident.opened_ms, incident.incident_id


def _first_window(group: Group) -> tuple[int, str]:
    return min((finding.window_start_ms, of.key_of(finding)) for finding in group.findings)


def _index(causes: dict[str, Incident], incident: Incident) -> None:
    """Let later findings of the same cause find the incident of it that lasted longest."""
    for name in (incident.fingerprint, of.fingerprint(incident), *incident.members):
        known = causes.get(f"{incident.kind}|{name}")
        if known is None or known.state == MERGED or known.last_ms <= incident.last_ms:
            causes[f"{incident.kind}|{name}"] = incident
