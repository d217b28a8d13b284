"""Bronze: what arrived, byte by byte, with its coordinates. Nothing is parsed, nothing is dropped, rows are
only appended."""

from pipelines.contracts.table import Table
from pipelines.contracts.types import BYTES, DAY, INT, LONG, TEXT, TIME, columns, many

HEADER = columns(key=TEXT, value=BYTES)

# Spark's own description of a file; its content is read line by line, never as a whole.
FILE = columns(path=TEXT, modificationTime=TIME, length=LONG, content=BYTES)

# A row as it arrives, from Kafka or from a file. A file's row has topic `file:<topic>/<name>`, partition 0
# and its line (from 1) as offset, so that one key names every row of bronze.
FILE_ROW = columns(
    topic=TEXT, partition=INT, offset=LONG, key=BYTES, value=BYTES, headers=many(HEADER), timestamp=TIME
)

LANDED = columns(
    topic=TEXT,
    partition=INT,
    offset=LONG,
    key=BYTES,
    value=BYTES,
    headers=many(HEADER),
    timestamp=TIME,
    ingested_at=TIME,
    ingest_date=DAY,
)

UNREADABLE = "unreadable"
"""Header of a row that stands for a file which could not be read; its value is the reason."""

COORDINATES = ("topic", "partition", "offset")


def _landing(topic: str) -> Table:
    bounds = ("partition", "offset", "timestamp")
    return Table(f"bronze.{topic}", LANDED, COORDINATES, ("ingest_date",), "timestamp", bounds=bounds)


INTERACTIONS = _landing("interactions")
CATALOG = _landing("catalog")
DECISION_FEATURES = _landing("decision_features")

# Topic -> the table that keeps it.
BY_TOPIC = {"interactions": INTERACTIONS, "catalog": CATALOG, "decision_features": DECISION_FEATURES}

# What silver reads; the features of decisions were judged by the service that logged them.
REFINED = (INTERACTIONS, CATALOG)
