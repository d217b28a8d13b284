"""Whether silver accounts for bronze: good and quarantined rows together are all that landed."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.contracts import bronze, silver
from pipelines.contracts.table import Table

LANDED = (bronze.INTERACTIONS, bronze.CATALOG)
SORTED = (silver.EVENTS, silver.DECISIONS, silver.ITEMS, silver.QUARANTINE)


def accounts_sql(name: Callable[[Table], str]) -> str:
    """SQL, for Spark and DuckDB alike, of rows topic, partition, `landed` and `sorted`: how many rows landed
    and how many were sorted, of the offsets that silver has reached. What arrived after its last micro-batch
    is not missing. `name` says how a table is called there.
    """

    def rows_of(tables: tuple[Table, ...]) -> str:
        return " UNION ALL ".join(
            f"SELECT t.topic, t.partition, t.offset AS place FROM {name(table)} AS t" for table in tables
        )

    return f"""
WITH landed AS ({rows_of(LANDED)}),
kept AS (
  SELECT s.topic, s.partition, count(*) AS rows_sorted, max(s.place) AS reached
  FROM ({rows_of(SORTED)}) AS s GROUP BY s.topic, s.partition
),
counted AS (
  SELECT l.topic, l.partition, count(*) AS rows_landed
  FROM landed AS l JOIN kept AS k ON l.topic = k.topic AND l.partition = k.partition AND l.place <= k.reached
  GROUP BY l.topic, l.partition
)
SELECT k.topic, k.partition, coalesce(c.rows_landed, 0) AS landed, k.rows_sorted AS sorted
FROM kept AS k LEFT JOIN counted AS c ON c.topic = k.topic AND c.partition = k.partition
"""
