"""The versions in charge, as a process that scores sees them: asked before each micro-batch, kept when nobody
answers."""

from __future__ import annotations

import logging
from pathlib import Path

from pipelines.errors import ModelError, RegistryError
from pipelines.models import package
from pipelines.models.package import Ranker
from pipelines.models.registry import Registry
from pipelines.models.scoring import Champion

log = logging.getLogger("lakepulse")
POINTER = "champion"


class Champions:
    """The champions of a domain's models.

    A version is taken once it is downloaded and verified, and remembered on disk: it stays in charge while
    MLflow is down, also over a restart, and while a newer one cannot be loaded.
    """

    def __init__(
        self,
        registry: Registry,
        cache: Path,
        domain: str,
        definitions_hash: str,
        kinds: tuple[str, ...] = ("ranker", "outliers"),
        hands_over: bool = False,
    ) -> None:
        """`kinds` are the models that are asked for: all, or one of them. With `hands_over`, a ranker that
        was loaded to be verified is kept for `ranker`."""
        self._hands_over = hands_over
        self._registry = registry
        self._cache = cache
        self._definitions_hash = definitions_hash
        self._names = tuple(f"{domain}-{kind}" for kind in kinds)
        self._taken: dict[str, Champion] = {}
        self._loaded: dict[Champion, Ranker] = {}
        self._refused: dict[str, str] = {}
        self._told: list[str] = []
        self._answered = False

    @property
    def registry_answered(self) -> bool:
        """Whether MLflow answered the latest look."""
        return self._answered

    @property
    def refused(self) -> dict[str, str]:
        """Model → the version of it that was refused last; the one before stays in charge."""
        return dict(self._refused)

    def look(self) -> Champion | None:
        """The ranker in charge now; None while there has never been one."""
        self._refresh(self._names[0])
        return self._taken.get(self._names[0])

    def ranker(self, champion: Champion) -> Ranker:
        """The champion's ranker as it was loaded when it was verified; where it was handed over already,
        loaded and verified again. Raises ModelError as `package.load_ranker`."""
        loaded = self._loaded.pop(champion, None)
        return loaded or package.load_ranker(champion.folder(), self._definitions_hash)

    def refuse(self, champion: Champion, stays: Champion | None) -> None:
        """Use the one that `stays` (None: none) instead of a version that turned out to be of no use."""
        self._refused[champion.name] = champion.version
        self._taken.pop(champion.name, None)
        if stays is not None:
            self._taken[stays.name] = stays
            self._pointer(stays.name).write_text(stays.version)

    def are_there(self) -> bool:
        """Whether each model has a champion that can be used; says which one is missing when that
        changes."""
        missing = self._missing()
        if missing and missing != self._told:
            log.info(
                "nothing is scored before there is a champion of %s: train it and promote it",
                " and ".join(missing),
            )
        self._told = missing
        return not missing

    def now(self) -> tuple[Champion, ...]:
        """The models in charge now, in the order in which they were asked for. Raises ModelError while one of
        them has never been there."""
        missing = self._missing()
        if missing:
            raise ModelError(f"there is no champion of {' and '.join(missing)}: train it and promote it")
        return tuple(self._taken[name] for name in self._names)

    def _missing(self) -> list[str]:
        for name in self._names:
            self._refresh(name)
        return [name for name in self._names if name not in self._taken]

    def _refresh(self, name: str) -> None:
        try:
            version = self._registry.current(name)
            self._answered = True
        except RegistryError as problem:
            self._answered = False
            version = self._remembered(name)
            log.warning("%s stays at version %s: %s", name, version, problem)
        held = self._taken.get(name)
        if version is None or (held and held.version == version) or self._refused.get(name) == version:
            return
        try:
            self._take(Champion(name, version, self._registry.uri, str(self._cache)))
        except RegistryError as problem:
            log.warning("version %s of %s cannot be downloaded now: %s", version, name, problem)
        except ModelError as problem:
            self._refused[name] = version
            log.error(
                "version %s of %s is not used, %s stays: %s", version, name, held and held.version, problem
            )

    def _take(self, champion: Champion) -> None:
        folder = champion.folder()
        if champion.name.endswith("-ranker"):
            loaded = package.load_ranker(folder, self._definitions_hash)
            self._loaded = {champion: loaded} if self._hands_over else {}
        else:
            package.load_outliers(folder)
        self._taken[champion.name] = champion
        self._pointer(champion.name).write_text(champion.version)
        log.info("%s: version %s scores from now on", champion.name, champion.version)

    def _remembered(self, name: str) -> str | None:
        if name in self._taken:
            return self._taken[name].version
        pointer = self._pointer(name)
        return pointer.read_text().strip() if pointer.is_file() else None

    def _pointer(self, name: str) -> Path:
        return self._cache / name / POINTER
