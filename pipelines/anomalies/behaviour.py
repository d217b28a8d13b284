"""Behaviour vectors: how an entity behaved in a window, as numbers that outlier models compare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.anomalies.acts import ENTITIES, Ints, Recent, hashed, named
from pipelines.anomalies.grouped import Groups, History, Numbers, medians, share
from pipelines.contracts.gold import BEHAVIOUR_VECTORS
from pipelines.contracts.types import arrow_schema
from pipelines.errors import SettingsError
from pipelines.gold.acts import DECISION, PURCHASE

NAMES = (
    "events",  # interactions of the entity in the window
    "decisions",  # lists shown to it
    "shown",  # items in those lists
    "searches",
    "views",
    "clicks",
    "carts",
    "purchases",
    "refunds",  # events of a type of REFUNDS
    "failures",  # events whose type ends with _failed: logins, payments, …
    "failure_share",  # of the events
    "clicks_per_decision",
    "clicks_per_shown",
    "carts_per_click",
    "purchases_per_cart",
    "kinds",  # distinct event types, a decision being one
    "kind_entropy",  # bits: 0 when all acts are of one kind
    "gap_mean_s",  # seconds from one act of the entity to the next; the window's length with fewer than two
    "gap_shortest_s",  # the same of the shortest gap
    "gap_variation",  # standard deviation of the gaps over their mean: 0 for a metronome, about 1 for chance
    "gap_entropy",  # bits, of the gaps' orders of magnitude (powers of two of a millisecond)
    "distinct_items",
    "repeated_item_share",  # of the interactions with an item, those with one touched before in the window
    "distinct_categories",
    "distinct_users",
    "distinct_sessions",
    "distinct_devices",
    "distinct_addresses",
    "distinct_sources",
    "distinct_queries",
    "spent_minor",  # minor units of purchases, all currencies together
    "dearest_minor",  # minor units of the dearest purchase
    "carted_minor",  # minor units put into carts
    "look_alikes",  # other entities of the kind that did the same in the window, where that is not trivial
    "acts_over_peers",  # log2 of its acts over the median of entities that came the same way in the window
    "peer_distance",  # robust standard deviations from those peers, mean over four figures
    "history_acts",  # acts in the time before the window that counts as its history
    "acts_over_history",  # log2 of its acts over what its history promises for a window
    "new_kinds",  # event types that its history lacks; this and what follows is 0 without a history
    "new_users",
    "new_devices",
    "new_addresses",
    "new_item_share",  # of the distinct items
    "hour_surprise",  # bits: how seldom its history has acts at this hour, compared with evenly spread ones
)
"""What each place of a vector holds. Every value is finite: what cannot be said (a share of nothing) is 0."""

COUNTED = {
    "decisions": DECISION,
    "searches": "search",
    "views": "view",
    "clicks": "click",
    "carts": "cart",
    "purchases": PURCHASE,
}
REFUNDS = ("refund", "return", "chargeback")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
EITHER_SIDE_MS = 3 * HOUR_MS // 2
"""What counts as the same hour of another day: so long before and after it."""
EVEN_ACTS = 4.0
"""Evenly spread acts that are added to a history before its hours are read."""
FEWEST_ALIKE = 5
"""Acts below which behaving the same says nothing."""
FEWEST_PEERS = 8
PEER_FIGURES = ("events", "distinct_items", "spent_minor", "gap_mean_s")
_HASH = dict(zip((*COUNTED.values(), *REFUNDS), hashed((*COUNTED.values(), *REFUNDS)).tolist(), strict=True))
_ODD = np.arange(3, 31, 2) * np.int64(0x9E3779B97F4A7C1)  # wraps around


@dataclass(frozen=True, order=True)
class Kind:
    """What vectors are made of: a kind of entity, and the length of its windows in minutes."""

    entity: str
    minutes: int

    @classmethod
    def of(cls, text: str) -> Kind:
        """`<entity>/<minutes>`. Raises SettingsError that names the known entities."""
        entity, _, minutes = text.partition("/")
        if entity not in ENTITIES or not minutes.isdigit() or int(minutes) < 1:
            raise SettingsError(
                f"outliers.watched has {text!r}: write <entity>/<minutes>, entities: {', '.join(ENTITIES)}"
            )
        return cls(entity, int(minutes))

    @property
    def length(self) -> int:
        """Milliseconds of a window."""
        return self.minutes * 60_000

    def __str__(self) -> str:
        """As in the settings."""
        return f"{self.entity}/{self.minutes}"


def vectors(recent: Recent, kind: Kind, windows: Ints, history_ms: int, revision: int) -> pa.Table:
    """Rows of gold.behaviour_vectors: one for each entity of the kind with an act in one of those windows
    (their numbers since the epoch), by window and entity.

    `recent` must reach `history_ms` and 90 minutes further back than the windows. Windows start at multiples
    of their length since the epoch. The same acts, in whatever order they came, give the same bits.
    """
    empty = arrow_schema(BEHAVIOUR_VECTORS.schema).empty_table()
    if not len(windows):
        return empty
    first, last = int(windows.min()) * kind.length, (int(windows.max()) + 1) * kind.length
    around = recent.between(first - reach(history_ms), last)
    own = np.isin(around["at"] // kind.length, windows) & (around[kind.entity] != 0)
    if not own.any():
        return empty
    groups = Groups(around[own], kind.entity, kind.length)
    history = History(groups, around, kind.entity, history_ms)
    figures, links = _figures(groups, history, recent)
    matrix = np.column_stack([figures[name] for name in NAMES])
    starts = pa.array(groups.start * 1000, pa.timestamp("us", tz="UTC"))
    money = np.maximum(figures["spent_minor"], figures["carted_minor"])
    columns = {
        "entity": pa.array([kind.entity] * len(groups)),
        "entity_id": pa.array([recent.names[number] for number in groups.entity.tolist()]),
        "window_minutes": np.full(len(groups), kind.minutes, np.int32),
        "window_start": starts,
        "day": starts.cast(pa.date32()),
        "vector": pa.FixedSizeListArray.from_arrays(matrix.ravel(), len(NAMES)).cast(pa.list_(pa.float64())),
        "links": named(links, recent.names),
        "exposure": np.where(money > 0, money, groups.size),
        "revision": np.full(len(groups), revision),
    }
    return pa.table(columns, schema=arrow_schema(BEHAVIOUR_VECTORS.schema))


def reach(history_ms: int) -> int:
    """How far before a window acts are read: its history, and the hour before that day's same time."""
    return max(history_ms, history_ms // DAY_MS * DAY_MS + EITHER_SIDE_MS)


def _figures(groups: Groups, history: History, recent: Recent) -> tuple[dict[str, Numbers], dict[str, Ints]]:
    """(figures by name, links by kind: the hash that each group shares with others, 0 for none)."""
    figures = _counts(groups) | _gaps(groups) | _money(groups)
    found, links = _variety(groups, history)
    figures |= found
    with_item = groups.count(groups.acts["item"] != 0)
    figures["repeated_item_share"] = share(with_item - figures["distinct_items"], with_item)
    figures["distinct_categories"] = groups.distinct(recent.categories(groups.acts))
    figures["look_alikes"], links["pattern"] = _look_alikes(groups, figures)
    return figures | _beside_peers(groups, figures) | _beside_history(groups, history), links


def _counts(groups: Groups) -> dict[str, Numbers]:
    kind, failed = groups.acts["kind"], groups.acts["failed"]
    counts = {name: groups.count(kind == _HASH[value]) for name, value in COUNTED.items()}
    events, failures = groups.size - counts["decisions"], groups.count(failed)
    shown = groups.add(groups.acts["shown"], kind == _HASH[DECISION])
    return counts | {
        "events": events,
        "shown": shown,
        "refunds": groups.count(np.isin(kind, [_HASH[name] for name in REFUNDS])),
        "failures": failures,
        "failure_share": share(failures, events),
        "clicks_per_decision": share(counts["clicks"], counts["decisions"]),
        "clicks_per_shown": share(counts["clicks"], shown),
        "carts_per_click": share(counts["carts"], counts["clicks"]),
        "purchases_per_cart": share(counts["purchases"], counts["carts"]),
        "kinds": groups.distinct(kind),
        "kind_entropy": groups.entropy(kind, np.ones(len(kind), bool)),
    }


def _gaps(groups: Groups) -> dict[str, Numbers]:
    gap, inside, gaps, silence = groups.gap, groups.inside, groups.size - 1.0, groups.length / 1000
    mean = share(groups.add(gap, inside), gaps)
    variance = share(groups.add(gap * gap, inside), gaps) - mean * mean
    shortest = groups.least(np.where(inside, gap, np.iinfo(np.int64).max))
    return {
        "gap_mean_s": np.where(gaps == 0, silence, mean / 1000),
        "gap_shortest_s": np.where(gaps == 0, silence, shortest / 1000),
        "gap_variation": share(np.sqrt(np.maximum(variance, 0)), mean),
        "gap_entropy": groups.entropy(np.log2(gap + 1).astype(np.int64), inside),
    }


def _money(groups: Groups) -> dict[str, Numbers]:
    kind, money = groups.acts["kind"], groups.acts["money"]
    bought = kind == _HASH[PURCHASE]
    return {
        "spent_minor": groups.add(money, bought),
        "dearest_minor": groups.most(np.where(bought, money, 0)),
        "carted_minor": groups.add(money, kind == _HASH["cart"]),
    }


def _variety(groups: Groups, history: History) -> tuple[dict[str, Numbers], dict[str, Ints]]:
    """Distinct and new values; and the device and the address of each group: its first new one, else its
    first."""
    has_history = history.before() > 0
    figures, links = {}, {}
    plural = {"user": "users", "device": "devices", "address": "addresses"}
    for name, names in plural.items():
        distinct, new, marks = history.distinct_and_new(name)
        figures[f"distinct_{names}"], figures[f"new_{names}"] = distinct, np.where(has_history, new, 0.0)
        if name != "user":
            strange, any_one = groups.first_marked(marks), groups.first_marked(groups.acts[name] != 0)
            row = np.where(has_history & (strange >= 0), strange, any_one)
            links[name] = np.where(row >= 0, groups.acts[name][row], 0)
    items, new_items, _ = history.distinct_and_new("item")
    figures |= {
        "distinct_items": items,
        "new_item_share": np.where(has_history, share(new_items, items), 0.0),
    }
    figures["new_kinds"] = np.where(has_history, history.distinct_and_new("kind")[1], 0.0)
    figures |= {
        f"distinct_{names}": groups.distinct(groups.acts[name])
        for name, names in {"session": "sessions", "source": "sources", "query": "queries"}.items()
    }
    return figures, links


def _look_alikes(groups: Groups, figures: dict[str, Numbers]) -> tuple[Numbers, Ints]:
    """How many others behaved the same in the window, and what the same is (0 where nobody did).

    The same are counts of the same power of two, gaps of the same power of two of a second and of the same
    regularity.
    """
    counts = (*COUNTED, "failures", "distinct_items", "distinct_queries", "gap_mean_s")
    coarse = [np.floor(np.log2(figures[name] + 1)) for name in counts]
    coarse += [np.floor(4 * figures["repeated_item_share"]), np.floor(2 * figures["gap_variation"])]
    signature = (np.column_stack(coarse).astype(np.int64) * _ODD[: len(coarse)]).sum(axis=1)
    signature ^= signature >> 29
    judged = groups.size >= FEWEST_ALIKE
    pair = signature * np.int64(31) + groups.start
    _, place, size = np.unique(pair[judged], return_inverse=True, return_counts=True)
    others = np.zeros(len(groups))
    others[judged] = size[place] - 1
    return others, np.where(others > 0, signature, 0)


def _beside_peers(groups: Groups, figures: dict[str, Numbers]) -> dict[str, Numbers]:
    """Distance from the entities that came by the same source in the same window.

    Those who came by one device count once: else who tries hundreds of accounts would decide what is usual.
    """
    source, device = groups.first_value("source"), groups.first_value("device")
    _, codes = np.unique(groups.start * np.int64(31) + source, return_inverse=True)
    counted = device == 0
    counted[np.unique(codes * _ODD[0] + device, return_index=True)[1]] = True
    acts = np.log2(groups.size + 1.0)
    middle, peers = medians(codes, acts, counted)
    enough = peers >= FEWEST_PEERS
    distance = np.zeros(len(groups))
    for name in PEER_FIGURES:
        values = np.log2(figures[name] + 1)
        centre, _ = medians(codes, values, counted)
        off = np.abs(values - centre)
        distance += off / (1.4826 * medians(codes, off, counted)[0] + 1.0)  # 1: a factor of two is never much
    return {
        "acts_over_peers": np.where(enough, acts - middle, 0.0),
        "peer_distance": np.where(enough, distance / len(PEER_FIGURES), 0.0),
    }


def _beside_history(groups: Groups, history: History) -> dict[str, Numbers]:
    before, days = history.before(), history.reach // DAY_MS
    promised = before * groups.length / max(history.reach, 1)
    figures = {
        "history_acts": before,
        "acts_over_history": np.where(before > 0, np.log2((groups.size + 1) / (promised + 1)), 0.0),
        "hour_surprise": np.zeros(len(groups)),
    }
    if not days or groups.length >= DAY_MS:
        return figures
    at_this_hour = np.zeros(len(groups))
    for day in range(1, days + 1):
        middle = groups.start - day * DAY_MS
        at_this_hour += history.count(middle - EITHER_SIDE_MS, middle + EITHER_SIDE_MS)
    all_day = history.count(groups.start - days * DAY_MS - EITHER_SIDE_MS, groups.start - EITHER_SIDE_MS)
    even = 2 * EITHER_SIDE_MS / DAY_MS
    seen = (at_this_hour + EVEN_ACTS * even) / (all_day + EVEN_ACTS)
    figures["hour_surprise"] = np.where(all_day > 0, -np.log2(seen), 0.0)
    return figures
