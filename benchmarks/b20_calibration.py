"""B20: what a stated false-positive rate turns out to be in simulated weeks in which nobody does wrong.

Shares of windows with a p-value of alpha and less, over alpha, by kind of vectors; and what vectors cost."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.anomalies.acts import Recent, parted
from pipelines.anomalies.behaviour import DAY_MS, HOUR_MS, NAMES, Kind, reach, vectors
from pipelines.anomalies.calibration import Calibration, Rule
from pipelines.anomalies.discoveries import Past, judge
from pipelines.anomalies.judging import decay_of
from pipelines.models.outlier_training import matrix_of
from pipelines.models.outliers import OutlierModel
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import Shop

ALPHAS = (0.05, 0.01, 0.001)
FEWEST_EXPECTED = 20
"""Calibration rows that must be expected at or below alpha, or it is not asked: chance alone is then 22 %."""
WEEK = 7
PLOT = harness.ROOT / "docs" / "images" / "calibration.png"


class Row(msgspec.Struct):
    """What vectors read of a record of the simulated shop."""

    event_type: str = ""
    event_time: int = 0
    event_id: str = ""
    decision_id: str = ""
    user_id: str | None = None
    session_id: str | None = None
    device_id: str | None = None
    ip_hash: str | None = None
    item_id: str | None = None
    source: str | None = None
    query: str | None = None
    price_minor: int | None = None
    quantity: int | None = None
    items: list[str] = []
    valid_from: int = 0
    attributes: dict[str, Any] = {}


def played(config: ShopConfig, until_ms: int) -> Iterator[pa.Table]:
    """Rows as `arrivals` gives them, slice by slice."""
    decode = msgspec.json.Decoder(Row).decode
    for chunk in Shop(config).chunks():
        rows = [decode(line) for line in chunk.lines]
        yield as_arrivals(rows)
        if chunk.arrivals and chunk.arrivals[-1] >= until_ms:
            return


def as_arrivals(rows: list[Row]) -> pa.Table:
    """The columns of `arrivals`."""
    text: dict[str, Any] = {
        name: [getattr(row, name) for row in rows]
        for name in ("user_id", "session_id", "device_id", "ip_hash", "item_id", "source", "query")
    }
    text["id"] = [row.event_id or row.decision_id for row in rows]
    text["kind"] = [row.event_type or None for row in rows]
    text["category"] = [row.attributes.get("category") for row in rows]
    columns = {name: pa.array(values, pa.string()) for name, values in text.items()}
    columns["at"] = pa.array([row.event_time or row.valid_from for row in rows], pa.int64())
    columns["money"] = pa.array([(row.price_minor or 0) * (row.quantity or 1) for row in rows], pa.int64())
    columns["shown"] = pa.array([len(row.items) for row in rows], pa.int32())
    return pa.table(columns)


def described(recent: Recent, kinds: list[Kind], first: int, last: int) -> dict[Kind, tuple[Any, Any, float]]:
    """By kind (starts, vectors, CPU seconds) of the days from the second on: the first is history alone."""
    found = {}
    for kind in kinds:
        began, starts, parts = time.process_time(), [], []
        for day in range(first + DAY_MS, last - DAY_MS + 1, DAY_MS):
            windows = np.arange(day // kind.length, (day + DAY_MS) // kind.length)
            rows = vectors(recent, kind, windows, DAY_MS, 1)
            if rows.num_rows:
                starts.append(rows["window_start"].cast(pa.int64()).to_numpy() // 1000)
                parts.append(matrix_of(rows["vector"]))
        took = time.process_time() - began
        found[kind] = np.concatenate(starts), np.concatenate(parts), took
    return found


def main() -> None:
    """Simulate, describe, fit, calibrate, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=4, help="weeks: one fits, one calibrates (default: 4)")
    parser.add_argument("--rate", type=float, default=0.5, help="events a second (default: 0.5)")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    config = ShopConfig(seed=args.seed, rate=args.rate, bot_share=0.0, stolen_share=0.0, malformed_share=0.0)
    first = config.start_ms // DAY_MS * DAY_MS
    last = first + (WEEK * args.weeks + 2) * DAY_MS
    recent, acts = Recent(), 0
    for rows in played(config, last):
        recent.add(*parted(rows))
    acts = len(recent.between(first, last))
    kinds = [Kind.of(text) for text in settings_module.load(environ={}).outliers.watched]
    found = described(recent, kinds, first, last)
    print(
        f"{acts:,} acts; history reaches {reach(DAY_MS) / HOUR_MS:.1f} h back; {len(NAMES)} figures a vector"
    )
    table, curves = [], {}
    for kind, (starts, matrix, took) in found.items():
        week = (starts - first - DAY_MS) // (WEEK * DAY_MS)
        model = OutlierModel.fit(matrix[week == 0], names=NAMES, seed=7)
        scores = model.score(matrix)
        calibration = Calibration.fit(scores[week == 1], Rule())
        later = (week >= 2) & (week < args.weeks)
        p, tails = calibration.p_values(scores[later])
        n = len(calibration.scores)
        ratios = [float(np.mean(p <= a) / a) if n * a >= FEWEST_EXPECTED else None for a in ALPHAS]
        simes = Calibration.fit(scores[week == 1], Rule("simes")).p_values(scores[later])[0]
        by_week = [float(np.mean(p[week[later] == w] <= 0.01) / 0.01) for w in range(2, args.weeks)]
        false = batched(p, starts[later])
        cost = took / acts * 100_000
        row = [
            str(kind),
            n,
            len(p),
            *ratios,
            float(np.mean(simes <= 0.01) / 0.01),
            min(by_week),
            max(by_week),
        ]
        table.append([*row, false, cost])
        curves[str(kind)] = (np.sort(p), n, int(tails.sum()))
    columns = ["kind", "calibrated by", "judged", *(f"alpha {a:g}" for a in ALPHAS), "simes .01"]
    columns += ["least week .01", "most week .01", "batches with a discovery", "CPU s / 100 k acts"]
    title = (
        "B20: realised false-positive rate over alpha in simulated weeks without anomalies, "
        f"{args.weeks - 2} weeks judged"
    )
    plot(curves)
    harness.publish("b20_calibration", title, columns, table, acts=acts, rate=args.rate, seed=args.seed)


