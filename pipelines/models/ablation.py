"""What groups of features are worth: the same ranker without each of them.

Groups follow from the declarations alone: whose record a feature is read from, or what of the candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipelines.features.declarations import SESSION, USER, Declaration
from pipelines.features.kinds.context import Age, Attribute, Context, Position, Time
from pipelines.features.kinds.preferences import Learned, Preference, Taste
from pipelines.features.kinds.rings import Relative, Similarity
from pipelines.features.kinds.session import Session
from pipelines.features.kinds.vectors import Covisited, QueryMatch, VectorSimilarity

Group = Callable[[Declaration], bool]


def in_text(feature: Declaration) -> bool:
    """Whether it compares texts."""
    return getattr(feature, "space", "") == "text" or isinstance(feature, QueryMatch)


def in_images(feature: Declaration) -> bool:
    """Whether it compares images."""
    return getattr(feature, "space", "") == "image"


def in_behaviour(feature: Declaration) -> bool:
    """Whether it is read from vectors or neighbours of behaviour."""
    return getattr(feature, "space", "") == "behaviour" or isinstance(feature, Covisited)


def of_vectors(feature: Declaration) -> bool:
    """Whether it is read from vectors of any kind."""
    return in_text(feature) or in_images(feature) or in_behaviour(feature)


def of_user(feature: Declaration) -> bool:
    """Whether it is read from the user's own record."""
    tastes = Preference | Learned | Taste | Similarity | Relative | VectorSimilarity | Covisited
    is_own = getattr(feature, "by", ())[:1] in ((USER,), (SESSION,))
    return is_own or isinstance(feature, tastes | Session)


def of_everybody(feature: Declaration) -> bool:
    """Whether it tells what all users did, with the item, its attributes, the query or anything."""
    return hasattr(feature, "by") and not of_user(feature)


GROUPS: dict[str, Group] = {
    "the user's state": of_user,
    "everybody's behaviour": of_everybody,
    "the item's numbers": lambda feature: isinstance(feature, Attribute | Age),
    "text": in_text,
    "images": in_images,
    "vectors of behaviour": in_behaviour,
    "the list": lambda feature: isinstance(feature, Context),
    "the position": lambda feature: isinstance(feature, Position),
    "the time": lambda feature: isinstance(feature, Time),
}


def without(declared: Sequence[Declaration], group: Group) -> list[int]:
    """Places of the features that stay when the group is left out; what a context looks at takes it along."""
    gone = {feature.name for feature in declared if group(feature)}
    return [
        place
        for place, feature in enumerate(declared)
        if feature.name not in gone and not (isinstance(feature, Context) and feature.beside in gone)
    ]


def variants(declared: Sequence[Declaration]) -> Mapping[str, list[int]]:
    """Of each group that the domain has features of, by name: the places of all others."""
    left = {f"without {name}": without(declared, group) for name, group in GROUPS.items()}
    return {name: kept for name, kept in left.items() if 0 < len(kept) < len(declared)}
