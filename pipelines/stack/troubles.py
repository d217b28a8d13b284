"""What the demo shows of the watch: a shop that is quiet for three days, then three things that go wrong, and
the incidents that they become."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table as Sheet

from pipelines.errors import StackError
from pipelines.io import lake
from pipelines.settings import Settings

ENVIRONMENT = {
    "LAKEPULSE__WATCH__WINDOW_MINUTES": "30",
    "LAKEPULSE__WATCH__FLOOR": "3",
    "LAKEPULSE__WATCH__WARM_UP_HOURS": "48",
    "LAKEPULSE__STREAMS__WATCH_TRIGGER_MS": "5000",
    "LAKEPULSE__ALERTS__TRIGGER_MS": "3000",
}
"""A small shop is watched by the half hour: in five minutes it sells too little to be missed. Here half a day
passes in seconds, so the watch looks more often."""
QUIET = ("--bot-share", "0", "--stolen-share", "0")
HISTORY_DAYS, LIVE_DAYS = 3.0, 0.25
TROUBLES = (
    *("--attacks", "0.3,stuffing"),
    *("--attacks", "1.2,theft"),
    *("--drops", "0.5,5.5,purchase,0"),
)
WHAT = {
    "a bot campaign": "passwords are tried on many accounts from one device",
    "a stolen account": "a stranger buys with a customer's account",
    "a checkout outage": "nothing is bought for hours, all else goes on",
}
SEEN = """
SELECT incident_id, kind, level, severity, pattern, entities, p, exposure, opened_at, window_start, members,
       reasons, links, segments
FROM gold.alerts
WHERE state IN ('open', 'closed') AND epoch_ms(window_end) >= CAST(? AS BIGINT)
  AND kind IN ('outlier', 'drop')
ORDER BY severity DESC"""


def incidents(settings: Settings, since_ms: int) -> list[dict[str, Any]]:
    """All incidents that a test has found and whose windows end after that time (epoch ms), the most severe
    first."""
    found = lake.query(settings, SEEN, str(since_ms)).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]


def wait_for(
    look: Callable[[], list[dict[str, Any]]], least: int, say: Callable[[str], None], patience_s: float
) -> list[dict[str, Any]]:
    """Look until there are `least` incidents, a drop among them, and no more come for some seconds; or until
    `patience_s` are over."""
    until, seen, settled = time.monotonic() + patience_s, -1, 0
    while True:
        found = look()
        if len(found) != seen:
            say(f"{len(found)} incidents")
        settled = settled + 1 if len(found) == seen else 0
        seen = len(found)
        is_whole = seen >= least and any(row["kind"] == "drop" for row in found)
        if (is_whole and settled >= 3) or time.monotonic() > until:
            return found
        time.sleep(2.0)


def campaign(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The incident of the most entities. Raises StackError when there is none."""
    outliers = [row for row in found if row["kind"] == "outlier"]
    if not outliers:
        raise StackError("no incident was raised: `lakepulse status`, then the log of `watch`")
    return max(outliers, key=lambda row: (row["entities"], row["severity"]))


def show(found: list[dict[str, Any]], console: Console) -> None:
    """Print the incidents and their reasons."""
    sheet = Sheet(title="Incidents of the last hours", title_justify="left")
    for name in ("incident", "level", "who", "why", "shared"):
        sheet.add_column(name)
    for row in found:
        who = ", ".join(f"{m['entity']} {m['entity_id']}" for m in list(row["members"])[:2])
        more = f" and {row['entities'] - 2:,} more" if row["entities"] > 2 else ""
        why = "\n".join(
            f"{r['name']} {r['value']:g}, usual {r['low']:.3g} to {r['high']:.3g}"
            for r in list(row["reasons"])[:3]
        )
        shared = "\n".join(f"{link['kind']} {link['value']}" for link in list(row["links"])[:2])
        sheet.add_row(row["incident_id"], row["level"], who + more, why, shared)
    console.print(sheet)
