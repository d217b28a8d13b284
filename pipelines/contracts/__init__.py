"""What a row is: one module per table family, with schema, key and event time. No schema stands anywhere
else."""

from pipelines.contracts import bronze, gold, ops, silver, watch
from pipelines.contracts.table import Table

TABLES: dict[str, Table] = {
    table.name: table
    for module in (bronze, silver, gold, watch, ops)
    for table in vars(module).values()
    if isinstance(table, Table)
}
"""Every table of the lake by its name."""
