"""What goes wrong on the way: events that come late, twice, or broken."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from pipelines.simulate.config import DAY_MS, ShopConfig
from pipelines.simulate.rows import DUPLICATE, LATE, Rows

Breakage = Callable[[bytes], bytes]

TWENTY_YEARS_MS = 20 * 365 * DAY_MS


def with_late_and_doubled(rng: np.random.Generator, rows: Rows, config: ShopConfig) -> Rows:
    """The rows, some of them with a later arrival, and copies of some that arrive again within minutes."""
    late = rng.random(len(rows)) < config.late_share
    delay = np.minimum(rng.exponential(config.late_minutes * 60_000, int(late.sum())), DAY_MS)
    rows["arrival"][late] += 1 + delay.astype(np.int64)
    rows["noise"][late] |= LATE
    copies = rows[rng.random(len(rows)) < config.duplicate_share]
    copies["arrival"] += 1 + rng.exponential(30_000, len(copies)).astype(np.int64)
    copies["noise"] = copies["noise"] & ~LATE | DUPLICATE
    return np.concatenate([rows, copies])


INTERACTIONS_ONLY = ("nan", "overflow", "price_of_words")  # a decision has no price that could be wrong


def breakages(huge_bytes: int) -> dict[str, Breakage]:
    """Name of what is wrong -> what makes it wrong of a good record. No result holds a line break."""
    filler = b"x" * huge_bytes
    return {
        "truncated": lambda line: line[: len(line) * 2 // 3],
        "bad_utf8": lambda line: line.replace(b'"user_id":"', b'"user_id":"\xff\xfe', 1),
        "not_json": lambda line: b"GET /cart HTTP/1.1 500 " + line[2:12],
        "not_an_object": lambda line: b"[" + line + b"]",
        "too_deep": lambda line: b"[" * 20_000,
        "no_user": lambda line: re.sub(rb'"user_id":"[^"]*",', b"", line),
        "null_user": lambda line: re.sub(rb'"user_id":"[^"]*"', b'"user_id":null', line),
        "no_id": lambda line: re.sub(rb'"(event|decision)_id":"[^"]*",', b"", line, count=1),
        "no_time": lambda line: re.sub(rb'"event_time":\d+,', b"", line),
        "time_of_words": lambda line: re.sub(rb'"event_time":\d+', b'"event_time":"yesterday noon"', line),
        "user_of_parts": lambda line: re.sub(rb'"user_id":"[^"]*"', b'"user_id":{"first":"a"}', line),
        "nan": lambda line: _with(line, b'"price_minor":NaN'),
        "overflow": lambda line: _with(line, b'"price_minor":123456789012345678901234567890'),
        "price_of_words": lambda line: _with(line, b'"price_minor":"twelve"'),
        "unknown_type": lambda line: re.sub(rb'"event_type":"[^"]*"', b'"event_type":"teleport"', line),
        "from_the_future": lambda line: _moved(line, TWENTY_YEARS_MS),
        "from_the_past": lambda line: re.sub(rb'"event_time":\d+', b'"event_time":86400000', line),
        "huge": lambda line: _with(line, b'"query":"' + filler + b'"'),
    }


def _with(line: bytes, member: bytes) -> bytes:
    """The record as an event of which no other member has that name, plus this member."""
    name = member.split(b":")[0]
    without = re.sub(name + rb':("[^"]*"|[^,}"]*),?', b"", line)
    return b"{" + member + b"," + without[1:]


def _moved(line: bytes, by_ms: int) -> bytes:
    return re.sub(rb'"event_time":(\d+)', lambda found: b'"event_time":%d' % (int(found[1]) + by_ms), line)
