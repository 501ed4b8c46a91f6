"""Waiting for jobs from a cell: blocking or awaited, always interruptible."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from kit.capture import JOB
from kit.errors import UsageError
from kit.events import Chunk, Ended, Event, JobKey, JobView
from kit.queue import Entry
from kit.store import Store
from kit.worker import Worker

#: how long one wait of ``await job`` lasts: a plain await is not interruptible in ipykernel
#: (ipykernel#881), a sliced one answers the stop button in about 70 ms
SLICE_S = 0.1


class Owner(Protocol):
    """What waiting needs of a session."""

    cell: object

    @property
    def store(self) -> Store: ...

    @property
    def worker(self) -> Worker: ...

    def view(self, key: JobKey) -> JobView: ...


class Waiting:
    """Waits for jobs of one session.

    The stop button ends the cell's wait; it cancels a job only if that same cell started it.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def one(self, key: JobKey, timeout_s: float | None) -> bool:
        """Block until a job's end is committed (True) or the time is over (False)."""
        __tracebackhide__ = True
        if not self._owner.worker.is_live(key):
            return True
        self._refuse_deadlock([key])
        # A bare lock costs a tenth of an Event, and acquiring it is interruptible too.
        ended = threading.Lock()
        ended.acquire()
        if not self._owner.worker.when_ended(key, ended.release):
            return True
        try:
            done = ended.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))
        except KeyboardInterrupt:
            self._interrupted([key])
            raise
        if not done:
            self._owner.worker.forget(key, ended.release)
        self._check_journal()
        return done

    async def awaited(self, key: JobKey) -> None:
        """The same for a coroutine on any loop."""
        __tracebackhide__ = True
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the waiting loop is gone
                loop.call_soon_threadsafe(_resolve, ended)

        if not self._owner.worker.when_ended(key, wake):
            return
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=SLICE_S)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._owner.worker.forget(key, wake)
            self._interrupted([key])
            raise
        self._check_journal()

    def _interrupted(self, keys: Sequence[JobKey]) -> None:
        """The stop button ends the cell's wait, and cancels a job only if that cell started it."""
        for key in keys:
            entry = self._owner.worker.entry(key)
            if entry is not None and entry.cell is not None and entry.cell is self._owner.cell:
                self._owner.worker.cancel(key)

    def _refuse_deadlock(self, keys: Sequence[JobKey]) -> None:
        """A handler holds the loop on which the jobs it would wait for must run."""
        mine = JOB.get()
        if not isinstance(mine, Entry) or mine.echo or not _on_a_loop():
            return
        for key in keys:
            entry = self._owner.worker.entry(key)
            if entry is not None and entry.target == mine.target:
                raise UsageError(
                    f"job {entry.id} can only start when this handler lets go of its loop, so the "
                    "handler would wait for ever: `await` the job in an async handler, or call the "
                    "other handler's function itself, as a worker would have to."
                )

    def _check_journal(self) -> None:
        fault = self._owner.worker.fault
        if fault is not None:
            raise fault

    def all(self, keys: Sequence[JobKey], timeout_s: float | None) -> bool:
        """Block until every job ended (True) or the time is over (False)."""
        self._refuse_deadlock(keys)
        ended = threading.Lock()
        ended.acquire()
        self.when_all(keys, ended.release)
        try:
            done = ended.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))
        except KeyboardInterrupt:
            self._interrupted(keys)
            raise
        self._check_journal()
        return done

    async def awaited_all(self, keys: Sequence[JobKey]) -> None:
        """The same for a coroutine on any loop."""
        __tracebackhide__ = True
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the waiting loop is gone
                loop.call_soon_threadsafe(_resolve, ended)

        self.when_all(keys, wake)
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=SLICE_S)
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._interrupted(keys)
            raise
        self._check_journal()

    async def chunks(self, key: JobKey) -> AsyncIterator[str]:
        """Chunks of a stream as JSON text, each once, in order, until the job ends."""
        loop = asyncio.get_running_loop()
        coming: deque[Event] = deque()
        news = asyncio.Event()

        def heard(events: Sequence[Event]) -> None:
            mine = [e for e in events if e.job_key == key and isinstance(e.data, (Chunk, Ended))]
            if mine:
                coming.extend(mine)
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(news.set)

        unsubscribe = self._owner.store.subscribe(heard)
        try:
            # First what is stored, then what comes; positions keep the two from overlapping.
            view = self._owner.view(key)
            position = len(view.stream)
            for text in view.stream:
                yield text
            while not view.state.final or self._owner.worker.is_live(key) or coming:
                while coming:
                    event = coming.popleft()
                    if isinstance(event.data, Ended):
                        return
                    if isinstance(event.data, Chunk) and event.data.index >= position:
                        position = event.data.index + 1
                        yield event.payload or "null"
                news.clear()
                if not coming:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(news.wait(), SLICE_S)
                if not coming and not self._owner.worker.is_live(key):
                    view = self._owner.view(key)
                    for text in view.stream[position:]:
                        yield text
                    return
        finally:
            unsubscribe()

    def when_each(self, keys: Sequence[JobKey], call: Callable[[], None]) -> int:
        """Call once per job when it has ended; returns how many had ended already."""
        return self._owner.worker.when_each_ended(keys, call)

    def when_all(self, keys: Sequence[JobKey], call: Callable[[], None]) -> None:
        """Call once every job has ended: from the control thread, or at once if all have."""
        counting, left = threading.Lock(), [len(keys) + 1]

        def one_less() -> None:
            with counting:
                left[0] -= 1
                last = left[0] == 0
            if last:
                call()

        for _ in range(self.when_each(keys, one_less) + 1):
            one_less()


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():  # the waiter may have been cancelled meanwhile
        future.set_result(None)
