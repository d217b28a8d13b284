"""Checks of a declaration against its domain: each raises DomainError with file, line, key and the way
out."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.domain import Domain
from pipelines.errors import nearest
from pipelines.features import declarations as d


@dataclass(frozen=True)
class Checker:
    """Checks the words of one declaration, which stands at `path`, below the features `earlier`."""

    domain: Domain
    path: str
    earlier: list[str]

    def events(self, key: str, names: tuple[str, ...], by: tuple[str, ...]) -> None:
        """Every name is an event type, `shown`, or `decision` where a decision can be counted."""
        known = [d.SHOWN, d.DECISION, *self.domain.event_types]
        if not names:
            raise self._error(key, f"names no event type; known: {', '.join(known)}")
        for name in names:
            if name not in known:
                problem = f"unknown event type '{name}'{nearest(name, known)}; known: {', '.join(known)}"
                raise self._error(key, problem)
        if d.DECISION in names and by not in ((d.ALL,), (d.USER,), (d.SESSION,), (d.QUERY,)):
            problem = "a decision is about its user: count it by user, session, query or all"
            raise self._error(key, problem)

    def by(self, by: tuple[str, ...]) -> None:
        """Something that can be counted apart: all, or one of user, session and query, or the item or an
        attribute, or a pair of both."""
        attributes = [name for name, a in self.domain.attributes.items() if a.kind in d.VALUED]
        whose = by[1:] if len(by) == 2 and by[0] in d.WHOSE else by
        if len(whose) != 1:
            problem = "give all, item, user, session, query, an attribute, or two such as [user, item]"
            raise self._error("by", f"{problem} and [user, <attribute>], and so with session and query")
        known = [d.ALL, d.ITEM, *d.WHOSE, *attributes]
        if whose[0] not in known:
            problem = f"nothing to count by called '{whose[0]}'{nearest(whose[0], known)}"
            raise self._error("by", f"{problem}; known: {', '.join(known)}")
        if len(by) == 2 and whose[0] not in (d.ITEM, *attributes):
            problem = f"[{by[0]}, {whose[0]}] is nothing: give [{by[0]}, item] or [{by[0]}, <attribute>]"
            raise self._error("by", problem)

    def ends_in(self, key: str, by: tuple[str, ...], last: str) -> None:
        """What the key says only makes sense by something that ends in `last`."""
        if by[-1] != last:
            told = ", ".join(by)
            raise self._error(key, f"needs `by: {last}`, or a pair that ends in {last}, not `by: [{told}]`")

    def longer(self, key: str, window: str, than: str) -> None:
        """Two windows with an end, the first the longer one."""
        if d.ALL in (window, than):
            raise self._error(key, "compares two windows with an end, such as 1d and 30d, not all")
        if d.window_ms(window) <= d.window_ms(than):
            raise self._error(key, f"must be longer than the window of {than}, not {window}")

    def attribute(self, key: str, name: str, *kinds: str, hint: str = "") -> None:
        """An attribute of one of these kinds; `hint` says what others need."""
        known = list(self.domain.attributes)
        if name not in known:
            problem = f"the domain has no attribute '{name}'{nearest(name, known)}"
            raise self._error(key, f"{problem}; known: {', '.join(known)}")
        kind = self.domain.attributes[name].kind
        if kind not in kinds:
            raise self._error(key, f"'{name}' is of kind {kind}; this needs {' or '.join(kinds)}{hint}")

    def listed(self, key: str, values: tuple[str, ...], wanted_by: str, is_wanted: bool) -> None:
        """Different values where they are wanted, and none where they are not."""
        if is_wanted and not values:
            raise self._error(key, f"`{wanted_by}` numbers values in their order: list them")
        if values and not is_wanted:
            raise self._error(key, f"only `{wanted_by}` takes a list of values")
        for at, value in enumerate(values):
            if value in values[:at]:
                raise self._error(f"{key}[{at}]", f"'{value}' is listed twice")

    def feature(self, key: str, name: str) -> None:
        """A feature that is declared above."""
        if name not in self.earlier:
            problem = f"no feature '{name}' is declared above{nearest(name, self.earlier)}"
            raise self._error(key, problem)

    def window(self, key: str, window: str) -> None:
        """A window of 5 min to 90 days, or all."""
        try:
            d.window_ms(window)
        except ValueError as problem:
            raise self._error(key, str(problem)) from None

    def number(self, key: str, value: float) -> None:
        """A number in the key's range."""
        least, most = d.RANGES[key]
        if not least <= value <= most:
            raise self._error(key, f"must be between {least:g} and {most:g}, not {value:g}")

    def vectors(self, key: str, part: str) -> None:
        """A part that the domain's `vectors:` builds."""
        built = self.domain.vectors.names if self.domain.vectors else []
        if part not in built:
            told = ", ".join(built) or "nothing"
            problem = f"needs `{part}`, but `vectors:` builds {told}: add `{part}` to that section"
            raise self._error(key, problem)

    def _error(self, key: str, problem: str) -> Exception:
        return self.domain.error(f"{self.path}.{key}", problem)
