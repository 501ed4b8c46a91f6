"""A pool of real workers for one endpoint: how many there are, when one starts, stops or is replaced."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.emulator.endpoint import Endpoint
from kit.emulator.process import Process, Record, environment
from kit.emulator.ticket import Ticket, Worker
from kit.recorded import image_env
from kit.secret import redact

_TAIL_CHARS = 300
_BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many workers, and when; RunPod's own words and, where it has them, defaults.

    Attributes
    ----------
    workers_min, workers_max : int
    idle_timeout_s : float
        A worker above ``workers_min`` without a job for so long is ended.
    queue_delay_s : float
        One more worker starts when the oldest job has waited so long (the first starts at once).
    load_timeout_s : float
        Seconds until a worker must have asked for its first job; a model load may take minutes.
    give_up : int
        After so many failed starts in a row the queued jobs FAIL with the reason; one that comes
        after the back-off gets another try.
    tick_s : float
        Seconds between two looks at the workers.
    """

    workers_min: int = 0
    workers_max: int = 1
    idle_timeout_s: float = 5.0
    queue_delay_s: float = 4.0
    load_timeout_s: float = 900.0
    give_up: int = 3
    tick_s: float = 0.1


@dataclass(slots=True)
class Slot:
    """A worker process and what is known of it."""

    worker: Worker
    process: Process
    cold_start_s: float | None = None
    idle_since: float | None = None
    stop_by: float | None = None
    errors: dict[str, str] = field(default_factory=dict)
    why: str = ""


