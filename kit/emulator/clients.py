"""The client's verbs, as documented: run, runsync, status, stream, cancel, retry, purge-queue, health."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kit.emulator.book import loads
from kit.emulator.endpoint import Endpoint
from kit.emulator.http import Refusal, answer, body_of
from kit.emulator.ticket import Ticket
from kit.errors import UsageError
from kit.events import JobState

if TYPE_CHECKING:
    from aiohttp import web

Route = Callable[["web.Request", Endpoint], Awaitable["web.Response"]]
#: ?wait= of /runsync, in milliseconds
_WAIT_MS = (1_000, 300_000)
_WAIT_DEFAULT_MS = 90_000
#: documented requests per 10 s
RATES = {
    "run": 1000, "runsync": 2000, "status": 2000, "stream": 2000, "cancel": 100,
    "purge-queue": 2,
}  # fmt: skip


async def run(request: web.Request, endpoint: Endpoint) -> web.Response:
    """Queue a job and answer at once."""
    body = await _request(request, endpoint.settings.run_limit, "/run")
    ticket = _submit(endpoint, body, sync=False)
    return answer({"id": ticket.id, "status": str(JobState.IN_QUEUE)})


async def runsync(request: web.Request, endpoint: Endpoint) -> web.Response:
    """Queue a job and answer when it ended, or after ``wait``."""
    wait_s = _milliseconds(request, "wait", *_WAIT_MS, _WAIT_DEFAULT_MS) / 1000
    body = await _request(request, endpoint.settings.runsync_limit, "/runsync")
    ticket = _submit(endpoint, body, sync=True)
    await endpoint.wait(ticket, time.monotonic() + wait_s)
    return answer(ticket.facts())


async def status(request: web.Request, endpoint: Endpoint) -> web.Response:
    """State, times and output of a job."""
    ticket = _ticket(request, endpoint)
    if "ttl" in request.query:
        keep_s = _milliseconds(request, "ttl", 0, 7 * 86_400_000, 0) / 1000
        if ticket.expires_at is not None:
            ticket.expires_at = min(ticket.expires_at, time.monotonic() + keep_s)
    return answer(ticket.facts())


async def stream(request: web.Request, endpoint: Endpoint) -> web.Response:
    """Chunks that no call before has fetched; held open a moment while there is none."""
    ticket = _ticket(request, endpoint)
    hold_s = endpoint.settings.stream_hold_s
    if hold_s and not ticket.chunks:
        await endpoint.wait(ticket, time.monotonic() + hold_s, chunks=True)
    size, count = 0, 0
    for text in ticket.chunks:
        size += len(text)
        if count and size > endpoint.settings.chunk_limit:
            break
        count += 1
    given, ticket.chunks = ticket.chunks[:count], ticket.chunks[count:]
    facts = ticket.facts()
    # each chunk is passed on as the worker posted it, never decoded here
    from aiohttp import web

    head = answer({**facts, "stream": None}).text or ""
    text = f"{head.removesuffix('null}')}[{', '.join(given)}]}}"
    return web.Response(text=text, content_type="application/json")


async def cancel(request: web.Request, endpoint: Endpoint) -> web.Response:
    """End a job: a queued one is removed, a running one stopped."""
    ticket = _ticket(request, endpoint)
    endpoint.cancel(ticket)
    return answer({"id": ticket.id, "status": str(ticket.state)})


async def retry(request: web.Request, endpoint: Endpoint) -> web.Response:
    """Queue a FAILED or TIMED_OUT job again."""
    ticket = _ticket(request, endpoint)
    if not endpoint.retry(ticket):
        raise Refusal(
            400, f"job {ticket.id} is {ticket.state}; only FAILED or TIMED_OUT can be retried"
        )
    return answer({"id": ticket.id, "status": str(ticket.state)})


async def purge(_request: web.Request, endpoint: Endpoint) -> web.Response:
    """Remove what waits; what runs goes on."""
    return answer({"removed": endpoint.purge(), "status": "completed"})


async def health(_request: web.Request, endpoint: Endpoint) -> web.Response:
    """Counts of jobs and workers."""
    return answer(endpoint.health())


#: verb, HTTP method, whether an id follows, function
ROUTES: tuple[tuple[str, str, bool, Route], ...] = (
    ("run", "POST", False, run),
    ("runsync", "POST", False, runsync),
    ("status", "GET", True, status),
    ("stream", "GET", True, stream),
    ("cancel", "POST", True, cancel),
    ("retry", "POST", True, retry),
    ("purge-queue", "POST", False, purge),
    ("health", "GET", False, health),
)


def _ticket(request: web.Request, endpoint: Endpoint) -> Ticket:
    ticket = endpoint.get(request.match_info["id"])
    if ticket is None:
        raise Refusal(404, f"job {request.match_info['id']} does not exist, or no longer")
    return ticket


async def _request(request: web.Request, limit: int, what: str) -> dict[str, Any]:
    data = await body_of(request, limit, what)
    try:
        body = loads(data)
    except ValueError as exc:
        raise Refusal(400, f"the body is not JSON: {exc}") from None
    if not isinstance(body, dict) or "input" not in body:
        raise Refusal(400, "the body must be an object with `input`")
    return body


def _submit(endpoint: Endpoint, body: dict[str, Any], *, sync: bool) -> Ticket:
    try:
        return endpoint.submit(body, sync=sync)
    except UsageError as exc:
        raise Refusal(400, str(exc)) from None


def _milliseconds(request: web.Request, name: str, low: int, high: int, default: int) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise Refusal(400, f"{name} is {text!r}; give milliseconds from {low:,} to {high:,}")
    return value
