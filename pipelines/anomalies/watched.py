"""New rows of gold.outliers and gold.metric_verdicts as a micro-batch of alerts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.anomalies.alert_batches import DAY_MS, Batch, State
from pipelines.anomalies.findings import Finding
from pipelines.anomalies.grouping import Carriers
from pipelines.anomalies.incidents import MINUTE_MS, UNUSUAL, links_of
from pipelines.anomalies.selection import sample
from pipelines.anomalies.unusual import SUSPECT_P, due, gather
from pipelines.sections import Alerts

OUTLIER_COLUMNS = (
    "entity",
    "entity_id",
    "window_start",
    "window_end",
    "window_minutes",
    "p_value",
    "is_found",
    "calibration",
    "links",
    "exposure",
    "reasons",
    "learnt",
)
Rows = Sequence[dict[str, Any]]
Findings = Callable[[Rows], list[Finding]]
Seen = Callable[[list[str], int], Carriers]
"""Takes links, written as in address=ab12, and a time: entities of gold.outliers with each since then."""
LATELY_MS = DAY_MS


def arrivals(outliers: DataFrame, verdicts: DataFrame) -> DataFrame:
    """What alerts must know of new rows of both tables, in one frame: each row has one of two structs."""
    one = outliers.select(F.struct(*OUTLIER_COLUMNS).alias("outlier"))
    other = verdicts.where("alert").select(F.struct("*").alias("verdict"))
    return one.unionByName(other, allowMissingColumns=True)


def watched(
    rows: pa.Table, of_outliers: Findings, of_drops: Findings, seen: Seen, state: State, config: Alerts
) -> Batch:
    """The micro-batch that rows of `arrivals` are."""
    outliers, verdicts = (_present(rows, name) for name in ("outlier", "verdict"))
    found, others = _split(outliers)
    findings, drops = of_outliers(found.to_pylist()), of_drops(verdicts.to_pylist())
    drawn, chance = sample(_narrow(others), _yesterday(state), config)
    samples = of_outliers(_chosen(others, drawn))
    starts = [pc.max(outliers["window_start"]).as_py()] if outliers.num_rows else []
    times = [round(start.timestamp() * 1000) for start in starts] + [d.window_start_ms for d in drops]
    newest = max(times, default=0)
    unusual = [dataclasses.replace(f, kind=UNUSUAL) for f in of_outliers(_suspects(others))]
    gap_ms = config.merge_gap_minutes * MINUTE_MS
    over = _over(state, unusual, max(newest, state.newest_ms), gap_ms)
    return Batch(
        findings=[*findings, *drops],
        newest_ms=newest,
        bound=max((finding.p for finding in findings), default=1.0),
        samples=samples,
        chance=chance,
        hypotheses=outliers.num_rows,
        carriers={**_carriers(findings, state, seen), **_seen_with(over, seen)},
        unusual=unusual,
    )


def _present(rows: pa.Table, name: str) -> pa.Table:
    column = rows[name].combine_chunks()
    return pa.Table.from_struct_array(column.filter(column.is_valid()))


def _split(outliers: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Hypotheses that were selected, and the others that have a p-value."""
    is_found = pc.fill_null(outliers["is_found"], False)
    is_judged = pc.is_valid(outliers["p_value"])
    return outliers.filter(is_found), outliers.filter(pc.and_(pc.invert(is_found), is_judged))


def _narrow(others: pa.Table) -> list[Finding]:
    """The rows as findings of which only the key matters, numbered by `links`."""
    columns = ("entity", "entity_id", "window_start", "window_end")
    starts, ends = (pc.divide(others[name].cast(pa.int64()), 1000).to_pylist() for name in columns[2:])
    named = zip(others["entity"].to_pylist(), others["entity_id"].to_pylist(), starts, ends, strict=True)
    return [Finding("", *key, 1.0, 0.0, (), "", {"row": str(row)}) for row, key in enumerate(named)]


def _chosen(others: pa.Table, drawn: list[Finding]) -> Rows:
    found: Rows = others.take(pa.array([int(f.links["row"]) for f in drawn], pa.int64())).to_pylist()
    return found


def _suspects(others: pa.Table) -> Rows:
    found: Rows = others.filter(pc.less_equal(others["p_value"], SUSPECT_P)).to_pylist()
    return found


def _over(state: State, unusual: Sequence[Finding], newest_ms: int, gap_ms: int) -> list[Finding]:
    """The unusual windows of days that are over with this micro-batch."""
    days = {day: list(found) for day, found in state.unusual.items()}
    gather(days, unusual, state.shown)
    return [finding for day in due(days, newest_ms, gap_ms) for finding in days[day]]


def _yesterday(state: State) -> int:
    """Hypotheses of the last whole day, as far as they were counted."""
    days = sorted(state.hypotheses)
    return max((state.hypotheses[day] for day in days), default=0)


def _carriers(findings: list[Finding], state: State, seen: Seen) -> Carriers:
    """Of links that could join something: how many entities were seen with each lately."""
    times = _times_of_links(findings)
    members = (member for incident in state.incidents.values() for member in incident.members.values())
    earlier = {f"{kind}={value}" for member in members for kind, value in member.links.items()}
    links = sorted(link for link, count in times.items() if count > 1 or link in earlier)
    return seen(links, min(f.window_start_ms for f in findings) - LATELY_MS) if links else {}


def _seen_with(unusual: Sequence[Finding], seen: Seen) -> Carriers:
    """The same of links among the most unusual of a day, since its beginning."""
    links = sorted(link for link, count in _times_of_links(unusual).items() if count > 1)
    return seen(links, min(f.window_start_ms for f in unusual)) if links else {}


def _times_of_links(findings: Sequence[Finding]) -> Counter[str]:
    return Counter(f"{kind}={value}" for f in findings for kind, value in links_of(f).items())
