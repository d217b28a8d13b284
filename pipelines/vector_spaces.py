"""The section `vectors:` of a domain file: which vectors of items the batch step builds, and from what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipelines.errors import nearest

if TYPE_CHECKING:
    from pipelines.domain import Domain

LARGEST, MOST_KEPT = 256, 1000


class Space(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Vectors of `size` numbers, made `of` attributes (text) or event types (behaviour)."""

    of: tuple[str, ...]
    size: int = 32


class ImageSpace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Vectors of `size` numbers, made `of` one attribute of kind vector."""

    of: str
    size: int = 16


class Covisits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of each item the `keep` others whose rate of `of` changes most among users who did `of` with it."""

    of: tuple[str, ...]
    keep: int = 64
    smooth: float = 5.0


class VectorSpaces(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a domain builds; a part that is not given is not built."""

    text: Space | None = None
    behaviour: Space | None = None
    image: ImageSpace | None = None
    covisits: Covisits | None = None

    @property
    def names(self) -> list[str]:
        """The parts that are given."""
        return [name for name in self.__struct_fields__ if getattr(self, name) is not None]


PARTS: dict[str, type] = {"text": Space, "behaviour": Space, "image": ImageSpace, "covisits": Covisits}


def check_vectors(domain: Domain, vectors: VectorSpaces) -> None:
    """Raise DomainError, with file, line and key, for vectors that cannot be built from this domain."""
    if not vectors.names:
        raise domain.error("vectors", f"names nothing to build; known: {', '.join(PARTS)}")
    if vectors.text:
        _check_of(domain, vectors.text.of, "vectors.text.of", ("text", "tags", "category"))
    if vectors.image:
        _check_of(domain, (vectors.image.of,), "vectors.image.of", ("vector",))
        length = domain.attributes[vectors.image.of].length or 0
        if vectors.image.size > length:
            problem = f"'{vectors.image.of}' has {length} numbers: no more than that can be made of it"
            raise domain.error("vectors.image.size", problem)
    for name, acts in (("behaviour", vectors.behaviour), ("covisits", vectors.covisits)):
        if acts:
            _check_events(domain, acts.of, f"vectors.{name}.of")
    for name in vectors.names:
        part = getattr(vectors, name)
        key, most = ("keep", MOST_KEPT) if name == "covisits" else ("size", LARGEST)
        if not 1 <= getattr(part, key) <= most:
            problem = f"must be between 1 and {most}, not {getattr(part, key)}"
            raise domain.error(f"vectors.{name}.{key}", problem)
    if vectors.covisits and not 0 < vectors.covisits.smooth <= 1e9:
        raise domain.error("vectors.covisits.smooth", f"must be above 0, not {vectors.covisits.smooth:g}")


def _check_of(domain: Domain, names: tuple[str, ...], path: str, kinds: tuple[str, ...]) -> None:
    known = [name for name, attribute in domain.attributes.items() if attribute.kind in kinds]
    told = f"attributes of kind {' or '.join(kinds)}: {', '.join(known) or 'none'}"
    if not names:
        raise domain.error(path, f"names no attribute; {told}")
    for name in names:
        if name not in domain.attributes:
            problem = f"the domain has no attribute '{name}'{nearest(name, known)}"
            raise domain.error(path, f"{problem}; {told}")
        if name not in known:
            raise domain.error(path, f"'{name}' is of kind {domain.attributes[name].kind}; {told}")


def _check_events(domain: Domain, names: tuple[str, ...], path: str) -> None:
    known = list(domain.event_types)
    if not names:
        raise domain.error(path, f"names no event type; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            problem = f"unknown event type '{name}'{nearest(name, known)}; known: {', '.join(known)}"
            raise domain.error(path, problem)
