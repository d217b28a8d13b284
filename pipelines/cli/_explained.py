"""An explained decision as tables and as JSON."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from pipelines.cli._tables import print_table
from pipelines.io.decided import Decided
from pipelines.models.explanation import Explanation
from pipelines.models.package import Ranker


def show(
    args: argparse.Namespace,
    found: Decided,
    about: dict[str, Any],
    ranker: Ranker,
    why: Explanation | None,
    lacking: list[str],
) -> None:
    """Print what is known of the decision, why its items stand where they do, and what is missing."""
    if args.json:
        print(json.dumps(about | {"items": _items(found, ranker, why), "missing": lacking}, indent=2))
        return
    print(f"decision {about['decision']} of {about['user']}, {about['decided_at']}")
    read = ", ".join(
        f"{table} version {number}" for table, number in about["trained_on_table_versions"].items()
    )
    print(f"scored by {about['model']} {about['version']} (code {about['git_revision']}, trained on {read})")
    vectors = f", vectors {about['vectors_version']}" if about["vectors_version"] else ""
    print(f"features {about['definitions_hash']}{vectors}, from {about['features_from']}\n")
    rows = [
        (str(one["rank"]), one["item"], str(one["position"]), *map(_number, (one["score"], one["replayed"])))
        for one in _items(found, ranker, why)
    ]
    _print(("rank", "item", "shown at", "score", "again"), rows)
    if why:
        print()
        _show_features(args, why, args.item or str(found.scores.iloc[0]["item_id"]))
    for missing in lacking:
        print(f"\nmissing: {missing}")
    if why and not lacking:
        print(f"\nall {len(why.items)} scores are those that were logged, to the last bit")


def _show_features(args: argparse.Namespace, why: Explanation, item: str) -> None:
    weighed = why.by_weight(item, args.against)
    place = why.place(item)
    if args.against is None:
        print(f"{item}: every score starts from {why.added[place, -1]:+.4f}")
        rows = [(name, _number(value), f"{added:+.4f}") for name, value, added in weighed[: args.top]]
        _print(("feature", "value", "adds"), rows)
        rest, total = weighed[args.top :], float(why.replayed[place])
    else:
        other = why.place(args.against)
        print(f"{item} against {args.against}: {why.replayed[place]:+.4f} and {why.replayed[other]:+.4f}")
        pairs = []
        for name, value, added in weighed[: args.top]:
            theirs = float(why.features[other, why.names.index(name)])
            pairs.append((name, _number(value), _number(theirs), f"{added:+.4f}"))
        _print(("feature", item, args.against, "difference"), pairs)
        rest, total = weighed[args.top :], float(why.replayed[place] - why.replayed[other])
    if rest:
        print(f"{len(rest)} other features add {sum(added for *_, added in rest):+.4f}; in all {total:+.4f}")


def _items(found: Decided, ranker: Ranker, why: Explanation | None) -> list[dict[str, Any]]:
    items = []
    for row in found.scores.to_dict("records"):
        one = {
            "rank": int(row["rank"]),
            "item": row["item_id"],
            "position": int(row["position"]),
            "score": float(row["score"]),
            "replayed": None,
        }
        if why:
            place = why.place(row["item_id"])
            one["replayed"] = float(why.replayed[place])
            if ranker.calibrator:
                one["chance"] = float(ranker.chance(why.replayed[place : place + 1])[0])
            one["starts_from"] = float(why.added[place, -1])
            one["features"] = {
                name: {"value": None if math.isnan(value) else value, "adds": added}
                for name, value, added in why.by_weight(row["item_id"])
            }
        items.append(one)
    return items


def _number(value: float | None) -> str:
    return "" if value is None else "unknown" if math.isnan(value) else f"{value:.6g}"


def _print(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_table([escape(heading) for heading in headings], [[escape(cell) for cell in row] for row in rows])
