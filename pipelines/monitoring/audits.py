"""Audits: every table against its contract, by Great Expectations, with pages that people can read.

A suite is built from the contract alone: the columns are those of the schema with their types, no key is null
or there twice, no required column is null, and numbers stay in their ranges. One suite more holds that every
landed row is in silver exactly once.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.checkpoint.actions import UpdateDataDocsAction
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.core.expect_column_pair_values_to_be_equal import (
    ExpectColumnPairValuesToBeEqual,
)
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame

from pipelines.contracts import TABLES
from pipelines.contracts.table import Table

ACCOUNTS = "silver accounts for bronze"
SITE = "gx/uncommitted/data_docs/local_site/index.html"


def valid_rows(stored: DataFrame, table: Table) -> DataFrame:
    """What an audit looks at: the valid rows, or all that is stored where columns of the contract are
    missing."""
    has_all = set(table.schema.fieldNames()) <= set(stored.columns)
    return table.latest(stored) if has_all else stored


def expectations(table: Table) -> list[Expectation]:
    """What the contract promises of the table's valid rows."""
    fields = table.schema.fields
    found: list[Expectation] = [gxe.ExpectTableColumnsToMatchSet(column_set=[f.name for f in fields])]
    found += [
        gxe.ExpectColumnValuesToBeOfType(column=f.name, type_=type(f.dataType).__name__) for f in fields
    ]
    found += [
        gxe.ExpectColumnValuesToNotBeNull(column=name)
        for name in dict.fromkeys((*table.key, *table.required))
    ]
    if len(table.key) == 1:
        found.append(gxe.ExpectColumnValuesToBeUnique(column=table.key[0]))
    else:
        found.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.key)))
    found += [
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=least, max_value=greatest)
        for name, least, greatest in table.ranges
    ]
    return found


def accounts() -> list[Expectation]:
    """For each topic and partition, as many rows in silver's tables together as in bronze."""
    return [ExpectColumnPairValuesToBeEqual(column_A="landed", column_B="sorted")]


def audit(frames: Mapping[str, DataFrame], folder: Path, at: datetime.datetime) -> list[dict[str, Any]]:
    """Rows of ops.audits, one for each expectation on each frame (by its table's name, or ACCOUNTS); the
    pages for people go into `folder`."""
    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_or_update_spark("lake")
    found = []
    for name, frame in frames.items():
        suite = gx.ExpectationSuite(
            name, expectations=accounts() if name == ACCOUNTS else expectations(TABLES[name])
        )
        suite = context.suites.add_or_update(suite)
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all rows")
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )
        outcome = _outcome(context, definition, frame)
        rows = frame.count()
        for validation in outcome.run_results.values():
            found += [_row(name, rows, result, at) for result in validation.results]
    return found


def _outcome(context: Any, definition: Any, frame: DataFrame) -> Any:
    """What the expectations found, also as pages. Whether all hold takes one Spark job a table; which rows
    break an expectation takes one more for each, so that is asked only of a table that fails."""
    for detail in ("BOOLEAN_ONLY", "BASIC"):
        checkpoint = context.checkpoints.add_or_update(
            gx.Checkpoint(
                name=definition.name,
                validation_definitions=[definition],
                actions=[UpdateDataDocsAction(name="pages")],
                result_format=detail,
            )
        )
        outcome = checkpoint.run(batch_parameters={"dataframe": frame})
        if outcome.success:
            break
    return outcome


def _row(name: str, rows: int, result: Any, at: datetime.datetime) -> dict[str, Any]:
    config, seen = result.expectation_config, result.result or {}
    given = config.kwargs
    about = given.get("column") or ", ".join(given.get("column_list") or given.get("column_set") or ())
    raised = (result.exception_info or {}).get("exception_message")
    observed = raised or seen.get("partial_unexpected_list") or seen.get("observed_value")
    return {
        "audited_at": at,
        "table": name,
        "expectation": config.type,
        "column": about,
        "success": bool(result.success),
        "observed": str(observed)[:500] if observed else None,
        "unexpected": int(seen.get("unexpected_count") or 0),
        "rows": rows,
    }


def told(rows: list[dict[str, Any]], folder: Path) -> list[str]:
    """An audit for people: a line for each expectation that does not hold, and where the pages are."""
    failed = [row for row in rows if not row["success"]]
    lines = [
        f"{r['table']}: {r['expectation']} {r['column']}: {r['unexpected']:,} of {r['rows']:,} rows, "
        f"{r['observed']}"
        for r in failed
    ]
    tables = len({row["table"] for row in rows})
    end = f"{len(rows)} expectations on {tables} tables, {len(failed)} failed; pages: {folder / SITE}"
    return [*lines, end]
