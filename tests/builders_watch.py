"""Findings of a simulated watch: what a test does not name does not matter to it."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import pyarrow as pa

from pipelines import settings as settings_module
from pipelines.anomalies.findings import DROP, OUTLIER, Finding, Reason
from pipelines.sections import Alerts

MINUTE = 60_000
NOON_MS = 1_767_268_800_000
CONFIG = settings_module.load(environ={}).alerts
NAMES = ("clicks", "carts", "failures", "gap_entropy", "distinct_items", "spent_minor")


def config(**changes: object) -> Alerts:
    """The default settings, changed."""
    return dataclasses.replace(CONFIG, **changes)


def a_reason(name: str = "clicks", value: float = 90.0) -> Reason:
    """A value far above what is usual."""
    return Reason(name, value, 0.0, 12.0)


def an_outlier(entity_id: str = "ann", minute: float = 0, **changes: object) -> Finding:
    """A user who did too much in five minutes, `minute` minutes after noon."""
    start = NOON_MS + round(minute * MINUTE)
    found = Finding(
        *(OUTLIER, "user", entity_id, start, start + 5 * MINUTE, 1e-4, 50.0),
        *((a_reason(), a_reason("gap_entropy", 20.0)), "c1"),
    )
    return dataclasses.replace(found, **changes)


def a_drop(metric: str = "clicks", segment: str = "all", minute: float = 0, **changes: object) -> Finding:
    """A metric of a segment that has dropped."""
    links = {} if segment == "all" else {"segment": segment}
    told = (Reason(metric, 10.0, 80.0, 120.0),)
    start = NOON_MS + round(minute * MINUTE)
    found = Finding(
        *(DROP, "metric", f"{metric}@{segment}", start, start + 5 * MINUTE, 1e-7, 400.0, told, "w1", links),
    )
    return dataclasses.replace(found, **changes)


def a_campaign(seed: int, entities: int = 500, minutes: int = 120) -> list[Finding]:
    """A campaign of many users within two hours: a few addresses and devices, one feature pushed up, all else
    by chance. Each user is found in some windows; the reasons' order is by chance beside the pushed one."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(entities):
        begin = int(chance.integers(0, minutes // 5 - 2))
        links = {"address": f"a{chance.integers(6)}", "pattern": "p7"}
        if chance.random() < 0.8:
            links["device"] = f"d{chance.integers(40)}"
        for window in range(begin, begin + int(chance.integers(1, 4))):
            others = [str(n) for n in chance.choice([n for n in NAMES if n != "failures"], 3, replace=False)]
            place = int(chance.choice(3, p=(0.6, 0.25, 0.15)))
            names = [*others[:place], "failures", *others[place:]]
            reasons = tuple(a_reason(name, float(20 + chance.integers(80))) for name in names)
            p = float(10 ** -chance.uniform(3, 4.5))
            exposure = float(chance.integers(5, 60))
            found.append(
                an_outlier(f"bot{number}", window * 5, p=p, exposure=exposure, reasons=reasons, links=links)
            )
    return sorted(found, key=lambda f: (f.window_start_ms, f.entity_id))


def a_review(
    incident_id: str, verdict: str = "confirmed", reviewer: str = "ann", hour: int = 0, **changes: object
) -> dict[str, object]:
    """A row of gold.reviews."""
    start = datetime.datetime.fromtimestamp(NOON_MS / 1000, datetime.UTC)
    said = start + datetime.timedelta(hours=hour)
    return {
        "review_id": f"{incident_id}-{reviewer}-{hour}",
        "reviewed_at": said,
        "day": said.date(),
        "incident_id": incident_id,
        "alert_revision": 1,
        "action": "verdict",
        "verdict": verdict,
        "reason": "",
        "reviewer": reviewer,
        "assigned_to": None,
        "kind": "outlier",
        "fingerprint": "f",
        "pattern": "outlier user: clicks high",
        "level": "high",
        "p": 1e-4,
        "exposure": 50.0,
        "chance": None,
        "entities": [{"entity": "user", "entity_id": "ann"}],
        "window_start": start,
        "window_end": start + datetime.timedelta(minutes=5),
    } | changes


_TIME = pa.timestamp("us", tz="UTC")
_REASON = pa.struct([("name", pa.string()), *((n, pa.float64()) for n in ("value", "low", "high"))])
OUTLIER_ROW = pa.struct(
    [
        *(
            ("entity", pa.string()),
            ("entity_id", pa.string()),
            ("window_start", _TIME),
            ("window_end", _TIME),
        ),
        *(("window_minutes", pa.int32()), ("p_value", pa.float64()), ("is_found", pa.bool_())),
        *(("calibration", pa.string()), ("links", pa.map_(pa.string(), pa.string()))),
        *(("exposure", pa.float64()), ("reasons", pa.list_(_REASON))),
    ]
)
VERDICT_ROW = pa.struct([("metric", pa.string()), ("number", pa.int64())])


def arrived(findings: list[Finding], usual: list[Finding] = ()) -> pa.Table:
    """Rows of `watched.arrivals` that these findings, and windows that nobody found unusual, come from; a
    drop's row is its place among the findings."""
    every = [(finding, True) for finding in findings] + [(finding, False) for finding in usual]
    outliers = [_outlier_row(f, found) if f.kind == OUTLIER else None for f, found in every]
    drops = [
        {"metric": f.entity_id, "number": n} if f.kind == DROP else None for n, (f, _) in enumerate(every)
    ]
    return pa.table({"outlier": pa.array(outliers, OUTLIER_ROW), "verdict": pa.array(drops, VERDICT_ROW)})


def _outlier_row(finding: Finding, is_found: bool) -> dict[str, object]:
    return {
        "entity": finding.entity,
        "entity_id": finding.entity_id,
        "window_start": finding.window_start_ms * 1000,
        "window_end": finding.window_end_ms * 1000,
        "window_minutes": (finding.window_end_ms - finding.window_start_ms) // MINUTE,
        "p_value": finding.p,
        "is_found": is_found,
        "calibration": finding.calibration,
        "links": list(finding.links.items()),
        "exposure": finding.exposure,
        "reasons": [dataclasses.asdict(reason) for reason in finding.reasons],
    }
