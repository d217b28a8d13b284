"""The customers: what they like, how their taste wanders, where they come from."""

from __future__ import annotations

import numpy as np

from pipelines.simulate.config import ShopConfig
from pipelines.simulate.rows import Numbers
from pipelines.simulate.words import STYLES

TASTES = len(STYLES)
CARRIERS = 200  # addresses that phones share
DEVICES_PER_USER = 4  # numbers reserved for a user's own devices

_USUAL_SOURCE = np.cumsum([0.42, 0.33, 0.22, 0.03])  # mobile, web, app, partner


class People:
    """A fixed number of customers; somebody new takes the place of one who left.

    Arrays have one entry per place. `taste` is a point in the latent space in which items lie too, standard
    normal in each dimension; it never leaves the simulation.
    """

    def __init__(self, rng: np.random.Generator, config: ShopConfig) -> None:
        """The customers of the first day."""
        size = config.users
        self.registered = 0
        self.number = np.zeros(size, np.int64)
        self.taste = np.zeros((size, TASTES), np.float32)
        self.price_level = np.zeros(size, np.float32)
        self.generosity = np.zeros(size, np.float32)
        self.activity = np.zeros(size)
        self.source = np.zeros(size, np.int8)
        self.settle(rng, np.arange(size))

    def settle(self, rng: np.random.Generator, places: Numbers) -> None:
        """New customers take these places."""
        count = len(places)
        self.number[places] = self.register(count)
        self.taste[places] = rng.standard_normal((count, TASTES))
        self.price_level[places] = rng.normal(0, 0.4, count)
        self.generosity[places] = rng.normal(0, 0.5, count)
        self.activity[places] = rng.lognormal(0, 1, count)
        self.source[places] = np.searchsorted(_USUAL_SOURCE[:-1], rng.random(count))

    def register(self, count: int) -> Numbers:
        """Numbers of `count` new accounts."""
        self.registered += count
        return np.arange(self.registered - count, self.registered)

    def drift(self, rng: np.random.Generator, rate: float, days: float) -> None:
        """Tastes wander for some days: an Ornstein-Uhlenbeck process around nothing in particular."""
        memory = float(np.exp(-rate * days))
        fresh = rng.standard_normal(self.taste.shape, dtype=np.float32)
        self.taste = (memory * self.taste + np.sqrt(1 - memory**2) * fresh).astype(np.float32)

    def change(self, rng: np.random.Generator, share: float) -> None:
        """A share of the customers wants something else from now on."""
        changed = np.flatnonzero(rng.random(len(self.taste)) < share)
        self.taste[changed] = rng.standard_normal((len(changed), TASTES))

    def visitors(self, rng: np.random.Generator, count: int, new_share: float) -> Numbers:
        """Places of those who visit, the active ones more often; a share of the visits is by somebody new."""
        upto = np.cumsum(self.activity)
        places: Numbers = np.searchsorted(upto, rng.random(count) * upto[-1], side="right")
        new = np.flatnonzero(rng.random(count) < new_share)[: len(upto)]
        places[new] = rng.permutation(len(upto))[: len(new)]
        self.settle(rng, places[new])
        return places

    def equipment(self, rng: np.random.Generator, places: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """(source, device, address) of one visit each: mostly the usual ones, at times another device."""
        count = len(places)
        number = self.number[places]
        chance = rng.random(count)
        source = self.source[places].copy()
        second = (chance < 0.15) & (number % 3 == 0)
        source[second] = (source[second] + 1) % 3
        device = number * DEVICES_PER_USER + second
        new = chance > 0.997
        device[new] = rng.integers(2**40, 2**41, int(new.sum()))
        address = number - (number % 10 == 1)  # every tenth shares a household
        roaming = (source != 1) & (rng.random(count) < 0.2)
        address[roaming] = -rng.integers(1, CARRIERS, int(roaming.sum()))
        return source, device, address
