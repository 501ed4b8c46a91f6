"""Tell a URL that a job ended: at once, and up to two times more, 10 s apart, until it answers 200."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kit.emulator.ticket import Settings, Ticket

if TYPE_CHECKING:
    import aiohttp

_log = logging.getLogger("kit.emulator")
_TRIES = 3
_TIMEOUT_S = 10.0


class Webhooks:
    """Sends the webhooks of one server, in tasks of their own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def send(self, ticket: Ticket, settings: Settings) -> None:
        """Start telling; returns at once."""
        url = ticket.webhook
        if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
            _log.warning("webhook of job %s: it is no http(s) URL, so nobody is told", ticket.id)
            return
        task = asyncio.get_running_loop().create_task(
            self._deliver(url, ticket.id, ticket.facts(), settings.webhook_pause_s)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, url: str, id: str, facts: dict[str, object], pause_s: float) -> None:
        import aiohttp

        why = ""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), trust_env=False
            )
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(pause_s)
            try:
                async with self._session.post(url, json=facts, allow_redirects=False) as told:
                    if told.status == 200:
                        return
                    why = f"it answered {told.status}"
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as exc:
                why = type(exc).__name__
        # the host alone: the rest of a webhook's URL is often its password
        host = urlsplit(url).hostname
        _log.warning("webhook of job %s: %s was not told in %d tries: %s", id, host, _TRIES, why)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._session is not None:
            await self._session.close()
