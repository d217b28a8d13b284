"""Helpers: stretches of a shop's life, read back from its lines."""

import json
from dataclasses import dataclass, replace

from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

CLEAN = ShopConfig(
    users=400,
    items=300,
    late_share=0.0,
    duplicate_share=0.0,
    malformed_share=0.0,
    bot_share=0.0,
    stolen_share=0.0,
    season_strength=0.0,
)


@dataclass(frozen=True)
class Played:
    """Lines with their labels; `events` are the parsed records that are not the catalog's."""

    lines: list[bytes]
    arrivals: list[int]
    labels: list[dict]

    @property
    def parsed(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]

    @property
    def events(self) -> list[dict]:
        return [record for record in self.parsed if "record" not in record]

    @property
    def items(self) -> list[dict]:
        return [record for record in self.parsed if "record" in record]

    def labelled(self, label: str) -> list[dict]:
        return [found for found in self.labels if found["label"] == label]

    def of_type(self, event_type: str) -> list[dict]:
        return [event for event in self.events if event["event_type"] == event_type]


def play(count: int, base: ShopConfig = CLEAN, **knobs) -> Played:
    lines, arrivals, labels = [], [], []
    for chunk in records(replace(base, **knobs), count):
        lines += chunk.lines
        arrivals += chunk.arrivals
        labels += chunk.labels
    return Played(lines, arrivals, labels)
