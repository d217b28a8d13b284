"""A client of the review page's service, with types and retries.

    from pipelines.review_client import ReviewClient

    with ReviewClient("http://127.0.0.1:8300", token="…") as desk:
        for alert in desk.list(level="critical,high"):
            print(alert.title, desk.show(alert.incident_id).reasons)
        desk.review(alert.incident_id, "confirmed", "called the customer")

One client is for one thread: it keeps a connection open.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pipelines.asking import Asker
from pipelines.contracts.answers import AlertDetail, AlertRow, AlertsAnswer, ReviewAnswer, SilenceRow

Rows = list[AlertRow]


class ReviewClient(Asker):
    """Asks one review page's service, see `Asker`; a verdict, assignment or silence that is sent again counts
    once. The reviewer is the token's, else who `reviewer` says."""

    def __init__(self, address: str, token: str = "", reviewer: str = "", **more: Any) -> None:
        """`more` is of `Asker`: timeout_s, tries, sleep, context."""
        super().__init__(address, token, **more)
        self._who = {"reviewer": reviewer} if reviewer else {}

    def list(self, text: str = "", everything: bool = False, limit: int = 200, **filters: str) -> Rows:
        """What is to be reviewed, the most severe first; `filters` are state, kind, level and assigned, with
        commas between values. `everything` shows reviewed ones too."""
        asked = {"q": text, "all": "1" if everything else "", "limit": str(limit), **filters, **self._who}
        query = urlencode({name: value for name, value in asked.items() if value})
        return self.ask("GET", f"/alerts?{query}", None, AlertsAnswer).alerts

    def show(self, incident_id: str) -> AlertDetail:
        """An incident: why, who, what was said."""
        return self.ask("GET", _of(incident_id), None, AlertDetail)

    def review(self, incident_id: str, verdict: str, reason: str = "") -> ReviewAnswer:
        """Give a verdict: confirmed, expected, false_alarm or new_trend."""
        said = self._said(verdict=verdict, reason=reason)
        return self.ask("POST", f"{_of(incident_id)}/review", said, ReviewAnswer)

    def assign(self, incident_id: str, to: str) -> None:
        """Give an incident to a reviewer; to nobody in particular with an empty text."""
        self.ask("POST", f"{_of(incident_id)}/assign", self._said(to=to), dict[str, Any])

    def silence(self, matchers: Mapping[str, str], hours: float, why: str) -> SilenceRow:
        """Let nobody hear of what fits all matchers for so many hours."""
        said = self._said(matchers=dict(matchers), hours=hours, why=why)
        return self.ask("POST", "/silences", said, SilenceRow)

    def end_silence(self, silence_id: str) -> None:
        """End a silence."""
        self.ask("DELETE", f"/silences/{quote(silence_id, safe='')}", None, dict[str, Any])

    def precision(self) -> dict[str, Any]:
        """Precision so far, by pattern, what samples say is missed, agreement, the order in use."""
        return self.ask("GET", "/precision", None, dict[str, Any])

    def _said(self, **what: Any) -> dict[str, Any]:
        return {**what, **self._who, "key": secrets.token_hex(12)}


def _of(incident_id: str) -> str:
    return f"/alerts/{quote(incident_id, safe='')}"
