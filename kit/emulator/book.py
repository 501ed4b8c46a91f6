"""The jobs of one endpoint: queue, states, limits in time. Lives on one loop; no lock, no HTTP.

Order of truth: a job's state changes here and nowhere else. The first end counts; what a worker
posts after it (a late progress update, the result of a job that was cancelled) is accepted and
changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter, deque
from typing import Any

from kit.emulator.ticket import Backend, Observer, Settings, Ticket, Worker
from kit.events import JobState
from kit.policy import Policy, policy_of

_SWEEP_S = 0.1
#: the SDK looks at what it has taken every 0.1 s
_TAKEN_S = 0.3


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def loads(text: str | bytes) -> Any:
    """Strict JSON; ValueError for anything else, NaN and a nesting too deep for the parser too."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def is_progress(text: str) -> bool:
    """Whether a body that is no strict JSON is a progress update with NaN or Infinity in it."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("status") == "IN_PROGRESS"


class Book:
    """The jobs of one endpoint, as clients see them; ``Endpoint`` adds the workers' side.

    Parameters
    ----------
    id : str
        Its name in the URL.
    settings : Settings
    """

    def __init__(self, id: str, settings: Settings | None = None) -> None:
        self.id = id
        self.settings = settings or Settings()
        self.tickets: dict[str, Ticket] = {}
        self.queue: deque[Ticket] = deque()
        self.workers: dict[str, Worker] = {}
        self.ended: Counter[JobState] = Counter()
        self.retried = 0
        #: the next take gets one job only: the last worker with several ended among them
        self.careful = False
        self.backend: Backend | None = None
        self.observers: list[Observer] = []
        #: called with every job that ended and has a webhook
        self.webhook: Any = None
        self._live: dict[str, Ticket] = {}
        self._kept: tuple[deque[Ticket], deque[Ticket]] = (deque(), deque())
        self._hungry: deque[tuple[asyncio.Future[None], Worker]] = deque()
        self._sweeping = False

    # -- what clients ask -----------------------------------------------------------------------

    def submit(self, body: dict[str, Any], *, sync: bool, id: str | None = None) -> Ticket:
        """Queue a job.

        Parameters
        ----------
        body : dict
            The request, with ``input``. An ``id`` in it is not the client's to give.
        id : str or None
            None makes one.

        Raises
        ------
        UsageError
            Its policy is outside RunPod's ranges.
        """
        ticket = self.make(body, sync=sync, id=id)
        self.enqueue(ticket)
        return ticket

    def make(
        self, body: dict[str, Any], *, sync: bool = False, id: str | None = None, attempt: int = 1
    ) -> Ticket:
        """The same without queueing it yet."""
        policy = policy_of(body) if "policy" in body else Policy()
        if id is None:
            id = f"{'sync-' if sync else ''}{uuid.uuid4()}"
        body = {name: value for name, value in body.items() if name != "id"}
        ticket = Ticket(id, body, sync=sync, policy=policy)
        ticket.attempt = attempt
        return ticket

    def get(self, id: str) -> Ticket | None:
        """A job that still exists; None for one that never did, expired, or is past its TTL."""
        ticket = self.tickets.get(id)
        if ticket is None:
            return None
        if ticket.expires_at is not None and time.monotonic() >= ticket.expires_at:
            del self.tickets[id]
            return None
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """End a job that has not ended."""
        if not ticket.state.final:
            self._stop(ticket, JobState.CANCELLED)

    def time_out(self, ticket: Ticket, why: str) -> None:
        """End a job whose time is over."""
        if not ticket.state.final:
            ticket.error = why
            self._stop(ticket, JobState.TIMED_OUT)

    def retry(self, ticket: Ticket) -> bool:
        """Queue a FAILED or TIMED_OUT job again, same id and input; False for any other."""
        if ticket.state not in (JobState.FAILED, JobState.TIMED_OUT):
            return False
        self.retried += 1
        self.ended[ticket.state] -= 1
        ticket.reset()
        self.enqueue(ticket)
        return True

    def purge(self) -> int:
        """Cancel everything that waits; how many."""
        waiting = [t for t in self.queue if t.state is JobState.IN_QUEUE]
        for ticket in waiting:
            self._end(ticket, JobState.CANCELLED)
        self.queue.clear()
        return len(waiting)

    def health(self) -> dict[str, Any]:
        """The answer of /health."""
        progress = sum(t.state is JobState.IN_PROGRESS for t in self._live.values())
        idle, running = self.backend.counts() if self.backend else (0, 0)
        return {
            "jobs": {
                "completed": self.ended[JobState.COMPLETED],
                "failed": self.ended[JobState.FAILED] + self.ended[JobState.TIMED_OUT],
                "inProgress": progress,
                "inQueue": len(self._live) - progress,
                "retried": self.retried,
            },
            "workers": {"idle": idle, "running": running},
        }

    async def wait(self, ticket: Ticket, deadline: float, *, chunks: bool = False) -> None:
        """Return when a job ended, or has a new chunk, or at the deadline (monotonic)."""
        loop = asyncio.get_running_loop()
        while not ticket.state.final and not (chunks and ticket.chunks):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            watcher: asyncio.Future[None] = loop.create_future()
            ticket.watchers.append(watcher)
            timer = loop.call_later(left, wake, watcher)
            try:
                await watcher
            finally:
                timer.cancel()

    def waiting(self) -> list[Ticket]:
        """Queued jobs, oldest first."""
        while self.queue and self.queue[0].state is not JobState.IN_QUEUE:
            self.queue.popleft()
        return [t for t in self.queue if t.state is JobState.IN_QUEUE]

    # -- states ---------------------------------------------------------------------------------

    def enqueue(self, ticket: Ticket) -> None:
        """Put a job at the end of the queue."""
        self.tickets[ticket.id] = ticket
        self._live[ticket.id] = ticket
        self.queue.append(ticket)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        self._feed()
        if self.backend is not None:
            self.backend.wake()

    def _feed(self) -> None:
        """Wake the poll that has waited longest, if there is something to take."""
        while self._hungry and self.queue:
            poll, worker = self._hungry.popleft()
            if not poll.done() and not worker.draining:
                poll.set_result(None)
                break

    def _stop(self, ticket: Ticket, state: JobState) -> None:
        worker = ticket.worker if ticket.state is JobState.IN_PROGRESS else None
        if worker is not None:
            now = time.monotonic()
            worker.stopping[ticket.id] = now
            # a worker that has only just taken the job does not know it by id yet, and would ignore it
            early = _TAKEN_S - (now - (ticket.taken_at or now))
            if early <= 0:
                worker.signal(ticket.id)
            else:
                asyncio.get_running_loop().call_later(early, worker.signal, ticket.id)
        self._end(ticket, state)
        if worker is not None:
            if self.backend is not None:
                self.backend.stop(ticket)

    def _end(self, ticket: Ticket, state: JobState) -> None:
        now = time.monotonic()
        ticket.state, ticket.ended_at = state, now
        self._live.pop(ticket.id, None)
        self.ended[state] += 1
        retention = (
            self.settings.runsync_retention_s if ticket.sync else self.settings.run_retention_s
        )
        ticket.expires_at = now + retention
        self._kept[ticket.sync].append(ticket)
        ticket.changed()
        for observer in self.observers:
            observer.ended(ticket)
        if ticket.webhook and self.webhook is not None:
            self.webhook(ticket)

    def expire(self, ticket: Ticket, now: float) -> bool:
        """Delete a job whose ttl is over, even while it runs; whether it was."""
        ttl = ticket.policy.ttl_s or self.settings.ttl_s
        if now - ticket.submitted_at < ttl:
            return False
        self.time_out(ticket, f"the job's ttl of {ttl:g} s was over")
        self.tickets.pop(ticket.id, None)
        return True

    def _nudge(self) -> None:
        if self.backend is not None:
            self.backend.wake()

    def _sweep(self) -> None:
        now = time.monotonic()
        settings = self.settings
        for ticket in list(self._live.values()):
            limit = ticket.policy.execution_timeout_s or settings.execution_timeout_s
            if self.expire(ticket, now):
                continue
            if ticket.taken_at is not None and now - ticket.taken_at >= limit:
                self.time_out(ticket, f"job timed out after {limit:g} s (executionTimeout)")
        for kept in self._kept:
            while kept and (kept[0].expires_at is None or kept[0].expires_at <= now):
                old = kept.popleft()
                if old.state.final and self.tickets.get(old.id) is old:
                    del self.tickets[old.id]
        self._sweeping = bool(self._live or any(self._kept))
        if self._sweeping:
            period = _SWEEP_S if self._live else 1.0
            asyncio.get_running_loop().call_later(period, self._sweep)


def wake(future: asyncio.Future[None]) -> None:
    """Resolve a future that may have been resolved already."""
    if not future.done():
        future.set_result(None)
