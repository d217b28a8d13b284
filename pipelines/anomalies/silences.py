"""Silences: findings that people have asked not to hear of, until a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pipelines.anomalies.findings import DROP, Finding
from pipelines.anomalies.incidents import key_of, links_of, pattern_of, place_of
from pipelines.errors import SettingsError, nearest

FIELDS = ("kind", "entity", "entity_id", "key", "metric", "segment", "pattern", "reason")
LINKS = ("address", "device", "agent", "pattern_link")


@dataclass(frozen=True)
class Silence:
    """All matchers must fit: a field's value against a text with * and ?."""

    silence_id: str
    matchers: Mapping[str, str]
    until_ms: int

    def covers(self, finding: Finding, now_ms: int) -> bool:
        """Whether this finding is not to be heard of now.

        >>> drop = Finding("drop", "metric", "clicks@source=web", 0, 1, 0.01, 5.0, (), "1")
        >>> Silence("s", {"metric": "clicks", "segment": "source=*"}, 10).covers(drop, 9)
        True
        """
        if now_ms >= self.until_ms or not self.matchers:
            return False
        known = fields_of(finding)
        return all(any(fnmatchcase(v, p) for v in known.get(name, ())) for name, p in self.matchers.items())


def fields_of(finding: Finding) -> dict[str, list[str]]:
    """What matchers can be about, with the values of this finding."""
    found = {
        "kind": [finding.kind],
        "entity": [finding.entity],
        "entity_id": [finding.entity_id],
        "key": [key_of(finding)],
        "pattern": [pattern_of(finding)],
        "reason": [reason.name for reason in finding.reasons[:3]],
    }
    if finding.kind == DROP:
        metric, segment = place_of(finding)
        found |= {"metric": [metric], "segment": [segment]}
    links = {("pattern_link" if kind == "pattern" else kind): [v] for kind, v in links_of(finding).items()}
    return {**links, **found}


def check_matchers(matchers: Mapping[str, str]) -> None:
    """Raise SettingsError for matchers that are none, would silence everything, or name no known field."""
    known = (*FIELDS, *LINKS)
    for name in matchers:
        if name not in known:
            raise SettingsError(
                f"no field {name!r} to silence by{nearest(name, known)}; fields: {', '.join(known)}"
            )
    if not any(value.strip("*?") for value in matchers.values()):
        raise SettingsError("this would silence everything: name a value in at least one field")
