"""Checkpoints of streams: where they are, and that each has one owner."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
from pathlib import Path
from typing import IO

from pipelines.errors import OwnershipError
from pipelines.settings import Settings

_held: dict[str, IO[str]] = {}


def is_local(location: str) -> bool:
    """True for a folder of this machine, false for an object store or a distributed file system."""
    return location.startswith("file:") or "://" not in location


def local_path(location: str) -> Path:
    """The folder that a local location names."""
    return Path(location.removeprefix("file://").removeprefix("file:"))


def location(settings: Settings, query: str) -> str:
    """Where a query of this name keeps its checkpoint."""
    return f"{settings.checkpoints.rstrip('/')}/{query}"


def own(settings: Settings, query: str) -> None:
    """Take the query's checkpoint for this process until it ends or `disown`s it.

    Raises OwnershipError that names the process which has it. On a remote checkpoint there is nothing to
    lock: there the scheduler must run one application per query, and Spark itself stops the slower of two
    writers.
    """
    where = location(settings, query)
    if not is_local(where):
        return
    path = local_path(where)
    lock = local_path(settings.checkpoints) / "_owners" / f"{query.replace('/', '.')}.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        owner = handle.read().strip() or "a process that is just starting"
        handle.close()
        raise OwnershipError(
            f"the checkpoint {path} of {query} is in use by {owner}: one checkpoint has one running query. "
            "Stop that process (`lakepulse down`), or give this one another `paths.checkpoints`"
        ) from None
    handle.truncate(0)
    handle.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "query": query}))
    handle.flush()
    _held[str(path)] = handle


def disown(settings: Settings, query: str) -> None:
    """Give the checkpoint back; harmless when it was not held."""
    where = location(settings, query)
    handle = _held.pop(str(local_path(where)), None) if is_local(where) else None
    if handle is not None:
        handle.close()


def forget(settings: Settings, query: str) -> None:
    """Delete a local query's checkpoint: its next run starts from what its target table holds."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(local_path(location(settings, query)))


def begin_afresh(settings: Settings, query: str) -> None:
    """Delete a local query's checkpoint, for one whose target says where it goes on. Raises OwnershipError
    when another process runs it."""
    if is_local(settings.checkpoints):
        own(settings, query)
        forget(settings, query)
        disown(settings, query)


def exists(settings: Settings, query: str) -> bool:
    """Whether a local query has run before; true for a remote one, which only Spark can look at."""
    where = location(settings, query)
    return not is_local(where) or (local_path(where) / "metadata").is_file()
