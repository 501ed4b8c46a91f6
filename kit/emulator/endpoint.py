"""The workers' side of an endpoint: who takes a job, what is posted for it, who lost it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from kit.emulator.book import Book, is_progress, loads, wake
from kit.emulator.ticket import NO_OUTPUT, Ticket, Worker
from kit.events import JobState


class Endpoint(Book):
    """One endpoint: its jobs, and what its workers do with them.

    Whoever asked for a job first is served first. What is posted for a job that has ended is
    accepted and changes nothing.
    """

    def worker(self, id: str) -> Worker:
        """The worker of this id, made at its first request."""
        worker = self.workers.get(id)
        if worker is None:
            worker = self.workers[id] = Worker(id)
        worker.last_seen_at = time.monotonic()
        return worker

    def take(self, worker: Worker, most: int) -> list[Ticket]:
        """Hand out queued jobs, at most so many (or ``take_many``), now."""
        taken: list[Ticket] = []
        if self.settings.take_many > 1:
            most, self.careful = 1 if self.careful else max(most, self.settings.take_many), False
        while self.queue and len(taken) < most and not worker.draining:
            ticket = self.queue[0]
            if ticket.state is not JobState.IN_QUEUE:
                self.queue.popleft()
                continue
            if ticket.id in worker.jobs:  # still busy with the attempt before
                break
            self.queue.popleft()
            taken.append(ticket)
            self.begin(ticket, worker)
        return taken

    async def take_later(
        self, worker: Worker, most: int, hold_s: float, listening: Callable[[], bool]
    ) -> list[Ticket]:
        """The same, waiting for a job up to ``hold_s``. Whoever asked first is served first.

        ``listening`` tells whether whoever asked is still there: a job handed to a connection that
        is gone would be lost.
        """
        deadline = time.monotonic() + hold_s
        loop = asyncio.get_running_loop()
        while True:
            if worker.draining or not listening():
                self._feed()
                return []
            taken = self.take(worker, most)
            left = deadline - time.monotonic()
            if taken or left <= 0:
                return taken
            poll: asyncio.Future[None] = loop.create_future()
            worker.polls.add(poll)
            self._hungry.append((poll, worker))
            timer = loop.call_later(left, wake, poll)
            try:
                await poll
            finally:
                timer.cancel()
                worker.polls.discard(poll)

    async def signalled(self, worker: Worker, deadline: float) -> None:
        """Return when a worker has jobs to stop, gets no more jobs, or at the deadline."""
        loop = asyncio.get_running_loop()
        while not worker.signals and not worker.draining:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            poll: asyncio.Future[None] = loop.create_future()
            worker.polls.add(poll)
            timer = loop.call_later(left, wake, poll)
            try:
                await poll
            finally:
                timer.cancel()
                worker.polls.discard(poll)

    def begin(self, ticket: Ticket, worker: Worker) -> None:
        """A worker has a job now."""
        ticket.state = JobState.IN_PROGRESS
        ticket.taken_at = time.monotonic()
        ticket.worker, ticket.worker_id = worker, worker.id
        worker.jobs[ticket.id] = ticket
        worker.takes += 1
        for observer in self.observers:
            observer.started(ticket)

    def done(self, worker: Worker, ticket: Ticket, text: str) -> bool:
        """A worker posted to job-done: a progress value or the final body.

        Returns
        -------
        bool
            False if the platform refuses the body.
        """
        try:
            body = loads(text)
        except ValueError:
            body = None
            if is_progress(text):  # NaN in it: nobody can read that, and it ends nothing
                if self._has(worker, ticket):
                    ticket.posted.append(("job-done", text))
                return True
        if isinstance(body, dict) and body.get("status") == "IN_PROGRESS":
            if self._has(worker, ticket):
                ticket.posted.append(("job-done", text))
                ticket.output, ticket.progressed = body.get("output"), True
                for observer in self.observers:
                    observer.progress(ticket, text)
            elif ticket.worker is worker:
                ticket.posted.append(("job-done", text))  # too late for anything but the record
            return True
        mine = self._has(worker, ticket)
        if mine:
            if self.backend is not None:
                self.backend.before_done(worker)
            ticket.posted.append(("job-done", text))
            worker.last_done_at = time.monotonic()
        self._release(worker, ticket)
        if isinstance(body, dict) and body.get("stopPod") and self.settings.stop_pods:
            # the platform stops this pod; before it asks for a job again
            worker.draining = True
            worker.wake()
        accepted = not mine or self._finish(ticket, text, body)
        self._nudge()
        return accepted

    def _finish(self, ticket: Ticket, text: str, body: Any) -> bool:
        limit = self.settings.runsync_limit if ticket.sync else self.settings.run_limit
        if len(text) * 4 > limit and (size := len(text.encode())) > limit:
            why = f"the result is {size:,} bytes; the limit is {limit:,}"
            self.lose(ticket, why)
            return False
        if not isinstance(body, dict):
            ticket.done = text
            ticket.output, ticket.refused = NO_OUTPUT, True
            self.fail(ticket, "the worker posted a result that is not JSON (NaN or Infinity)")
            return True
        ticket.done = text
        ticket.progressed = False
        ticket.output = body.get("output", NO_OUTPUT)
        if "error" in body:
            ticket.error = body["error"]
            self._end(ticket, JobState.FAILED)
        else:
            self._end(ticket, JobState.COMPLETED)
        return True

    def chunk(self, worker: Worker, ticket: Ticket, text: str) -> bool:
        """A worker posted to job-stream; False if it is over the limit and therefore dropped."""
        if not self._has(worker, ticket):
            return True
        ticket.posted.append(("job-stream", text))
        if len(text) * 4 > self.settings.chunk_limit and (
            len(text.encode()) > self.settings.chunk_limit
        ):
            return False
        ticket.chunks.append(text)
        for observer in self.observers:
            observer.chunk(ticket, text)
        ticket.changed()
        return True

    def lose(self, ticket: Ticket, why: str) -> None:
        """Nothing will ever be posted for a job in progress: it is FAILED with the reason."""
        ticket.lost = why
        self.fail(ticket, why)

    def fail(self, ticket: Ticket, why: str) -> None:
        """The endpoint itself ends a job."""
        if not ticket.state.final:
            ticket.error = why
            if ticket.worker is not None:
                self._release(ticket.worker, ticket)
            self._end(ticket, JobState.FAILED)

    def dropped(self, worker: Worker, ids: Iterable[str], why: str) -> None:
        """A worker no longer has these jobs, whatever was posted for them."""
        for id in list(ids):
            ticket = worker.jobs.get(id)
            if ticket is None:
                continue
            if self._has(worker, ticket):
                if self.backend is not None:
                    self.backend.before_done(worker)
                self.lose(ticket, why)
            self._release(worker, ticket)
        self._nudge()

    def gone(self, worker: Worker, why: str) -> None:
        """A worker's process has ended."""
        worker.draining = True
        worker.wake()
        if self.settings.take_many > 1 and len(worker.jobs) > 1:
            # it had the others only in its hand: they go back, and the first of them goes alone
            for ticket in reversed(list(worker.jobs.values())):
                self._release(worker, ticket)
                ticket.reset()
                ticket.attempt -= 1
                self.queue.appendleft(ticket)
            self.careful = True
        self.dropped(worker, worker.jobs, why)
        self.workers.pop(worker.id, None)

    def _has(self, worker: Worker, ticket: Ticket) -> bool:
        return ticket.worker is worker and ticket.state is JobState.IN_PROGRESS

    def _release(self, worker: Worker, ticket: Ticket) -> None:
        if worker.jobs.get(ticket.id) is ticket:
            del worker.jobs[ticket.id]
        worker.stopping.pop(ticket.id, None)
