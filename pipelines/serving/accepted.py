"""What this process has taken and the online store has not folded yet: read on top of the stored records, so
that whoever did something sees it in the very next list."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from pipelines.features.history import History, joined
from pipelines.features.program import RECENT_IDS
from pipelines.serving.ports import Fences


@dataclass
class Taken:
    """An event or decision of a user, and where Kafka keeps it, as soon as that is known.

    Until then it counts as not folded: a user's record knows the ids of the latest events, so nothing counts
    twice. `make` makes its row, which is only needed when the user asks again soon.
    """

    make: Callable[[], History]
    topic: str
    partition: int = -1
    offset: int = -1

    @cached_property
    def history(self) -> History:
        """The row, made once."""
        return self.make()

    def is_folded(self, fences: Fences) -> bool:
        """Whether the store has folded it."""
        return 0 <= self.offset < fences.get((self.topic, self.partition), 0)


@dataclass
class _User:
    taken: deque[Taken] = field(default_factory=lambda: deque(maxlen=RECENT_IDS))
    together: History | None = None


class Accepted:
    """The newest events and decisions by user, `most` users at most.

    Of a user as many are kept as the user's record knows ids of: an event that the store has folded meanwhile
    is then known by its id, and counts once.
    """

    def __init__(self, most: int) -> None:
        """Nothing was taken yet."""
        self._most = most
        self._users: OrderedDict[str, _User] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        """Users of whom something is kept."""
        return len(self._users)

    def take(self, user_id: str, taken: Taken) -> None:
        """Keep it; the user's is read on top from now on."""
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = _User()
        self._users.move_to_end(user_id)
        if len(user.taken) == RECENT_IDS:
            self.forgotten += 1
        user.taken.append(taken)
        user.together = None
        while len(self._users) > self._most:
            _, gone = self._users.popitem(last=False)
            self.forgotten += len(gone.taken)

    def may_have(self, user_id: str) -> bool:
        """Whether anything of the user is kept."""
        return user_id in self._users

    def of(self, user_id: str) -> History | None:
        """Everything kept of the user, in the order in which it was taken."""
        user = self._users.get(user_id)
        if user is None:
            return None
        if user.together is None:
            user.together = joined([one.history for one in user.taken])
        return user.together

    def pass_fences(self, user_id: str, fences: Fences) -> None:
        """Let go of what the store has folded."""
        user = self._users.get(user_id)
        if user is None:
            return
        left = [one for one in user.taken if not one.is_folded(fences)]
        if not left:
            del self._users[user_id]
        elif len(left) < len(user.taken):
            self._users[user_id] = _User(deque(left, maxlen=RECENT_IDS))
