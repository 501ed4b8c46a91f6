"""The jobs that a worker has, from the queue until their end is in the journal, and who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from kit.events import JobKey
from kit.queue import Entry

#: called once a job's end is in the journal
Wake = Callable[[], None]


class Roster:
    """Entries by key. Thread-safe but for ``add`` and ``close``: their caller holds the lock.

    Parameters
    ----------
    lock : threading.Lock
        The worker's: what becomes of a job and who waits for it change together.
    hurry : callable
        Has the journal written at once.
    """

    def __init__(self, lock: threading.Lock, hurry: Callable[[], None]) -> None:
        self._lock, self._hurry = lock, hurry
        self._entries: dict[JobKey, Entry] = {}
        self._waiting: dict[JobKey, list[Wake]] = {}
        #: keys somebody waits for alone: their ends are not left to gather
        self._alone: set[JobKey] = set()
        self._open = 0

    def add(self, entry: Entry) -> None:
        """A job was accepted. Under the lock."""
        self._entries[entry.key] = entry
        self._open += 1

    def close(self, entry: Entry) -> bool:
        """A job has its end. Under the lock.

        Returns
        -------
        bool
            Whether that is to be written at once: somebody waits for it alone, or no other end is
            to come that it could be written with.
        """
        entry.closed = True
        self._open -= 1
        return self._open == 0 or entry.key in self._alone

    def get(self, key: JobKey) -> Entry | None:
        """The entry of a job whose end is not in the journal yet."""
        return self._entries.get(key)

    def running(self) -> list[Entry]:
        """Jobs in a handler right now."""
        with self._lock:
            return [e for e in self._entries.values() if e.started_at and not e.closed]

    # -- who waits ------------------------------------------------------------------------------

    def when_ended(self, key: JobKey, wake: Wake) -> bool:
        """Call ``wake`` once a job's end is in the journal; False if it is there already."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return False
            self._waiting.setdefault(key, []).append(wake)
            self._alone.add(key)
            ended = entry.closed
        if ended:  # nobody was in a hurry then
            self._hurry()
        return True

    def when_each_ended(self, keys: Sequence[JobKey], wake: Wake) -> int:
        """The same for many, without a hurry for each; returns how many have ended already."""
        already = 0
        with self._lock:
            for key in keys:
                if key in self._entries:
                    self._waiting.setdefault(key, []).append(wake)
                else:
                    already += 1
        return already

    def forget(self, key: JobKey, wake: Wake) -> None:
        """Stop waiting."""
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting and wake in waiting:
                waiting.remove(wake)

    def waiting(self, key: JobKey) -> int:
        """How many wait for a job."""
        with self._lock:
            return len(self._waiting.get(key, ()))

    def ended(self, keys: Iterable[JobKey]) -> None:
        """The ends of these jobs are in the journal: forget them and wake who waits."""
        wakes: list[Wake] = []
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)
                self._alone.discard(key)
                wakes += self._waiting.pop(key, ())
        for wake in wakes:
            wake()

    def wake_all(self) -> None:
        """Wake everybody, to look at the fault of the journal."""
        with self._lock:
            wakes = [wake for waiting in self._waiting.values() for wake in waiting]
            self._waiting.clear()
        for wake in wakes:
            wake()
