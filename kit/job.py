"""Job: the reference a person holds. It keeps a key and asks the store; it holds no payload."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from kit.errors import JobCancelled, JobError, JobFailed, JobLost, JobTimedOut
from kit.events import ErrorInfo, Finding, JobKey, JobState, JobView, MemoryUse
from kit.redraw import last_drawn

__all__ = ["Job", "JobSource", "JobState", "Wire", "wire_of"]

#: bound here: a handler may replace them
_loads = json.loads


@dataclass(frozen=True, slots=True)
class Wire:
    """What RunPod's worker would post for a job, as Python values equal to ``json.loads`` of the bodies.

    Attributes
    ----------
    done : dict or None
        The final body of job-done, e.g. ``{"output": {...}}``. None if nothing would be posted.
    stream : tuple of dict
        Bodies posted to job-stream, ``{"output": chunk}``, in order.
    progress : tuple of dict
        ``{"status": "IN_PROGRESS", "output": p}``, in order.
    lost : str or None
        Why nothing would be posted (or why the platform would refuse it); None if all is well.
    """

    done: Any
    stream: tuple[Any, ...]
    progress: tuple[Any, ...]
    lost: str | None


def wire_of(view: JobView) -> Wire:
    """The wire of a job as far as it has come."""
    return Wire(
        done=None if view.done is None else _loads(view.done),
        stream=tuple({"output": _loads(text)} for text in view.stream),
        progress=tuple({"status": "IN_PROGRESS", "output": _loads(text)} for text in view.progress),
        lost=view.lost,
    )


def error_of(view: JobView) -> JobError:
    """The exception for a job that ended other than COMPLETED."""
    at: dict[str, Any] = {"job_id": view.id, "job_key": view.key, "attempt": view.attempt}
    reason = reason_of(view.error)
    if view.state is JobState.TIMED_OUT and reason:
        return JobTimedOut(f"job {view.id} timed out: {reason}.", **at)
    if view.state is JobState.TIMED_OUT:
        return JobTimedOut(
            f"job {view.id} was stopped after {view.timeout_s:g} s (timeout_s). "
            "Give it more time, or none, and run it again."
            if view.timeout_s is not None
            else f"job {view.id} timed out. {reason}",
            **at,
        )
    if view.state is JobState.CANCELLED:
        return JobCancelled(f"job {view.id} was cancelled. job.retry() runs it again.", **at)
    if view.state is JobState.LOST:
        return JobLost(f"job {view.id} is lost: {view.lost or 'its kernel is gone'}.", **at)
    head = f"job {view.id} of {view.handler} v{view.version} failed: {reason or _kind(view)}"
    trace = view.error.traceback if view.error else ""
    return JobFailed(f"{head}\n\n{trace}" if trace else head, **at)


def _kind(view: JobView) -> str:
    """What stands for the message of an exception without one: ``raise RuntimeError``."""
    kind = view.error.type if view.error else ""
    return kind.removeprefix("<class '").removesuffix("'>") or view.lost or "no reason is known"


def reason_of(error: ErrorInfo | None) -> str:
    """A failure in one line; ``'n'`` alone would say nothing of a KeyError."""
    if error is None:
        return ""
    name = error.type.removeprefix("<class '").removesuffix("'>").rpartition(".")[2]
    if not error.message:
        return name
    return f"{name}: {error.message}" if name and name not in error.message else error.message


class JobSource(Protocol):
    """What a Job needs of the session that made it."""

    def view(self, key: JobKey) -> JobView: ...

    def output(self, key: JobKey, timeout_s: float | None) -> Any:
        """The output, once the job has ended; blocks, interruptible.

        TimeoutError if the time is over, JobError if the job is not COMPLETED.
        """

    async def output_async(self, key: JobKey) -> Any: ...

    def wait(self, key: JobKey, timeout_s: float | None) -> bool:
        """Block until the job ended (True) or the time is over (False). Interruptible."""

    def chunks(self, key: JobKey) -> AsyncIterator[str]: ...

    def cancel(self, key: JobKey) -> None: ...

    def retry(self, key: JobKey) -> Job: ...

    def show(self, key: JobKey) -> None:
        """Display the job's card under the running cell."""


