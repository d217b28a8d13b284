"""B22: incidents of a simulated shop whose attacks are known: how many are right, what is found.

One week fits, one calibrates, the next ones are judged in batches, as the streams do it; bots and thieves are
there all the time. With a past that nobody has reviewed; with one whose last days were: of each the most
unusual causes were shown and got the true verdict; without what was confirmed these days calibrate the models
anew, or new models learn of both weeks; and with a past whose attacks were all confirmed. Nothing else is
chosen by these labels."""

from __future__ import annotations

import argparse
import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks import harness
from benchmarks.b20_calibration import Row, as_arrivals
from benchmarks.b22_queue import days_of_queue
from pipelines import settings as settings_module
from pipelines.anomalies.acts import Recent, parted
from pipelines.anomalies.alert_batches import Batch, Rules, State
from pipelines.anomalies.alerts import raise_incidents
from pipelines.anomalies.behaviour import DAY_MS, NAMES, Kind, vectors
from pipelines.anomalies.calibrating import calibrated, calibrations_of, rule_of, unconfirmed
from pipelines.anomalies.discoveries import Past, judge
from pipelines.anomalies.findings import Finding
from pipelines.anomalies.incidents import Incident, severity
from pipelines.anomalies.judging import Judges, causes_of, decay_of, judge_rows, outlier_rows
from pipelines.anomalies.outlier_findings import outlier_findings
from pipelines.anomalies.reviews import Confirmed, confirmed_entities
from pipelines.models.outlier_training import matrix_of
from pipelines.models.outliers import OutlierModel
from pipelines.models.scoring import Champion
from pipelines.settings import Settings
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import Shop

WEEK_MS = 7 * DAY_MS
BATCH_MS = 600_000
CAPACITIES = (5, 10)
FIT_MS = WEEK_MS * 4 // 5
"""What fits of the first week; the rest of it makes the p-values by which reviewers are shown something."""
QUEUE_DAYS = (2, 7)
IDS = {"user": "user_id", "session": "session_id", "device": "device_id", "address": "ip_hash"}


@dataclass
class Attack:
    """A campaign or theft of the simulation: when, and who took part, as (kind of entity, id)."""

    name: str
    first_ms: int = 2**62
    last_ms: int = 0
    entities: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Played:
    """What happened, and what was wrong in it."""

    recent: Recent
    attacks: dict[str, Attack]
    acts: int


def played(config: ShopConfig, until_ms: int) -> Played:
    """A stretch of the shop's life."""
    decode = msgspec.json.Decoder(Row).decode
    recent, attacks, lines, acts = Recent(), dict[str, Attack](), 0, 0
    for chunk in Shop(config).chunks():
        rows = [decode(line) for line in chunk.lines]
        recent.add(*parted(as_arrivals(rows)))
        for label in chunk.labels:
            if label["label"] not in ("bot", "stolen_account"):
                continue
            row = rows[label["line"] - lines - 1]
            number = label.get("campaign") or label["theft"]
            attack = attacks.setdefault(f"{label['label']} {number}", Attack(label["label"]))
            attack.first_ms = min(attack.first_ms, row.event_time)
            attack.last_ms = max(attack.last_ms, row.event_time)
            attack.entities |= {
                (kind, getattr(row, name)) for kind, name in IDS.items() if getattr(row, name)
            }
        lines += len(rows)
        acts += len(rows)
        if chunk.arrivals and chunk.arrivals[-1] >= until_ms:
            break
    return Played(recent, attacks, acts)


