"""Memory of real worker processes: of each job, and as samples of all workers that have one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Hashable, Sequence

from kit.errors import KitError
from kit.events import MemoryUse, Sample
from kit.sampler import BATCH_S
from kit.treememory import WorkerJob


class Meters:
    """Looks at worker processes while they have jobs. Belongs to one event loop.

    Parameters
    ----------
    target : str
        Name under which samples are kept.
    hz : callable
        Looks a second.
    sink : callable
        Takes samples, a batch each half second; may raise KitError.
    """

    def __init__(
        self, target: str, hz: Callable[[], float], sink: Callable[[Sequence[Sample]], None]
    ) -> None:
        self._target, self._hz, self._sink = target, hz, sink
        self._jobs: dict[Hashable, tuple[int, WorkerJob]] = {}
        self._batch: list[Sample] = []
        self._looking = False

    def begin(self, job: Hashable, pid: int) -> None:
        """A process has taken a job."""
        beside = [meter for other, meter in self._jobs.values() if other == pid]
        for meter in beside:
            meter.alone = False
        self._jobs[job] = (pid, WorkerJob(pid, alone=not beside))
        if not self._looking:
            self._look()

    def end(self, job: Hashable) -> tuple[MemoryUse, ...]:
        """What a job used; empty if that is not known."""
        _, meter = self._jobs.pop(job, (0, None))
        return () if meter is None else meter.end()

    def _look(self) -> None:
        self._looking = bool(self._jobs)
        if self._looking:
            used = {pid: meter.sample() for pid, meter in self._jobs.values()}
            self._batch.append(
                Sample(time.time(), "rss", -1, sum(used.values()), target=self._target)
            )
            asyncio.get_running_loop().call_later(1 / self._hz(), self._look)
        if self._batch and not (self._looking and len(self._batch) < BATCH_S * self._hz()):
            batch, self._batch = self._batch, []
            with contextlib.suppress(KitError):  # a chart with a gap is better than no jobs
                self._sink(batch)
