"""The sorting room: parse, judge, deduplicate."""