def by_week(
    recent: Recent, kinds: list[Kind], first: int, weeks: int, history_ms: int
) -> dict[str, pa.Table]:
    """Vectors of each kind, week by week, as one table with its week's number."""
    found = {}
    for kind in kinds:
        parts = []
        for day in range(first + DAY_MS, first + DAY_MS + weeks * WEEK_MS, DAY_MS):
            windows = np.arange(day // kind.length, (day + DAY_MS) // kind.length)
            parts.append(vectors(recent, kind, windows, history_ms, 1))
        found[str(kind)] = pa.concat_tables(parts)
    return found


def starts_of(rows: pa.Table) -> Any:
    """Epoch ms."""
    return rows["window_start"].cast(pa.int64()).to_numpy() // 1000


def findings(
    rows: dict[str, pa.Table], judges: Judges, settings: Settings, since_ms: int
) -> Iterator[tuple[int, int, list[Finding]]]:
    """(newest window's end, hypotheses, discoveries) of each batch, as `watch_outliers` makes them."""
    ends, p, sources = [], [], []
    for kind, table in rows.items():
        if kind not in judges.calibrations:
            continue
        later = table.filter(pa.array(starts_of(table) >= since_ms))
        scores = judges.outliers.models[kind].score(matrix_of(later["vector"]))
        p.append(judges.calibrations[kind].p_values(scores)[0])
        ends.append(starts_of(later) + Kind.of(kind).length)
        sources.append(later)
    end, chance = np.concatenate(ends), np.concatenate(p)
    together = pa.concat_tables(sources).combine_chunks()
    order = np.argsort(end, kind="stable")
    batches = np.split(order, np.flatnonzero(np.diff(end[order] // BATCH_MS)) + 1)
    past: list[Past] = []
    champion = Champion("shop-outliers", "1", "", settings.state)
    config = settings.outliers
    for batch in batches:
        own = partial(causes_of, together.take(pa.array(batch)))
        found, kept = judge(past, chance[batch], config.false_share, decay_of(config.memory_batches), own)
        past = [*past, kept][-1_000:]
        if not kept.found:
            yield int(end[batch].max()), len(batch), []
            continue
        chosen = together.take(pa.array(batch[found]))
        told = outlier_rows(judge_rows(chosen, judges), np.ones(chosen.num_rows, bool), champion)
        yield int(end[batch].max()), len(batch), outlier_findings(told.to_pylist())


def incidents(batches: Iterator[tuple[int, int, list[Finding]]], settings: Settings) -> list[Incident]:
    """All incidents, capped ones too, as they were at the end."""
    config = dataclasses.replace(settings.alerts, samples_per_day=0)
    state, known = State(), dict[str, Incident]()
    for newest, count, found in batches:
        batch = Batch(found, newest, hypotheses=count)
        raised = raise_incidents(state, batch, newest, config, Rules())
        state = raised.state
        known |= {incident.incident_id: incident for incident in raised.changed}
    return [incident for incident in known.values() if incident.state != "merged"]


def right(incident: Incident, attacks: dict[str, Attack]) -> set[str]:
    """The attacks that an incident shows: one of its entities took part while it lasted."""
    members = {tuple(key.split("=", 1)) for key in incident.members}
    return {
        name
        for name, attack in attacks.items()
        if attack.first_ms < incident.last_ms
        and incident.first_ms <= attack.last_ms
        and members & attack.entities
    }


def simulated(
    seed: int, rate: float, weeks: int, settings: Settings
) -> tuple[Played, dict[str, pa.Table], int]:
    """(a shop under attack for so many weeks, its vectors by kind, when the first week begins)."""
    config = ShopConfig(seed=seed, rate=rate, malformed_share=0.0)
    first = config.start_ms // DAY_MS * DAY_MS
    kinds = [Kind.of(text) for text in settings.outliers.watched]
    history_ms = settings.outliers.history_hours * 3_600_000
    whole = played(config, first + weeks * WEEK_MS + 2 * DAY_MS)
    return whole, by_week(whole.recent, kinds, first, weeks, history_ms), first + DAY_MS


def main() -> None:
    """Simulate, judge, group, compare with the labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=4, help="weeks: one fits, one calibrates (default: 4)")
    parser.add_argument("--rate", type=float, default=0.5, help="events a second (default: 0.5)")
    parser.add_argument("--seed", type=int, default=23)
    args = parser.parse_args()
    settings = settings_module.load(environ={})
    whole, rows, begin = simulated(args.seed, args.rate, args.weeks, settings)
    since, until = begin + 2 * WEEK_MS, begin + args.weeks * WEEK_MS
    last = until - 2 * DAY_MS  # windows of a day close late
    attacks = {n: a for n, a in whole.attacks.items() if since <= a.first_ms and a.last_ms < last}
    days, table = (until - since) / DAY_MS, []
    for past, judges, shown in pasts(rows, begin, whole.attacks, settings):
        found = incidents(findings(rows, judges, settings, since), settings)
        right_ones = [bool(right(i, whole.attacks)) for i in shown]
        of_queue = [len(shown), float(np.mean(right_ones))] if shown else [None, None]
        table += [[past, *of_queue, *line] for line in by_capacity(found, attacks, days, settings)]
    columns = ["past", "reviewed", "of these right", "incidents a day at most", "incidents", "a day"]
    columns += ["precision", "campaigns found", "thefts found", "campaigns", "thefts"]
    title = f"B22: incidents of a simulated shop, {days:g} days judged"
    harness.publish("b22_detection", title, columns, table, acts=whole.acts, seed=args.seed)


def pasts(
    rows: dict[str, pa.Table], begin: int, attacks: dict[str, Attack], settings: Settings
) -> Iterator[tuple[str, Judges, list[Incident]]]:
    """(what is known of the past, the judges that follow from it, what reviewers were shown)."""
    until = begin + 2 * WEEK_MS
    models, later = fitted(rows, begin, [], settings)
    yield "not reviewed", judges_of(models, later, settings), []
    held_out = {kind: between(rows[kind], begin + FIT_MS, begin + WEEK_MS, []) for kind in models}
    before = judges_of(models, held_out, settings)
    for days in QUEUE_DAYS:
        start = until - days * DAY_MS
        shown, reviews = days_of_queue(
            rows, before, start, days, lambda incident: bool(right(incident, attacks)), settings
        )
        said = confirmed_entities(reviews)
        own = {kind: between(rows[kind], start, until, said) for kind in models}
        past = f"{settings.alerts.unusual_per_day} causes a day reviewed for {days} days"
        yield f"{past}, calibrated anew", judges_of(models, own, settings), shown
    cut = begin + 2 * FIT_MS
    new = fitted_by({kind: between(rows[kind], begin, cut, said) for kind in models}, settings)
    newest = {kind: between(rows[kind], cut, until, said) for kind in new}
    yield f"{past}, trained anew", judges_of(new, newest, settings), shown
    everything = [
        Confirmed(*who, attack.first_ms, attack.last_ms + 1, name)
        for name, attack in attacks.items()
        for who in sorted(attack.entities)
    ]
    yield "reviewed", judges_of(*fitted(rows, begin, everything, settings), settings), []


def fitted(
    rows: dict[str, pa.Table], begin: int, said: list[Confirmed], settings: Settings
) -> tuple[dict[str, OutlierModel], dict[str, Any]]:
    """(models of the first week's first days, vectors of the second week), without what is confirmed."""
    earlier = {kind: between(table, begin, begin + FIT_MS, said) for kind, table in rows.items()}
    models = fitted_by(earlier, settings)
    later = {kind: between(rows[kind], begin + WEEK_MS, begin + 2 * WEEK_MS, said) for kind in models}
    return models, later


def fitted_by(vectors: dict[str, Any], settings: Settings) -> dict[str, OutlierModel]:
    """Models of the kinds that have enough vectors."""
    fewest, seed = settings.outliers.fewest_vectors, settings.training.seed
    return {
        kind: OutlierModel.fit(own, names=NAMES, seed=seed)
        for kind, own in vectors.items()
        if len(own) >= fewest
    }


def between(table: pa.Table, since: int, until: int, said: list[Confirmed]) -> Any:
    """Vectors of windows that start in this time, but for what is confirmed."""
    starts = starts_of(table)
    chosen = table.filter(pa.array((since <= starts) & (starts < until)))
    return matrix_of(unconfirmed(chosen, said)["vector"])


def judges_of(models: dict[str, OutlierModel], later: dict[str, Any], settings: Settings) -> Judges:
    """The models, calibrated by later vectors."""
    outliers = calibrated(models, later, rule_of(settings))
    return Judges(outliers, calibrations_of(outliers))


def by_capacity(
    found: list[Incident], attacks: dict[str, Attack], days: float, settings: Settings
) -> Iterator[list[Any]]:
    """A row for each number of incidents a day that people can review, the most severe ones."""
    shown = {incident.incident_id: right(incident, attacks) for incident in found}
    by_day = defaultdict(list)
    for incident in found:
        by_day[incident.first_ms // DAY_MS].append(incident)
    of = [[n for n in attacks if n.startswith(kind)] for kind in ("bot", "stolen_account")]
    for capacity in CAPACITIES:
        best = [
            incident
            for of_day in by_day.values()
            for incident in sorted(of_day, key=lambda i: -severity(i, settings.alerts))[:capacity]
        ]
        seen = set().union(*(shown[i.incident_id] for i in best)) if best else set()
        precision = float(np.mean([bool(shown[i.incident_id]) for i in best])) if best else None
        recalls = [len(seen & set(names)) / len(names) if names else None for names in of]
        yield [capacity, len(best), len(best) / days, precision, *recalls, *map(len, of)]


if __name__ == "__main__":
    main()
