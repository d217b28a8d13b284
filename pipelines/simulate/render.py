"""Rows to JSON: one object a row, as the shop's domain file describes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pipelines.simulate.config import SOURCES
from pipelines.simulate.rows import DUPLICATE, KINDS, NOTHING, Numbers, Rows

CURRENCY = "EUR"
MODEL_VERSION = "bestsellers-1"
SCHEMA_VERSION = 1
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Renderer:
    """Writes rows as JSON bytes; ids carry the shop's namespace."""

    def __init__(self, namespace: str, query_texts: list[str]) -> None:
        """`query_texts` are what the rows' query numbers stand for."""
        self.namespace, self.query_texts = namespace, query_texts

    def lines(self, rows: Rows) -> list[bytes]:
        """The JSON of each row, in the given order."""
        out = np.empty(len(rows), object)
        for code, kind in enumerate(KINDS):
            chosen = np.flatnonzero(rows["kind"] == code)
            if len(chosen):
                part = rows[chosen]
                texts = self._decisions(part) if kind == "decision" else self._interactions(part, kind)
                out[chosen] = texts
        lines: list[bytes] = out.tolist()
        return lines

    def label(self, row: np.void) -> dict[str, Any]:
        """What the side file says of a row of an intruder, or of one that came late or a second time."""
        about = {"user_id": f"u{row['user']}", "session_id": f"s{self.namespace}{row['session']:x}"}
        about |= self._identity(row)
        if row["label"] > 0:
            return {"label": "bot", "campaign": int(row["label"])} | about
        if row["label"] < 0:
            return {"label": "stolen_account", "theft": -int(row["label"])} | about
        if row["noise"] & DUPLICATE:
            return {"label": "duplicate"} | about
        return {"label": "late", "late_ms": int(row["arrival"] - row["time"])} | about

    def _identity(self, row: np.void) -> dict[str, str]:
        if KINDS[row["kind"]] == "decision":
            return {"decision_id": f"d{self.namespace}{row['decision']:x}"}
        return {"event_id": f"e{self.namespace}{row['number']:x}"}

    def _interactions(self, rows: Rows, kind: str) -> list[bytes]:
        head, tail = self._heads(rows), _tails(rows)
        about = self._about(rows, kind)
        space = self.namespace
        return [
            f'{{"event_id":"e{space}{n:x}","event_type":"{kind}",{h}{a}{t}'.encode()
            for n, h, a, t in zip(rows["number"].tolist(), head, about, tail, strict=True)
        ]

    def _heads(self, rows: Rows) -> list[str]:
        space = self.namespace
        return [
            f'"event_time":{time},"user_id":"u{user}","session_id":"s{space}{session:x}",'
            for time, user, session in zip(*_columns(rows, "time", "user", "session"), strict=True)
        ]

    def _about(self, rows: Rows, kind: str) -> Iterable[str]:
        """The members that only this kind of event has."""
        if kind in ("login", "login_failed"):
            return [""] * len(rows)
        if kind == "search":
            return [f'"query":"{self.query_texts[q]}",' for q in rows["query"].tolist()]
        items = [f'"item_id":"i{item}",' for item in rows["item"].tolist()]
        space = self.namespace
        decisions = [
            "" if decision == NOTHING else f'"decision_id":"d{space}{decision:x}",'
            for decision in rows["decision"].tolist()
        ]
        about = [item + decision for item, decision in zip(items, decisions, strict=True)]
        if kind in ("view", "click"):
            return about
        return [
            f'{a}"price_minor":{price},"currency":"{CURRENCY}","quantity":{quantity},'
            for a, price, quantity in zip(about, *_columns(rows, "price", "quantity"), strict=True)
        ]

    def _decisions(self, rows: Rows) -> list[bytes]:
        space = self.namespace
        asked = ["" if q == NOTHING else f'"query":"{self.query_texts[q]}",' for q in rows["query"].tolist()]
        shown = [
            '","'.join([f"i{item}" for item in items if item != NOTHING]) for items in rows["shown"].tolist()
        ]
        flags = ["true" if explored else "false" for explored in rows["explored"].tolist()]
        return [
            f'{{"decision_id":"d{space}{d:x}","event_type":"decision",{h}{q}"items":["{items}"],'
            f'"model_version":"{MODEL_VERSION}","as_of":{time},"explored":{explored},{t}'.encode()
            for d, h, q, items, time, explored, t in zip(
                rows["decision"].tolist(),
                self._heads(rows),
                asked,
                shown,
                rows["time"].tolist(),
                flags,
                _tails(rows),
                strict=True,
            )
        ]


def _tails(rows: Rows) -> list[str]:
    devices, addresses = _scrambled(rows["device"]), _scrambled(rows["ip"])
    return [
        f'"source":"{SOURCES[source]}","device_id":"{device:016x}","ip_hash":"{ip:016x}",'
        f'"schema_version":{SCHEMA_VERSION}}}'
        for source, device, ip in zip(rows["source"].tolist(), devices, addresses, strict=True)
    ]


def _scrambled(numbers: Numbers) -> list[int]:
    """64 bits that look like a hash, one for each number."""
    mixed = numbers.astype(np.uint64) * _MIX
    scrambled: list[int] = (mixed ^ (mixed >> np.uint64(29))).tolist()
    return scrambled


def _columns(rows: Rows, *names: str) -> list[list[int]]:
    return [rows[name].tolist() for name in names]
