"""Who is put in charge, and what is recorded of it."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.domain import Domain, load_domain
from pipelines.errors import ModelError
from pipelines.models.registered import Version
from pipelines.models.registry import Registry
from pipelines.settings import Settings

KINDS = ("ranker", "outliers")
FORCED, ROLLBACK = "promotion by force", "rollback"
REFUSED = 99
"""Exit code of a job that refuses a challenger: an answer, not a failure."""


def decision_of(
    who: str, why: str, action: str, version: Version, champion: str | None, decided_at: datetime.datetime
) -> dict[str, Any]:
    """The row of ops.gate_records for what a person decided, whatever the gate says: `version` is put in
    charge by force, or withdrawn by a rollback. `champion` is in charge otherwise."""
    reason = {"action": action, "decided_by": who, "reason": f"{action} by {who}: {why}"}
    nothing: dict[str, Any] = {"accepted": action == FORCED, "figures": {}, "checks": []}
    return versions_of(version, champion, decided_at) | reason | nothing


def subject(model: str, settings: Settings) -> tuple[Domain, str]:
    """Domain and kind of a model's name `<domain>-ranker` or `<domain>-outliers`; the domain may be a path to
    its file.

    Raises ModelError for another name.
    """
    domain, _, kind = model.rpartition("-")
    if kind not in KINDS or not domain:
        raise ModelError(f"no model is called {model!r}: names are <domain>-ranker and <domain>-outliers")
    return load_domain(domain, settings), kind


def promotion(
    registry: Registry, version: Version, judged: Mapping[str, Any] | None, force: bool
) -> tuple[int, str]:
    """Give the version the alias `champion` if its newest row of ops.gate_records accepts it, or by force.

    Returns the exit code and what to tell.
    """
    named = f"{version.name} {version.version}"
    if not force and (judged is None or not judged["accepted"]):
        reason = (
            judged["reason"] if judged else f"no gate has judged it: run the job gate --model {version.name}"
        )
        return REFUSED, f"{named} is not promoted: {reason}"
    before = registry.promote(version.name, version.version)
    return 0, f"{named} is the champion, after {before or 'nobody'}"


def name_a_model(parser: argparse.ArgumentParser) -> None:
    """The argument that jobs about one model take."""
    parser.add_argument("--model", required=True, help="<domain>-ranker or <domain>-outliers")


def model_cache(settings: Settings) -> Path:
    """Where downloaded packages are kept."""
    return settings.state / "models"


def versions_of(challenger: Version, champion: str | None, decided_at: datetime.datetime) -> dict[str, Any]:
    """Columns of ops.gate_records that say who met whom, and when."""
    names = {"model_name": challenger.name, "challenger": challenger.version, "champion": champion}
    return {"decided_at": decided_at} | names
