"""What a target reports of a job that it runs: chunks, progress, findings, and one end."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterable
from typing import Any, Protocol

from kit import findings
from kit.events import (
    Chunk,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Finding,
    Found,
    JobKey,
    MemoryUse,
    Progress,
    Stuck,
)
from kit.growth import Growth
from kit.outbox import BACKLOG, Outbox
from kit.outcome import Outcome
from kit.queue import Entry, Queue
from kit.roster import Roster
from kit.verdict import verdict

#: bound here: a handler may replace them
_clock, _utc = time.perf_counter, time.time
#: the target whose jobs this process runs itself: memory is measured around those
HERE = "local"


class Meter(Protocol):
    """Measures memory around a job (``sampler.Sampler``)."""

    def begin(self, key: JobKey) -> None: ...

    def end(self, key: JobKey) -> tuple[MemoryUse, ...]: ...


class Reports:
    """The part of :class:`kit.worker.Worker` that targets speak to, from any thread."""

    _lock: threading.Lock
    _queue: Queue
    _roster: Roster
    _outbox: Outbox
    _meter: Meter
    _free_slots: list[int]
    _slots: int
    growth: Growth

    def chunk(self, entry: Entry, text: str) -> Any:
        """A stream chunk as JSON text; gives something to await when the journal is behind."""
        if not entry.closed:
            self._post(entry, EventKind.CHUNK, Chunk(entry.seq_chunk), text)
            entry.seq_chunk += 1
        return self._outbox.caught_up() if len(self._outbox) > BACKLOG else None

    def progress(self, entry: Entry, text: str) -> None:
        """A progress value as JSON text, in the order of the calls."""
        if entry.closed:
            self.note(entry, findings.late_progress())
            return
        self._post(entry, EventKind.PROGRESS, Progress(), text)
        self._outbox.hold_back()

    def finish(self, entry: Entry, outcome: Outcome, extra: Iterable[Finding] = (),
               measured: tuple[MemoryUse, ...] = ()) -> None:  # fmt: skip
        """The end of a run. The first end counts; whatever a retired thread says later does not.

        ``measured`` is what a target found that runs its jobs elsewhere.
        """
        took = _clock() - entry.started_at if entry.started_at else None
        with self._lock:
            if entry.closed:
                return
            memory, urgent = self._release(entry)
        kind, done, ended, notes = verdict(entry, outcome, took, memory or measured, self.growth)
        self._end(entry, kind, ended, done, [*notes, *extra], urgent=urgent)

    def lost(self, entry: Entry, reason: str) -> None:
        """Nobody can be running this job any more."""
        with self._lock:
            if entry.closed:
                return
            memory, urgent = self._release(entry)
        took = round((_clock() - entry.started_at) * 1e3, 3) if entry.started_at else None
        ended = Ended(took, None, reason, memory)
        self._end(entry, EventKind.LOST, ended, None, [], urgent=urgent)

    def stuck(self, entry: Entry, reason: str) -> None:
        """The handler could not be stopped: the job ends as asked, its thread lives on."""
        if not entry.closed:
            self._post(entry, EventKind.STUCK, Stuck(reason), urgent=True)
            self.finish(entry, Outcome(EventKind.FAILED, None, ErrorInfo("", reason), reason))

    def note(self, entry: Entry, note: Finding) -> None:
        """Something worth saying of a job. Thread-safe."""
        self._post(entry, EventKind.FINDING, Found(note))

    def log_waits(self, entry: Entry) -> None:
        self._outbox.log_waits(entry)

    def _end(
        self,
        entry: Entry,
        kind: EventKind,
        data: Ended,
        done: str | None,
        notes: list[Finding],
        *,
        urgent: bool,
    ) -> None:
        end = Event(entry.key, entry.attempt, kind, _utc(), data, done)
        self._outbox.put_end(entry, end, notes, urgent=urgent)

    def _post(
        self,
        entry: Entry,
        kind: EventKind,
        data: Any,
        payload: str | None = None,
        *,
        urgent: bool = False,
    ) -> None:
        event = Event(entry.key, entry.attempt, kind, _utc(), data, payload)
        self._outbox.put(event, urgent=urgent)

    def _release(self, entry: Entry) -> tuple[tuple[MemoryUse, ...], bool]:
        urgent = self._roster.close(entry)
        self._queue.leave(entry)
        if not entry.started_at:  # reserved, and never begun
            return (), urgent
        heapq.heappush(self._free_slots, entry.slot)
        return self._meter.end(entry.key) if entry.target == HERE else (), urgent

    def _occupy(self, entry: Entry) -> None:
        entry.slot = heapq.heappop(self._free_slots) if self._free_slots else self._slots
        self._slots = max(self._slots, entry.slot + 1)
