"""Run handlers in this process, on one loop in a thread of their own, with the model where it is.

As in RunPod's worker process all handlers share one asyncio loop: a sync handler blocks it, so
concurrency has no effect on it, and a nested ``asyncio.run`` fails, here just as in production.
That loop is never the kernel's: ``SystemExit`` in a task there would end the kernel.

A handler that cannot be stopped keeps its thread; the thread is retired and new jobs get a fresh
one (0.7 ms). What a retired thread reports is ignored; jobs that ran beside on its loop are LOST
and never silently run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from kit import findings, runner, torchstate
from kit.capture import JOB
from kit.errors import KitError, PayloadError
from kit.events import ErrorInfo, EventKind
from kit.guard import Guard, Stop
from kit.handler import HandlerKind
from kit.outcome import Outcome, nan_posted, text_with_nan
from kit.payload import encode
from kit.queue import Entry
from kit.worker import Worker

_GRACE_S = 1.0
_ANSWER_S = 0.25
_POLL_S = 0.005
#: bound here: a handler may replace them
_clock = time.monotonic


class LocalTarget:
    """Target ``local``: the handlers of this kernel.

    Parameters
    ----------
    worker : Worker
        Its queue is taken from and its ``finish`` called, from the handler thread.
    """

    name = "local"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._thread: HandlerThread | None = None
        #: threads whose handler could not be stopped; they keep what they hold until it returns
        self.retired: list[HandlerThread] = []
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Start the thread on first use and let it look at the queue. Thread-safe."""
        with self._lock:
            if self._thread is None:
                self._thread = HandlerThread(self._worker, len(self.retired))
            thread = self._thread
        thread.wake()

    async def stop(self, entry: Entry) -> None:
        """Cancel, then after a second's grace force, then give the thread up."""
        thread: HandlerThread | None = entry.owner
        for _ in range(100):  # taken, but its task does not exist yet
            if thread is not None or entry.closed:
                break
            await asyncio.sleep(_POLL_S)
            thread = entry.owner
        if thread is None or entry.closed:
            return
        if entry.handler.kind is not HandlerKind.SYNC:  # that one never awaits
            thread.tell(thread.cancel, entry)
            if await _ended(entry, _GRACE_S):
                return
        # Inside another job's code the cancel cannot arrive, here as in production; that job is
        # not to be ended for it, nor this one blamed.
        while thread.guard.holder not in (None, entry.key) and not thread.retired:
            if await _ended(entry, _POLL_S):
                return
        if await self._force(thread, entry):
            return
        self._give_up(thread, entry, await thread.answers(_ANSWER_S))

    async def _force(self, thread: HandlerThread, entry: Entry) -> bool:
        deadline = _clock() + _GRACE_S
        fired = False
        while _clock() < deadline:
            # Until it hits: the handler may be between two of its steps just now.
            fired = fired or thread.guard.stop(entry.key)
            if await _ended(entry, 0.05):
                return True
        return entry.closed

    def _give_up(self, thread: HandlerThread, entry: Entry, loop_answers: bool) -> None:
        if entry.closed:
            return
        if loop_answers or thread.guard.holder not in (None, entry.key):
            self._worker.stuck(
                entry,
                "the handler swallowed its cancellation and still runs on the handler loop; "
                "what it holds stays held until it ends. Restart the kernel to free it.",
            )
            return
        with self._lock:
            if self._thread is thread:
                self._thread = None
            self.retired.append(thread)
        thread.retire()
        self._worker.stuck(
            entry,
            "the handler is inside one long call or catches every exception, so it could not be "
            "stopped; its thread lives on and keeps its memory until it returns. New jobs run in a "
            "fresh thread. Restart the kernel to free it.",
        )
        for other in list(thread.entries):
            if other is not entry:
                self._worker.lost(
                    other,
                    f"its loop was blocked by job {entry.id}, which could not be stopped. In a "
                    "notebook all handlers share one loop, deployed each has its own. "
                    "job.retry() runs it again",
                )
        self.wake()

    def close(self) -> None:
        with self._lock:
            threads = [*self.retired, *([self._thread] if self._thread else [])]
        for thread in threads:
            thread.retire()


async def _ended(entry: Entry, within_s: float) -> bool:
    deadline = _clock() + within_s
    while not entry.closed:
        if _clock() >= deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


