"""Between requests: another champion, other items, other tokens are taken up while requests are answered."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from typing import Any

from pipelines.errors import LakePulseError, ModelError, RequestError, SettingsError
from pipelines.models.champions import Champions
from pipelines.models.registry import Registry
from pipelines.models.scoring import Champion
from pipelines.serving.access import Access, parse_tokens
from pipelines.serving.engine import Engine
from pipelines.serving.in_charge import in_charge
from pipelines.serving.service import Service

log = logging.getLogger("lakepulse")
MOST_STRANGERS = 50_000  # unknown items that requests named, before the catalog is read anew
POPULAR_S = 30.0
POPULAR_PAUSE_S = 0.02


class Keeper:
    """Looks for what changed, makes it ready beside what answers, and swaps it in between two requests."""

    def __init__(self, service: Service, champions: Champions, registry: Registry) -> None:
        """Nothing was looked for yet."""
        self.service = service
        self._champions, self._registry = champions, registry
        self._now_ms = service.outside.now_ms
        self._champion: Champion | None = None
        self._confirmed_ms = 0
        self._started_ms = self._now_ms()
        self._wake = asyncio.Event()
        self._looked = False
        self.draining = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_ready(self) -> str:
        """Why rankings cannot be answered at full speed now; nothing when they can."""
        if self.draining:
            return "the service is stopping"
        if self.service.engine is None:
            return "no ranker is in charge yet" if self._looked else "the service is starting"
        return ""

    def health(self) -> dict[str, Any]:
        """The process, its version in charge and since when the registry has not confirmed it."""
        now, engine = self._now_ms(), self.service.engine
        found: dict[str, Any] = {
            "status": self.is_ready() or "ok",
            "domain": self.service.domain.name,
            "pid": os.getpid(),
            "uptime_s": (now - self._started_ms) // 1000,
            "registry_answers": self._champions.registry_answered,
            "refused": self._champions.refused,
            "outbox": dict(self.service.outside.outbox.counts()),
        }
        if engine is not None:
            found["model"] = {
                "name": engine.model.name,
                "version": engine.model.version,
                "is_exact": engine.model.is_exact,
                "confirmed_s_ago": self._age_s(now),
                "vectors": vectors.version if (vectors := engine.model.ranker.vectors) else None,
            }
            found["items"] = {"known": len(engine.ranking.known), "version": engine.items_version}
        return found

    def _age_s(self, now: int) -> float | None:
        return round((now - self._confirmed_ms) / 1000, 1) if self._confirmed_ms else None

    def rollback(self) -> dict[str, Any]:
        """Put the champion before in charge again, here and everywhere. Raises RequestError 409 without
        one."""
        name = f"{self.service.domain.name}-ranker"
        try:
            withdrawn, now = self._registry.rollback(name)
        except ModelError as problem:
            raise RequestError(409, str(problem)) from None
        log.warning("%s: rolled back from version %s to %s by request", name, withdrawn, now)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)
        return {"model": name, "from": withdrawn, "to": now}

    def newer(self) -> Engine | None:
        """An engine to swap in; None while everything is as it was. Slow: not for the event loop."""
        champion = self._champions.look()
        if self._champions.registry_answered:
            self._confirmed_ms = self._now_ms()
        if champion is None:
            return None
        engine = self.service.engine
        if engine is not None and champion == self._champion:
            is_current = engine.items_version == self.service.outside.items_version()
            if is_current and engine.ranking.strangers < MOST_STRANGERS:
                return None
            return self.service.build(engine.model)
        try:
            ranker = self._champions.ranker(champion)
            engine = self.service.build(in_charge(champion.name, champion.version, ranker))
        except ModelError as problem:
            log.error("version %s of %s is not used: %s", champion.version, champion.name, problem)
            self.service.metrics.count("model_refused_total")
            self._champions.refuse(champion, stays=self._champion)
            return None
        self._champion = champion
        return engine

    async def keep(self, access: Access, write_lines: Callable[[], None]) -> None:
        """Look again and again, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                if (engine := await asyncio.to_thread(self.newer)) is not None:
                    self.service.replace(engine)
                    gc.freeze()  # what lives as long as the engine is not looked through for garbage
                access.tokens = tokens_of(self.service)
            except LakePulseError as problem:
                log.warning("what answers stays as it is: %s", problem)
            self._looked = True
            self._measure()
            write_lines()
            try:
                async with asyncio.timeout(self.service.settings.serving.refresh_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    def _measure(self) -> None:
        if (age := self._age_s(self._now_ms())) is not None:
            self.service.metrics.gauge("model_age_seconds", age)

    async def keep_popular(self) -> None:
        """Look through the catalog for what is popular, again and again, until cancelled."""
        while True:
            await self.service.refresh_popular(POPULAR_PAUSE_S)
            await asyncio.sleep(POPULAR_S if self.service.engine else 1.0)


def tokens_of(service: Service) -> list[Any] | None:
    """The tokens of the settings' file; None without one. Raises SettingsError for a wrong line."""
    text = service.outside.tokens()
    if text is None:
        if service.settings.serving.tokens:
            raise SettingsError(f"there is no file of tokens {service.settings.serving.tokens}")
        return None
    return parse_tokens(text, service.settings.serving.tokens or "tokens")
