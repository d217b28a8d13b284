"""What the demo shows of the scoring service: a user's list, a click, and the same list again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as Sheet

from pipelines.client import Client
from pipelines.contracts.answers import RankAnswer
from pipelines.domain import Domain
from pipelines.errors import StackError
from pipelines.io import lake
from pipelines.settings import Settings
from pipelines.source_records import SourceWriter

SHOWN, REASONS = 10, 6
GIVEN = {"item_id", "decision_id"}
LATEST = """
SELECT user_id, items FROM silver.decisions WHERE len(items) >= 5
ORDER BY event_time DESC, decision_id LIMIT 1"""


@dataclass(frozen=True)
class Reflex:
    """A list before and after a click on one of its items, how long each answer took, and the reasons."""

    user_id: str
    event_type: str
    item_id: str
    before: RankAnswer
    after: RankAnswer
    before_ms: float
    after_ms: float
    explained: dict[str, Any]


def telling_event(domain: Domain) -> str:
    """The outcome that gains most among those that need nothing but an item and a decision. Raises StackError
    when every outcome needs more."""
    gains = domain.outcomes.gains
    simple = [name for name in gains if set(domain.event_types[name].requires) <= GIVEN]
    if not simple:
        raise StackError(f"every outcome of {domain.name} needs more fields than item_id and decision_id")
    return max(simple, key=lambda name: gains[name])


def latest_list(settings: Settings) -> tuple[str, list[str]]:
    """The user and the items of the latest decision of 5 items or more. Raises StackError without one."""
    found = lake.query(settings, LATEST)
    if found.empty:
        raise StackError("silver.decisions has no decision of 5 items that could be ranked once more")
    return str(found["user_id"][0]), [str(item) for item in found["items"][0]]


def react(client: Client, domain: Domain, user: str, items: list[str], now_ms: int) -> Reflex:
    """Rank the items for the user, let the user act on the last of the list at `now_ms`, rank them once more,
    and ask why. Raises StackError when the service does not answer or does not take the event, and
    RequestError when it refuses, as without a token where it wants one."""
    event_type = telling_event(domain)
    client.user(user)  # opens the connection, which is not to be timed
    before, before_ms = _timed_rank(client, user, items)
    chosen = before.items[-1].item_id
    event = {
        "event_id": f"demo-{before.decision_id}",
        "event_time": now_ms,
        "event_type": event_type,
        "user_id": user,
        "item_id": chosen,
        "decision_id": before.decision_id,
    }
    answer = client.send(SourceWriter(domain, "interaction").source(event))
    if answer.rejected:
        raise StackError(f"the service did not take the event: {'; '.join(answer.rejected[0].reasons)}")
    after, after_ms = _timed_rank(client, user, items)
    explained = client.explain(after.decision_id)
    return Reflex(user, event_type, chosen, before, after, before_ms, after_ms, explained)


def _timed_rank(client: Client, user: str, items: list[str]) -> tuple[RankAnswer, float]:
    began = time.perf_counter()
    answer = client.rank(user, items)
    return answer, (time.perf_counter() - began) * 1000


def summary(reflex: Reflex) -> dict[str, Any]:
    """For summary.json: both lists, what lay between them, and the latencies."""
    lists = {
        name: [{"item_id": item.item_id, "score": item.score} for item in answer.items]
        for name, answer in (("before", reflex.before), ("after", reflex.after))
    }
    about = {"user_id": reflex.user_id, reflex.event_type: reflex.item_id}
    latency = {"latency_ms": [round(reflex.before_ms, 2), round(reflex.after_ms, 2)]}
    return about | lists | latency | {"model_version": reflex.after.model_version}


def show(reflex: Reflex, console: Console) -> None:
    """Print both lists side by side, and why the item that was acted on stands where it stands."""
    places = {item.item_id: (place, item.score) for place, item in enumerate(reflex.before.items, 1)}
    title = f"The list of {reflex.user_id} after a {reflex.event_type} on {reflex.item_id}"
    sheet = Sheet(title=title, title_justify="left")
    for name in ("item", "place before", "after", "score before", "after"):
        sheet.add_column(name, justify="left" if name == "item" else "right")
    for place, item in enumerate(reflex.after.items, 1):
        if place <= SHOWN or item.item_id == reflex.item_id:
            was, score = places[item.item_id]
            sheet.add_row(item.item_id, str(was), str(place), f"{score:.4f}", f"{item.score:.4f}")
    console.print(sheet)
    console.print(
        f"answered in {reflex.before_ms:.1f} and {reflex.after_ms:.1f} ms by {reflex.after.model_version}"
    )
    features = next(i for i in reflex.explained["items"] if i["item_id"] == reflex.item_id)["features"]
    why = Sheet(title=f"Why {reflex.item_id} has its score", title_justify="left")
    for name in ("feature", "value", "adds"):
        why.add_column(name, justify="left" if name == "feature" else "right")
    for feature in features[:REASONS]:
        value = "missing" if feature["value"] is None else f"{feature['value']:.4g}"
        why.add_row(feature["name"], value, f"{feature['adds']:+.4f}")
    console.print(why)
