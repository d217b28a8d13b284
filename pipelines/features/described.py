"""What a shop's engineers want to know of their features: what they are, and what they cost."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.domain import Domain
from pipelines.features.carriers import record_bytes
from pipelines.features.columns import whole
from pipelines.features.definitions import Definitions
from pipelines.features.parsing import parse_features


def described(domain: Domain, definitions: Definitions) -> dict[str, Any]:
    """Names, kinds, measures, windows and `by` of the features, bytes of a stored record, and the versions of
    both."""
    features = []
    for declaration in parse_features(domain):
        words = msgspec.to_builtins(declaration)
        by = getattr(declaration, "by", ())
        features.append(
            {
                "name": declaration.name,
                "kind": words["kind"],
                "measure": getattr(declaration, "measure", ""),
                "window": getattr(declaration, "window", ""),
                "by": by if isinstance(by, str) else " ".join(by),
            }
        )
    return {
        "domain": domain.name,
        "definitions_hash": definitions.hash,
        "layouts_hash": definitions.layouts.hash,
        "bytes": record_bytes(definitions.layouts),
        "features": features,
    }


def share_of_missing(rows: pa.Table, definitions: Definitions) -> tuple[int, list[float | None]]:
    """(number of rows of these definitions, of each feature the share of them in which it is missing).

    Rows have the columns `features` and `definitions_hash` of gold.training_rows; without any, no share is
    known.
    """
    own = rows.filter(pc.equal(rows["definitions_hash"], definitions.hash))
    if not own.num_rows:
        return 0, [None] * len(definitions.names)
    values = whole(own["features"]).flatten().to_numpy(zero_copy_only=False)
    missing = np.isnan(values.reshape(own.num_rows, len(definitions.names))).mean(axis=0)
    return own.num_rows, [round(float(share), 6) for share in missing]
