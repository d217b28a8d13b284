"""Every knob of the simulated shop, with its unit."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import SettingsError

SOURCES = ("mobile", "web", "app", "partner")
DROPPABLE = ("click", "cart", "purchase")
CAMPAIGNS = ("boost", "scrape", "stuffing")
THEFT = "theft"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def knob(default: Any, meaning: str) -> Any:
    """A field of ShopConfig with the line that explains it in `lakepulse simulate --help`."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Spike:
    """More visits than usual: `factor` times as many for `hours`, from `at_h` hours after the start."""

    at_h: float
    hours: float
    factor: float


@dataclass(frozen=True)
class Drop:
    """Engagement that breaks: only the share `keep` of an event type still happens, on one source or on all.

    A checkout outage is a drop of `purchase`; carts and clicks before it stay as they are.
    """

    at_h: float
    hours: float
    event_type: str = "purchase"
    keep: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Attack:
    """A campaign of bots, or one theft, that begins `at_h` hours after the start.

    `boost`: new accounts on two devices click one item in each list. `scrape`: accounts behind one address
    view item after item. `stuffing`: one device tries stolen passwords. `theft`: a stranger buys with a
    customer's account.
    """

    at_h: float
    kind: str = CAMPAIGNS[0]


@dataclass(frozen=True)
class TasteChange:
    """From `at_h` hours after the start, a `share` of the users wants other things than before."""

    at_h: float
    share: float


@dataclass(frozen=True)
class ShopConfig:
    """A simulated shop. The same configuration gives the same bytes, however many of them are taken at once.

    Raises SettingsError for a knob out of its range.
    """

    seed: int = knob(1, "of everything random; also decides who the customers are and what is on sale")
    start_ms: int = knob(1_767_571_200_000, "first moment, epoch ms; by default 2026-01-05, a Monday, UTC")
    rate: float = knob(5.0, "events per second that visitors make, mean over a week")
    users: int = knob(2_000, "customers at any time")
    items: int = knob(1_000, "items on sale at any time")
    list_length: int = knob(12, "items shown in a list")
    explore_share: float = knob(0.05, "share of lists in random order, marked as explored")
    season_strength: float = knob(1.0, "of hours and weekdays, 0 = every hour alike, 1 = as in shops")
    new_user_share: float = knob(0.03, "share of visits by somebody who was never there")
    item_turnover: float = knob(0.01, "share of the items that others replace, per day")
    price_changes: float = knob(0.05, "share of the items that get another price, per day")
    taste_strength: float = knob(1.6, "weight of taste in a click, 0 = all want the same")
    taste_drift: float = knob(
        0.03, "rate at which tastes wander, per day; they halve their memory in 0.69 / rate"
    )
    position_bias: float = knob(0.5, "exponent: the chance to look at position p (from 1) is p ** -exponent")
    late_share: float = knob(0.01, "share of events that arrive late")
    late_minutes: float = knob(
        20.0, "minutes that a late event is late, mean of an exponential, a day at most"
    )
    duplicate_share: float = knob(0.005, "share of events that arrive a second time")
    malformed_share: float = knob(0.001, "broken records on top, as a share of the events")
    huge_bytes: int = knob(1_200_000, "bytes of a broken record that is too big")
    bot_share: float = knob(0.01, "events of bots on top, as a share of the visitors' events")
    stolen_share: float = knob(0.0005, "visits of account thieves on top, as a share of the visits")
    spikes: tuple[Spike, ...] = knob((), "at_h,hours,factor: more visits than usual")
    drops: tuple[Drop, ...] = knob((), "at_h,hours,event_type,keep[,source]: engagement that breaks")
    attacks: tuple[Attack, ...] = knob((), f"at_h,{'|'.join((*CAMPAIGNS, THEFT))}: intruders at a set time")
    taste_changes: tuple[TasteChange, ...] = knob((), "at_h,share: users who want other things")

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("users", "items", "list_length", "huge_bytes", "rate"):
            self._check(name, getattr(self, name) > 0, "above 0")
        for knob_field in dataclasses.fields(self):
            value = getattr(self, knob_field.name)
            if knob_field.name.endswith("_share"):
                self._check(knob_field.name, 0 <= value <= 1, "between 0 and 1")
            elif isinstance(value, float):
                self._check(knob_field.name, 0 <= value < float("inf"), "0 or more")
        self._check("season_strength", self.season_strength <= 1, "between 0 and 1")
        self._check("seed", self.seed >= 0, "0 or more")
        self._check("spikes", all(s.factor >= 0 and s.hours > 0 for s in self.spikes), "positive")
        for drop in self.drops:
            self._check("drops", drop.event_type in DROPPABLE, f"of one of {', '.join(DROPPABLE)}")
            self._check("drops", drop.source in ("", *SOURCES), f"of one of {', '.join(SOURCES)}, or of all")
            self._check("drops", 0 <= drop.keep <= 1, "with a kept share between 0 and 1")
        kinds = (*CAMPAIGNS, THEFT)
        self._check("attacks", all(a.kind in kinds for a in self.attacks), f"of one of {', '.join(kinds)}")
        self._check("taste_changes", all(0 <= c.share <= 1 for c in self.taste_changes), "shares up to 1")

    def _check(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise SettingsError(f"the simulated shop's {name} must be {wanted}, not {getattr(self, name)!r}")

    @property
    def namespace(self) -> str:
        """Eight hex digits that differ between configurations: two shops' event ids do not collide."""
        return hashlib.blake2b(repr(self).encode(), digest_size=4).hexdigest()
