"""Places where jobs run. A target takes jobs from the worker and reports what happens to them."""

from __future__ import annotations

from typing import Protocol

from kit.queue import Entry

#: targets that exist, in the order in which help shows them
NAMES = ("local", "process")


class Target(Protocol):
    """The seam between the worker's queue and a place where handlers run.

    A target pulls: ``worker.take(name)`` hands out a job when one may start there, and
    ``worker.begin`` says that its handler runs now. It answers with ``worker.chunk``, ``worker.progress`` and, once per job, ``worker.finish``.
    """

    name: str

    def wake(self) -> None:
        """There may be something to take. Thread-safe, returns at once."""

    async def stop(self, entry: Entry) -> None:
        """End a running job; runs on the control loop and returns when it ended or is stuck."""

    def close(self) -> None:
        """Take nothing more and let go of threads."""
