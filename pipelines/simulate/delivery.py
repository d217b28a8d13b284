"""The last step of the simulation: rows wait until they arrive, then leave as lines, some of them broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.simulate.config import ShopConfig
from pipelines.simulate.noise import INTERACTIONS_ONLY, breakages
from pipelines.simulate.render import Renderer
from pipelines.simulate.rows import Rows

_DECISION = b'"event_type":"decision"'
MOST_RUNS = 64  # sorted runs that wait side by side before they are merged

Label = dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Records in the order of arrival: JSON bytes, arrival times in epoch ms, and what the side file says.

    The first `news` lines are the catalog's.
    """

    lines: list[bytes]
    arrivals: list[int]
    labels: list[Label]
    news: int


class Delivery:
    """Holds back what has not arrived yet; counts the lines that left."""

    def __init__(self, config: ShopConfig, renderer: Renderer) -> None:
        """Nothing waits yet."""
        self.config, self.renderer = config, renderer
        self.breakages = breakages(config.huge_bytes)
        self._fit_interactions = list(self.breakages)
        self._fit_decisions = [name for name in self.breakages if name not in INTERACTIONS_ONLY]
        self.lines = 0
        self.waiting: list[Rows] = []

    def expect(self, rows: Rows) -> None:
        """These rows arrive at some time, none of them before what has left already."""
        self.waiting.append(_by_arrival(rows))

    def leave(self, rng: np.random.Generator, begin: int, end: int, news: list[bytes]) -> Chunk:
        """Everything that arrives before `end`, after the catalog's `news`, which arrive at `begin`."""
        gone, stay = [], []
        for run in self.waiting:
            upto = int(np.searchsorted(run["arrival"], end))
            gone.append(run[:upto])
            if upto < len(run):
                stay.append(run[upto:].copy())
        self.waiting = [_by_arrival(np.concatenate(stay))] if len(stay) > MOST_RUNS else stay
        rows = _by_arrival(np.concatenate(gone))
        lines, kinds = self._with_broken(rng, self.renderer.lines(rows))
        labels = self._labels(rows, kinds, self.lines + len(news) + 1)
        arrived = iter(rows["arrival"].tolist())
        arrivals, last = [begin] * len(news), begin
        for kind in kinds:
            last = next(arrived) if kind is None else last
            arrivals.append(last)
        self.lines += len(news) + len(lines)
        return Chunk(news + lines, arrivals, labels, len(news))

    def _with_broken(
        self, rng: np.random.Generator, good: list[bytes]
    ) -> tuple[list[bytes], list[str | None]]:
        """(lines with a broken copy after some of them, what is wrong with each line or None)."""
        broken = rng.random(len(good)) < self.config.malformed_share
        choice = iter(rng.integers(1 << 30, size=int(broken.sum())).tolist())
        lines: list[bytes] = []
        kinds: list[str | None] = []
        for line, is_broken in zip(good, broken.tolist(), strict=True):
            lines.append(line)
            kinds.append(None)
            if is_broken:
                names = self._fit_decisions if _DECISION in line else self._fit_interactions
                name = names[next(choice) % len(names)]
                lines.append(self.breakages[name](line))
                kinds.append(name)
        return lines, kinds

    def _labels(self, rows: Rows, kinds: list[str | None], first_line: int) -> list[Label]:
        labels: list[Label] = []
        marked = ((rows["label"] != 0) | (rows["noise"] != 0)).tolist()
        row = 0
        for line, kind in enumerate(kinds, first_line):
            if kind is not None:
                labels.append({"label": "malformed", "kind": kind, "line": line})
                continue
            if marked[row]:
                labels.append(self.renderer.label(rows[row]) | {"line": line})
            row += 1
        return labels


def _by_arrival(rows: Rows) -> Rows:
    return rows[np.argsort(rows["arrival"], kind="stable")]
