"""The pipes: Kafka, Delta, checkpoints. The only room, beside stack and session, that opens anything."""
