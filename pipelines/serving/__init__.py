"""The answer: ranking at request time."""
