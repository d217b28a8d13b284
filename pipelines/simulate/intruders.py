"""Who should not be there: campaigns of bots, and thieves in others' accounts. Their rows carry a label."""

from __future__ import annotations

import numpy as np

from pipelines.simulate.config import CAMPAIGNS, SOURCES, THEFT, ShopConfig
from pipelines.simulate.lists import HOME, Shelf
from pipelines.simulate.people import People
from pipelines.simulate.rows import NOTHING, Numbers, Rows, new_rows, row_type

CAMPAIGN_EVENTS = 240  # of a campaign, on average
WEB = SOURCES.index("web")


class Intruders:
    """Makes campaigns and thefts, numbered from 1; `session` and `decision` are the next free numbers."""

    def __init__(self, config: ShopConfig, people: People) -> None:
        """Nobody there yet."""
        self.config, self.people = config, people
        self.type = row_type(config.list_length)
        self.campaigns = self.thefts = 0
        self.session = self.decision = 0

    def rows(
        self,
        rng: np.random.Generator,
        shelf: Shelf,
        attacks: list[tuple[int, str]],
        session: int,
        decision: int,
    ) -> Rows:
        """All events of the attacks (epoch ms, kind; no kind: a campaign by chance), in no order."""
        self.session, self.decision = session, decision
        made = [new_rows("view", 0, self.type, time=0)]
        for start, kind in attacks:
            if kind == THEFT:
                self.thefts += 1
            else:
                self.campaigns += 1
                kind = kind or CAMPAIGNS[int(rng.integers(len(CAMPAIGNS)))]
            made += getattr(self, f"_{kind}")(rng, shelf, start)
        return np.concatenate(made)

    def _boost(self, rng: np.random.Generator, shelf: Shelf, start: int) -> list[Rows]:
        """New accounts on two devices that ask for lists and click the same item in each, like clockwork."""
        accounts = self.people.register(int(rng.integers(4, 9)))
        target = int(rng.integers(len(shelf.catalog.number)))
        noun = int(shelf.catalog.noun[target])
        steps = CAMPAIGN_EVENTS // 3 // len(accounts)
        made = []
        for user in accounts.tolist():
            times = self._clockwork(rng, start, steps, 4_000)
            lists, _ = shelf.lists(
                rng,
                np.full(steps, HOME),
                np.full(steps, noun),
                np.zeros(steps, np.int64),
                self.config.list_length,
                0.0,
            )
            shown = shelf.catalog.number[lists]
            there = shown == shelf.catalog.number[target]
            missing = ~there.any(axis=1)
            shown[missing, rng.integers(0, shown.shape[1], int(missing.sum()))] = shelf.catalog.number[target]
            shown[lists == NOTHING] = NOTHING
            decision = self._decisions(steps)
            who = self._who(user, user % 2, self.campaigns)
            made.append(
                new_rows("decision", steps, self.type, time=times, decision=decision, shown=shown, **who)
            )
            about: dict[str, Numbers | int] = {
                "item": int(shelf.catalog.number[target]),
                "decision": decision,
            }
            made.append(new_rows("click", steps, self.type, time=times + 600, **about, **who))
            made.append(new_rows("view", steps, self.type, time=times + 700, **about, **who))
        return made

    def _scrape(self, rng: np.random.Generator, shelf: Shelf, start: int) -> list[Rows]:
        """Accounts behind one address that view item after item, in the order of their numbers."""
        accounts = self.people.register(int(rng.integers(1, 4)))
        steps = CAMPAIGN_EVENTS // len(accounts)
        made = []
        for index, user in enumerate(accounts.tolist()):
            items = (np.arange(steps) + index * steps) % shelf.catalog.listed
            times = self._clockwork(rng, start, steps, 1_200)
            made.append(
                new_rows(
                    "view", steps, self.type, time=times, item=items, **self._who(user, 0, self.campaigns)
                )
            )
        return made

    def _stuffing(self, rng: np.random.Generator, shelf: Shelf, start: int) -> list[Rows]:
        """One device that tries stolen passwords on many customers' accounts; one in fifty opens."""
        users = self.people.number[rng.integers(0, len(self.people.number), CAMPAIGN_EVENTS)]
        times = self._clockwork(rng, start, CAMPAIGN_EVENTS, 900)
        opens = rng.random(CAMPAIGN_EVENTS) < 0.02
        who = self._who(NOTHING, 0, self.campaigns)
        made = []
        for kind, which in (("login_failed", ~opens), ("login", opens)):
            tried = who | {"user": users[which]}
            made.append(new_rows(kind, int(which.sum()), self.type, time=times[which], **tried))
        return made

    def _theft(self, rng: np.random.Generator, shelf: Shelf, start: int) -> list[Rows]:
        """A customer's account on a strange device: some wrong passwords, then the dearest things."""
        victim = self.people.visitors(rng, 1, 0.0)
        tries, buys = int(rng.integers(1, 6)), int(rng.integers(2, 6))
        dearest = np.argsort(-shelf.catalog.price)[: max(buys, len(shelf.catalog.price) // 20)]
        places = rng.choice(dearest, size=buys, replace=True)
        who = self._who(int(self.people.number[victim[0]]), int(rng.integers(2**20)), -self.thefts)
        failed = start + np.cumsum(rng.integers(3_000, 9_000, tries))
        entered = int(failed[-1]) + 5_000
        looks = entered + np.cumsum(rng.integers(5_000, 20_000, buys))
        about = {"item": shelf.catalog.number[places]}
        money = {"price": shelf.catalog.price[places], "quantity": rng.integers(1, 4, buys)}
        paid = int(looks[-1]) + 20_000
        return [
            new_rows("login_failed", tries, self.type, time=failed, **who),
            new_rows("login", 1, self.type, time=entered, **who),
            new_rows("view", buys, self.type, time=looks, **about, **who),
            new_rows("cart", buys, self.type, time=looks + 2_000, **about, **money, **who),
            new_rows("purchase", buys, self.type, time=np.full(buys, paid), **about, **money, **who),
        ]

    def _who(self, user: int, device: int, label: int) -> dict[str, Numbers | int]:
        """A session of its own, from an address and a device that belong to the campaign or the theft."""
        self.session += 1
        base = 2**42 + 2**21 * (2 * abs(label) + (label < 0))
        return {
            "user": user,
            "session": self.session - 1,
            "device": base + device,
            "ip": base,
            "source": WEB,
            "label": label,
        }

    def _decisions(self, count: int) -> Numbers:
        self.decision += count
        return np.arange(self.decision - count, self.decision)

    @staticmethod
    def _clockwork(rng: np.random.Generator, start: int, steps: int, pause_ms: int) -> Numbers:
        """Times at an almost even pace, which no person keeps."""
        return start + int(rng.integers(0, 60_000)) + np.cumsum(rng.integers(pause_ms, pause_ms + 200, steps))
