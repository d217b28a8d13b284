"""Audits: every table against its contract, by Great Expectations, with pages that people can read.

A suite is built from the contract alone: no key is null or there twice, no required column is null, and
numbers stay in their ranges. One suite more holds that columns and types are those of the contracts, and one
that every landed row is in silver exactly once.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier
from great_expectations.expectations.core.expect_column_pair_values_to_be_equal import (
    ExpectColumnPairValuesToBeEqual,
)
from great_expectations.expectations.expectation import Expectation
from pyspark.sql import DataFrame

from pipelines.contracts import TABLES
from pipelines.contracts.table import Table

ACCOUNTS = "silver accounts for bronze"
COLUMNS = "columns of the contracts"
SITE = "gx/uncommitted/data_docs/local_site/index.html"


def expectations(table: Table) -> list[Expectation]:
    """What the contract promises of the table's valid rows."""
    found: list[Expectation] = [
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


PAIRS = {ACCOUNTS: ("landed", "sorted"), COLUMNS: ("promised", "stored")}
"""Frames that belong to no table, and the two columns of each that are equal in every row: as many rows of a
topic's partition in silver's tables together as in bronze; a column as the contract promises it."""


def _suite(name: str) -> gx.ExpectationSuite:
    if name in PAIRS:
        left, right = PAIRS[name]
        pair: Expectation = ExpectColumnPairValuesToBeEqual(column_A=left, column_B=right)
        return gx.ExpectationSuite(name, expectations=[pair])
    return gx.ExpectationSuite(name, expectations=expectations(TABLES[name]))


def audit(
    frames: Mapping[str, pd.DataFrame | DataFrame], folder: Path, at: datetime.datetime
) -> list[dict[str, Any]]:
    """Rows of ops.audits, one for each expectation on each frame (by its table's name, or one of PAIRS); the
    pages for people go into `folder`. A frame is pandas' or Spark's."""
    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    found, results = [], []
    for name, frame in frames.items():
        sources = context.data_sources
        if isinstance(frame, pd.DataFrame):
            source: Any = sources.add_or_update_pandas(f"{name}, in one process")
        else:
            source = sources.add_or_update_spark(f"{name}, in Spark")
        suite = context.suites.add_or_update(_suite(name))
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all rows")
        definition = context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )
        outcome = _outcome(context, definition, frame)
        results += outcome.run_results
        rows = len(frame) if isinstance(frame, pd.DataFrame) else frame.count()
        for validation in outcome.run_results.values():
            found += [_row(name, rows, result, at) for result in validation.results]
    # Once for all: built after each table, the pages took longer than everything else.
    suites = [ExpectationSuiteIdentifier(name) for name in frames]
    context.build_data_docs(resource_identifiers=[*results, *suites])
    return found


def _outcome(context: Any, definition: Any, frame: pd.DataFrame | DataFrame) -> Any:
    """What the expectations found, also as pages. Whether all hold takes Spark one job a table; which rows
    break an expectation takes it one more for each, so that is asked only of a table that fails."""
    for detail in ("BOOLEAN_ONLY", "BASIC"):
        checkpoint = context.checkpoints.add_or_update(
            gx.Checkpoint(
                name=definition.name,
                validation_definitions=[definition],
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
    pair = [given[side] for side in ("column_A", "column_B") if side in given]
    about = given.get("column") or ", ".join(given.get("column_list") or pair)
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
