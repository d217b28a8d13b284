"""Micro-batches of findings, taken by a process that is killed at one line after the other.

Run as a program with a folder: it takes them once in peace, then once more for each moment of death, with a
second process that goes on, and prints what came of each as a line of JSON.
"""

import json
import os
import signal
import sys
from pathlib import Path

import deltalake

from pipelines import settings as settings_module
from pipelines.anomalies.findings import Finding, Reason
from pipelines.anomalies.reviews import millis
from pipelines.errors import DeliveryError
from pipelines.io import lake, raising
from pipelines.io.alert_state import StateFile
from pipelines.io.deliveries import Deliveries
from pipelines.io.delta import Batch
from pipelines.io.reviewing import Said
from pipelines.io.spool import Spool
from tests.builders_watch import CONFIG, NOON_MS, a_drop, an_outlier, arrived

TRACED = ("raising.py", "alert_state.py", "whole_file.py", "delta.py", "deliveries.py", "spool.py")
BATCHES = (
    [an_outlier("ann"), an_outlier("bob", p=1e-9), a_drop(segment="source=web")],
    [an_outlier("ann", 5, p=1e-7), a_drop(minute=5), a_drop(segment="source=app", minute=5)],
    [an_outlier("cis", 10), a_drop("carts", minute=10, p=1e-12)],
)


class Away:
    """A channel that never answers, so that what is told stays in its queue."""

    name = "away"

    def deliver(self, message):
        raise DeliveryError("nobody is there")


def finding_of(row):
    """The finding that a row of gold.outliers is."""
    return Finding(
        *("outlier", row["entity"], row["entity_id"]),
        *(millis(row["window_start"]), millis(row["window_end"]), row["p_value"], row["exposure"]),
        *(tuple(Reason(**reason) for reason in row["reasons"]), row["calibration"], dict(row["links"])),
    )


def take_all(folder, die_at=0):
    """Take the batches that are not done; die at that line of the traced files, the first being 1."""
    settings = settings_module.load(environ={}, overrides={"paths": {"state": str(folder)}})
    done = folder / "done"
    first = int(done.read_text()) if done.exists() else 0
    deliveries = Deliveries([Away()], folder / "outbox", 1 << 20, 60.0)
    drops = []
    raiser = raising.Raiser(
        *(settings, lambda rows: [finding_of(row) for row in rows]),
        lambda rows: [drops[row["number"]] for row in rows],
        lambda links, since: {},
        *(StateFile(settings, "raise_alerts"), Said(settings, None), deliveries),
        lambda: NOON_MS,
    )
    if die_at:
        sys.settrace(_killer(die_at))
    for number in range(first, len(BATCHES)):
        drops[:] = BATCHES[number]
        raiser.take(
            arrived(BATCHES[number]), Batch("raise_alerts:u1", number, is_first=number == first), None
        )
        done.write_text(str(number + 1))
    sys.settrace(None)


def _killer(die_at):
    lines = iter(range(1, die_at + 1))

    def each(frame, event, _):
        if os.path.basename(frame.f_code.co_filename) not in TRACED:
            return None
        if event == "line" and next(lines) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return each

    return each


def apart(work, *given):
    """Run it in a process of its own; its exit status."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    work(*given)
    os._exit(0)


def show(folder):
    """Print what is in the lake and in the queue."""
    settings = settings_module.load(environ={}, overrides={"paths": {"state": str(folder)}})
    columns = "incident_id, revision, state, severity, entities, notifications, window_end"
    found = {}
    for name, chosen in (("gold.alerts", columns), ("gold.suppressed", "why, told, entity_id, window_start")):
        table = deltalake.DeltaTable(lake.location(settings, raising.TABLES[name])).to_pyarrow_table()
        rows = table.select([word.strip() for word in chosen.split(",")]).to_pylist()
        found[name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
    waiting = Spool(folder / "outbox" / "away.queue", 1 << 20)
    found["told"] = sorted({key.decode() for key, _, _ in waiting.oldest(1000)})
    print(json.dumps(found), flush=True)


def main(folder, step):
    """All of it: in peace first; then a death every `step` lines, until one lives through it."""
    calm = folder / "calm"
    assert apart(take_all, calm) == 0
    assert apart(show, calm) == 0
    die_at = 1
    while True:
        place = folder / str(die_at)
        if apart(take_all, place, die_at) == 0:
            return
        assert apart(take_all, place) == 0
        assert apart(show, place) == 0
        die_at += step


if __name__ == "__main__":
    assert CONFIG.merge_gap_minutes
    main(Path(sys.argv[1]), int(sys.argv[2]))
