"""Sending to Kafka, alike from everywhere: no retry loses or doubles, one key's messages in one partition."""

from __future__ import annotations

from collections import Counter

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipelines.io.kafka_admin import QUIET, client_options, partitions
from pipelines.settings import Settings

OPTIONS: dict[str, str | int | bool] = {
    "enable.idempotence": True,
    "acks": "all",
    "compression.type": "lz4",
    "linger.ms": 20,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 262_144,
    "message.timeout.ms": 60_000,
    "delivery.report.only.error": True,
    # As Java clients do it: whoever produces a user's event, it goes to the same partition.
    "partitioner": "murmur2_random",
}


class Sender:
    """A producer that counts: `sent` messages by topic, `failed` ones, and the `first_failure` in words.

    A message counts as sent when it was accepted for sending; `flush` waits for the broker. Raises StackError
    when the broker does not answer or lacks one of the topics.
    """

    def __init__(self, settings: Settings, topics: tuple[str, ...]) -> None:
        for topic in topics:
            partitions(settings, topic)
        limit = {"message.max.bytes": settings.kafka.max_message_bytes}
        self._producer = Producer({**client_options(settings), **QUIET, **OPTIONS, **limit})
        self.sent: Counter[str] = Counter()
        self.failed = 0
        self.first_failure = ""

    def send(self, topic: str, value: bytes, key: bytes | None, timestamp_ms: int) -> None:
        """Hand over a message; waits while the queue is full. One that can never be sent counts as failed."""
        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, timestamp=timestamp_ms, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as problem:
                self._fail(f"{len(value)} bytes for {topic}: {problem.args[0].str()}")
                return
            self.sent[topic] += 1
            return

    def poll(self) -> None:
        """Hear of failures so far, without waiting."""
        self._producer.poll(0)

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until the broker has everything; what it does not have by then counts as failed."""
        left = self._producer.flush(timeout_s)
        if left:
            self._fail(f"no answer within {timeout_s:.0f} s", left)

    def report(self) -> str:
        """Messages that Kafka has, by topic, and how many it did not take, in a few lines."""
        lines = [f"sent {sum(self.sent.values()):,} messages"]
        lines += [f"  {topic:<14} {count:>11,}" for topic, count in sorted(self.sent.items())]
        if self.failed:
            lines.append(f"NOT delivered: {self.failed:,} messages, the first: {self.first_failure}")
        return "\n".join(lines)

    def _delivered(self, problem: KafkaError | None, message: Message) -> None:
        if problem is not None:
            self._fail(f"{message.topic()}: {problem.str()}")
            self.sent[str(message.topic())] -= 1

    def _fail(self, reason: str, count: int = 1) -> None:
        self.failed += count
        self.first_failure = self.first_failure or reason