class HandlerThread:
    """One loop in one daemon thread; generations are counted in its name."""

    def __init__(self, worker: Worker, generation: int) -> None:
        self._worker = worker
        self.retired = self._pumping = False
        self.guard = Guard()
        self.entries: set[Entry] = set()
        self.loop = asyncio.new_event_loop()
        name = "kit-handler" if generation == 0 else f"kit-handler-{generation + 1}"
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self.retired:
            try:
                self.loop.run_forever()
            except BaseException as exc:
                # A task that a handler left behind may raise SystemExit through the loop, and a
                # Stop may slip past its job. Neither may take the neighbours' loop down.
                self.loop.call_exception_handler(
                    {"message": "a background task of a handler raised", "exception": exc}
                )
        self._wind_down()

    def _wind_down(self) -> None:
        """End what still waits on a loop that nobody listens to any more."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        try:
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        except BaseException:  # SystemExit out of a handler's own task
            pass
        self.loop.close()
        for entry in list(self.entries):  # taken in the very moment in which the loop was given up
            self._worker.lost(entry, "its loop was given up before it could start")

    def tell(self, function: Callable[..., object], *args: object) -> None:
        """Call something on this loop soon; nothing happens if it has ended. Thread-safe."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *args)

    @property
    def alive(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    def wake(self) -> None:
        self.tell(self._pump)

    def retire(self) -> None:
        """Take no more jobs and end as soon as the handler that runs lets go."""
        self.retired = True
        self.tell(self.loop.stop)

    def cancel(self, entry: Entry) -> None:
        if entry.task is not None and not entry.closed:
            entry.task.cancel()

    async def answers(self, within_s: float) -> bool:
        """Whether the loop runs at all; asked from another loop."""
        heard = threading.Event()
        self.tell(heard.set)
        deadline = _clock() + within_s
        while not heard.is_set():
            if _clock() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _pump(self) -> None:
        # One job at a time, the next one after this one's first step: behind a sync handler a job
        # stays in the queue, where it can be cancelled and no stuck neighbour takes it along.
        self._pumping = False
        if not self.retired:
            self._take()

    def _take(self) -> None:
        entry = self._worker.take("local")
        if entry is None:
            return
        self.entries.add(entry)
        # The caller's context, copied: on 3.10 create_task has no context argument.
        context = (entry.context or contextvars.Context()).copy()
        entry.task = context.run(self.loop.create_task, self._run(entry))
        entry.owner = self
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self.loop.call_soon(self._pump)

    async def _run(self, entry: Entry) -> None:
        try:
            # Here, not when it was taken: another job's step may have held the loop in between.
            if self._worker.begin(entry):
                outcome, extra = await run_entry(self._worker, entry, self.guard)
                if not self.retired:
                    self._worker.finish(entry, outcome, extra)
        finally:
            self.entries.discard(entry)
            entry.task = None
            if self.entries:  # a neighbour's step comes first: till then the next job waits
                self._pump_soon()
            elif not self.retired:
                self._take()


async def run_entry(worker: Worker, entry: Entry, guard: Guard | None) -> tuple[Outcome, list[Any]]:
    """Run one job here and now, under its log and torch's settings; never raises for the job."""
    token = JOB.set(entry)
    extra: list[Any] = []
    try:
        request = worker.request_of(entry)
        with torchstate.applied(entry.handler.torch):
            outcome = await runner.run(
                entry.handler, entry.key, entry.id, request, _Emit(worker, entry), guard
            )
    except Stop:
        if entry.handler.kind.blocks:
            extra.append(findings.sync_cancelled())
        outcome = Outcome(EventKind.CANCELLED, None)
    except asyncio.CancelledError:
        outcome = Outcome(EventKind.CANCELLED, None)
    except KitError as exc:
        outcome = Outcome(EventKind.FAILED, None, ErrorInfo("", str(exc)), str(exc))
    except BaseException as exc:
        # A fault of the kit's own, or of what a result does when it is compared or written: without
        # an end the job would be IN_PROGRESS for ever and its slot taken.
        reason = f"the kit failed to run this job: {type(exc).__name__}"
        error = ErrorInfo(str(type(exc)), reason, traceback.format_exc())
        outcome = Outcome(EventKind.FAILED, None, error, reason)
    finally:
        JOB.reset(token)
    return outcome, extra


class _Emit:
    __slots__ = ("_entry", "_worker")

    def __init__(self, worker: Worker, entry: Entry) -> None:
        self._worker, self._entry = worker, entry

    def chunk(self, text: str) -> Any:
        return self._worker.chunk(self._entry, text)


def report_progress(worker: Worker, entry: Entry, value: Any) -> None:
    """``progress_update`` of a job that runs here.

    The value is encoded at the call, so what the handler does to it later changes nothing; one
    that cannot be encoded is dropped with a note on the job, as the worker drops it with a log line.
    """
    try:
        text = encode(value).text
    except PayloadError as fault:
        if fault.code == "nan" and (posted := text_with_nan(value)) is not None:
            worker.note(entry, nan_posted("A progress update", fault))
            worker.progress(entry, posted)
            return
        entry.write("kit", f"progress_update: {fault} The update was dropped.\n")
        return
    worker.progress(entry, text)
