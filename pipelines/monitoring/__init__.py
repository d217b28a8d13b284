"""The mirror: audits of quality and the streams' own progress."""
