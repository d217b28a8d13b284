"""B3: features. How many events the kernel folds, how long it reads for one decision, and what the features
of a training set cost.

`fold` and `read` run the shop's features (conf/domains/shop.yml) on the simulated shop, one core, after
compilation: events alone, and with the lists of decisions, whose every shown item is an act too; the later
half of them, into states that the earlier half made. `read` is one decision of 100 candidates, median of 500.
`training set` turns silver's columns into features of every shown item, from the merge of arrivals on; the
simulation is not in the figures. `replay` does the same with all of a file, whose domain is given with it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import harness
from pipelines import settings as settings_module
from pipelines.cli._file_rows import silver_of, silver_of_arrivals
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.domain import Domain, load_domain
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions, compile_definitions
from pipelines.features.hashing import hash_texts
from pipelines.features.history import History, in_arrival_order
from pipelines.features.program import DECISION_CODE
from pipelines.features.reading import read
from pipelines.features.replay import Replay
from pipelines.features.vectors import Vectors, no_vectors
from pipelines.io.replay import source_values
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records

SETTINGS = settings_module.load()
PART = 250_000  # events that are turned into features at once
CANDIDATES, FOLDINGS, READINGS, WORDS = 100, 5, 500, 2_000
SHOP = ShopConfig(rate=50.0, users=20_000, items=2_000, malformed_share=0.0)


def parts(domain: Domain, events: int) -> Iterator[dict[str, pa.Table]]:
    """Silver of the simulated shop, some events at a time."""
    lines: list[bytes] = []
    arrivals: list[int] = []
    for chunk in records(SHOP, events):
        lines += chunk.lines
        arrivals += chunk.arrivals
        if len(lines) >= PART:
            yield silver_of_arrivals(lines, arrivals, domain, SETTINGS)
            lines, arrivals = [], []
    if lines:
        yield silver_of_arrivals(lines, arrivals, domain, SETTINGS)


def history_of(silver: dict[str, pa.Table], definitions: Definitions) -> History:
    return in_arrival_order(silver[EVENTS.name], silver[DECISIONS.name], definitions.events)


def made_up(items: pa.Table) -> Vectors:
    """Vectors of these items as large as the shop's, with twenty words each: what they say does not matter
    here."""
    chance, keys = np.random.default_rng(1), np.unique(hash_texts(items["item_id"]))
    text, image = (chance.normal(size=(keys.size, size)).astype(np.float32) for size in (32, 16))
    words = np.sort(chance.integers(1, 2**62, WORDS))
    counted = np.sort(chance.integers(0, WORDS, (keys.size, 20)), axis=1)
    ones = np.ones(counted.size, np.float32)
    return replace(
        no_vectors(),
        item_keys=keys,
        text=text / np.linalg.norm(text, axis=1, keepdims=True),
        image=image / np.linalg.norm(image, axis=1, keepdims=True),
        behaviour=np.zeros((1, keys.size, 0), np.float32),
        term_keys=words,
        term_idf=np.ones(WORDS, np.float32),
        term_vectors=chance.normal(size=(WORDS, 32)).astype(np.float32),
        count_starts=np.arange(0, counted.size + 1, 20),
        count_terms=counted.ravel(),
        counts=ones,
        lengths=ones[: keys.size],
        pair_starts=np.zeros((1, keys.size + 1), np.int64),
    )


def new_replay(definitions: Definitions, items: pa.Table) -> Replay:
    catalog = Catalog(definitions, made_up(items) if definitions.needs_vectors else None)
    catalog.learn(items)
    return Replay(definitions, catalog)


def unread(history: History, chosen: Any = slice(None)) -> History:
    """The chosen happenings, with nothing to be read on the way."""
    own = {n: c[chosen] for n, c in vars(history).items() if n not in ("listed", "terms")}
    kept = replace(history, **own)
    return replace(kept, decision_rows=np.full(len(kept), -1))


def folding(definitions: Definitions, silver: dict[str, pa.Table]) -> tuple[list[list[Any]], Replay, History]:
    """Rows on `advance`, and a replay that has folded everything."""
    history, rows = history_of(silver, definitions), []
    cases = {
        "fold events": unread(history, history.codes != DECISION_CODE),
        "fold events, lists": unread(history),
    }
    for name, folded in cases.items():
        earlier, later = folded.part(0, len(folded) // 2), folded.part(len(folded) // 2, len(folded))
        acts, spent = len(later) + int((later.lists_to - later.lists_from).sum()), []
        for _ in range(FOLDINGS):
            replay = new_replay(definitions, silver[ITEMS.name])
            replay.advance(earlier)
            replay.users.of(later.users)
            replay.advance(later.part(0, 0))  # makes room for all users
            begin = time.process_time()
            replay.advance(later)
            spent.append(time.process_time() - begin)
        rows.append([name, f"{acts:,} acts", min(spent), f"{acts / min(spent) / 1e6:.2f} M acts/s"])
    return rows, replay, history


def reading(definitions: Definitions, replay: Replay, history: History) -> list[Any]:
    """The row on `read`."""
    chance, catalog = np.random.default_rng(1), replay.catalog
    lookups, spaces, positions = catalog.lookups(), catalog.spaces(), np.arange(1, CANDIDATES + 1)
    as_of, spent = int(history.arrived[-1]), []
    for _ in range(READINGS + 10):
        items = chance.integers(0, catalog.items.count, CANDIDATES)
        user, query = int(chance.integers(0, replay.users.count)), history.terms[:2]
        begin = time.process_time()
        read(definitions.program, replay.states, lookups, spaces, user, items, positions, query, as_of)
        spent.append(time.process_time() - begin)
    microseconds = statistics.median(spent[10:]) * 1e6
    size = f"{CANDIDATES} candidates x {len(definitions.names)} features"
    return ["read a decision", size, microseconds / 1e6, f"{microseconds:,.0f} us"]


def training(definitions: Definitions, domain: Domain, events: int) -> list[Any]:
    """The row on the features of a training set."""
    replay, spent, shown = None, 0.0, 0
    for silver in parts(domain, events):
        if replay is None:
            replay = new_replay(definitions, silver[ITEMS.name])
        else:
            replay.catalog.learn(silver[ITEMS.name])
        begin = time.process_time()
        shown += replay.advance(history_of(silver, definitions)).features.shape[0]
        spent += time.process_time() - begin
    speed = f"{spent / events * 1e6:.1f} s per M events"
    return ["training set", f"{events:,} events, {shown:,} rows", spent, speed]


def replaying(name: str, file: str) -> list[Any]:
    """The row on a file of source records."""
    domain = load_domain(name, SETTINGS)
    definitions = compile_definitions(domain)
    silver = silver_of(source_values(file, None), domain, SETTINGS)
    history = history_of(silver, definitions)
    new_replay(definitions, silver[ITEMS.name]).advance(history.part(0, 100))
    begin = time.process_time()
    probes = new_replay(definitions, silver[ITEMS.name]).advance(history_of(silver, definitions))
    spent = time.process_time() - begin
    rows = probes.features.shape[0]
    size = f"{len(history):,} events, {rows:,} rows of {len(definitions.names)} features"
    return [f"replay {name}", size, spent, f"{rows / spent:,.0f} rows/s"]


def main() -> None:
    """Run all, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--events", type=int, nargs="*", default=[100_000, 1_000_000], help="of training sets"
    )
    parser.add_argument("--large", action="store_true", help="a training set of 10 M events too")
    parser.add_argument("--file", help="source records of a domain to replay")
    parser.add_argument("--domain", default="ranklens", help="its domain (default: ranklens)")
    args = parser.parse_args()
    domain = load_domain("shop", SETTINGS)
    definitions = compile_definitions(domain)
    rows, replay, history = folding(definitions, next(parts(domain, PART)))
    rows.append(reading(definitions, replay, history))
    if args.file:
        rows.append(replaying(args.domain, args.file))
    rows += [training(definitions, domain, n) for n in [*args.events, *[10_000_000] * args.large]]
    columns = ["what", "size", "CPU s", "speed"]
    title = f"B3: {len(definitions.names)} features of the simulated shop, one core"
    harness.publish("b03_features", title, columns, rows)


if __name__ == "__main__":
    main()