class Pool:
    """Backend of an endpoint: starts real ``python -u handler.py`` processes.

    Parameters
    ----------
    endpoint : Endpoint
    base, token : str
        Of the server that serves it.
    folder : Path
        With ``handler.py``.
    scale : Scale
    on_log : callable or None
        Gets ``(ticket, text)`` for what a handler printed while exactly that job ran, and
        ``(None, text)`` for the rest.
    command : sequence of str or None
        None is ``python -u handler.py``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        base: str,
        token: str,
        folder: Path,
        scale: Scale | None = None,
        on_log: Callable[[Ticket | None, str], None] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._endpoint, self._base, self._token = endpoint, base, token
        self._folder, self.scale = folder, scale or Scale()
        self._on_log = on_log
        self._command = list(command or (sys.executable, "-u", "handler.py"))
        self.slots: dict[str, Slot] = {}
        #: seconds from start to the first job-take, one per worker that got there
        self.cold_starts: list[float] = []
        #: failed starts in a row, and why the last one failed
        self.failures = 0
        self.failure = ""
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        endpoint.backend = self
        self.wake()

    # -- Backend --------------------------------------------------------------------------------

    def wake(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(0, self._tick)

    def before_done(self, worker: Worker) -> None:
        slot = self.slots.get(worker.id)
        if slot is not None:
            slot.process.flush()

    def stop(self, ticket: Ticket) -> None:  # noqa: ARG002 - the tick looks at the worker
        self.wake()

    def counts(self) -> tuple[int, int]:
        ready = [s for s in self.slots.values() if s.cold_start_s is not None]
        busy = sum(bool(s.worker.jobs) for s in ready)
        return len(ready) - busy, busy

    def close(self) -> None:
        """End every process; returns when none is left."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        slots = list(self.slots.values())
        for slot in slots:
            slot.process.kill()
        for slot in slots:
            slot.process.kill_now()
        self.slots.clear()

    def cold_start(self, worker: Worker) -> float | None:
        """Seconds from a worker's start to its first job-take; None if it has not asked yet."""
        slot = self.slots.get(worker.id)
        if slot is None or worker.first_take_at is None:
            return None
        return worker.first_take_at - slot.process.started_at

    def first_cold_start(self) -> float | None:
        """Seconds the first worker took to its first job-take, also if no tick has seen it yet."""
        if self.cold_starts:
            return self.cold_starts[0]
        found = (self.cold_start(slot.worker) for slot in list(self.slots.values()))
        return next((seconds for seconds in found if seconds is not None), None)

    # -- the tick -------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = None
        if self._closed:
            return
        now = time.monotonic()
        for slot in list(self.slots.values()):
            self._look_after(slot, now)
        self._scale(now)
        if self.slots or self._endpoint.waiting():
            self._timer = self._loop.call_later(self.scale.tick_s, self._tick)

    def _look_after(self, slot: Slot, now: float) -> None:
        worker, process = slot.worker, slot.process
        if slot.cold_start_s is None:
            if worker.first_take_at is not None:
                slot.cold_start_s = worker.first_take_at - process.started_at
                self.cold_starts.append(slot.cold_start_s)
                self.failures, self.failure = 0, ""
            elif now - process.started_at > self.scale.load_timeout_s and not slot.why:
                slot.why = (
                    f"handler.py did not ask for a job within {self.scale.load_timeout_s:g} s: "
                    "does it call runpod.serverless.start?"
                )
                process.kill()
        late = [
            id for id, since in worker.stopping.items()
            if now - since > self._endpoint.settings.grace_s
        ]  # fmt: skip
        if late and not slot.why:
            slot.why = f"job {late[0]} was stopped and did not give up within its grace"
            worker.draining = True
            process.kill()
        if worker.draining and not worker.jobs and slot.stop_by is None:
            process.terminate()
            slot.stop_by = now + 3.0
        if slot.stop_by is not None and now > slot.stop_by:
            process.kill()
        idle = slot.cold_start_s is not None and not worker.jobs and not worker.draining
        if not idle:
            slot.idle_since = None
        elif slot.idle_since is None:
            slot.idle_since = now
        elif now - slot.idle_since > self.scale.idle_timeout_s and not self._endpoint.waiting():
            staying = [s for s in self.slots.values() if not s.worker.draining]
            if len(staying) > self.scale.workers_min:
                worker.draining = True
                worker.wake()

    def _scale(self, now: float) -> None:
        waiting = self._endpoint.waiting()
        if now < self._not_before:
            if self.failures >= self.scale.give_up:
                for ticket in waiting:
                    self._endpoint.fail(ticket, self.failure)
            return
        slots = [s for s in self.slots.values() if not s.worker.draining and not s.why]
        wanted = self.scale.workers_min
        pressing = [t for t in waiting if not t.policy.low_priority]
        if waiting and not slots:
            wanted = max(wanted, 1)
        elif pressing and all(s.cold_start_s is not None for s in slots):
            waited = now - max(pressing[0].submitted_at, self._last_start())
            if waited > self.scale.queue_delay_s:
                wanted = max(wanted, len(slots) + 1)
        # one that is on its way out still holds its model
        if len(slots) < wanted and len(self.slots) < self.scale.workers_max:
            self._start()

    def _last_start(self) -> float:
        ready = [s.process.started_at + (s.cold_start_s or 0.0) for s in self.slots.values()]
        return max(ready, default=0.0)

    def _start(self) -> None:
        id = f"worker-{secrets.token_hex(4)}"
        worker = self._endpoint.worker(id)
        image = image_env(self._folder)
        env = environment(self._base, self._endpoint.id, self._token, id, image)
        try:
            process = Process(
                self._folder, self._command, env,
                on_text=lambda text: self._printed(worker, text),
                on_record=lambda record: self._logged(worker, record),
                on_exit=lambda: self._exited(worker),
            )  # fmt: skip
        except OSError as exc:
            self._endpoint.gone(worker, "it could not be started")
            self._failed(f"the worker cannot be started: {exc}")
            return
        self.slots[id] = Slot(worker, process)

    # -- what a process does --------------------------------------------------------------------

    def _printed(self, worker: Worker, text: str) -> None:
        if self._on_log is not None:
            jobs = list(worker.jobs.values())
            self._on_log(jobs[0] if len(jobs) == 1 else None, text)

    def _logged(self, worker: Worker, record: Record) -> None:
        id, slot = record.job_id, self.slots.get(worker.id)
        if id is None or id not in worker.jobs or slot is None:
            return
        if record.level == "ERROR":
            slot.errors[id] = record.message
        elif record.message == "Job stopped.":
            self._loop.call_soon(self._endpoint.dropped, worker, [id], "the worker stopped it")
        elif record.message == "Finished.":
            # printed after the answer to job-done: whatever is still here now never arrived
            said = slot.errors.pop(id, "")
            why = f"the worker finished the job and its result did not arrive: {said}".rstrip(": ")
            self._loop.call_soon(self._endpoint.dropped, worker, [id], why)

    def _exited(self, worker: Worker) -> None:
        slot = self.slots.pop(worker.id, None)
        if slot is None:
            return
        how = slot.process.how()
        expected = slot.stop_by is not None or (worker.draining and not slot.why)
        if slot.cold_start_s is None and worker.first_take_at is None and not expected:
            reason = slot.why or (
                "handler.py ended without calling runpod.serverless.start"
                if slot.process.code == 0
                else f"handler.py did not start: its process {how}"
            )
            tail = redact(slot.process.tail).strip()[-2000:]
            self._endpoint.gone(worker, reason)
            self._failed(f"{reason}. Last output:\n{tail}" if tail else f"{reason}.")
        else:
            had = bool(worker.jobs)
            why = slot.why
            if not why:
                tail = redact(slot.process.tail).strip()[-_TAIL_CHARS:]
                why = f"the worker process {how} while it had the job"
                why = f"{why}. Last output: {tail}" if had and tail else why
            self._endpoint.gone(worker, why)
            if not expected and not slot.why and (had or slot.process.code != 0):
                self._not_before = time.monotonic() + _BACK_OFF_S[0]
        self.wake()

    def _failed(self, why: str) -> None:
        self._not_before = time.monotonic() + _BACK_OFF_S[min(self.failures, len(_BACK_OFF_S) - 1)]
        self.failures += 1
        self.failure = why
        self.wake()
