"""B24: an order of alerts that reviews have taught, on later days of a shop whose attacks are known.

One week fits and calibrates. Of each day of two weeks the most unusual causes get the true verdict, and teach
an order; of each day of the last week as many are put in that order, and in those without it."""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import harness
from benchmarks.b22_detection import FIT_MS, WEEK_MS, between, fitted, judges_of, right, simulated
from benchmarks.b22_queue import days_of_queue
from pipelines import settings as settings_module
from pipelines.anomalies.behaviour import DAY_MS
from pipelines.anomalies.calibrating import ReviewedPast
from pipelines.anomalies.incidents import Incident, weight
from pipelines.anomalies.reviewed import average_precision, learn, order_by, reviewed_vectors
from pipelines.anomalies.reviews import millis, settled
from pipelines.models.outlier_training import WINDOW_COLUMNS

CAPACITIES = (3, 5, 10)
DAYS = 21


def main() -> None:
    """Simulate, review, learn, compare on later days."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.5, help="events a second (default: 0.5)")
    parser.add_argument("--a-day", type=int, default=20, help="causes shown a day (default: 20)")
    parser.add_argument("--seed", type=int, default=23)
    args = parser.parse_args()
    settings = settings_module.load(environ={})
    alerts = dataclasses.replace(settings.alerts, unusual_per_day=args.a_day)
    settings = dataclasses.replace(settings, alerts=alerts)
    whole, rows, begin = simulated(args.seed, args.rate, 4, settings)
    table, told = orders_of(rows, begin, whole.attacks, settings)
    columns = ["order", "causes", "of these right", "average precision"]
    columns += [f"right of the first {n} a day" for n in CAPACITIES]
    title = f"B24: the {args.a_day} most unusual causes of each of 7 days, in three orders ({told})"
    harness.publish("b24_alert_order", title, columns, table, acts=whole.acts, seed=args.seed)


def orders_of(
    rows: dict[str, pa.Table], begin: int, attacks: dict[str, Any], settings: settings_module.Settings
) -> tuple[list[list[Any]], str]:
    """(a line for each order of the last week's causes, what the reviews before say of the learnt one)."""
    models, _ = fitted(rows, begin, [], settings)
    held_out = {kind: between(rows[kind], begin + FIT_MS, begin + WEEK_MS, []) for kind in models}
    judges = judges_of(models, held_out, settings)
    shown, reviews = days_of_queue(
        rows, judges, begin + WEEK_MS, DAYS, lambda one: bool(right(one, attacks)), settings
    )
    until, unit = begin + 3 * WEEK_MS, settings.alerts.exposure_unit
    windows = pa.concat_tables([table.select(WINDOW_COLUMNS) for table in rows.values()])
    is_later = np.array([millis(row["window_start"]) >= until for row in reviews])
    before = [row for row, later in zip(reviews, is_later, strict=True) if not later]
    learnt = reviewed_vectors(judges.outliers, ReviewedPast(windows, before), unit)
    _, evidence = learn(judges.outliers.names, learnt)
    order = order_by(judges.outliers.names, learnt)
    by_id = {incident.incident_id: incident for incident in shown}
    after = [row for row, later in zip(reviews, is_later, strict=True) if later]
    causes = [by_id[name] for name in settled(after)]  # as `reviewed_vectors` numbers them
    new = reviewed_vectors(judges.outliers, ReviewedPast(windows, after), unit)
    log_odds = np.full(len(causes), -np.inf)
    np.maximum.at(log_odds, new.incident, order.of_told(new.told))
    marks = np.array([bool(right(incident, attacks)) for incident in causes])
    days = np.array([incident.first_ms // DAY_MS for incident in causes])
    severity = np.array([weight(incident.p, incident.exposure, unit) for incident in causes])
    shown_as = {name: -place for name, place in zip(by_id, places_of_day(shown), strict=True)}
    places = np.array([shown_as[incident.incident_id] for incident in causes], np.float64)
    orders = {"by severity": severity, "the most unusual first": places, "learnt": log_odds}
    table = [[name, *line(scores, marks, days)] for name, scores in orders.items()]
    return table, evidence.told


def places_of_day(causes: list[Incident]) -> list[int]:
    """Of each cause its place among those of its day, in the order in which they were shown."""
    seen: dict[int, int] = defaultdict(int)
    places = []
    for incident in causes:
        day = incident.first_ms // DAY_MS
        places.append(seen[day])
        seen[day] += 1
    return places


def line(scores: Any, marks: Any, days: Any) -> list[Any]:
    """Causes, the share that is right, average precision, and what is right of the first of each day."""
    found: list[Any] = [len(marks), float(marks.mean()), average_precision(scores, marks)]
    for capacity in CAPACITIES:
        first = []
        for day in np.unique(days):
            own = np.flatnonzero(days == day)
            first += marks[own[np.argsort(-scores[own], kind="stable")[:capacity]]].tolist()
        found.append(float(np.mean(first)))
    return found


if __name__ == "__main__":
    main()
