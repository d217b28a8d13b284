"""What `lakepulse alerts` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from rich.markup import escape

from pipelines.cli._tables import print_table


def print_json(found: Any) -> None:
    """The same as JSON."""
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def show(action: str, found: Mapping[str, Any]) -> None:
    """The outcome of an action, for people."""
    sheets = {"list": _queue, "show": _incident, "silences": _silences, "precision": _precision}
    if action in sheets and "is_removed" not in found:
        sheets[action](found)
    elif action == "review":
        print("kept already" if found["is_repeat"] else f"kept as review {found['review_id']}")
        for silence in found["silences"]:
            _begun(silence)
    elif action == "assign":
        print(f"given to {found['assigned_to'] or 'nobody'}")
    elif action == "silence":
        _begun(found)
    else:
        print(f"silence {found['silence_id']} has ended")


def _begun(silence: Mapping[str, Any]) -> None:
    print(f"silence {silence['silence_id']} until {silence['until']:%Y-%m-%d %H:%M} UTC")


def _queue(found: Mapping[str, Any]) -> None:
    rows = [
        [
            a["incident_id"],
            a["level"],
            f"{a['severity']:.1f}",
            f"{a['window_start']:%m-%d %H:%M}",
            escape(a["title"]),
            escape(a["reason"]),
            escape(a["verdict"] or a["wants"]),
            escape(a["assigned_to"]),
        ]
        for a in found["alerts"]
    ]
    if not rows:
        print("nothing to review")
        return
    print_table(["incident", "level", "severity", "from", "what", "first reason", "wants", "for"], rows)


def _incident(found: Mapping[str, Any]) -> None:
    when = f"{found['window_start']:%Y-%m-%d %H:%M} to {found['window_end']:%H:%M} UTC"
    print(f"{found['title']}\n{found['level']}, severity {found['severity']:.1f}, {when}, {found['state']}")
    print(f"p {found['p']:.2g}, at stake {found['exposure']:,.0f}, {found['entities']} entities\n")
    reasons = [
        [escape(r["name"]), f"{r['value']:.4g}", f"{r['low']:.4g} to {r['high']:.4g}", f"{r['share']:.0%}"]
        for r in found["reasons"] or ()
    ]
    print_table(["reason", "value", "usual", "of the entities"], reasons)
    for link in found["links"] or ():
        print(f"{link['entities']} share {link['kind']} {link['value']}")
    if found["segments"]:
        print(f"segments: {', '.join(found['segments'])}")
    said = [
        [f"{r['reviewed_at']:%m-%d %H:%M}", escape(r["reviewer"]), _said(r), escape(r["reason"] or "")]
        for r in found["reviews"]
    ]
    if said:
        print()
        print_table(["when", "who", "said", "why"], said)


def _said(review: Mapping[str, Any]) -> str:
    return review["verdict"] or f"for {escape(review['assigned_to'] or 'nobody')}"


def _silences(found: Mapping[str, Any]) -> None:
    rows = [
        [
            s["silence_id"],
            f"{s['until']:%Y-%m-%d %H:%M}",
            escape(", ".join(f"{name}={value}" for name, value in s["matchers"].items())),
            escape(s["created_by"]),
            escape(s["why"]),
        ]
        for s in found["silences"]
    ]
    if not rows:
        print("no silence")
        return
    print_table(["silence", "until (UTC)", "what", "by", "why"], rows)


def _precision(found: Mapping[str, Any]) -> None:
    def share(value: float | None) -> str:
        return "not known" if value is None else f"{value:.0%}"

    verdicts = ", ".join(f"{found[v]} {v}" for v in ("confirmed", "false_alarm", "expected", "new_trend"))
    print(f"precision {share(found['precision'])}: {verdicts}; {found['waiting']} wait")
    missed, agreed, unusual = found["missed"], found["agreement"], found["unusual"]
    if unusual["judged"] < unusual["until"]:
        told = f"{unusual['judged']} of {unusual['until']} verdicts on outliers"
        print(f"the most unusual of each day are shown until enough are judged: {told}")
    if found["order"]:
        print(f"learnt order of alerts: {found['order']['told']}")
    if unusual["reviewed"]:
        print(f"of these {unusual['confirmed']} confirmed, {unusual['false_alarm']} false_alarm")
    if missed["reviewed"]:
        told = f"{missed['confirmed']} of {missed['reviewed']} samples confirmed"
        print(f"missed: about {missed['estimated']:,.0f} ({told})")
    if agreed["incidents"]:
        print(f"two reviewers agree on {share(agreed['share'])} of {agreed['incidents']}")
    rows = [
        [escape(p["pattern"]), f"{p['confirmed']:.1f}", f"{p['false_alarm']:.1f}", f"{p['trust']:.0%}"]
        for p in found["patterns"]
    ]
    if rows:
        print_table(["pattern", "confirmed", "false", "trust"], rows)
