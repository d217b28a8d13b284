"""What Kafka holds, for tests."""

from confluent_kafka import Consumer, TopicPartition

from pipelines.io import kafka_admin


def read_topic(settings, topic, since=None):
    """Messages of a topic, or those behind these ends, by partition."""
    ends = kafka_admin.end_offsets(settings, topic)
    since = since or dict.fromkeys(ends, 0)
    consumer = Consumer({**kafka_admin.client_options(settings), "group.id": "tests"})
    consumer.assign([TopicPartition(topic, p, offset) for p, offset in since.items()])
    missing = sum(ends.values()) - sum(since.values())
    found = [message for message in consumer.consume(missing, 10) if message.error() is None]
    consumer.close()
    return found
