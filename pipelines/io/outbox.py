"""From the scoring service to Kafka: nothing here waits, decisions are never lost, features first give way.

While the broker is away decisions go to a bounded file and are delivered when it is back, the oldest first.
What was handed over and not acknowledged in time goes there too: it may then come twice, under the same
decision_id, and silver keeps one.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipelines.io.kafka_admin import QUIET, client_options
from pipelines.io.producer import OPTIONS
from pipelines.io.spool import Spool, Waiting
from pipelines.settings import Settings

Delivered = Callable[[str | None, int, int], None]
DECISIONS, FEATURES = "interactions", "decision_features"
LINGER_MS = 10
POLL_S = 0.1
REPORTS_S = 0.05
FLUSH_S = 10.0
AT_ONCE = 10_000  # messages from disk that are sent together
LOOK_S = 0.5  # seconds between two looks whether the broker is back


class Outbox:
    """A producer with a thread of its own that hears what became of messages, and delivers what waited."""

    def __init__(self, settings: Settings, spool: Path) -> None:
        """`spool` is this process's own file. The broker need not be there yet."""
        serving = settings.serving
        self._producer = Producer(
            {
                **client_options(settings),
                **QUIET,
                **OPTIONS,
                "delivery.report.only.error": False,
                "linger.ms": LINGER_MS,
                "message.timeout.ms": serving.events_timeout_ms,
                "message.max.bytes": settings.kafka.max_message_bytes,
                "queue.buffering.max.messages": serving.queue_messages,
                "error_cb": self._on_error,
            }
        )
        self._shed_from = serving.queue_messages // 2
        self._lock = threading.Lock()
        self._spool = Spool(spool, serving.spool_mb << 20)
        self._away = threading.Event()
        self._ending = threading.Event()
        self._hurry = threading.Event()
        self._awaited: set[Delivered] = set()
        self._counts: Counter[str] = Counter()
        if self._spool.count:
            self._away.set()
        self._thread = threading.Thread(target=self._serve, name="outbox", daemon=True)
        self._thread.start()

    def send(self, topic: str, key: bytes, value: bytes, timestamp_ms: int, done: Delivered) -> None:
        """Hand over a message that must not wait on disk; `done` hears what became of it."""

        def delivered(problem: KafkaError | None, message: Message) -> None:
            self._awaited.discard(done)
            if problem is None:
                done(None, message.partition() or 0, message.offset() or 0)
            else:
                done(problem.str(), -1, -1)

        self._awaited.add(done)
        try:
            self._produce(topic, key, value, timestamp_ms, delivered)
        except BufferError:
            self._awaited.discard(done)
            done("too much waits for Kafka already", -1, -1)
        except KafkaException as problem:
            self._awaited.discard(done)
            done(problem.args[0].str(), -1, -1)
        self._hurry.set()

    def decide(self, key: bytes, value: bytes, timestamp_ms: int, done: Delivered) -> None:
        """Hand over a decision; while Kafka is away it waits on disk, and `done` hears nothing."""
        message = (key, value, timestamp_ms)

        def delivered(problem: KafkaError | None, sent: Message) -> None:
            if problem is None:
                self._counts["decisions_delivered"] += 1
                done(None, sent.partition() or 0, sent.offset() or 0)
            else:
                self._away.set()
                self._keep(message)

        if self._away.is_set():
            self._keep(message)
            return
        try:
            self._produce(DECISIONS, key, value, timestamp_ms, delivered)
        except BufferError:
            self._keep(message)

    def feature_values(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Hand over the features of a decision, to be left out when too much waits or Kafka is away."""
        if self._away.is_set() or len(self._producer) >= self._shed_from:
            self._counts["features_shed"] += 1
            return

        def delivered(problem: KafkaError | None, _: Message) -> None:
            self._counts["features_shed" if problem else "features_delivered"] += 1

        try:
            self._produce(FEATURES, key, value, timestamp_ms, delivered)
        except BufferError:
            self._counts["features_shed"] += 1

    def counts(self) -> Mapping[str, int]:
        """Counters and gauges, by the name of the metric."""
        known = ("decisions_delivered", "decisions_dropped", "features_delivered", "features_shed")
        gauges = {
            "kafka_queue": len(self._producer),
            "spooled_decisions": self._spool.count,
            "kafka_away": int(self._away.is_set()),
        }
        return {name: self._counts[name] for name in known} | gauges

    def close(self, timeout_s: float) -> None:
        """Wait until Kafka has everything; decisions that it does not have by then wait on disk."""
        left = self._producer.flush(timeout_s)
        if left:  # their reports come now, and decisions among them go to the spool
            self._producer.purge(in_flight=True)
            self._producer.flush(0.5)
        self._ending.set()
        self._thread.join(2 * LOOK_S)
        self._spool.close()

    def _produce(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        timestamp_ms: int,
        delivered: Callable[[KafkaError | None, Message], None],
    ) -> None:
        self._producer.produce(topic, value=value, key=key, timestamp=timestamp_ms, on_delivery=delivered)

    def _keep(self, message: Waiting) -> None:
        with self._lock:
            self._counts["decisions_spooled" if self._spool.put(message) else "decisions_dropped"] += 1

    def _on_error(self, problem: KafkaError) -> None:
        if problem.code() == KafkaError._ALL_BROKERS_DOWN:
            self._away.set()

    def _serve(self) -> None:
        """Until the end: hear of deliveries; when the broker is back, deliver what waited."""
        while not self._ending.is_set():
            if self._awaited:
                self._producer.poll(POLL_S)
            else:  # nobody waits: reports are heard of together, or each would interrupt who answers
                self._hurry.wait(REPORTS_S)
                self._hurry.clear()
                self._producer.poll(0)
            if self._away.is_set() and self._answers():
                self._deliver()

    def _answers(self) -> bool:
        try:
            return bool(self._producer.list_topics(DECISIONS, timeout=LOOK_S).brokers)
        except KafkaException:
            return False

    def _deliver(self) -> None:
        """Send what waits, a part of it at a time; it stays on disk until Kafka has it."""
        while True:
            with self._lock:
                waiting = self._spool.oldest(AT_ONCE)
                if not waiting:
                    self._away.clear()
                    return
            if not self._all_delivered(waiting):
                return
            with self._lock:
                self._spool.drop(len(waiting))
            self._counts["decisions_delivered"] += len(waiting)

    def _all_delivered(self, waiting: list[Waiting]) -> bool:
        failed: list[str] = []

        def delivered(problem: KafkaError | None, _: Message) -> None:
            if problem is not None:
                failed.append(problem.str())

        for key, value, timestamp_ms in waiting:
            while True:
                try:
                    self._produce(DECISIONS, key, value, timestamp_ms, delivered)
                    break
                except BufferError:
                    self._producer.poll(POLL_S)
        return self._producer.flush(FLUSH_S) == 0 and not failed
