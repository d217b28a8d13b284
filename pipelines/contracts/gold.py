"""Gold: what a shop looks at and what models learn from. Revisioned tables keep corrections; readers take the
latest revision of a key."""

from pipelines.contracts.table import Table
from pipelines.contracts.types import (
    BYTES,
    DAY,
    DOUBLE,
    FLAG,
    FLOAT,
    INT,
    LONG,
    TEXT,
    TIME,
    by_name,
    columns,
    many,
)
from pipelines.contracts.watch import REASON

SESSIONS = Table(
    "gold.sessions",
    columns(
        user_id=TEXT,
        session_start=TIME,
        session_end=TIME,
        session_date=DAY,
        source=TEXT,
        events=LONG,
        counts=by_name(LONG),  # events by type
        items=LONG,  # distinct items touched
        items_touched=by_name(LONG),  # interactions by item
        revenue_minor=by_name(LONG),  # by currency
        is_removed=FLAG,  # a late event merged this session into an earlier one
        revision=LONG,
    ),
    key=("user_id", "session_start"),
    partition_by=("session_date",),
    event_time="session_start",
    revisioned=True,
    required=("session_end", "session_date", "events", "counts", "items", "revision"),
    ranges=(("events", 1, None), ("items", 0, None), ("revision", 1, None)),
)

ITEM_STATS = Table(
    "gold.item_stats",
    columns(
        item_id=TEXT,
        day=DAY,
        shown=LONG,  # times in a decision's list
        counts=by_name(LONG),  # events by type
        users=LONG,  # distinct users
        revenue_minor=by_name(LONG),
        revision=LONG,
    ),
    key=("item_id", "day"),
    partition_by=("day",),
    event_time="day",
    revisioned=True,
    required=("shown", "counts", "users", "revision"),
    ranges=(("shown", 0, None), ("users", 0, None), ("revision", 1, None)),
)

USER_PROFILES = Table(
    "gold.user_profiles",
    columns(
        user_id=TEXT,
        first_seen=TIME,
        last_seen=TIME,
        events=LONG,
        sessions=LONG,
        counts=by_name(LONG),
        favourites=by_name(TEXT),  # attribute -> the value most interacted with
        revenue_minor=by_name(LONG),
        revision=LONG,
    ),
    key=("user_id",),
    event_time="last_seen",
    revisioned=True,
    required=("first_seen", "last_seen", "events", "sessions", "revision"),
    ranges=(("events", 1, None), ("sessions", 1, None), ("revision", 1, None)),
)

ENGAGEMENT = Table(
    "gold.engagement",
    columns(
        minute=TIME,
        day=DAY,
        segment=TEXT,  # all | source=<value> | <attribute>=<value>
        metric=TEXT,  # events, active_users, searches, click_through, …, as the domain names them
        value=DOUBLE,
        exposure=LONG,  # the denominator of a ratio, null for a count
        is_removed=FLAG,  # a late version of an item moved everything in it to another segment
        revision=LONG,
    ),
    key=("minute", "segment", "metric"),
    partition_by=("day",),
    event_time="minute",
    revisioned=True,
    required=("day", "value", "revision"),
    ranges=(("exposure", 1, None), ("revision", 1, None)),
)

DECISION_OUTCOMES = Table(
    "gold.decision_outcomes",
    columns(
        decision_id=TEXT,
        item_id=TEXT,
        position=INT,  # from 1
        user_id=TEXT,
        decided_at=TIME,
        day=DAY,
        label=FLOAT,  # the domain's gain of the best outcome inside the attribution window, 0 without one
        outcomes=by_name(LONG),  # outcome events by type
        first_outcome_at=TIME,
        revision=LONG,
    ),
    key=("decision_id", "item_id"),
    partition_by=("day",),
    event_time="decided_at",
    revisioned=True,
    required=("position", "user_id", "decided_at", "day", "label", "revision"),
    ranges=(("position", 1, None), ("label", 0, None), ("revision", 1, None)),
)

