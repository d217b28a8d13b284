"""A verdict for people: one page in Markdown, which stays with the run that made the version."""

from __future__ import annotations

import datetime

from pipelines.models.checks import Verdict

NAME = "gate.md"


def page(challenger: str, champion: str | None, verdict: Verdict, decided_at: datetime.datetime) -> str:
    """The verdict and all its checks; `challenger` and `champion` are a model's name and version."""
    failed = [check.name for check in verdict.failed]
    lines = [
        f"# {challenger}: {'accepted' if verdict.accepted else 'refused by ' + ', '.join(failed)}",
        "",
        f"Judged {decided_at:%Y-%m-%d %H:%M} UTC against {champion or 'nobody: there is no champion yet'}.",
        "",
        "| check | verdict | value | limit | what was found |",
        "|---|---|---|---|---|",
    ]
    for check in verdict.checks:
        told = check.told.replace("|", "\\|")
        name, what = (
            (f"**{check.name}**", f"**{check.verdict}**")
            if check in verdict.failed
            else (
                check.name,
                check.verdict,
            )
        )
        lines.append(f"| {name} | {what} | {_number(check.value)} | {_number(check.limit)} | {told} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
