"""What a check of parity reads of the lake: a stretch of decisions as they were logged, and as training has
replayed them."""

from __future__ import annotations

import argparse
import datetime
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.contracts.bronze import DECISION_FEATURES
from pipelines.contracts.decision_features import DecisionFeatures, unpack
from pipelines.contracts.gold import TRAINING_ROWS
from pipelines.contracts.ops import PARITY
from pipelines.errors import SettingsError
from pipelines.features.hashing import hash_texts
from pipelines.io import parts
from pipelines.monitoring.parity import REPLAYED
from pipelines.session import Lender
from pipelines.settings import Settings

SLACK = datetime.timedelta(hours=1)  # clocks of services, brokers and landing streams differ by less


@dataclass(frozen=True)
class Stretch:
    """Decisions made after `since` and up to `until`; of them `most`, chosen by a hash of their ids."""

    since: datetime.datetime
    until: datetime.datetime
    most: int

    def row(self) -> dict[str, datetime.datetime]:
        """As columns of ops.parity."""
        return {"since": self.since, "until": self.until}


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--since`, `--until` and `--most` choose another stretch than what is new."""
    when = "ISO 8601, UTC unless told"
    parser.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help=f"decisions made after this, {when} (default: where the last check ended, "
        "parity.hours before --until at most)",
    )
    parser.add_argument(
        "--until",
        type=moment,
        metavar="TIME",
        help=f"decisions made until then, {when} (default: the newest that training has replayed)",
    )
    parser.add_argument(
        "--most",
        type=int,
        metavar="N",
        help="compare so many decisions at most, chosen by a hash of their ids (default: parity.most)",
    )


def moment(text: str) -> datetime.datetime:
    """A time of ISO 8601, of UTC unless it says otherwise. Raises ValueError for anything else."""
    read = datetime.datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=datetime.UTC)


def stretch(
    settings: Settings, spark: Lender, domain: str, definitions_hash: str, args: argparse.Namespace
) -> Stretch | None:
    """What the arguments ask for, otherwise what training has replayed since the last check of these
    definitions; None when that is nothing. Raises SettingsError for a stretch that ends before it begins."""
    most = settings.parity.most if args.most is None else args.most
    until = args.until or parts.newest(settings, TRAINING_ROWS, "as_of", ("domain", domain), spark)
    if until is None:
        return None
    since = args.since
    if since is None:
        of_these = (("domain", "=", domain), ("definitions_hash", "=", definitions_hash))
        checked = parts.chosen_rows(settings, PARITY, ["until"], spark, *of_these)["until"].to_pylist()
        ended = [end for end in checked if args.until is None or end < until]
        since = max([until - datetime.timedelta(hours=settings.parity.hours), *ended])
        if since >= until:
            return None
    if since >= until or most < 1:
        raise SettingsError(f"--since {since} --until {until} --most {most} leave nothing to compare")
    return Stretch(since, until, most)


def logged(settings: Settings, spark: Lender, of: Stretch) -> list[DecisionFeatures]:
    """The features of the stretch's decisions as the service has logged them.

    Files of bronze.decision_features of other days and times are not opened; of the others the keys are read
    first, and then the values of what is chosen.
    """
    stamped = (
        ("ingest_date", ">=", (of.since - SLACK).date()),
        ("timestamp", ">=", of.since - SLACK),
        ("timestamp", "<=", of.until + SLACK),
    )
    keys = parts.chosen_rows(settings, DECISION_FEATURES, ["key"], spark, *stamped)
    chosen = _chosen(keys["key"], of.most)
    is_chosen = ("key", "in", chosen)
    values = parts.chosen_rows(settings, DECISION_FEATURES, ["value"], spark, *stamped, is_chosen)
    return [unpack(value) for value in values["value"].to_pylist()]


def _chosen(keys: pa.ChunkedArray, most: int) -> list[bytes]:
    different = keys.unique().drop_null()
    order = np.argsort(hash_texts(pa.chunked_array([different.cast(pa.string())])), kind="stable")
    chosen: list[bytes] = different.take(pa.array(order[:most])).to_pylist()
    return chosen


def replayed(
    settings: Settings, spark: Lender, of: Stretch, domain: str, decisions: list[DecisionFeatures]
) -> pa.Table:
    """The rows of gold.training_rows of these decisions, where they are of the stretch; files of other times
    and domains are not opened."""
    return parts.chosen_rows(
        settings,
        TRAINING_ROWS,
        REPLAYED,
        spark,
        ("domain", "=", domain),
        ("as_of", ">", of.since),
        ("as_of", "<=", of.until),
        ("decision_id", "in", [decision.decision_id for decision in decisions]),
    )
