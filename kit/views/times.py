"""Execution times of the jobs of a view, kept sorted for the percentiles; and counts by state."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Callable
from typing import Any

from kit.views import codec


class Times:
    """Execution times of completed jobs in ms. Thread-safe: the end of a cell asks on its own thread.

    Parameters
    ----------
    records : callable
        Gives the records of the view, to read all times anew.
    """

    def __init__(self, records: Callable[[], bytearray]) -> None:
        self._records = records
        self._sorted: list[float] | None = None
        self._fresh: list[float] = []
        #: held while a record's time is written
        self.lock = threading.Lock()

    def add(self, ms: float) -> None:
        """A job completed. The caller holds the lock."""
        self._fresh.append(ms)

    def forget(self) -> None:
        """Records were replaced: read them anew when asked."""
        self._sorted = None

    def all(self) -> list[float]:
        """All of them, sorted. Not to be changed by the caller.

        A view of 100,000 jobs asks for it once a second: the few new ones are sorted in.
        """
        with self.lock:
            if self._sorted is None:
                self._sorted = _times_of(self._records())
            elif len(self._fresh) > 1000:
                self._sorted = sorted(self._sorted + self._fresh)
            else:
                for ms in self._fresh:
                    insort(self._sorted, ms)
            self._fresh.clear()
            return self._sorted


def _times_of(records: bytearray) -> list[float]:
    rows = bytes(records)
    states = rows[codec.OFFSET_STATE :: codec.ROW_BYTES]
    times = memoryview(rows).cast("f")[codec.OFFSET_EXECUTION // 4 :: codec.ROW_BYTES // 4]
    done = zip(times.tolist(), states, strict=True)
    return sorted(ms for ms, state in done if state == codec.COMPLETED and ms == ms)


def counts_in(records: bytearray) -> dict[int, int]:
    """How many jobs are in each state, by state code."""
    states: Any = records[codec.OFFSET_STATE :: codec.ROW_BYTES]
    return {code: states.count(code) for code in range(len(codec.STATES))}
