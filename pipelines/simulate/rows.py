"""The simulated events as numbers: one structured array, rendered to JSON only when they leave."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.void]
Numbers: TypeAlias = npt.NDArray[Any]

KINDS = ("decision", "search", "view", "click", "cart", "purchase", "login", "login_failed")
KIND = {name: code for code, name in enumerate(KINDS)}
NOTHING = -1  # in every column that holds a number of something

LATE, DUPLICATE = 1, 2  # bits of the column `noise`


def row_type(list_length: int) -> np.dtype[np.void]:
    """A row's columns; times in epoch ms, `shown` the numbers of the items of a decision, in order.

    `label` is 0 for a visitor, positive for a campaign of bots, negative for a theft: for the side file only.
    """
    return np.dtype(
        [
            ("arrival", "i8"),
            ("time", "i8"),
            ("user", "i8"),
            ("session", "i8"),
            ("number", "i8"),
            ("decision", "i8"),
            ("item", "i8"),
            ("price", "i8"),
            ("device", "i8"),
            ("ip", "i8"),
            ("query", "i4"),
            ("quantity", "i4"),
            ("label", "i4"),
            ("kind", "i1"),
            ("source", "i1"),
            ("explored", "i1"),
            ("noise", "i1"),
            ("shown", "i4", (list_length,)),
        ]
    )


def new_rows(kind: str, count: int, row: np.dtype[np.void], **columns: Numbers | int) -> Rows:
    """`count` rows of a kind with these columns; all others hold nothing. They arrive when they happen."""
    rows = np.empty(count, row)
    for name in row.names or ():
        if name not in columns:
            rows[name] = 0 if name in ("label", "noise", "explored") else NOTHING
    rows["kind"] = KIND[kind]
    for name, values in columns.items():
        rows[name] = values
    rows["arrival"] = rows["time"]
    return rows
