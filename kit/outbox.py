"""What targets report, on its way into the journal: gathered, and written in batches.

Anybody may put something in from any thread; the control loop writes. An end that somebody waits for
is written at once, everything else within a few milliseconds, with whatever has come meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from kit.errors import StoreError
from kit.events import Event, EventKind, Finding, Found
from kit.queue import Entry, Journal

#: events not yet in the journal above which a stream waits for the disk
BACKLOG = 1_024
#: events in one transaction at most
BATCH = 20_000
_LAZY_S = 0.004
_RETRY_S = 0.5
#: bound here: a handler may replace them
_utc, _sleep = time.time, time.sleep


class Outbox:
    """Events that are not in the journal yet. ``len()`` tells how many.

    Parameters
    ----------
    store : Journal
    loop : asyncio.AbstractEventLoop
        The control loop, on which the journal is written.
    committed : callable
        Called there with each batch once it is in the journal.
    refused : callable
        Called there when the journal cannot be written; the batch is kept and tried again.
    """

    def __init__(
        self,
        store: Journal,
        loop: asyncio.AbstractEventLoop,
        committed: Callable[[Sequence[Event]], None],
        refused: Callable[[], None],
    ) -> None:
        self._store, self._loop = store, loop
        self._committed, self._refused = committed, refused
        self._events: deque[Event] = deque()
        self._loggers: deque[Entry] = deque()
        #: something is to be written at once; the loop has been called; its timer runs
        self._urgent = self._called = self._timed = False
        #: why the journal cannot be written at the moment; None when all is well
        self.fault: StoreError | None = None

    def __len__(self) -> int:
        return len(self._events)

    # -- in -------------------------------------------------------------------------------------

    def put(self, event: Event, *, urgent: bool = False) -> None:
        """Add an event. Thread-safe, does not block."""
        self._events.append(event)
        self.wake(urgent=urgent)

    def put_end(self, entry: Entry, end: Event, notes: Sequence[Finding], *, urgent: bool) -> None:
        """Add the end of a job, and before it what is left of its log and what is worth saying."""
        now = end.time
        if entry.log is not None:
            self._drain(entry, now, final=True)
        for note in notes:
            self._events.append(
                Event(entry.key, entry.attempt, EventKind.FINDING, now, Found(note))
            )
        self.put(end, urgent=urgent)

    def log_waits(self, entry: Entry) -> None:
        """A job has printed something; it is fetched with the next batch."""
        self._loggers.append(entry)
        self.wake()

    def _drain(self, entry: Entry, now: float, *, final: bool) -> None:
        if entry.log is not None:
            for log in entry.log.drain(final=final):
                self._events.append(Event(entry.key, entry.attempt, EventKind.LOG, now, log))

    # -- a stream that is faster than the disk --------------------------------------------------

    async def caught_up(self) -> None:
        """Wait until the journal is no longer behind."""
        while len(self._events) > BACKLOG // 2 and self.fault is None:
            await asyncio.sleep(0.002)

    def hold_back(self) -> None:
        """Block a thread that reports far faster than the disk."""
        while len(self._events) > 8 * BACKLOG and self.fault is None:
            _sleep(0.002)

    # -- out ------------------------------------------------------------------------------------

    def wake(self, *, urgent: bool = False) -> None:
        """Have the journal written: at once, or within ``_LAZY_S``. Thread-safe.

        A call of the loop costs a system call and wakes a thread that then wants the interpreter
        from the handler. So there is one on its way at a time, and none while a timer runs that
        comes soon enough. The loop forgets the call before it looks whether there is a hurry, and
        here it is the other way round, so nothing falls in between.
        """
        if urgent:
            self._urgent = True
        elif self._timed:
            return
        if self._called:
            return
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._look)
        except RuntimeError:  # the loop is closed: the kernel is going down, nobody reads this
            self._called = False

    def _look(self) -> None:
        self._called = False
        if self._urgent:
            self.flush()
        elif not self._timed:
            self._timed = True
            self._loop.call_later(_LAZY_S, self._on_time)

    def _on_time(self) -> None:
        self._timed = False
        self.flush()

    def flush(self) -> None:
        """Write one batch. On the control loop."""
        self._urgent = False
        now = _utc()
        while self._loggers:
            entry = self._loggers.popleft()
            self._drain(entry, now, final=entry.closed)
        batch = [self._events.popleft() for _ in range(min(len(self._events), BATCH))]
        if not batch:
            return
        try:
            self._store.append(batch)
        except StoreError as fault:
            self._events.extendleft(reversed(batch))
            self.fault = fault
            self._refused()
            self._loop.call_later(_RETRY_S, self.flush)
            return
        self.fault = None
        self._committed(batch)
        if self._events:
            self.wake(urgent=True)

    def empty(self) -> None:
        """Write everything, unless the journal refuses. On the control loop."""
        self.flush()
        while self._events and self.fault is None:
            self.flush()
