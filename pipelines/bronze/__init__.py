"""The door: every byte is kept, with topic, partition and offset."""
