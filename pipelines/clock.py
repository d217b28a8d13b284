"""The only places where LakePulse reads the time. Edges call these; transforms get the result as an
argument."""

import time


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
