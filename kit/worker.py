"""The async loop between a queue and the places where jobs run.

``kit-worker`` (this module's thread) owns the journal's second half of every job: it collects what
targets report, writes it in batches, wakes whoever waits, and keeps time limits. It never runs user
code and never blocks on a job. The queue is a plain structure under one lock, so that a handler
thread takes its next job itself: a hop to another thread and back costs 70 us, a no-op job less.

Order of truth: a QUEUED row is committed before ``submit`` returns; an end is committed before
anybody waiting for it wakes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kit import findings
from kit.errors import StoreError, UsageError
from kit.events import (
    CancelAsked,
    Ended,
    Event,
    EventKind,
    Found,
    JobKey,
    Queued,
    Started,
)
from kit.growth import Growth
from kit.outbox import Outbox
from kit.queue import Entry, Journal, Queue, read_back, rescaled
from kit.relay import Relay
from kit.reports import HERE, Meter
from kit.roster import Roster
from kit.timelimits import TimeLimits
from kit.verdict import expiry

#: bound here: a handler may replace them
_clock, _utc = time.perf_counter, time.time


class Worker(Relay):
    """Queue, limits, cancel, timeouts, and the only writer of what jobs report.

    Parameters
    ----------
    store : Journal
    meter : Meter
        Called right before and after each run.
    """

    def __init__(self, store: Journal, meter: Meter) -> None:
        self._store, self._meter = store, meter
        self._lock = threading.Lock()
        self._queue = Queue()
        self._free_slots: list[int] = []
        self._slots = 0
        self._targets: dict[str, Any] = {}
        self._closing = False
        self.growth = Growth()
        self._told: set[tuple[str, int]] = set()
        self.loop = asyncio.new_event_loop()
        self._roster = Roster(self._lock, self._hurry)
        self._outbox = Outbox(store, self.loop, self._committed, self._roster.wake_all)
        self._limits = TimeLimits(self.loop, self._time_is_over)
        self._thread = threading.Thread(target=self._main, name="kit-worker", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    @property
    def fault(self) -> StoreError | None:
        """Why the journal cannot be written at the moment; None when all is well."""
        return self._outbox.fault

    def attach(self, target: Any) -> None:
        """Let a target take jobs."""
        self._targets[target.name] = target

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        """Call a function on the control loop after a delay; thread-safe. It must not block."""
        if delay_s <= 0:
            self.loop.call_soon_threadsafe(function)
        else:
            self.loop.call_soon_threadsafe(self.loop.call_later, delay_s, function)

    # -- into the queue -------------------------------------------------------------------------

    def submit(self, entries: Sequence[Entry], stored: Sequence[str]) -> None:
        """Journal the jobs and queue them; returns once the rows are committed.

        Parameters
        ----------
        entries : sequence of Entry
        stored : sequence of str
            For each, the request as it may be written to disk (without secrets).

        Raises
        ------
        StoreError
            Nothing was accepted.
        """
        self._journal(entries, stored)
        with self._lock:
            for entry in entries:
                entry.worker = self
                self._roster.add(entry)
                self._queue.put(entry)
        for entry in entries:
            self._limits.queued(entry)
        for name in {entry.target for entry in entries}:
            self._targets[name].wake()
        # Its start is about to be reported. To call the loop for that costs a handler 20 us of a
        # job's time; here nobody waits for them.
        self._outbox.wake()

    def admit(self, entry: Entry, stored: str) -> None:
        """Journal a job that the caller runs itself, at once (``kit.debug``)."""
        self._journal([entry], [stored])
        with self._lock:
            entry.worker = self
            self._roster.add(entry)
            self._begin(entry)

    def _journal(self, entries: Sequence[Entry], stored: Sequence[str]) -> None:
        if self.fault is not None:
            raise self.fault
        now, mono = _utc(), _clock()
        events = []
        for entry, text in zip(entries, stored):
            entry.queued_at = mono
            handler = entry.handler
            data = Queued(entry.id, handler.name, handler.version, entry.target, entry.timeout_s)
            events.append(Event(entry.key, entry.attempt, EventKind.QUEUED, now, data, text))
            for note in entry.notes:
                found = Found(note)
                events.append(Event(entry.key, entry.attempt, EventKind.FINDING, now, found))
        if len(self._store.append(events)) < len(events):
            # the journal takes an attempt once; whoever was second must not run it as well
            raise UsageError(
                f"job {entries[0].id} has been queued again already; wait for its end."
            )

    # -- out of the queue -----------------------------------------------------------------------

    def take(self, target: str) -> Entry | None:
        """The next job that may start on a target now; None if there is none.

        It starts when ``begin`` is called: on a loop, other tasks may come before it.
        """
        while True:
            with self._lock:
                head = self._queue.head(target)
                if head is None:
                    return None
                modifier = self._queue.asks(head)
                if modifier is None:
                    return self._queue.pop(head)
            limit = self._rescale(modifier, head)  # user code: never under the lock
            with self._lock:
                if self._queue.scale(head, limit):
                    return self._queue.pop(head)

    def reserve(self, target: str) -> Entry | None:
        """The next job of a target that has a queue of its own; it starts when ``begin`` is called."""
        with self._lock:
            head = self._queue.head(target, ahead=True)
            return None if head is None else self._queue.pop(head)

    def begin(self, entry: Entry) -> bool:
        """A job that was taken or reserved starts now; False if it has ended meanwhile."""
        with self._lock:
            if entry.closed:
                return False
            self._begin(entry)
            return True

    def _rescale(self, modifier: Callable[[int], int], head: Entry) -> int:
        limit, complaint = rescaled(modifier, self._queue.limit(head))
        at = (head.handler.name, head.handler.version)
        if complaint:
            self.note(head, findings.bad_modifier(complaint))
        elif limit > 1 and head.handler.kind.blocks and at not in self._told:
            self._told.add(at)  # once per version, not once per job
            self.note(head, findings.sync_concurrency(limit))
        return limit

    def _begin(self, entry: Entry) -> None:
        self._occupy(entry)
        if entry.target == HERE:
            self._meter.begin(entry.key)
        entry.started_at = _clock()
        delay_ms = round((entry.started_at - entry.queued_at) * 1e3, 3)
        self._post(entry, EventKind.STARTED, Started(entry.slot, delay_ms))

    def request_of(self, entry: Entry) -> str:
        """The request text of a job that was taken; reads the journal if it was put aside there."""
        return read_back(entry, self._store)

    def _hurry(self) -> None:
        self._outbox.wake(urgent=True)

    def _committed(self, batch: Sequence[Event]) -> None:
        ended = []
        for event in batch:
            if event.kind is EventKind.STARTED:
                entry = self._roster.get(event.job_key)
                if entry is not None:
                    self._limits.started(entry)
            elif type(event.data) is Ended:
                if event.kind is EventKind.COMPLETED:
                    entry = self._roster.get(event.job_key)
                    if entry is not None:
                        entry.done = event.payload
                ended.append(event.job_key)
                self._limits.ended(event.job_key)
        self._roster.ended(ended)

    # -- waiting and stopping -------------------------------------------------------------------

    def is_live(self, key: JobKey) -> bool:
        """Whether this worker has the job and its end is not committed yet."""
        return self._roster.get(key) is not None

    def entry(self, key: JobKey) -> Entry | None:
        return self._roster.get(key)

    def running(self) -> list[Entry]:
        """Jobs in a handler right now."""
        return self._roster.running()

    def when_ended(self, key: JobKey, wake: Callable[[], None]) -> bool:
        """Call ``wake`` (from the control thread) once the job's end is committed.

        Returns
        -------
        bool
            False if it has ended already; ``wake`` will not be called then.
        """
        return self._roster.when_ended(key, wake)

    def when_each_ended(self, keys: Sequence[JobKey], wake: Callable[[], None]) -> int:
        """Call ``wake`` once for each of these jobs; returns how many have ended already.

        Ends may be told a few milliseconds late, but for the last one.
        """
        return self._roster.when_each_ended(keys, wake)

    def forget(self, key: JobKey, wake: Callable[[], None]) -> None:
        """Stop waiting."""
        self._roster.forget(key, wake)

    def waiting(self, key: JobKey) -> int:
        """How many wait for a job."""
        return self._roster.waiting(key)

    def cancel(self, key: JobKey) -> None:
        """Ask for a job to be cancelled; thread-safe, returns at once."""
        self.loop.call_soon_threadsafe(self._stop, key, EventKind.CANCELLED)

    def _time_is_over(self, entry: Entry) -> None:
        self._stop(entry.key, EventKind.TIMED_OUT)

    def _stop(self, key: JobKey, verdict: EventKind) -> None:
        urgent = True
        with self._lock:
            entry = self._roster.get(key)
            if entry is None or entry.closed or entry.stopping is not None:
                return
            queued = not entry.started_at
            entry.stopping = verdict
            if queued:
                urgent = self._roster.close(entry)  # taken out of its lane when its turn comes
                if entry.reserved:
                    self._queue.leave(entry)
        if verdict is EventKind.CANCELLED:
            self._post(entry, EventKind.CANCEL_ASKED, CancelAsked(), urgent=not queued)
        if queued:
            self._end(entry, verdict, Ended(None, expiry(entry)), None, [], urgent=urgent)
        if (not queued or entry.reserved) and entry.target in self._targets:
            self.loop.create_task(self._targets[entry.target].stop(entry))

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is left and end the thread. Jobs that still run become LOST at the next start."""
        if self._closing:
            return
        self._closing = True
        for target in self._targets.values():
            target.close()
        written = threading.Event()

        def last() -> None:
            self._outbox.empty()
            written.set()
            self.loop.stop()

        self.loop.call_soon_threadsafe(last)
        written.wait(timeout_s)
