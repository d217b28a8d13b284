"""A small shop that is served: its catalog, its past folded into a real store, and rankers that learnt a
little."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines import settings as settings_module
from pipelines.cli._file_rows import silver_of_arrivals
from pipelines.contracts.silver import DECISIONS, EVENTS, ITEMS
from pipelines.domain import Domain, load_domain
from pipelines.features.carriers import Carrier
from pipelines.features.catalog import Catalog
from pipelines.features.definitions import Definitions, compile_definitions
from pipelines.features.history import History, in_arrival_order
from pipelines.features.vectors import Vectors
from pipelines.io import for_serving
from pipelines.io.online_store import OnlineStore, open_store
from pipelines.models import package, ranker
from pipelines.serving.in_charge import InCharge, in_charge
from pipelines.serving.ports import Items
from pipelines.serving.service import Service
from pipelines.settings import Settings
from pipelines.simulate.config import ShopConfig
from pipelines.simulate.shop import records
from tests.builders_features import some_vectors
from tests.models.builders import some_examples, some_training

SETTINGS = settings_module.load(environ={})
PLACE = ("interactions", 0)


@functools.cache
def shop() -> Domain:
    """The simulated shop's domain."""
    return load_domain("shop", SETTINGS)


@functools.cache
def definitions() -> Definitions:
    return compile_definitions(shop())


@functools.cache
def silver() -> dict[str, pa.Table]:
    """What silver holds of a few days of a shop of 80 users and 60 items."""
    chunks = list(records(ShopConfig(seed=3, users=80, items=60), 3_000))
    lines = [line for chunk in chunks for line in chunk.lines]
    arrivals = [arrival for chunk in chunks for arrival in chunk.arrivals]
    return silver_of_arrivals(lines, arrivals, shop(), SETTINGS)


@functools.cache
def past() -> History:
    return in_arrival_order(silver()[EVENTS.name], silver()[DECISIONS.name], definitions().events)


def now_ms() -> int:
    """A minute after all that has happened."""
    return int(past().arrived[-1]) + 60_000


def item_ids() -> list[str]:
    return silver()[ITEMS.name]["item_id"].unique().to_pylist()


def a_user() -> str:
    """Who did most."""
    counts = silver()[EVENTS.name]["user_id"].value_counts().to_pylist()
    return max(counts, key=lambda row: row["counts"])["values"]


@functools.cache
def vectors() -> Vectors:
    return some_vectors(item_ids())


def a_carrier() -> Carrier:
    catalog = Catalog(definitions(), vectors())
    catalog.learn(silver()[ITEMS.name])
    return Carrier(definitions(), catalog)


def fold(store: OnlineStore, history: History, next_offset: int) -> None:
    """Fold a history into the store, as the stream does: records and fence in one transaction."""
    carrier = a_carrier()
    before = store.read(carrier.needed(history))
    folded = carrier.advance(history, before.records)
    store.write(folded.records, {PLACE: next_offset}, expected=before.fences)


def a_package(folder: Path, seed: int = 0) -> Path:
    """A ranker of the shop's features; another seed gives another one."""
    names = definitions().names
    examples = [some_examples(60, seed=seed + n, width=len(names)) for n in (0, 1)]
    trained = ranker.train(*examples, names, some_training(rounds=6))
    about = (definitions().to_json(), definitions().hash)
    package.save_ranker(folder, trained.booster, *about, examples[0].features, vectors())
    return folder


def a_model(folder: Path, version: str = "1", seed: int = 0) -> InCharge:
    loaded = package.load_ranker(a_package(folder / version, seed), definitions().hash)
    return in_charge("shop-ranker", version, loaded)


def a_service(settings: Settings, **serving: object) -> Service:
    """The shop's service with real Kafka and a real store, at a time that stands still; no model is in charge
    yet."""
    settings = dataclasses.replace(settings, serving=dataclasses.replace(settings.serving, **serving))
    clock = itertools.count(now_ms())
    outside = dataclasses.replace(
        for_serving.outside(settings, shop(), 0),
        items=lambda: Items(1, silver()[ITEMS.name]),
        items_version=lambda: 1,
        now_ms=lambda: next(clock),
    )
    return Service(shop(), settings, outside)


def a_store(settings: Settings) -> OnlineStore:
    """The store of the settings, for writing."""
    return open_store(settings, definitions(), readonly=False)


def as_of_a_row(features: np.ndarray, row: int) -> dict[str, float]:
    """One item's features by name."""
    return dict(zip(definitions().names, features[row].tolist(), strict=True))
