"""Jobs of this worker's queue that the worker of another machine runs: their events, as told."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from kit.events import Ended, Event, EventKind, Started
from kit.queue import Entry
from kit.reports import Reports

#: bound here: a handler may replace them
_clock, _utc = time.perf_counter, time.time


class Relay(Reports, ABC):
    """The part of :class:`kit.worker.Worker` that takes the word of another one."""

    @abstractmethod
    def _journal(self, entries: Sequence[Entry], stored: Sequence[str]) -> None: ...

    def enroll(self, entry: Entry, stored: str) -> None:
        """Journal a job that another machine has begun by itself; ``relay`` tells the rest."""
        self._journal([entry], [stored])
        with self._lock:
            entry.elsewhere = entry.reserved = True
            self._roster.add(entry)

    def adopt(self, entry: Entry, submitted_at: float, *, started: bool) -> None:
        """Follow a job of a former kernel that another machine has still; ``relay`` tells the rest."""
        with self._lock:
            entry.elsewhere = entry.reserved = True
            entry.queued_at = _clock() - max(0.0, _utc() - submitted_at)
            if started:
                self._occupy(entry)
                entry.started_at = _clock()
            self._roster.add(entry)

    def relay(self, entry: Entry, event: Event) -> None:
        """What the worker of another machine says of a job that was reserved here; thread-safe.

        Its times are this machine's already. Its first end counts; one that comes after the job was
        given up as LOST is kept too, and replaces that.
        """
        kind, urgent = event.kind, type(event.data) is Ended
        with self._lock:
            if urgent:
                if not entry.closed:
                    _, urgent = self._release(entry)
                elif entry.stopping is not None:
                    return
            elif entry.closed and (entry.stopping is not None or kind is EventKind.STARTED):
                return
            elif kind is EventKind.STARTED:
                self._occupy(entry)
                entry.started_at = _clock() - max(0.0, _utc() - event.time)
                delay_ms = round(max(0.0, entry.started_at - entry.queued_at) * 1e3, 3)
                event = replace(event, data=Started(entry.slot, delay_ms))
        self._outbox.put(event, urgent=urgent)
