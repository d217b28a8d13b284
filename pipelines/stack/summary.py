"""What an installation holds and has learnt, as one dictionary and as one page of text."""

from __future__ import annotations

import json
import math
from typing import Any

from rich.console import Console
from rich.table import Table as Sheet

from pipelines.contracts import TABLES
from pipelines.domain import Domain
from pipelines.errors import LakePulseError
from pipelines.io import lake
from pipelines.models.registry import CHAMPION, Registry
from pipelines.settings import Settings

SAMPLE_OF_SCORES = """
SELECT decision_id, user_id, item_id, position, score, rank, model_version
FROM gold.scores
WHERE decision_id = (SELECT decision_id FROM gold.scores ORDER BY decided_at DESC, decision_id LIMIT 1)
ORDER BY rank LIMIT 5"""
LANDED = """
SELECT topic, count(*) AS n FROM bronze.interactions GROUP BY 1
UNION ALL SELECT topic, count(*) FROM bronze.catalog GROUP BY 1"""
SAMPLE_OF_OUTLIERS = """
SELECT entity_id, window_start, score, rank, top_features, model_version FROM gold.outliers
ORDER BY score DESC, entity_id LIMIT 5"""
# What differs from row to row, as ids, numbers, times and quoted values, is left out; the 8 of UTF-8 stays.
VARYING = (
    r"(UTF-8)|(duplicate of [^ ]+ ).*|''[^'']*''|[0-9]{4}-[0-9-]+T[0-9:.]+Z|[0-9A-Za-z_]*[0-9][0-9A-Za-z_]*"
)
REASONS_SHOWN = 20
REASONS = rf"""
SELECT replace(regexp_replace(reason, '{VARYING}', '\1\2…', 'g'), 'UTF-8…', 'UTF-8') AS reason, count(*) AS n
FROM (SELECT unnest(reasons) AS reason FROM silver.quarantine) GROUP BY 1 ORDER BY n DESC, reason"""


def summarise(settings: Settings, domain: Domain) -> dict[str, Any]:
    """Rows of every table, quarantined rows by reason, the models and their figures, samples of scores and
    outliers, addresses."""
    return {
        "domain": domain.name,
        "events_in": _pairs(settings, LANDED, "topic"),
        "rows": {name: lake.count(settings, name) for name in TABLES},
        "quarantined": _pairs(settings, REASONS, "reason"),
        "models": {kind: _model(settings, f"{domain.name}-{kind}") for kind in ("ranker", "outliers")},
        "scores": _records(settings, SAMPLE_OF_SCORES),
        "outliers": _records(settings, SAMPLE_OF_OUTLIERS),
        "addresses": addresses(settings),
    }


def addresses(settings: Settings) -> dict[str, str]:
    """Where the parts of the local stack answer."""
    stack = settings.state / "run" / "stack.json"
    found: dict[str, Any] = json.loads(stack.read_text()) if stack.is_file() else {}
    return {name: str(address) for name, address in found.items() if isinstance(address, str)}


def _pairs(settings: Settings, sql: str, name: str) -> dict[str, int]:
    return {str(row[name]): int(row["n"]) for row in _records(settings, sql)}


def _records(settings: Settings, sql: str) -> list[dict[str, Any]]:
    text = lake.query(settings, sql).to_json(orient="records", date_format="iso")
    records: list[dict[str, Any]] = json.loads(text)
    return records


def _model(settings: Settings, name: str) -> dict[str, Any]:
    """The champion of a name and its figures, or why there is none to show."""
    try:
        registry = Registry(settings.tracking_uri)
        number = registry.current(name)
        if number is None:
            return {"name": name, "missing": "no version has been promoted yet"}
        found = registry.version(name, number)
        return {"name": name, "version": number, "alias": CHAMPION, "metrics": registry.figures(found)}
    except LakePulseError as problem:
        return {"name": name, "missing": str(problem)}


def save(summary: dict[str, Any], settings: Settings) -> str:
    """Keep the summary as <state>/summary.json; returns where."""
    path = settings.state / "summary.json"
    path.write_text(json.dumps(summary, indent=2, default=str) + "\n")
    return str(path)


def show(summary: dict[str, Any], console: Console) -> None:
    """Print the summary for a person."""
    console.rule(f"LakePulse: {summary['domain']}")
    console.print(
        "Events in: " + ", ".join(f"{n:,} from {topic}" for topic, n in summary["events_in"].items())
    )
    _print_rows(
        console, "Rows in every table", {n: f"{c:,}" for n, c in summary["rows"].items()}, ("table", "rows")
    )
    reasons = {reason: f"{n:,}" for reason, n in summary["quarantined"].items()}
    shown = dict(list(reasons.items())[:REASONS_SHOWN])
    _print_rows(console, "Quarantined by reason", shown, ("reason", "rows"))
    if len(reasons) > len(shown):
        console.print(f"… and {len(reasons) - len(shown):,} rarer reasons: see silver.quarantine")
    for model in summary["models"].values():
        _show_model(console, model)
    _print_records(console, "Scores of the latest decision", summary["scores"])
    _print_records(console, "Most unusual behaviour", summary["outliers"])
    for name, address in summary["addresses"].items():
        console.print(f"{name:>12}  {address}")


def _show_model(console: Console, model: dict[str, Any]) -> None:
    if "missing" in model:
        console.print(f"No champion of {model['name']}: {model['missing']}")
        return
    console.print(f"Alias {model['alias']}: {model['name']} version {model['version']}")
    figures = {
        k: f"{v:.4f}" for k, v in model["metrics"].items() if isinstance(v, float) and math.isfinite(v)
    }
    _print_rows(console, f"Figures of {model['name']} {model['version']}", figures, ("figure", "value"))


def _print_rows(console: Console, title: str, rows: dict[str, str], columns: tuple[str, str]) -> None:
    sheet = Sheet(title=title, title_justify="left")
    sheet.add_column(columns[0])
    sheet.add_column(columns[1], justify="right")
    for name, value in rows.items():
        sheet.add_row(name, value)
    console.print(sheet)


def _print_records(console: Console, title: str, records: list[dict[str, Any]]) -> None:
    if not records:
        console.print(f"{title}: none yet")
        return
    sheet = Sheet(*records[0], title=title, title_justify="left")
    for record in records:
        sheet.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in record.values()))
    console.print(sheet)
