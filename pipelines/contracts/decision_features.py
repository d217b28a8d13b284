"""A message of the topic `decision_features`: what a decision's items were scored by, as the service logs
it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

VALUE = np.dtype("<f4")


class DecisionFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """MessagePack, keyed by the decision's id.

    `items` in the order shown; `scores` and `features` are float32, little-endian, one score and one row of
    `width` features for each item, in the order of the names that `definitions_hash` stands for. The position
    has its fixed value in them, as it had when the model scored. `fences` are the offsets, by topic and
    partition, behind which the online store stood.
    """

    decision_id: str
    user_id: str
    as_of: int
    model_name: str
    model_version: str
    definitions_hash: str
    items: list[str]
    width: int
    scores: bytes
    features: bytes
    fences: list[tuple[str, int, int]] = []
    schema_version: int = 1

    def matrix(self) -> NDArray[np.float32]:
        """The features as float32[items, width]."""
        values: NDArray[np.float32] = np.frombuffer(self.features, VALUE)
        return values.reshape(len(self.items), self.width)


_decode = msgspec.msgpack.Decoder(DecisionFeatures).decode


def pack(message: DecisionFeatures) -> bytes:
    """The message's bytes."""
    return msgspec.msgpack.encode(message)


def unpack(value: bytes) -> DecisionFeatures:
    """What `pack` wrote. Raises msgspec.MsgspecError for anything else."""
    return _decode(value)


def as_bytes(values: NDArray[Any]) -> bytes:
    """Numbers as float32, little-endian."""
    return np.ascontiguousarray(values, VALUE).tobytes()
