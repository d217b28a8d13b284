"""Visits, many side by side: page after page, each a list, clicks, views and carts, then a checkout."""

from __future__ import annotations

import numpy as np

from pipelines.simulate.config import ShopConfig
from pipelines.simulate.lists import SEARCH, Shelf
from pipelines.simulate.people import People
from pipelines.simulate.rows import NOTHING, Numbers, Rows, new_rows, row_type
from pipelines.simulate.season import kept

MOST_PAGES = 12
_NO_QUERY = 0  # stands for a plain query where a list was not searched for


class Visits:
    """The visits that begin in one slice of time. `rows()` plays them to their end.

    Arrays have one entry per visit; `now` is the visitor's clock in epoch ms. Sessions and decisions are
    numbered from the given numbers on; `decisions` is the next free one afterwards.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        config: ShopConfig,
        shelf: Shelf,
        people: People,
        starts: Numbers,
        first_session: int,
        first_decision: int,
    ) -> None:
        """Choose who comes and what they are after."""
        self.rng, self.config, self.shelf, self.people = rng, config, shelf, people
        self.type = row_type(config.list_length)
        self.now = starts.astype(float)
        self.place = people.visitors(rng, len(starts), config.new_user_share)
        self.user = people.number[self.place]
        self.source, self.device, self.ip = people.equipment(rng, self.place)
        self.session = first_session + np.arange(len(starts))
        self.decisions = first_decision
        self.noun = self._intent(np.arange(len(starts)))
        self._rows: list[Rows] = []
        self._carts: list[Rows] = []

    def rows(self) -> Rows:
        """All events of these visits, in no particular order, not yet numbered."""
        visits = np.arange(len(self.now))
        self._arrive(visits)
        for _ in range(MOST_PAGES):
            visits = self._page(visits)
            if not len(visits):
                break
        self._check_out()
        return np.concatenate([new_rows("view", 0, self.type, time=0), *self._rows])

    def _emit(self, kind: str, visits: Numbers, time: Numbers, **columns: Numbers | int) -> Rows:
        rows = new_rows(
            kind,
            len(visits),
            self.type,
            time=time.astype(np.int64),
            user=self.user[visits],
            session=self.session[visits],
            source=self.source[visits],
            device=self.device[visits],
            ip=self.ip[visits],
            **columns,
        )
        self._rows.append(rows)
        return rows

    def _intent(self, visits: Numbers) -> Numbers:
        """The kind of thing that each visitor is after, by taste and by how much it is wanted in general."""
        catalog = self.shelf.catalog
        liking = (
            self.people.taste[self.place[visits]] @ catalog.noun_taste.T * (1.5 * self.config.taste_strength)
        )
        liking = liking + catalog.noun_appeal + self.rng.gumbel(0, 1, liking.shape)
        intent: Numbers = np.argmax(liking, axis=1)
        return intent

    def _arrive(self, visits: Numbers) -> None:
        """Some log in, some of them after a wrong password; some land on an item's page from elsewhere."""
        chance = self.rng.random(len(visits))
        clumsy = visits[chance < 0.03]
        self._emit("login_failed", clumsy, self.now[clumsy])
        self.now[clumsy] += 4_000
        known = visits[chance < 0.3]
        self._emit("login", known, self.now[known])
        self.now[known] += 1_000
        landing = visits[chance > 0.85]
        catalog = self.shelf.catalog
        first, last = catalog.first_of_noun[self.noun[landing]], catalog.first_of_noun[self.noun[landing] + 1]
        places = self.shelf.draw(self.rng, first, last, 1)[:, 0]
        self._emit("view", landing, self.now[landing], item=catalog.number[places])
        self.now[landing] += 1_000 + self.rng.exponential(8_000, len(landing))

    def _page(self, visits: Numbers) -> Numbers:
        """One page of each visit; the visits that go on."""
        rng, count = self.rng, len(visits)
        page = np.searchsorted([0.35, 0.55], rng.random(count))  # HOME, LISTING, SEARCH
        searching = page == SEARCH
        query = np.where(
            searching,
            self.shelf.queries(rng, self.noun[visits], self.people.taste[self.place[visits]]),
            _NO_QUERY,
        )
        asked = np.where(searching, query, NOTHING)
        self._emit("search", visits[searching], self.now[visits[searching]], query=asked[searching])
        shown, explored = self.shelf.lists(
            rng, page, self.noun[visits], query, self.config.list_length, self.config.explore_share
        )
        decision = self.decisions + np.arange(count)
        self.decisions += count
        answered = self.now[visits] + 40 + rng.exponential(80, count)
        numbers = np.where(shown >= 0, self.shelf.catalog.number[shown], NOTHING)
        self._emit(
            "decision", visits, answered, decision=decision, query=asked, shown=numbers, explored=explored
        )
        self.now[visits] = answered
        wants = self._wants(visits, shown)
        clicks = self._click(visits, shown, decision, wants)
        self.now[visits] += 2_000 + rng.exponential(9_000, count)
        stays = rng.random(count) < np.where(clicks > 0, 0.76, 0.62)
        visits = visits[stays]
        changes_mind = visits[rng.random(len(visits)) < 0.3]
        self.noun[changes_mind] = self._intent(changes_mind)
        return visits

    def _wants(self, visits: Numbers, shown: Numbers) -> Numbers:
        """How much each visitor wants each shown item, in log-odds of a click on it once seen."""
        catalog, people, place = self.shelf.catalog, self.people, self.place[visits]
        liking = np.einsum("vt,vit->vi", people.taste[place], catalog.taste[shown])
        dear = self.shelf.dearness[shown] - people.price_level[place][:, None]
        wanted: Numbers = (
            self.config.taste_strength * liking
            + self.shelf.appeal[shown]
            + people.generosity[place][:, None]
            + 0.9 * (catalog.noun[shown] == self.noun[visits][:, None])
            - 0.8 * dear**2
            - 4.4
        )
        return wanted

    def _click(self, visits: Numbers, shown: Numbers, decision: Numbers, wants: Numbers) -> Numbers:
        """Clicks on what is seen and wanted, with views and carts; the number of clicks per visit."""
        rng, now, source = self.rng, self.now[visits], self.source[visits]
        look = np.arange(1, shown.shape[1] + 1) ** -self.config.position_bias
        chance = look / (1 + np.exp(-wants)) * np.reshape(kept("click", now, source, self.config), (-1, 1))
        clicked = (rng.random(shown.shape) < chance) & (shown >= 0)
        reading = np.where(clicked, 900 + rng.exponential(7_000, shown.shape), 0)
        times = now[:, None] + 1_200 + np.cumsum(reading, axis=1)
        which, position = np.nonzero(clicked)
        who, at, place = visits[which], times[which, position], shown[which, position]
        about = {"item": self.shelf.catalog.number[place], "decision": decision[which]}
        self._emit("click", who, at, **about)
        opened = rng.random(len(who)) < 0.9
        self._emit(
            "view", who[opened], at[opened] + 250, **{name: values[opened] for name, values in about.items()}
        )
        tempted = 1 / (1 + np.exp(1.5 - 0.4 * wants[which, position]))
        tempted = tempted * kept("cart", at, self.source[who], self.config)
        taken = rng.random(len(who)) < tempted
        cart = self._emit(
            "cart",
            who[taken],
            at[taken] + 1_500 + rng.exponential(2_000, int(taken.sum())),
            price=self.shelf.catalog.price[place[taken]],
            quantity=rng.geometric(0.85, int(taken.sum())),
            **{name: values[taken] for name, values in about.items()},
        )
        self._carts.append(cart)
        self.now[visits] = np.maximum(now, times[:, -1])
        clicks: Numbers = clicked.sum(axis=1)
        return clicks

    def _check_out(self) -> None:
        """At the end some visitors buy what is in their cart, all of it at once."""
        leaving = self.now + 15_000 + self.rng.exponential(20_000, len(self.now))
        share = 0.45 * kept("purchase", leaving, self.source, self.config)
        buys = self.rng.random(len(self.now)) < share
        carts = np.concatenate(self._carts)
        visits = carts["session"] - self.session[0] if len(self.session) else carts["session"]
        bought = buys[visits]
        columns = {name: carts[name][bought] for name in ("item", "decision", "price", "quantity")}
        self._emit("purchase", visits[bought], leaving[visits[bought]], **columns)
