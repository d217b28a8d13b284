"""The lists that the shop shows: candidates by popularity and intent, ordered by what it believes sells."""

from __future__ import annotations

import numpy as np

from pipelines.simulate.catalog import QUERIES_PER_NOUN, Catalog
from pipelines.simulate.rows import NOTHING, Numbers

HOME, LISTING, SEARCH = 0, 1, 2


class Shelf:
    """What can be shown in one slice of time: the catalog and how popular its items are now."""

    def __init__(self, catalog: Catalog, now_ms: int) -> None:
        """Freeze the popularity of this moment."""
        self.catalog = catalog
        weight = catalog.popularity(now_ms)
        self.score = np.log(weight).astype(np.float32)
        self.appeal = (catalog.quality + 0.5 * catalog.novelty(now_ms)).astype(np.float32)
        self.dearness = catalog.dearness()
        self._upto = np.concatenate([[0.0], np.cumsum(weight)])

    def draw(self, rng: np.random.Generator, first: Numbers, last: Numbers, each: int) -> Numbers:
        """`each` places from every range [first, last), popular ones more often, with replacement."""
        low, high = self._upto[first][:, None], self._upto[last][:, None]
        points = low + rng.random((len(first), each)) * (high - low)
        places = np.searchsorted(self._upto, points, side="right") - 1
        drawn: Numbers = np.clip(places, first[:, None], last[:, None] - 1)
        return drawn

    def lists(
        self,
        rng: np.random.Generator,
        page: Numbers,
        noun: Numbers,
        query: Numbers,
        length: int,
        explore: float,
    ) -> tuple[Numbers, Numbers]:
        """(places [lists, length] in shown order, explored [lists]); NOTHING where fewer items were found.

        A search draws from its kind of thing, a listing from its category, the home page from everything and
        the category that the visitor is after. An explored list is in random order.
        """
        catalog = self.catalog
        category = catalog.category_of_noun[noun]
        near_first, near_last = catalog.first_of_category[category], catalog.first_of_category[category + 1]
        is_search, is_home = page == SEARCH, page == HOME
        first = np.where(is_search, catalog.first_of_noun[noun], near_first)
        last = np.where(is_search, catalog.first_of_noun[noun + 1], near_last)
        wide_first = np.where(is_home, 0, near_first)
        wide_last = np.where(is_home, len(catalog.number), near_last)
        places = np.concatenate(
            [self.draw(rng, first, last, length), self.draw(rng, wide_first, wide_last, length)], axis=1
        )
        places.sort(axis=1)
        explored = rng.random(len(page)) < explore
        score = rng.gumbel(0, 0.8, places.shape).astype(np.float32)
        score[~explored] += self.score[places[~explored]]
        score[~explored] += 1.5 * catalog.matches(places[~explored], query[~explored])
        score[~explored] += 0.8 * (catalog.noun[places[~explored]] == noun[~explored, None])
        score[:, 1:][places[:, 1:] == places[:, :-1]] = -np.inf
        best = np.argsort(-score, axis=1)[:, :length]
        shown = np.take_along_axis(places, best, axis=1)
        shown[np.isneginf(np.take_along_axis(score, best, axis=1))] = NOTHING
        return shown, explored

    def queries(self, rng: np.random.Generator, noun: Numbers, taste: Numbers) -> Numbers:
        """What somebody of this taste types for a kind of thing: it alone, with a style, with a brand."""
        chance = rng.random(len(noun))
        strength = np.abs(taste) + rng.gumbel(0, 0.5, taste.shape)
        liked = np.argmax(strength, axis=1)
        tastes = taste.shape[1]
        style = 1 + 2 * liked + (taste[np.arange(len(noun)), liked] < 0)
        brand = 1 + 2 * tastes + rng.integers(0, QUERIES_PER_NOUN - 1 - 2 * tastes, len(noun))
        modifier = np.select([chance < 0.4, chance < 0.8], [np.zeros_like(style), style], brand)
        query: Numbers = noun * QUERIES_PER_NOUN + modifier
        return query
