"""The sections of the settings: their keys and types. Units and defaults stand in conf/base.yml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paths:
    """Where things are kept. `lake`, `checkpoints` and `drops` default to folders of `state`."""

    state: str
    lake: str
    checkpoints: str
    drops: str


@dataclass(frozen=True)
class Kafka:
    """The broker, and the topics of the local one."""

    bootstrap: str
    port: int
    controller_port: int
    heap_mb: int
    partitions: int
    catalog_partitions: int
    decision_features_partitions: int
    alerts_partitions: int
    dead_letters_partitions: int
    security_protocol: str
    max_message_bytes: int


@dataclass(frozen=True)
class Spark:
    """Size and place of Spark."""

    master: str
    driver_memory: str
    executor_memory: str
    executor_instances: int
    executor_python: str
    environment_archive: str
    container_image: str
    namespace: str
    shuffle_partitions: int
    local_filesystem: bool
    ui: bool
    log_level: str


@dataclass(frozen=True)
class Streams:
    """Pace of the streams."""

    max_offsets_per_trigger: int
    max_files_per_trigger: int
    silver_batch_bytes: int
    store_trigger_ms: int
    bronze_trigger_ms: int
    silver_trigger_ms: int
    gold_trigger_ms: int
    behaviour_trigger_ms: int
    outliers_trigger_ms: int
    scores_trigger_ms: int
    drops_trigger_ms: int
    watch_trigger_ms: int
    stop_grace_s: int


@dataclass(frozen=True)
class Silver:
    """What makes a row late, future, too big or too old."""

    watermark_minutes: int
    future_minutes: int
    max_value_bytes: int
    oldest_event_time: str


@dataclass(frozen=True)
class Gold:
    """Windows of the published tables."""

    session_gap_minutes: int
    rolling_days: tuple[int, ...]


@dataclass(frozen=True)
class Outliers:
    """Behaviour vectors, and how unusual ones are told apart."""

    watched: tuple[str, ...]
    history_hours: int
    fewest_vectors: int
    bound: str
    bound_delta: float
    tail_share: float
    tail_reach: float
    false_share: float
    memory_batches: int
    change_limit: float


@dataclass(frozen=True)
class Store:
    """The online store, and how long it keeps what is idle."""

    kind: str
    path: str
    url: str
    prefix: str
    idle_days: int
    catalog_days: int


@dataclass(frozen=True)
class Vectors:
    """How vectors of items are built."""

    blocks: int
    most_terms: int
    refresh_days: float
    seed: int


OBJECTIVES = ("rank:ndcg", "binary:logistic")
"""What boosting can aim at: the order within a decision, or the chance of an outcome."""


@dataclass(frozen=True)
class Recipe:
    """How a ranker is boosted: what a domain file may set for its own shop, in `training:`."""

    objective: str
    rounds: int
    early_stopping: int
    learning_rate: float
    depth: int
    min_child_weight: float
    l2: float
    row_share: float
    feature_share: float
    bins: int


@dataclass(frozen=True)
class Training(Recipe):
    """How models are trained and judged."""

    test_share: float
    validation_share: float
    in_process_rows: int
    num_workers: int
    threads: int
    seed: int


@dataclass(frozen=True)
class Tuning:
    """The search for better settings of `training`: its budget, and the values of each that are tried."""

    trials: int
    minutes: int
    processes: int
    threads: int
    storage: str
    report_rounds: int
    prune_after_trials: int
    prune_after_rounds: int
    learning_rate: tuple[float, ...]
    depth: tuple[int, ...]
    min_child_weight: tuple[float, ...]
    l2: tuple[float, ...]
    row_share: tuple[float, ...]
    feature_share: tuple[float, ...]
    bins: tuple[int, ...]
    objective: tuple[str, ...]


@dataclass(frozen=True)
class Mlflow:
    """The tracking server."""

    tracking_uri: str
    port: int


@dataclass(frozen=True)
class Gate:
    """What a challenger must show."""

    metric: str
    min_gain: float
    max_loss: float
    max_slice_loss: float
    max_calibration_error: float
    max_latency_us: float
    max_psi: float
    max_shifted: float
    min_propensity: float
    max_off_policy_loss: float
    max_outlier_share: float


@dataclass(frozen=True)
class Parity:
    """How features as they were served are compared with those of training, and what is a fault."""

    hours: float
    most: int
    fewest: int
    own_share: float
    shared_share: float


@dataclass(frozen=True)
class Serving:
    """The scoring service: where it listens, what it takes, how it logs."""

    host: str
    port: int
    workers: int
    tls_certificate: str
    tls_key: str
    tokens: str
    max_body_bytes: int
    rate_per_client: float
    max_waiting: int
    budget_ms: int
    events_timeout_ms: int
    refresh_s: float
    explore_share: float
    features_share: float
    queue_messages: int
    spool_mb: int
    remembered_decisions: int
    accepted_events: int
    access_log: bool
    drain_s: float


@dataclass(frozen=True)
class Airflow:
    """The project's own Airflow."""

    port: int
    parallelism: int


@dataclass(frozen=True)
class Alerts:
    """From findings to incidents, who hears of them, and where they are reviewed."""

    trigger_ms: int
    merge_gap_minutes: int
    cooldown_minutes: int
    link_share: float
    exposure_unit: float
    levels: tuple[float, ...]
    notify_level: str
    hold_level: str
    most_notifications: int
    notify_wait_minutes: int
    notify_pause_minutes: int
    capacity_per_day: int
    samples_per_day: int
    unusual_per_day: int
    unusual_until: int
    double_share: float
    expected_days: int
    expected_drop_hours: float
    evidence_days: float
    explore_share: float
    seed: int
    to_kafka: bool
    webhook_url: str
    mail_host: str
    mail_port: int
    mail_tls: str
    mail_from: str
    mail_to: tuple[str, ...]
    retry_most_s: float
    outbox_mb: int
    page_url: str
    host: str
    port: int