BEHAVIOUR_VECTORS = Table(
    "gold.behaviour_vectors",
    columns(
        entity=TEXT,  # user | session | device | address
        entity_id=TEXT,
        window_minutes=INT,  # length of the window
        window_start=TIME,
        day=DAY,
        vector=many(DOUBLE),  # in the order of pipelines.anomalies.behaviour.NAMES
        links=by_name(TEXT),  # what it shares with others: device, address, pattern
        exposure=DOUBLE,  # minor units of money, else acts
        revision=LONG,
    ),
    key=("entity", "entity_id", "window_minutes", "window_start"),
    partition_by=("day",),
    event_time="window_start",
    revisioned=True,
    required=("day", "vector", "exposure", "revision"),
    ranges=(("window_minutes", 1, None), ("exposure", 0, None), ("revision", 1, None)),
)

TRAINING_ROWS = Table(
    "gold.training_rows",
    columns(
        domain=TEXT,
        decision_id=TEXT,
        item_id=TEXT,
        user_id=TEXT,
        position=INT,
        decided_at=TIME,
        as_of=TIME,
        label=FLOAT,
        features=many(FLOAT),  # NaN where unknown; in the order of the definitions
        popularity=FLOAT,  # of the item before: outcomes so far; what a ranker must beat
        outcome_rate=FLOAT,  # of the item before: outcomes per list so far, smoothed; what a ranker must beat
        earlier_events=INT,  # of the user, for slices
        propensity=FLOAT,  # chance with which the shop put the item at its place; null where it did not say
        definitions_hash=TEXT,
        vectors_version=TEXT,  # of gold.vectors; null where the features need none
    ),
    key=("domain", "decision_id", "item_id"),
    partition_by=("domain",),
    event_time="decided_at",
    required=("user_id", "position", "decided_at", "label", "features", "definitions_hash"),
    ranges=(("position", 1, None), ("label", 0, None), ("earlier_events", 0, None), ("propensity", 0, 1)),
)

VECTORS = Table(
    "gold.vectors",
    columns(
        domain=TEXT,
        version=TEXT,  # hash of the content
        built_at=TIME,
        until=TIME,  # what arrived from then on plays no part
        items=LONG,
        content=BYTES,  # the file vectors.npz of a model's package
    ),
    key=("version",),
    partition_by=("domain",),
    event_time="built_at",
    required=("domain", "built_at", "until", "items", "content"),
    ranges=(("items", 0, None),),
)

SCORES = Table(
    "gold.scores",
    columns(
        decision_id=TEXT,
        item_id=TEXT,
        user_id=TEXT,
        decided_at=TIME,
        day=DAY,
        position=INT,
        score=FLOAT,
        rank=INT,  # from 1, by descending score
        model_name=TEXT,
        model_version=TEXT,
    ),
    key=("decision_id", "item_id"),
    partition_by=("day",),
    event_time="decided_at",
    required=("score", "rank", "model_name", "model_version"),
    ranges=(("rank", 1, None), ("position", 1, None)),
)

OUTLIERS = Table(
    "gold.outliers",
    columns(
        entity=TEXT,
        entity_id=TEXT,
        window_minutes=INT,
        window_start=TIME,
        window_end=TIME,
        day=DAY,
        vector=many(DOUBLE),
        score=DOUBLE,  # higher is more unusual; null, as what follows from it, for kinds that no model knows
        rank=DOUBLE,  # share of the training vectors with a lower score, 0..1
        p_value=DOUBLE,
        is_tail=FLAG,  # the p-value is read from a fitted tail: the score is above all calibration scores
        is_found=FLAG,  # a discovery, at the level of its micro-batch
        reasons=many(REASON),  # the least usual figures, the most unusual first
        top_features=many(TEXT),  # their names
        links=by_name(TEXT),
        exposure=DOUBLE,
        model_name=TEXT,
        model_version=TEXT,
        calibration=TEXT,  # version of the calibration
        learnt=DOUBLE,  # log-odds that a reviewer confirms it; null where no order is in use, or it is usual
        revision=LONG,
    ),
    key=("entity", "entity_id", "window_minutes", "window_start"),
    partition_by=("day",),
    event_time="window_start",
    revisioned=True,
    required=("window_end", "exposure", "model_name", "model_version"),
    ranges=(("rank", 0, 1), ("p_value", 0, 1), ("revision", 1, None)),
)
