"""The catalog as the lake has it, for a process without Spark."""

from __future__ import annotations

from collections.abc import Sequence

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipelines.contracts.silver import ITEMS
from pipelines.contracts.types import arrow_schema
from pipelines.errors import LakePulseError
from pipelines.features.catalog import ITEM_COLUMNS
from pipelines.io import lake
from pipelines.serving.ports import Items
from pipelines.settings import Settings


def version(settings: Settings) -> int | None:
    """The newest version of silver.items; None before the first. Raises LakePulseError when the lake does not
    answer."""
    try:
        return lake.version(settings, ITEMS)
    except (DeltaError, OSError) as problem:
        raise LakePulseError(f"the lake at {settings.lake} cannot be read: {problem}") from problem


def items(settings: Settings, columns: Sequence[str] = ITEM_COLUMNS) -> Items:
    """These columns of all versions of all items, of the table's newest version."""
    schema = arrow_schema(ITEMS.schema)
    wanted = pa.schema([schema.field(name) for name in columns])
    found = version(settings)
    if found is None:
        return Items(None, wanted.empty_table())
    try:
        table = deltalake.DeltaTable(lake.location(settings, ITEMS), version=found)
        rows = table.to_pyarrow_dataset().to_table(columns=list(columns))
    except (DeltaError, OSError) as problem:
        raise LakePulseError(f"the lake at {settings.lake} cannot be read: {problem}") from problem
    return Items(found, rows.cast(wanted))
