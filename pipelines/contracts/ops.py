"""Ops: what LakePulse records about itself."""

from pipelines.contracts.table import Table
from pipelines.contracts.types import DOUBLE, FLAG, LONG, TEXT, TIME, by_name, columns, many

CHECK = columns(
    name=TEXT,
    verdict=TEXT,  # passed | failed | not judged
    told=TEXT,
    value=DOUBLE,
    limit=DOUBLE,
)

GATE_RECORDS = Table(
    "ops.gate_records",
    columns(
        decided_at=TIME,
        model_name=TEXT,
        challenger=TEXT,
        champion=TEXT,
        action=TEXT,  # gate | promotion by force | rollback
        decided_by=TEXT,  # the job, or the person
        accepted=FLAG,  # whether the challenger may be, or was, put in charge
        reason=TEXT,
        figures=by_name(DOUBLE),
        checks=many(CHECK),  # of the gate; none where a person decided
    ),
    key=("model_name", "challenger", "decided_at"),
    event_time="decided_at",
    required=("action", "decided_by", "accepted", "reason"),
)

STREAM_PROGRESS = Table(
    "ops.stream_progress",
    columns(
        query=TEXT,
        batch_id=LONG,
        finished_at=TIME,
        counts=by_name(LONG),  # consumed, valid, quarantined, late, duplicate, …
    ),
    key=("query", "batch_id"),
    event_time="finished_at",
)

OUTLIER_BATCHES = Table(
    "ops.outlier_batches",
    columns(
        number=LONG,  # rises from batch to batch, over restarts too
        batch_id=LONG,
        newest=TIME,  # start of the newest window
        vectors=LONG,
        tests=LONG,  # hypotheses: vectors with a p-value
        below_5=LONG,  # of them, p-values of 5 % and less
        level=DOUBLE,  # at which they were tested
        found=LONG,  # causes that were discovered
        most=LONG,  # causes at most, had one p-value been 0
        model_version=TEXT,
    ),
    key=("number",),
    event_time="newest",
    required=("tests", "level", "found", "most"),
    ranges=(("tests", 0, None), ("level", 0, 1), ("found", 0, None)),
)

ALERT_ORDERS = Table(
    "ops.alert_orders",
    columns(
        model_name=TEXT,
        model_version=TEXT,
        since=TIME,  # start of the newest window when the version took over
        is_used=FLAG,  # alerts are put in the learnt order: its gain is clear of chance
        reviews=LONG,
        judged=LONG,  # the later reviews, by which it was judged
        ours=DOUBLE,  # average precision on these; null, as what follows, where reviews are too few
        without=DOUBLE,
        gain=DOUBLE,
        low=DOUBLE,  # of the gain's 95 % interval
        high=DOUBLE,
        told=TEXT,
    ),
    key=("model_name", "model_version", "since"),
    event_time="since",
    required=("model_version", "is_used", "reviews", "told"),
    ranges=(("ours", 0, 1), ("without", 0, 1)),
)

AUDITS = Table(
    "ops.audits",
    columns(
        audited_at=TIME,
        table=TEXT,
        expectation=TEXT,
        column=TEXT,
        success=FLAG,
        observed=TEXT,
        unexpected=LONG,
        rows=LONG,
    ),
    key=("audited_at", "table", "expectation", "column"),
    event_time="audited_at",
)

PARITY = Table(
    "ops.parity",
    columns(
        compared_at=TIME,
        domain=TEXT,
        definitions_hash=TEXT,
        feature=TEXT,
        since=TIME,  # decisions made after this, and up to `until`, were compared
        until=TIME,
        decisions=LONG,  # that were logged with their features and replayed, under these definitions
        values=LONG,  # of the feature, one for each item that such a decision showed
        equal=LONG,  # of them, bit for bit the same in the log and in the replay
        share=DOUBLE,
        is_own=FLAG,  # it reads the user's own record, the request and the catalog alone
        is_fault=FLAG,  # fewer of its values are equal than the settings ask for
        largest=DOUBLE,  # difference, where both values are known; null where none differs
        decision_id=TEXT,  # what differs most, or is missing on one side; null where nothing differs
        item_id=TEXT,
        logged=DOUBLE,
        replayed=DOUBLE,
    ),
    key=("compared_at", "domain", "feature"),
    event_time="compared_at",
    required=("definitions_hash", "since", "until", "decisions", "values", "equal", "share", "is_fault"),
    ranges=(("values", 1, None), ("equal", 0, None), ("share", 0, 1)),
)
