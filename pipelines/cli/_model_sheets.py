"""Versions of models as tables and as JSON."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pipelines.cli._tables import print_table

if TYPE_CHECKING:
    from pipelines.models.registered import Version

NDCG, GAIN = "ndcg_at_10", "gain_over_outcome_rate"


def listed(version: Version, figures: dict[str, float]) -> dict[str, Any]:
    """What a list says of a version."""
    return {
        "model": version.name,
        "version": version.version,
        "aliases": list(version.aliases),
        "stage": version.stage,
        "gate": version.tags.get("gate"),
        "created_at": _time(version.created_at_ms),
        NDCG: figures.get(NDCG),
        GAIN: figures.get(GAIN),
    }


def described(version: Version, figures: dict[str, float], parameters: dict[str, str]) -> dict[str, Any]:
    """All that the registry knows of a version."""
    return listed(version, figures) | {
        "run_id": version.run_id,
        "tags": dict(sorted(version.tags.items())),
        "figures": dict(sorted(figures.items())),
        "parameters": dict(sorted(parameters.items())),
    }


def show_list(found: list[dict[str, Any]], as_json: bool) -> None:
    """Print versions, a row each."""
    if as_json:
        _print_json(found)
        return
    if not found:
        print("no model is registered yet: `lakepulse dag test train_ranker` trains one")
        return
    rows = [
        (
            one["model"],
            one["version"],
            ", ".join(one["aliases"]),
            one["stage"],
            one["gate"] or "",
            one["created_at"],
            _number(one[NDCG]),
            _number(one[GAIN], signed=True),
        )
        for one in found
    ]
    headings = ("model", "version", "aliases", "stage", "gate", "created", "nDCG@10", "over outcome rate")
    _print_table(headings, rows)


def show_version(about: dict[str, Any], judged: list[dict[str, Any]], as_json: bool) -> None:
    """Print a version, and what was decided about it, newest first."""
    if as_json:
        _print_json(about | {"records": judged})
        return
    aliases = f" ({', '.join(about['aliases'])})" if about["aliases"] else ""
    print(f"{about['model']} {about['version']}{aliases}: {about['stage']}, made {about['created_at']}")
    for record in judged:
        verdict = "accepted" if record["accepted"] else "refused"
        against = f" against version {record['champion']}" if record["champion"] else ""
        print(f"\n{record['decided_at']:%Y-%m-%d %H:%M} UTC, {record['action']}: {verdict}{against}")
        if len(record["checks"]):
            checks = [
                (c["name"], c["verdict"], _number(c["value"]), _number(c["limit"]), c["told"])
                for c in record["checks"]
            ]
            _print_table(("check", "verdict", "value", "limit", "what was found"), checks)
        else:
            print(record["reason"])
    for title in ("figures", "parameters"):
        print()
        values = [
            (name, _number(value) if title == "figures" else value) for name, value in about[title].items()
        ]
        _print_table((title, "value"), values)


def show_comparison(both: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print figures of two versions side by side, and the parameters that differ."""
    one, other = both
    names = sorted(one["figures"].keys() | other["figures"].keys())
    figures = {name: (one["figures"].get(name), other["figures"].get(name)) for name in names}
    names = sorted(one["parameters"].keys() | other["parameters"].keys())
    parameters = {name: (one["parameters"].get(name), other["parameters"].get(name)) for name in names}
    differing = {name: pair for name, pair in parameters.items() if pair[0] != pair[1]}
    if as_json:
        _print_json(
            {
                "model": one["model"],
                "versions": [one["version"], other["version"]],
                "figures": figures,
                "differing_parameters": differing,
            }
        )
        return
    print(f"{one['model']}: version {one['version']} and version {other['version']}")
    rows = [
        (name, _number(a), _number(b), "" if a is None or b is None else _number(b - a, signed=True))
        for name, (a, b) in figures.items()
    ]
    _print_table(("figure", one["version"], other["version"], "difference"), rows)
    print()
    if not differing:
        print("all parameters are the same")
        return
    rows_of = [(name, a or "", b or "") for name, (a, b) in differing.items()]
    _print_table(("parameter", one["version"], other["version"]), rows_of)


def _print_json(found: Any) -> None:
    print(json.dumps(_plain(found), indent=2, default=str))


def _plain(value: Any) -> Any:
    """The same with null for what is no number, since JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    print_table(headings, [[escape(str(cell)) for cell in row] for row in rows])


def _number(value: float | None, signed: bool = False) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:+.4f}" if signed else f"{value:,.4f}".rstrip("0").rstrip(".")


def _time(ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC):%Y-%m-%d %H:%M}"
