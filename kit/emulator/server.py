"""The HTTP server of the emulator: one loop in a thread of its own, bound to loopback, behind a key."""

from __future__ import annotations

import asyncio
import atexit
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from kit.emulator import clients, takers
from kit.emulator.endpoint import Endpoint
from kit.emulator.http import Refusal, answer, bearer, same
from kit.emulator.webhook import Webhooks
from kit.errors import TargetError

if TYPE_CHECKING:
    from aiohttp import web

_T = TypeVar("_T")
_STOP_S = 10.0


class Server:
    """Serves endpoints under ``/v2/{endpoint}/``.

    Parameters
    ----------
    host : str
        Address to bind. Every route wants the key, whatever the address.
    port : int
        0 takes a free one.
    key : str or None
        Bearer key for clients; None makes one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, key: str | None = None) -> None:
        self.host, self.port = host, port
        self.key = key or f"kit_{secrets.token_urlsafe(24)}"
        #: what workers show in the query of their URLs
        self.token = secrets.token_urlsafe(24)
        self.endpoints: dict[str, Endpoint] = {}
        self.loop = asyncio.new_event_loop()
        self._webhooks = Webhooks()
        self._rates: dict[tuple[str, str], deque[float]] = {}
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._main, name="kit-emulator", daemon=True)
        self._stopped = False
        #: whether the port is open
        self.listening = False

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; returns once it does.

        Raises
        ------
        TargetError
            The address cannot be bound.
        """
        self._thread.start()
        try:
            self.call(self._listen)
        except OSError as exc:
            self.stop()
            raise TargetError(
                f"cannot listen on {self.host}:{self.port}: {exc.strerror or exc}. "
                "Give another port, or none."
            ) from None
        self.listening = True
        atexit.register(self.stop)

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    async def _listen(self) -> None:
        from aiohttp import web

        app = web.Application(client_max_size=1 << 62)
        for verb, method, with_id, route in clients.ROUTES:
            path = f"/v2/{{endpoint}}/{verb}" + ("/{id}" if with_id else "")
            app.router.add_route(method, path, self._for_client(verb, route))
        for verb, method, with_id, take in takers.ROUTES:
            path = f"/v2/{{endpoint}}/{verb}/{{worker}}" + ("/{id}" if with_id else "")
            app.router.add_route(method, path, self._for_worker(take))
        app.router.add_route("*", "/{rest:.*}", self._unknown)
        # a client that hangs up must not take its job with it, so handlers are not cancelled
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, handler_cancellation=False,
            shutdown_timeout=0.2, keepalive_timeout=75.0,
        )  # fmt: skip
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    def call(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run a coroutine on the server's loop and return its result; blocks."""
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result()

    def stop(self) -> None:
        """End every worker and close the port; returns when nothing is left."""
        if self._stopped:
            return
        self._stopped, self.listening = True, False
        atexit.unregister(self.stop)
        if self._thread.is_alive():
            future = asyncio.run_coroutine_threadsafe(self._close(), self.loop)
            try:
                future.result(_STOP_S)
            finally:
                self.loop.call_soon_threadsafe(self.loop.stop)
                self._thread.join(_STOP_S)

    async def _close(self) -> None:
        for endpoint in self.endpoints.values():
            for worker in endpoint.workers.values():
                worker.draining = True
                worker.wake()
            if endpoint.backend is not None:
                endpoint.backend.close()
        await self._webhooks.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # -- endpoints ------------------------------------------------------------------------------

    def add(self, endpoint: Endpoint) -> None:
        """Serve an endpoint. On the server's loop, or before it runs."""
        settings = endpoint.settings
        endpoint.webhook = lambda ticket: self._webhooks.send(ticket, settings)
        self.endpoints[endpoint.id] = endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """Serve it no more. On the server's loop."""
        self.endpoints.pop(endpoint.id, None)
        if endpoint.backend is not None:
            endpoint.backend.close()

    @property
    def base(self) -> str:
        """What clients call RUNPOD_ENDPOINT_BASE_URL."""
        host = "127.0.0.1" if self.host in ("", "0.0.0.0") else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v2"

    # -- routes ---------------------------------------------------------------------------------

    def _for_client(self, verb: str, route: clients.Route) -> Any:
        async def handle(request: web.Request) -> web.Response:
            if not bearer(request, self.key):
                return answer({"error": "the API key is missing or wrong"}, 401)
            endpoint = self.endpoints.get(request.match_info["endpoint"])
            if endpoint is None:
                return answer({"error": "there is no such endpoint"}, 404)
            if endpoint.settings.rate_limits and self._too_often(endpoint.id, verb):
                return answer({"error": f"too many requests to /{verb}"}, 429)
            return await self._answered(request, endpoint, route)

        return handle

    def _for_worker(self, route: takers.Route) -> Any:
        async def handle(request: web.Request) -> web.Response:
            if not same(request.query.get("token", ""), self.token):
                return answer({"error": "the worker's token is missing or wrong"}, 401)
            endpoint = self.endpoints.get(request.match_info["endpoint"])
            if endpoint is None:
                return answer({"error": "there is no such endpoint"}, 404)
            return await self._answered(request, endpoint, route)

        return handle

    async def _answered(
        self, request: web.Request, endpoint: Endpoint, route: clients.Route
    ) -> web.Response:
        try:
            return await route(request, endpoint)
        except Refusal as refusal:
            return answer({"error": refusal.why}, refusal.status)
        except (ConnectionError, asyncio.IncompleteReadError):
            return answer({"error": "the request was cut off"}, 400)

    async def _unknown(self, request: web.Request) -> web.Response:
        if not bearer(request, self.key):
            return answer({"error": "the API key is missing or wrong"}, 401)
        known = {verb: method for verb, method, _, _ in clients.ROUTES}
        verb = request.path.split("/")[3:4]
        if verb and verb[0] in known and request.method != known[verb[0]]:
            return answer({"error": f"/{verb[0]} is {known[verb[0]]}"}, 405)
        return answer({"error": "there is no such verb"}, 404)

    def _too_often(self, endpoint: str, verb: str) -> bool:
        limit = clients.RATES.get(verb)
        if limit is None:
            return False
        now = time.monotonic()
        recent = self._rates.setdefault((endpoint, verb), deque())
        while recent and recent[0] <= now - 10:
            recent.popleft()
        if len(recent) >= limit:
            return True
        recent.append(now)
        return False
