"""Which findings and incidents have one cause: they share an address, a device, an agent or a pattern, in
time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.anomalies.findings import Finding
from pipelines.anomalies.incidents import Incident, key_of, links_of

Carriers = Mapping[str, int]
"""How many entities, unusual or not, were seen lately with a link, written as in address=ab12."""


@dataclass(frozen=True)
class Group:
    """Findings of one cause, and incidents that are of it already."""

    findings: list[Finding]
    incidents: list[Incident]


class _Forest:
    """Union-find with path halving."""

    def __init__(self, size: int) -> None:
        self._up = list(range(size))

    def root(self, node: int) -> int:
        """The node that stands for this one's set."""
        while self._up[node] != node:
            self._up[node] = self._up[self._up[node]]
            node = self._up[node]
        return node

    def join(self, one: int, other: int) -> None:
        """Make two sets one; the least node stands for it."""
        low, high = sorted((self.root(one), self.root(other)))
        self._up[high] = low


def grouped(
    findings: Sequence[Finding],
    incidents: Sequence[Incident],
    carriers: Carriers,
    link_share: float,
    gap_ms: int,
) -> list[Group]:
    """The causes that these findings have; incidents without a new finding are left out.

    A link joins its entities only where so large a share of those seen with it is unusual: an office's
    address, shared by two unusual customers and three hundred usual ones, joins nobody. One that is unusual
    itself, as a device that tries hundreds of accounts, joins all that are unusual with it. What a link joins
    must follow each other within `gap_ms`. Findings of the same entity are always joined.
    """
    spans = [(f.window_start_ms, f.window_end_ms) for f in findings]
    spans += [(i.first_ms, i.last_ms) for i in incidents]
    named = [{key_of(f)} for f in findings] + [set(i.members) for i in incidents]
    linked = [_written(links_of(f).items()) for f in findings]
    linked += [_written(pair for m in i.members.values() for pair in m.links.items()) for i in incidents]
    kinds = [f.kind for f in findings] + [i.kind for i in incidents]
    usable = _usable(findings, incidents, carriers, link_share)
    by_key: dict[tuple[str, str], list[int]] = defaultdict(list)
    for node, (own, links) in enumerate(zip(named, linked, strict=True)):
        for key in own | (links & usable):
            by_key[kinds[node], key].append(node)
    forest = _Forest(len(spans))
    for nodes in by_key.values():
        _join_in_time(forest, nodes, spans, gap_ms)
    return _groups(forest, findings, incidents)


def _written(links: Iterable[tuple[str, str]]) -> set[str]:
    return {f"{kind}={value}" for kind, value in links}


def _usable(
    findings: Sequence[Finding], incidents: Sequence[Incident], carriers: Carriers, link_share: float
) -> set[str]:
    unusual: dict[str, set[str]] = defaultdict(set)
    for finding in findings:
        for link in _written(links_of(finding).items()):
            unusual[link].add(key_of(finding))
    for incident in incidents:
        for key, member in incident.members.items():
            for link in _written(member.links.items()):
                unusual[link].add(key)
    itself = {key_of(finding) for finding in findings}
    itself.update(key for incident in incidents for key in incident.members)
    return {
        link
        for link, who in unusual.items()
        if link in itself or len(who) >= link_share * carriers.get(link, 0)
    }


def _join_in_time(forest: _Forest, nodes: list[int], spans: list[tuple[int, int]], gap_ms: int) -> None:
    ordered = sorted(nodes, key=lambda node: (spans[node], node))
    last, until = ordered[0], spans[ordered[0]][1]
    for node in ordered[1:]:
        if spans[node][0] <= until + gap_ms:
            forest.join(last, node)
        last, until = node, max(until, spans[node][1])


def _groups(forest: _Forest, findings: Sequence[Finding], incidents: Sequence[Incident]) -> list[Group]:
    found: dict[int, Group] = {}
    for node, finding in enumerate(findings):
        found.setdefault(forest.root(node), Group([], [])).findings.append(finding)
    for node, incident in enumerate(incidents, len(findings)):
        if (root := forest.root(node)) in found:
            found[root].incidents.append(incident)
    return list(found.values())
