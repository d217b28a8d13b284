"""The items on sale: text, tags, brand, price and image follow from its place in the space of tastes."""

from __future__ import annotations

import numpy as np

from pipelines.simulate import words
from pipelines.simulate.config import DAY_MS, ShopConfig
from pipelines.simulate.item_text import ItemText, describe, item_record
from pipelines.simulate.people import TASTES
from pipelines.simulate.rows import Numbers

IMAGE_LENGTH = 16
BRANDS_PER_CATEGORY = 6
NOVELTY_DAYS = 5.0  # in which the appeal of something new falls by half
NOUNS = [
    (category, noun, price) for category, kinds in words.CATEGORIES.items() for noun, price in kinds.items()
]
QUERIES_PER_NOUN = 1 + 2 * TASTES + BRANDS_PER_CATEGORY


class Catalog:
    """A fixed number of places for items, by kind of thing; a new item takes the place of one of its kind.

    Arrays have one entry per place. `quality` and `taste` leave the simulation only as what they cause.
    """

    def __init__(self, rng: np.random.Generator, config: ShopConfig) -> None:
        """The items of the first day."""
        size = config.items
        self.nouns = min(len(NOUNS), size)
        per_category = len(next(iter(words.CATEGORIES.values())))
        self.category_of_noun = np.arange(self.nouns) // per_category
        centre = rng.normal(0, 1, (len(words.CATEGORIES), TASTES))
        own = rng.normal(0, 1, (self.nouns, TASTES))
        self.noun_taste = ((0.6 * centre[self.category_of_noun] + 0.6 * own) / np.sqrt(TASTES)).astype(
            np.float32
        )
        self.noun_appeal = rng.normal(0, 0.5, self.nouns)
        self.brand_taste = rng.normal(0, 0.3 / np.sqrt(TASTES), (len(words.BRANDS), TASTES))
        self.brands = np.array(
            [rng.permutation(len(words.BRANDS))[:BRANDS_PER_CATEGORY] for _ in words.CATEGORIES]
        )
        self.projection = rng.normal(0, 1, (TASTES, IMAGE_LENGTH))
        self.noun = np.sort(np.arange(size) % self.nouns)
        self.first_of_noun = np.searchsorted(self.noun, np.arange(self.nouns + 1))
        category = self.category_of_noun[self.noun]
        self.first_of_category = np.searchsorted(category, np.arange(category[-1] + 2))
        self.listed = 0
        self.number = np.zeros(size, np.int64)
        self.taste = np.zeros((size, TASTES), np.float32)
        self.quality = np.zeros(size, np.float32)
        self.style = np.zeros(size, np.int64)
        self.brand = np.zeros(size, np.int64)
        self.price = np.zeros(size, np.int64)
        self.launched = np.zeros(size, np.int64)
        self.renown = np.zeros(size)
        self.texts = [ItemText("", "", [])] * size
        self.images = np.zeros((size, IMAGE_LENGTH))
        self.launch(rng, np.arange(size), config.start_ms)
        self.launched -= (rng.random(size) * 60 * DAY_MS).astype(np.int64)

    def launch(self, rng: np.random.Generator, places: Numbers, now_ms: int) -> None:
        """New items take these places."""
        count = len(places)
        noun = self.noun[places]
        brand = self.brands[self.category_of_noun[noun], rng.integers(0, BRANDS_PER_CATEGORY, count)]
        own = rng.normal(0, 0.8 / np.sqrt(TASTES), (count, TASTES))
        taste = self.noun_taste[noun] + self.brand_taste[brand] + own
        strongest = np.argmax(np.abs(own), axis=1)
        usual = np.array([price for _, _, price in NOUNS])[noun]
        price = usual * np.exp(rng.normal(0, 0.35, count) + 0.02 * (brand - len(words.BRANDS) / 2))
        self.number[places] = np.arange(self.listed, self.listed + count)
        self.listed += count
        self.taste[places] = taste
        self.quality[places] = rng.normal(0, 0.6, count)
        self.style[places] = 2 * strongest + (own[np.arange(count), strongest] < 0)
        self.brand[places] = brand
        self.price[places] = np.maximum(100, price // 100 * 100 - 1)
        self.launched[places] = now_ms
        # What the shop knows of an item's success is its quality seen through noise.
        self.renown[places] = 0.6 * self.quality[places] + rng.normal(0, 0.8, count)
        seen = taste @ self.projection + rng.normal(0, 0.3, (count, IMAGE_LENGTH))
        self.images[places] = np.round(seen, 4)
        for place in places.tolist():
            self.texts[place] = self._describe(rng, place)

    def turn(self, rng: np.random.Generator, now_ms: int, days: float, config: ShopConfig) -> list[bytes]:
        """Replace and reprice as many items as happens in some days; their new records."""
        chance = rng.random(len(self.number))
        replaced = np.flatnonzero(chance < 1 - np.exp(-config.item_turnover * days))
        repriced = np.flatnonzero(chance > np.exp(-config.price_changes * days))
        self.launch(rng, replaced, now_ms)
        changed = self.price[repriced] * np.exp(rng.normal(0, 0.12, len(repriced)))
        self.price[repriced] = np.maximum(100, changed // 100 * 100 - 1)
        return self.records(np.concatenate([replaced, repriced]), now_ms)

    def records(self, places: Numbers, now_ms: int) -> list[bytes]:
        """The JSON records of these items, valid from now."""
        return [self._record(place, now_ms) for place in places.tolist()]

    def popularity(self, now_ms: int) -> Numbers:
        """How likely each place is shown, before it is known to whom; the new ones are put forward."""
        weight: Numbers = np.exp(self.renown + self.novelty(now_ms))
        return weight

    def novelty(self, now_ms: int) -> Numbers:
        """Extra appeal of what is new, 0.8 on its first day."""
        age_days = np.maximum(0, now_ms - self.launched) / DAY_MS
        appeal: Numbers = 0.8 * 2.0 ** (-age_days / NOVELTY_DAYS)
        return appeal

    def dearness(self) -> Numbers:
        """Log of each place's price against what such things usually cost."""
        usual = np.array([price for _, _, price in NOUNS])[self.noun]
        dear: Numbers = np.log(self.price / usual).astype(np.float32)
        return dear

    def query_texts(self) -> list[str]:
        """What people type, at `noun * QUERIES_PER_NOUN + modifier`: it alone, with a style, with a brand."""
        styles = [style for pair in words.STYLES for style in pair]
        texts = []
        for noun in range(self.nouns):
            brands = [words.BRANDS[b].lower() for b in self.brands[self.category_of_noun[noun]]]
            texts += [
                " ".join([*modifier, NOUNS[noun][1]]) for modifier in [[], *([m] for m in styles + brands)]
            ]
        return texts

    def matches(self, places: Numbers, queries: Numbers) -> Numbers:
        """Whether each item of each list has the style or the brand that the list's query names."""
        modifier = queries % QUERIES_PER_NOUN - 1
        category = self.category_of_noun[queries // QUERIES_PER_NOUN]
        brand = self.brands[category, np.clip(modifier - 2 * TASTES, 0, None)]
        by_style = (modifier >= 0) & (modifier < 2 * TASTES)
        wanted = np.where(by_style, modifier, brand)
        has = np.where(by_style[:, None], self.style[places], self.brand[places])
        fits: Numbers = (has == wanted[:, None]) & (modifier >= 0)[:, None]
        return fits

    def _describe(self, rng: np.random.Generator, place: int) -> ItemText:
        noun = self.noun[place]
        main = words.STYLES[self.style[place] // 2][self.style[place] % 2]
        own = self.taste[place] - self.noun_taste[noun]
        other = int(np.argsort(np.abs(own))[-2])
        styles = (main, words.STYLES[other][int(own[other] < 0)])
        return describe(rng, NOUNS[noun][0], NOUNS[noun][1], words.BRANDS[self.brand[place]], styles)

    def _record(self, place: int, now_ms: int) -> bytes:
        return item_record(
            number=int(self.number[place]),
            valid_from=now_ms,
            text=self.texts[place],
            category=NOUNS[self.noun[place]][0],
            brand=words.BRANDS[self.brand[place]],
            price=int(self.price[place]),
            image=self.images[place],
        )
