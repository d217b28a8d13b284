"""What an online store on a server is asked in one round trip, and how it keeps fences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.io.changes import GENERATIONS, noted
from pipelines.io.online_store import Changes, Place

GENERATION = "generation"


class Generation(NamedTuple):
    """A state of a store: how many transactions it has seen."""

    store: str
    number: int


NEVER = Generation("", 0)

# One moment of the store in use: its name, version, count of numbers and generation, fences, the records of
# keys (kind, rest), and what the generations since that of the arguments have changed in this store, or '*'.
READ = """
local name = ARGV[1]
if name == '' then name = redis.call('GET', KEYS[1]) end
if not name then return {false} end
local root = ARGV[2] .. name .. ':'
local found = {}
for i = 5, #ARGV do
  found[i - 4] = redis.call('HGET', root .. string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2))
end
local about = redis.call('HMGET', root .. 'meta', 'version', 'numbers', 'generation')
local now, since, changed = tonumber(about[3] or 0), tonumber(ARGV[4]), {'*'}
if ARGV[3] == name and since <= now and now - since < MOST then
  changed = {}
  for i = since + 1, now do
    changed[i - since] = redis.call('HGET', root .. 'changes', i) or '*'
  end
end
return {name, about, redis.call('HGETALL', root .. 'fences'), found, changed}
""".replace("MOST", str(GENERATIONS))
LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


def fences_of(found: Mapping[bytes, bytes]) -> dict[Place, int]:
    """Fences by place, as they lie on the server."""
    split = ((name.decode().split("/", 1), offset) for name, offset in found.items())
    return {(topic, int(partition)): int(offset) for (partition, topic), offset in split}


def queue_changed(pipe: Any, meta: str, log: str, changes: Changes, number: int) -> None:
    """Note what the generation of this number changes, and forget the one that is too old."""
    pipe.hset(meta, GENERATION, number)
    pipe.hset(log, str(number), noted(changes))
    pipe.hdel(log, str(number - GENERATIONS))
