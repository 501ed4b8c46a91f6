"""Run jobs through real workers and give back every body they posted: the other half of a proof."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from kit.emulator.endpoint import Endpoint
from kit.emulator.pool import Pool, Scale
from kit.emulator.server import Server
from kit.emulator.ticket import Settings, Ticket
from kit.posted import Case, Played, Replay

_HUGE = 1_000_000_000
_WEEK_S = 7 * 86_400.0
_POLL_S = 0.02
_PROGRESS_WAIT_S = 10.0
_SETTINGS = Settings(
    execution_timeout_s=_WEEK_S, ttl_s=_WEEK_S, run_retention_s=_WEEK_S, run_limit=_HUGE,
    chunk_limit=_HUGE, take_many=1_000, stop_pods=False,
)  # fmt: skip


def play(
    folder: Path,
    cases: Sequence[Case],
    load_timeout_s: float,
    jobs_timeout_s: float,
    python: Path | None = None,
    tick_s: float = 0.1,
) -> Replay:
    """Run cases through ``python -u handler.py`` in a folder.

    Blocks until all have ended or their time is over; an interrupt ends it, and in every case
    nothing of the workers is left. One worker at a time: a second copy of a model may not fit.

    Parameters
    ----------
    folder : Path
    cases : sequence of Case
        Their ids differ.
    load_timeout_s : float
        Seconds until the first worker must have asked for a job.
    jobs_timeout_s : float
        Seconds for all jobs after that.
    python : Path or None
        The interpreter; None is this one. Another's environment is its own: ``PYTHONPATH`` and the
        user's packages are not for it.
    tick_s : float
        Seconds between two looks of the pool at its worker.
    """
    began = time.monotonic()
    server = Server()
    server.start()
    endpoint = Endpoint("verify", _SETTINGS)
    command = None if python is None else [str(python), "-E", "-s", "-u", "handler.py"]

    async def submit() -> tuple[Pool, list[Ticket]]:
        server.add(endpoint)
        tickets = [endpoint.submit(json.loads(c.request), sync=False, id=c.id) for c in cases]
        scale = Scale(
            idle_timeout_s=_WEEK_S, load_timeout_s=load_timeout_s, give_up=1, tick_s=tick_s
        )
        pool = Pool(endpoint, server.base, server.token, folder, scale, command=command)
        return pool, tickets

    try:
        pool, tickets = server.call(submit)
        why = _wait(pool, tickets, jobs_timeout_s)
        _wait_for_progress(cases, tickets)
        cold_start = pool.first_cold_start()
    finally:
        server.stop()
    # a quick job may have ended before the pool looked at its worker for the first time
    if not why and tickets and all(ticket.taken_at is None for ticket in tickets):
        why = str(tickets[0].error or "no worker asked for a job")
    return Replay(tuple(map(_played, tickets)), why, time.monotonic() - began, cold_start)


def _wait(pool: Pool, tickets: Sequence[Ticket], jobs_timeout_s: float) -> str:
    deadline: float | None = None
    while not all(ticket.state.final for ticket in tickets):
        if deadline is None and pool.cold_starts:
            deadline = time.monotonic() + jobs_timeout_s
        if deadline is not None and time.monotonic() > deadline:
            return f"the recorded jobs had not finished after {jobs_timeout_s:.0f} s"
        time.sleep(_POLL_S)
    return ""


def _wait_for_progress(cases: Sequence[Case], tickets: Sequence[Ticket]) -> None:
    deadline = time.monotonic() + _PROGRESS_WAIT_S
    for case, ticket in zip(cases, tickets):
        while case.progress and ticket.done and time.monotonic() < deadline:
            if len([1 for verb, _ in list(ticket.posted) if verb == "job-done"]) > case.progress:
                break
            time.sleep(_POLL_S)


def _played(ticket: Ticket) -> Played:
    posted = tuple(
        ("stream" if verb == "job-stream" else "done", body) for verb, body in ticket.posted
    )
    ran = ticket.taken_at is not None and ticket.state.final
    lost = ticket.lost
    if ticket.taken_at is not None and not ticket.state.final:
        lost = "a worker took it, and no result came in that time"
    return Played(posted, lost, ran)
