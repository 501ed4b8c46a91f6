"""Many jobs at once, as ``kit.map`` makes them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kit.job import Job

if TYPE_CHECKING:
    import pandas

    from kit.events import JobKey


class BatchSource(Protocol):
    """What a batch needs of its session."""

    def wait_all(self, keys: Sequence[JobKey], timeout_s: float | None) -> bool: ...

    async def wait_all_async(self, keys: Sequence[JobKey]) -> None: ...

    def outputs(self, keys: Sequence[JobKey]) -> list[Any]: ...

    def states(self, keys: Sequence[JobKey]) -> dict[str, int]: ...

    def frame_of(self, keys: Sequence[JobKey], flatten: bool) -> pandas.DataFrame: ...

    def show_batch(self, batch: Batch) -> None: ...


class Batch:
    """The jobs of one ``kit.map``, in the order of its inputs.

    ``await batch`` gives what :meth:`result` does, and other coroutines go on meanwhile.

    Attributes
    ----------
    jobs : list of Job
    """

    __slots__ = ("_source", "jobs")

    def __init__(self, jobs: list[Job], source: BatchSource) -> None:
        self.jobs = jobs
        self._source = source

    def __len__(self) -> int:
        return len(self.jobs)

    def __repr__(self) -> str:
        states = self._source.states([job.key for job in self.jobs])
        counts = ", ".join(f"{n:,} {state}" for state, n in states.items())
        return f"<Batch of {len(self.jobs):,} jobs: {counts or 'empty'}>"

    def _ipython_display_(self) -> None:
        self._source.show_batch(self)

    def states(self) -> dict[str, int]:
        """How many jobs are in each state, states without any left out."""
        return self._source.states([job.key for job in self.jobs])

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self._finish().__await__()

    async def _finish(self) -> list[Any]:
        keys = [job.key for job in self.jobs]
        await self._source.wait_all_async(keys)
        return self._source.outputs(keys)

    def result(self, timeout_s: float | None = None) -> list[Any]:
        """Outputs in the order of the inputs; blocks until all jobs ended.

        Raises
        ------
        TimeoutError
            Not all have ended after ``timeout_s`` seconds; they go on.
        JobError
            Of the first job, in order, that did not end COMPLETED.
        """
        if not self._source.wait_all([job.key for job in self.jobs], timeout_s):
            raise TimeoutError(
                f"not all {len(self.jobs):,} jobs have ended after {timeout_s:g} s; they go on."
            )
        return self._source.outputs([job.key for job in self.jobs])

    def cancel(self) -> None:
        """Ask for every job that has not ended to be cancelled; returns at once."""
        for job in self.jobs:
            job.cancel()

    def frame(self, *, flatten: bool = False) -> pandas.DataFrame:
        """The jobs as a table, with the columns of ``kit.jobs()``.

        Parameters
        ----------
        flatten : bool
            Add a column for each value inside the outputs: ``output.label``, ``output.box.x``. Lists
            stay lists; a key with a dot in it is written ``output."a.b"``. Types follow from the
            values: boolean, Int64, Float64, string, or object for what is mixed.
        """
        return self._source.frame_of([job.key for job in self.jobs], flatten)


def progress_text(done: int, total: int, states: dict[str, int], width: int = 30) -> str:
    """One line of progress for a terminal or a text output."""
    filled = width if total == 0 else done * width // total
    counts = ", ".join(f"{n:,} {state.lower().replace('_', ' ')}" for state, n in states.items())
    return f"[{'#' * filled}{'.' * (width - filled)}] {done:,} of {total:,}  {counts}"
