"""Events on their way in: judged by silver's own rules, and as history to be read on top of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pipelines.contracts.answers import Rejected
from pipelines.contracts.records import KEY, TOPIC
from pipelines.domain import Domain
from pipelines.errors import RequestError
from pipelines.features.history import History, of_one
from pipelines.features.program import DECISION_CODE
from pipelines.sections import Silver
from pipelines.silver.judge import Judge, Judged

MOST_EVENTS = 1000
NO_CODE = -1


@dataclass(frozen=True)
class Event:
    """A good event: its message, where it goes, and what it is."""

    index: int
    value: bytes
    topic: str
    key: str
    judged: Judged


class Intake:
    """Takes the source records of a domain apart: those for Kafka, and those that silver would quarantine."""

    def __init__(self, domain: Domain, silver: Silver, codes: dict[str, int]) -> None:
        """`codes` numbers the event types, as the features' definitions do."""
        self._judge = Judge(domain, silver)
        self._codes = codes

    def judge(self, body: bytes, now_ms: int) -> tuple[list[Event], list[Rejected]]:
        """The good and the rejected ones of a body: one JSON object, or a list of them. Raises RequestError
        400 when it is neither."""
        good: list[Event] = []
        bad: list[Rejected] = []
        for index, value in enumerate(_values(body)):
            judged = self._judge.judge(value, now_ms)
            if judged.kind == "item":
                bad.append(Rejected(index, ["an item is no event: it goes to the topic catalog"]))
            elif judged.kind is None:
                bad.append(Rejected(index, list(judged.reasons)))
            else:
                key = str(judged.fields[KEY[judged.kind]])
                good.append(Event(index, value, TOPIC[judged.kind], key, judged))
        return good, bad

    def history(self, event: Event, now_ms: int) -> History:
        """The event as the one row of a history that has just arrived; no row for a type without a code."""
        fields = event.judged.fields
        if event.judged.kind == "decision":
            return decided(
                fields["user_id"], fields["decision_id"], fields["items"], fields.get("query"), now_ms
            )
        code = self._codes.get(fields["event_type"], NO_CODE)
        row = of_one(
            code,
            now_ms,
            time=fields["event_time"],
            user_id=fields["user_id"],
            event_id=fields["event_id"],
            item_id=fields.get("item_id"),
            query=fields.get("query"),
        )
        return row if code != NO_CODE else row.part(0, 0)


def decided(user_id: str, decision_id: str, items: Sequence[str], query: str | None, time: int) -> History:
    """A decision as the one row of a history."""
    return of_one(
        DECISION_CODE, time, time=time, user_id=user_id, event_id=decision_id, items=items, query=query
    )


def _values(body: bytes) -> Sequence[bytes]:
    start = body.lstrip()[:1]
    if start != b"[":
        return [body]
    try:
        found = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RequestError(400, f"the body is not a JSON list that can be read: {problem}") from None
    if not 1 <= len(found) <= MOST_EVENTS:
        raise RequestError(400, f"the body holds {len(found)} events; 1 to {MOST_EVENTS} are taken at once")
    return [bytes(raw) for raw in found]
