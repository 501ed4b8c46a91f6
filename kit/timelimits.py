"""How long jobs may run and wait: ``timeout_s`` from the start, ``ttl`` from the queue on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from kit.events import JobKey
from kit.queue import Entry

#: bound here: a handler may replace it
_clock = time.perf_counter


class TimeLimits:
    """Timers of one control loop; all but ``queued`` are called on it.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    over : callable
        Called there with a job whose time is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, over: Callable[[Entry], None]) -> None:
        self._loop, self._over = loop, over
        self._timers: dict[JobKey, asyncio.TimerHandle] = {}

    def queued(self, entry: Entry) -> None:
        """A job with a ``ttl`` was accepted. Thread-safe."""
        if entry.ttl_s is not None:
            self._loop.call_soon_threadsafe(
                self._loop.call_later, max(0.0, entry.ttl_s), self._expire, entry
            )

    def _expire(self, entry: Entry) -> None:
        if not entry.closed:
            entry.expired = True
            self._over(entry)

    def started(self, entry: Entry) -> None:
        """The start of a job is in the journal."""
        if entry.timed:
            left = (entry.timeout_s or 0.0) - (_clock() - entry.started_at)
            self._timers[entry.key] = self._loop.call_later(
                max(0.0, left), self._time_is_over, entry
            )

    def _time_is_over(self, entry: Entry) -> None:
        self._timers.pop(entry.key, None)
        self._over(entry)

    def ended(self, key: JobKey) -> None:
        """The end of a job is in the journal."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
