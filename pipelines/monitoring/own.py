"""Which features a decision's own side decides: its user, its request and the catalog."""

from __future__ import annotations

from pipelines.features import program as p
from pipelines.features.definitions import Definitions

OF_THE_USER = (p.USER, p.SLOT, p.SESSION)
OF_VECTORS = (p.TO_LATEST, p.COVISITED, p.QUERY_MATCH, p.HAS_VECTOR)


def own_features(definitions: Definitions) -> list[bool]:
    """Of each feature, in the order of the names, whether it reads the user's own record, the request and
    the catalog alone.

    The others read what all users count up (items, attribute values, everything) or vectors: they may have
    moved on between a decision and its replay without anybody's fault.
    """
    rows = definitions.program.features[: len(definitions.names)]
    scopes = definitions.program.steps[:, p.STEP_SCOPE]
    own: list[bool] = []
    for row in rows:
        steps = [int(step) for step in row[p.FEATURE_STEPS :] if step != p.NO_STEP]
        is_own = row[p.FEATURE_OP] not in OF_VECTORS and all(scopes[step] in OF_THE_USER for step in steps)
        of_list = row[p.FEATURE_OP] == p.CONTEXT
        own.append(bool(is_own and (not of_list or own[row[p.FEATURE_ARG]])))
    return own