def batched(p: Any, starts: Any) -> float:
    """The share of ten-minute batches in which something is discovered, though nobody does wrong."""
    rule, past = settings_module.load(environ={}).outliers, list[Past]()
    numbers = starts // 600_000
    order = np.argsort(numbers, kind="stable")
    edges = np.flatnonzero(np.diff(numbers[order])) + 1
    batches = np.split(p[order], edges)
    found = 0
    for batch in batches:
        _, kept = judge(past[-1000:], batch, rule.false_share, decay_of(rule.memory_batches))
        past.append(kept)
        found += kept.found > 0
    return found / len(batches)


def plot(curves: dict[str, tuple[Any, int, int]]) -> None:
    """Realised over stated rates, both on logarithmic scales: on the diagonal where p-values are right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for kind, (p, n, _) in curves.items():
        stated = np.logspace(np.log10(5 / n), 0, 80)
        axes.plot(
            stated, np.searchsorted(p, stated, side="right") / len(p), label=f"{kind} ({n:,})", linewidth=1
        )
    ends = np.array([1e-4, 1.0])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.fill_between(ends, 0.8 * ends, 1.25 * ends, color="silver", alpha=0.5, label=".8 to 1.25")
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(1e-4, 1),
        ylim=(1e-4, 1),
        xlabel="stated rate",
        ylabel="realised rate",
    )
    axes.set_title("P-values of vectors in later weeks without anomalies")
    axes.legend(fontsize=8)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(Path(PLOT), dpi=110)


if __name__ == "__main__":
    main()
