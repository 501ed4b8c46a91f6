"""An endpoint whose jobs run where the notebook's do: in the kernel, with the model that is loaded there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kit.emulator.endpoint import Endpoint
from kit.emulator.ticket import Ticket, Worker
from kit.errors import KitError
from kit.events import ENDS, Ended, Event, EventKind, JobKey, JobState, Started

#: gets a whole request and seconds it may run; gives the job's key
Submit = Callable[[dict[str, Any], float], JobKey]
Subscribe = Callable[[Callable[[Sequence[Event]], None]], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Jobs:
    """What the session hands over, so that this room needs nothing of it. All thread-safe."""

    submit: Submit
    cancel: Callable[[JobKey], None]
    subscribe: Subscribe


class Live:
    """Backend of an endpoint: hands its jobs to the session and follows their events back.

    The queue is the session's, so jobs of clients and jobs of cells take turns. Made and used on the
    emulator's loop.
    """

    def __init__(self, endpoint: Endpoint, jobs: Jobs) -> None:
        self._endpoint, self._jobs = endpoint, jobs
        self._tickets: dict[JobKey, Ticket] = {}
        self._keys: dict[str, JobKey] = {}
        self._slots: dict[int, Worker] = {}
        self._loop = asyncio.get_running_loop()
        endpoint.backend = self
        endpoint.observers.append(self)
        self._unsubscribe = jobs.subscribe(self._heard)
        self._closed = False

    # -- Backend --------------------------------------------------------------------------------

    def wake(self) -> None:
        for ticket in self._endpoint.waiting():
            limit = ticket.policy.execution_timeout_s or self._endpoint.settings.execution_timeout_s
            try:
                key = self._jobs.submit({**ticket.body, "id": ticket.id}, limit)
            except KitError as exc:
                self._endpoint.fail(ticket, str(exc))
                continue
            self._tickets[key] = ticket
            self._keys[ticket.id] = key
        self._endpoint.queue.clear()

    def before_done(self, worker: Worker) -> None:
        """Nothing: logs go with the session's own events."""

    def stop(self, ticket: Ticket) -> None:
        """Nothing: ``ended`` follows."""

    def counts(self) -> tuple[int, int]:
        busy = sum(bool(worker.jobs) for worker in self._slots.values())
        return max(0, 1 - busy), busy

    def close(self) -> None:
        self._closed = True
        self._unsubscribe()
        for key in self._tickets:
            self._jobs.cancel(key)

    # -- Observer -------------------------------------------------------------------------------

    def started(self, ticket: Ticket) -> None: ...

    def progress(self, ticket: Ticket, text: str) -> None: ...

    def chunk(self, ticket: Ticket, text: str) -> None: ...

    def ended(self, ticket: Ticket) -> None:
        """A client's cancel, or a time limit of the endpoint: the session's job ends too."""
        key = self._keys.pop(ticket.id, None)
        if key is not None and ticket.state in (JobState.CANCELLED, JobState.TIMED_OUT):
            self._jobs.cancel(key)

    # -- events ---------------------------------------------------------------------------------

    def _heard(self, events: Sequence[Event]) -> None:
        # In the thread that committed. Which of them are ours is known on the loop only: a job may
        # have ended before its key is known here.
        if not self._closed:
            try:
                self._loop.call_soon_threadsafe(self._apply, events)
            except RuntimeError:  # the loop is closed, the server with it
                self._closed = True

    def _apply(self, events: Sequence[Event]) -> None:
        for event in events:
            ticket = self._tickets.get(event.job_key)
            if ticket is None:
                continue
            if event.kind in ENDS:
                del self._tickets[event.job_key]
                if self._keys.get(ticket.id) == event.job_key:
                    del self._keys[ticket.id]
            if not ticket.state.final:
                self._follow(ticket, event)

    def _follow(self, ticket: Ticket, event: Event) -> None:
        endpoint, payload, data = self._endpoint, event.payload, event.data
        if isinstance(data, Started):
            worker = self._slots.setdefault(data.slot, Worker(f"kernel-{data.slot}"))
            endpoint.begin(ticket, worker)
        elif event.kind is EventKind.CHUNK and ticket.worker is not None:
            endpoint.chunk(ticket.worker, ticket, f'{{"output": {payload}}}')
        elif event.kind is EventKind.PROGRESS and ticket.worker is not None:
            text = f'{{"status": "IN_PROGRESS", "output": {payload}}}'
            endpoint.done(ticket.worker, ticket, text)
        elif isinstance(data, Ended):
            self._end(ticket, event, data)

    def _end(self, ticket: Ticket, event: Event, data: Ended) -> None:
        if event.kind is EventKind.CANCELLED:
            self._endpoint.cancel(ticket)
        elif event.kind is EventKind.TIMED_OUT:
            # the session keeps the ttl too, and may be the first of the two to see it
            if not self._endpoint.expire(ticket, time.monotonic()):
                self._endpoint.time_out(ticket, "job timed out (executionTimeout)")
        elif event.payload is not None and ticket.worker is not None:
            self._endpoint.done(ticket.worker, ticket, event.payload)
            ticket.worker.draining = False  # the kernel is no pod that stopPod could stop
        else:
            why = data.lost or (data.error.message if data.error else "")
            self._endpoint.lose(ticket, why or "its kernel is gone")