class Job:
    """A job that was submitted. Reading it never raises for the job's own failure; ``await`` does.

    Made by ``kit.run``, ``kit.map`` and ``%job``.
    """

    __slots__ = ("_source", "id", "key")

    def __init__(self, key: JobKey, id: str, source: JobSource) -> None:
        #: the store's key; RunPod ids may repeat, keys do not
        self.key = key
        #: RunPod's id
        self.id = id
        self._source = source

    def __getattr__(self, name: str) -> Any:
        # only what is not there comes here; IPython asks for many names with an underscore
        close = None if name.startswith("_") else _close(name)
        hint = f": did you mean `job.{close}`?" if close else ""
        raise AttributeError(f"a Job has no attribute {name!r}{hint}")

    def __repr__(self) -> str:
        view = self._source.view(self.key)
        took = "" if view.execution_ms is None else f", {view.execution_ms:.1f} ms"
        return f"<Job {self.id} {view.handler} v{view.version} {view.state}{took}>"

    def _ipython_display_(self) -> None:
        self._source.show(self.key)

    # -- demand ---------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Any]:
        return self._finish().__await__()

    async def _finish(self) -> Any:
        return await self._source.output_async(self.key)

    def result(self, timeout_s: float | None = None) -> Any:
        """The output; blocks until the job ended.

        Parameters
        ----------
        timeout_s : float or None
            Seconds to wait; None waits for ever. When they are over ``TimeoutError`` is raised and
            the job goes on.

        Raises
        ------
        TimeoutError
            The job has not ended yet.
        JobError
            One of its four kinds, with the handler's own traceback.
        """
        try:
            return self._source.output(self.key, timeout_s)
        except TimeoutError:
            raise TimeoutError(
                f"job {self.id} has not ended after {timeout_s:g} s; it goes on. "
                "job.cancel() ends it."
            ) from None

    async def chunks(self) -> AsyncIterator[Any]:
        """Stream chunks as they come, from the first one, until the job ends."""
        async for text in self._source.chunks(self.key):
            yield _loads(text)

    # -- act ------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask for the job to be cancelled; returns at once. Nothing happens if it has ended."""
        self._source.cancel(self.key)

    def retry(self) -> Job:
        """Run the same request again, as the next attempt of this job; returns the job.

        Raises
        ------
        UsageError
            If the job is not FAILED, TIMED_OUT, CANCELLED or LOST.
        """
        return self._source.retry(self.key)

    # -- read -----------------------------------------------------------------------------------

    @property
    def view(self) -> JobView:
        """Everything known of the job now, as one frozen value."""
        return self._source.view(self.key)

    @property
    def state(self) -> JobState:
        return self.view.state

    @property
    def handler(self) -> str:
        """Name and version of the handler it runs, e.g. ``"classify v3"``."""
        view = self.view
        return f"{view.handler} v{view.version}"

    @property
    def input(self) -> Any:
        """The input as it was given; None once the store has dropped it to stay under its cap."""
        request = self.view.request
        return None if request is None else _loads(request).get("input")

    @property
    def output(self) -> Any:
        """What a client would see as ``output``; None if there is none (yet)."""
        return output_of(self.view.done)

    @property
    def error(self) -> ErrorInfo | None:
        return self.view.error

    @property
    def stream(self) -> list[Any]:
        """Chunks so far."""
        return [_loads(text) for text in self.view.stream]

    @property
    def progress(self) -> Any:
        """The last progress value; None if there was none."""
        progress = self.view.progress
        return _loads(progress[-1]) if progress else None

    @property
    def logs(self) -> str:
        """Everything the handler printed, stdout and stderr in order."""
        return last_drawn("".join(log.text for log in self.view.logs))

    @property
    def delay_time_ms(self) -> float | None:
        """Time in the queue; None until it started."""
        return self.view.delay_ms

    @property
    def execution_time_ms(self) -> float | None:
        """Time in the handler; None until it ended."""
        return self.view.execution_ms

    @property
    def memory(self) -> tuple[MemoryUse, ...]:
        """Before, peak and after per device, in bytes."""
        return self.view.memory

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.view.findings

    @property
    def wire(self) -> Wire:
        """What RunPod's worker would post for this job."""
        return wire_of(self.view)


#: what people call it elsewhere
_ALIASES = {
    "status": "state", "results": "result()", "response": "output", "value": "output", "return_value": "output",
    "exception": "error", "traceback": "error", "log": "logs", "stdout": "logs", "stderr": "logs",
    "prints": "logs", "time": "execution_time_ms", "duration": "execution_time_ms",
    "latency": "execution_time_ms", "runtime": "execution_time_ms", "delay": "delay_time_ms",
    "executionTime": "execution_time_ms", "delayTime": "delay_time_ms", "job_id": "id",
    "vram": "memory", "stop": "cancel()", "wait": "result()", "yields": "stream",
}  # fmt: skip


def _close(name: str) -> str | None:
    """The attribute of a job that is meant by a name it does not have; None if that cannot be told."""
    if name in _ALIASES:
        return _ALIASES[name]
    known = [one for one in dir(Job) if not one.startswith("_")]
    import difflib

    found = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return found[0] if found else None


def output_or_raise(view: JobView) -> Any:
    """The output of a job that has ended; one of the four job errors if it is not COMPLETED."""
    if view.state is not JobState.COMPLETED:
        raise error_of(view)
    return output_of(view.done)


def output_of(done: str | None) -> Any:
    """What a client would see as ``output`` of a final body, as JSON text; None if there is none."""
    if done is None:
        return None
    body = _loads(done)
    return body.get("output") if isinstance(body, dict) else None
