"""The watch: incidents, what was left out of them, and what people have said of them. All are tables of
gold."""

from pipelines.contracts.table import Table
from pipelines.contracts.types import DAY, DOUBLE, FLAG, INT, LONG, TEXT, TIME, by_name, columns, many

REASON = columns(
    name=TEXT,
    value=DOUBLE,
    low=DOUBLE,  # the range that is usual
    high=DOUBLE,
)

MEMBER = columns(
    entity=TEXT,
    entity_id=TEXT,
    p=DOUBLE,  # least of its windows
    exposure=DOUBLE,  # greatest of its windows
    window_start=TIME,
    window_end=TIME,
)

ALERTS = Table(
    "gold.alerts",
    columns(
        incident_id=TEXT,
        day=DAY,  # of the opening
        fingerprint=TEXT,  # the same for each recurrence
        kind=TEXT,  # outlier | drop | unusual: no test found it | sample: drawn to tell what is missed
        state=TEXT,  # open | closed: nothing new | capped: beyond the review capacity | merged
        merged_into=TEXT,
        pattern=TEXT,  # kind, entity and chief reasons: what reviews teach about
        severity=DOUBLE,
        level=TEXT,  # low | medium | high | critical
        p=DOUBLE,  # least of its members
        exposure=DOUBLE,  # sum of its members: minor units of money, else events
        opened_at=TIME,
        updated_at=TIME,
        window_start=TIME,
        window_end=TIME,
        entities=LONG,
        members=many(MEMBER),  # the most unusual first
        reasons=many(columns(name=TEXT, value=DOUBLE, low=DOUBLE, high=DOUBLE, share=DOUBLE)),
        links=many(columns(kind=TEXT, value=TEXT, entities=LONG)),  # what members share
        segments=many(TEXT),  # of a site-wide drop: segments that it mutes
        notifications=INT,
        calibrations=many(TEXT),  # versions of what made the p-values
        chance=DOUBLE,  # of a sample: with which it was drawn
        learnt=DOUBLE,  # highest log-odds of a member that it is confirmed; null where no order is in use
        revision=LONG,
    ),
    key=("incident_id",),
    partition_by=("day",),
    event_time="opened_at",
    revisioned=True,
    required=("fingerprint", "kind", "state", "severity", "level", "opened_at", "entities", "revision"),
    ranges=(("p", 0, 1), ("chance", 0, 1), ("revision", 1, None)),
)

SUPPRESSED = Table(
    "gold.suppressed",
    columns(
        suppressed_at=TIME,
        day=DAY,
        why=TEXT,  # silenced | inhibited | pattern | capped
        told=TEXT,  # the silence, incident or pattern
        kind=TEXT,
        entity=TEXT,  # incident: what the daily cap left out, a row of gold.alerts
        entity_id=TEXT,
        window_start=TIME,
        window_end=TIME,
        p=DOUBLE,
        exposure=DOUBLE,
        reasons=many(REASON),
    ),
    key=("entity", "entity_id", "window_start", "window_end", "why"),
    partition_by=("day",),
    event_time="suppressed_at",
    required=("why", "kind", "p"),
    ranges=(("p", 0, 1),),
)

REVIEWS = Table(
    "gold.reviews",
    columns(
        review_id=TEXT,
        reviewed_at=TIME,
        day=DAY,
        incident_id=TEXT,
        alert_revision=LONG,  # of the row in gold.alerts that the reviewer saw
        action=TEXT,  # verdict | assignment
        verdict=TEXT,  # confirmed | expected | false_alarm | new_trend; null in an assignment
        reason=TEXT,
        reviewer=TEXT,
        assigned_to=TEXT,
        kind=TEXT,
        fingerprint=TEXT,
        pattern=TEXT,
        level=TEXT,
        p=DOUBLE,  # least of a member
        exposure=DOUBLE,  # greatest of a member
        chance=DOUBLE,
        entities=many(columns(entity=TEXT, entity_id=TEXT)),
        window_start=TIME,
        window_end=TIME,
    ),
    key=("review_id",),
    partition_by=("day",),
    event_time="reviewed_at",
    required=("incident_id", "action", "reviewer", "reviewed_at"),
)

SILENCES = Table(
    "gold.silences",
    columns(
        silence_id=TEXT,
        matchers=by_name(TEXT),  # field → pattern with * and ?, all of which must fit
        until=TIME,
        why=TEXT,
        created_by=TEXT,
        created_at=TIME,
        day=DAY,
        is_removed=FLAG,
        revision=LONG,
    ),
    key=("silence_id",),
    partition_by=("day",),
    event_time="created_at",
    revisioned=True,
    required=("until", "created_by", "revision"),
    ranges=(("revision", 1, None),),
)

METRIC_VERDICTS = Table(
    "gold.metric_verdicts",
    columns(
        metric=TEXT,
        segment=TEXT,  # all | source=<value> | <attribute>=<value>
        window_start=TIME,
        window_end=TIME,
        day=DAY,
        value=DOUBLE,  # null for a ratio without exposure
        exposure=LONG,  # the denominator of a ratio
        expected=DOUBLE,
        low=DOUBLE,  # 99 of 100 usual windows are between low and high
        high=DOUBLE,
        score=DOUBLE,  # -log10(p)
        p=DOUBLE,  # null where the window is not scored
        alert=FLAG,
        ongoing=FLAG,  # an episode has begun and is not over
        reason=TEXT,  # why the window is not scored; empty where it is
        direction=TEXT,  # down | up
        windows=INT,  # latest windows that, taken together, are the most unusual
        baseline=TEXT,  # rolling | day | week
        detectable=DOUBLE,  # least lasting drop, as a share, that alerts within half an hour with chance .9
        missing=DOUBLE,  # of an episode: expected minus seen over `windows`
        causes=many(columns(segment=TEXT, share=DOUBLE, usual_share=DOUBLE)),  # of a site-wide alert
        muted_by=TEXT,  # all: the segment would alert, but the whole shop does
        calibration=TEXT,  # version of the watch's configuration
        revision=LONG,
    ),
    key=("metric", "segment", "window_start"),
    partition_by=("day",),
    event_time="window_start",
    revisioned=True,
    required=("window_end", "day", "alert", "ongoing", "reason", "calibration", "revision"),
    ranges=(("p", 0, 1), ("exposure", 0, None), ("revision", 1, None)),
)
