"""The worker's verbs, as an unmodified runpod worker uses them (runpod 1.12.0, ``rp_job``, ``rp_http``)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from kit.emulator.endpoint import Endpoint
from kit.emulator.http import Refusal, answer, body_of
from kit.emulator.ticket import Ticket, Worker

if TYPE_CHECKING:
    from aiohttp import web

Route = Callable[["web.Request", Endpoint], Awaitable["web.Response"]]
#: a body above this is not even read into memory: far over every limit, so the answer is the same
_READ_LIMIT = 256_000_000
_NOBODY = "the worker took this job and came back without it: nothing was posted for it"


def _nothing() -> web.Response:
    from aiohttp import web

    return web.Response(status=204)


def _job(ticket: Ticket) -> dict[str, Any]:
    return {"id": ticket.id, **ticket.body}


async def _take(request: web.Request, endpoint: Endpoint, most: int) -> list[Ticket]:
    worker = endpoint.worker(request.match_info["worker"])
    if worker.first_take_at is None:
        worker.first_take_at = time.monotonic()
        if endpoint.backend is not None:
            endpoint.backend.wake()
    if request.query.get("job_in_progress") == "0" and worker.jobs:
        endpoint.dropped(worker, worker.jobs, _NOBODY)

    def listening() -> bool:
        return request.transport is not None and not request.transport.is_closing()

    return await endpoint.take_later(worker, most, endpoint.settings.take_hold_s, listening)


async def take(request: web.Request, endpoint: Endpoint) -> web.Response:
    """One job, or 204."""
    taken = await _take(request, endpoint, 1)
    if len(taken) == 1:
        return answer(_job(taken[0]))
    return answer([_job(ticket) for ticket in taken]) if taken else _nothing()


async def take_batch(request: web.Request, endpoint: Endpoint) -> web.Response:
    """Up to ``batch_size`` jobs, or 204."""
    try:
        most = max(1, int(request.query.get("batch_size", "1")))
    except ValueError:
        raise Refusal(400, "batch_size must be a whole number") from None
    taken = await _take(request, endpoint, most)
    return answer([_job(ticket) for ticket in taken]) if taken else _nothing()


async def _posted(request: web.Request, endpoint: Endpoint) -> tuple[Worker, Ticket, str]:
    data = await body_of(request, _READ_LIMIT, "a result")
    worker = endpoint.worker(request.match_info["worker"])
    ticket = worker.jobs.get(request.match_info["id"]) or endpoint.get(request.match_info["id"])
    if ticket is None:
        raise Refusal(404, f"job {request.match_info['id']} does not exist, or no longer")
    try:
        return worker, ticket, data.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "the body is not UTF-8") from None


async def done(request: web.Request, endpoint: Endpoint) -> web.Response:
    """The final body, or progress."""
    if not endpoint.done(*await _posted(request, endpoint)):
        raise Refusal(400, "the result is over the limit")
    return answer({})


async def stream(request: web.Request, endpoint: Endpoint) -> web.Response:
    """One chunk of a stream."""
    if not endpoint.chunk(*await _posted(request, endpoint)):
        raise Refusal(413, f"a chunk is at most {endpoint.settings.chunk_limit:,} bytes")
    return answer({})


async def stop(request: web.Request, endpoint: Endpoint) -> web.Response:
    """Jobs this worker should stop; held open until there is one."""
    worker = endpoint.worker(request.match_info["worker"])
    deadline = time.monotonic() + endpoint.settings.stop_hold_s
    await endpoint.signalled(worker, deadline)
    if not worker.signals:
        return _nothing()
    ids, worker.signals = worker.signals, []
    return answer({"jobsToStop": ids})


async def ping(request: web.Request, endpoint: Endpoint) -> web.Response:
    """A heartbeat, with the ids the worker has in progress."""
    worker = endpoint.worker(request.match_info["worker"])
    here = set(filter(None, request.query.get("job_id", "").split(",")))
    absent = {id for id in worker.jobs if id not in here}
    # a job that was handed out after the snapshot is absent once; one that is gone, twice. Of many
    # handed out at once most have not reached the worker's list yet.
    if endpoint.settings.take_many == 1:
        endpoint.dropped(worker, absent & worker.missing, _NOBODY)
    worker.missing = absent
    return answer({})


#: verb, HTTP method, whether a job's id follows the worker's, function
ROUTES: tuple[tuple[str, str, bool, Route], ...] = (
    ("job-take", "GET", False, take),
    ("job-take-batch", "GET", False, take_batch),
    ("job-done", "POST", True, done),
    ("job-stream", "POST", True, stream),
    ("job-stop", "GET", False, stop),
    ("ping", "GET", False, ping),
)
