"""One notebook's part of a pod's kernel: its namespace, its worker, and what is still to be told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit import codec, torchstate
from kit.capture import JOB
from kit.errors import KitError
from kit.events import Ended, ErrorInfo, Event, EventKind, JobKey, JobView, Sample
from kit.handler import Handler, HandlerKind, HandlerVersion, Options, kind_of
from kit.outcome import Outcome
from kit.queue import Entry
from kit.sampler import Sampler
from kit.targets.local import LocalTarget, report_progress
from kit.targets.pod.channel import Channel, Part
from kit.targets.pod.depot import Depot, Install
from kit.targets.pod.letters import Letter, pack, unpack
from kit.targets.pod.stage import Fault, Line, Stage
from kit.worker import Worker

#: messages to the notebook are at least so far apart: the server drops more than 1,000 a second
PACE_S = 0.005
#: how long a job's start waits for more to say
_HOLD_S = 0.002
#: bytes of parts in one message
_MESSAGE_BYTES = 4 << 20
#: bytes the notebook has not fetched above which a stream waits
_KEEP_BYTES = 256 << 20
_utc, _clock, _sleep = time.time, time.perf_counter, time.sleep


class _PodWorker(Worker):
    """The same worker; its streams also wait for a notebook that does not fetch."""

    tenant: Tenant

    def chunk(self, entry: Entry, text: str) -> Any:
        waiting = super().chunk(entry, text)
        return self._fetched() if self.tenant.full else waiting

    async def _fetched(self) -> None:
        while self.tenant.full:
            await asyncio.sleep(0.05)


class _Plan:
    """Statements, and the handler that stands once they have run."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.handler: Handler | None = None
        self.error: tuple[ErrorInfo, str] | None = None
        self.waiting: list[Entry] = []


class Tenant:
    """What the pod holds for one notebook.

    Parameters
    ----------
    folder : Path
        The server's; files from the notebook stay within it.
    stage : Stage
        Where its statements run; it may have been another kernel's of the same notebook.
    loop : asyncio.AbstractEventLoop
        Of the kernel's main thread.
    send : callable
        Sends a content and buffers to the notebook; thread-safe.
    """

    def __init__(
        self,
        folder: Path,
        stage: Stage,
        loop: asyncio.AbstractEventLoop,
        send: Callable[[dict[str, Any], list[bytes]], None],
    ) -> None:
        self.stage = stage
        self._loop, self._send = loop, send
        self._lock = threading.Lock()
        self._plan_lock = threading.Lock()
        self.channel = Channel()
        self._outbox: deque[Letter] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._plans: dict[int, _Plan] = {}
        self._seen: set[tuple[str, int]] = set()
        self._setup = ""
        self._installs: dict[str, Install] = {}
        self.depot = Depot(folder, self.tell)
        self._turn = asyncio.Lock()
        self.sampler = Sampler(self._samples)
        self.worker = _PodWorker(self, self.sampler)
        self.worker.tenant = self
        self.worker.attach(LocalTarget(self.worker))
        self.sampler.start()
        threading.Thread(target=self._send_loop, name="kit-link", daemon=True).start()

    # -- out ------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> list[Event]:
        """What the worker journals goes to the notebook."""
        self._outbox.extend(
            Letter(
                "event",
                (e.job_key, e.attempt, e.kind.value, e.time, codec.encode(e.data)),
                e.payload,
            )
            for e in events
            if e.kind is not EventKind.QUEUED  # the notebook has that itself
        )
        self._wake.set()
        return list(events)

    def view(self, key: JobKey) -> JobView | None:  # noqa: ARG002 - requests stay in memory here
        return None

    def _samples(self, samples: Sequence[Sample]) -> None:
        rows = [
            (s.time, s.kind, s.device, s.used_bytes, s.total_bytes, s.utilization) for s in samples
        ]
        self.tell("samples", *rows)

    def tell(self, kind: str, *head: Any, text: str | None = None) -> None:
        """One letter to the notebook. Thread-safe."""
        self._outbox.append(Letter(kind, head, text))
        self._wake.set()

    @property
    def full(self) -> bool:
        """Whether the notebook has fetched so little that nothing more should be made."""
        return self.channel.kept_bytes > _KEEP_BYTES

    def _send_loop(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            if all(one.kind == "event" and one.head[2] == "started" for one in list(self._outbox)):
                _sleep(_HOLD_S)  # a short job's end then goes in the same message
            self.flush()
            _sleep(PACE_S)

    def flush(self) -> None:
        """Send what the window lets through."""
        while True:
            with self._lock:
                letters = [self._outbox.popleft() for _ in range(len(self._outbox))]
                if letters:
                    self.channel.post(pack(letters))
                parts = self.channel.take(_MESSAGE_BYTES)
                if not parts:
                    return
                content = {
                    "op": "data",
                    "ack": self.channel.received,
                    "again": self.channel.gap,
                    "parts": [(part.seq, part.last) for part in parts],
                }
            self._send(content, [part.data for part in parts])

    # -- in (control thread) --------------------------------------------------------------------

    def resume(self, received: int) -> None:
        """The notebook is back and has everything up to a part."""
        with self._lock:
            self.channel.acknowledged(received)
            self.channel.rewind()
        self._wake.set()

    def acknowledged(self, seq: int, *, again: bool) -> None:
        """The notebook has everything up to a part."""
        with self._lock:
            self.channel.acknowledged(seq, again=again)
            more = self.channel.pending
        if more:
            self._wake.set()

    def take(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        """Parts from the notebook."""
        with self._lock:
            self.channel.acknowledged(content["ack"], again=content["again"])
            parts = [Part(seq, last, data) for (seq, last), data in zip(content["parts"], buffers)]
            messages = self.channel.receive(parts)
            more = self.channel.pending
        if more:
            self._wake.set()
        for message in messages:
            self._read(unpack(message))

    def _read(self, letters: Sequence[Letter]) -> None:
        entries: list[Entry] = []
        for letter in letters:
            if letter.kind == "job":
                entry = self._entry(letter)
                if entry is not None:
                    entries.append(entry)
                continue
            self._submit(entries)
            entries = []
            if letter.kind == "plan":
                self._play_soon(letter)
            elif letter.kind == "stop":
                self._stop(JobKey(letter.head[0]))
            else:
                self._keep(letter)
        self._submit(entries)

    def _entry(self, letter: Letter) -> Entry | None:
        key, id, attempt, number, timeout_s = letter.head
        if (key, attempt) in self._seen:
            return None  # never twice, whatever the network repeats
        self._seen.add((key, attempt))
        plan = self._plans[number]
        entry = Entry(
            JobKey(key), id, plan.handler or _standing(None), letter.text or "{}",
            attempt=attempt, timeout_s=timeout_s, resident=True,
        )  # fmt: skip
        with self._plan_lock:
            if plan.error is not None:
                self._refuse([entry], *plan.error)
                return None
            if plan.handler is None:
                plan.waiting.append(entry)
                return None
            entry.handler = plan.handler
        return entry

    def _submit(self, entries: Sequence[Entry]) -> None:
        if entries:
            self.worker.submit(entries, [""] * len(entries))

    def _keep(self, letter: Letter) -> None:
        """Files and packages."""
        if letter.kind == "files":
            self.depot.compare(letter.head[0], json.loads(letter.text or "[]"))
        elif letter.kind == "piece":
            name, first, last, mode = letter.head
            self.depot.piece(name, letter.data or b"", first=first, last=last, mode=mode)
        elif letter.kind == "filed":
            self.depot.close_up(letter.head[0])
        elif letter.kind == "install":
            key = JobKey(letter.head[0])
            entry = Entry(key, key, _standing("pod install"), "{}", resident=True)
            self.worker.admit(entry, "")
            self._installs[key] = Install(entry, json.loads(letter.text or "[]"), self._installed)

    def _installed(self, entry: Entry, outcome: Outcome) -> None:
        self._installs.pop(entry.key, None)
        self.worker.finish(entry, outcome)

    def _stop(self, key: JobKey) -> None:
        install = self._installs.get(key)
        if install is not None:
            install.stop()
            return
        if key == self._setup:
            self.stage.interrupt()
            return
        with self._plan_lock:
            for plan in self._plans.values():
                for entry in plan.waiting:
                    if entry.key == key:
                        plan.waiting.remove(entry)
                        self._end(entry, EventKind.CANCELLED, Ended())
                        return
        self.worker.cancel(key)

    def _end(self, entry: Entry, kind: EventKind, data: Ended) -> None:
        self.append([Event(entry.key, entry.attempt, kind, _utc(), data)])

    def _refuse(self, entries: Sequence[Entry], error: ErrorInfo, lost: str) -> None:
        for entry in entries:
            self._end(entry, EventKind.FAILED, Ended(None, error, lost))

    # -- statements (main thread) ---------------------------------------------------------------

    def _play_soon(self, letter: Letter) -> None:
        number, setup = letter.head
        plan = self._plans[number] = _Plan(number)
        for old in [n for n, p in self._plans.items() if n < number - 8 and not p.waiting]:
            del self._plans[old]
        told = json.loads(letter.text or "{}")
        lines = [Line(*line) for line in told["lines"]]
        asyncio.run_coroutine_threadsafe(self._play(plan, JobKey(setup), lines, told), self._loop)

    async def _play(
        self, plan: _Plan, setup: JobKey, lines: Sequence[Line], told: dict[str, Any]
    ) -> None:
        async with self._turn:
            ran: list[tuple[str, float]] = []
            fault: Fault | None = None
            handler: Handler | None = None
            entry = None
            try:
                if lines:
                    entry = Entry(setup, setup, _standing(told["setup"]), "{}", resident=True)
                    self.worker.admit(entry, "")
                    fault = await self._perform(entry, lines, ran)
                if fault is None:
                    handler = self._handler(told["handler"])
            except BaseException as exc:
                cell = told["handler"]["cell"]
                place = f"In [{cell}]" if cell else "the handler's cell"
                fault = Fault(
                    place, ErrorInfo(str(type(exc)), f"{type(exc).__name__}: {exc}"), False
                )
            if entry is not None:
                self.worker.finish(entry, _outcome(fault, ran))
            self._done(plan, handler, ran, fault, lines)

    async def _perform(
        self, entry: Entry, lines: Sequence[Line], ran: list[tuple[str, float]]
    ) -> Fault | None:
        self._setup = entry.key
        self.stage.begin()
        token = JOB.set(entry)
        try:
            for line in lines:
                began = _clock()
                fault = await self.stage.run(line)
                if fault is not None:
                    return fault
                ran.append((line.key, round((_clock() - began) * 1e3, 3)))
        finally:
            JOB.reset(token)
            self._setup = ""
        return None

    def _handler(self, told: dict[str, Any]) -> Handler:
        values = {key: self.stage.evaluate(source) for key, source in told["options"]}
        function = self.stage.evaluate(told["expression"])
        if not callable(function):
            raise KitError(f"`{told['expression']}` is no function on the pod.")
        info = HandlerVersion(
            name=told["name"], version=told["version"], kind=kind_of(function),
            expression=told["expression"], options=(), source="", cell=told["cell"],
            line=told["line"], lines_changed=None, example="{}", registered_at=_utc(),
        )  # fmt: skip
        return Handler(info, function, Options(**values), torchstate.capture())

    def _done(
        self,
        plan: _Plan,
        handler: Handler | None,
        ran: Sequence[tuple[str, float]],
        fault: Fault | None,
        lines: Sequence[Line],
    ) -> None:
        failed = lines[len(ran)].key if fault is not None and len(ran) < len(lines) else None
        told = None if fault is None else json.dumps(asdict(fault))
        self.tell("ran", plan.number, list(ran), failed, text=told)
        with self._plan_lock:  # jobs come in on the control thread meanwhile
            waiting, plan.waiting = plan.waiting, []
            plan.handler = handler
            if fault is not None:
                sentence = _sentence(fault)
                plan.error = (ErrorInfo("", sentence, fault.error.traceback), sentence)
                self._refuse(waiting, *plan.error)
                return
            assert handler is not None
            for entry in waiting:
                entry.handler = handler
            self._submit(waiting)

    # -- the rest -------------------------------------------------------------------------------

    def progress(self, job: Any, value: Any) -> bool:
        """``progress_update`` was called; False if none of this notebook's jobs can have done it."""
        entry = JOB.get()
        if not isinstance(entry, Entry):
            id = job.get("id") if isinstance(job, dict) else None
            entry = next((e for e in self.worker.running() if e.id == id), None)
        if entry is None or entry.worker is not self.worker:
            return False
        report_progress(self.worker, entry, value)
        return True

    def close(self) -> None:
        """End the worker and its threads; what was not fetched is dropped."""
        self._closed = True
        self._wake.set()
        self.depot.end()
        self.worker.close()
        self.sampler.stop()


def _standing(name: str | None) -> Handler:
    """A handler that stands for what is not one: a setup, or one that is not there yet."""
    info = HandlerVersion(
        name or "pending", 1, HandlerKind.SYNC, "", (), "", None, None, None, "{}", 0.0
    )
    return Handler(info, lambda job: None, Options())


def _outcome(fault: Fault | None, ran: Sequence[tuple[str, float]]) -> Outcome:
    if fault is None:
        return Outcome(EventKind.COMPLETED, json.dumps({"output": {"statements": len(ran)}}))
    if fault.interrupted:
        return Outcome(EventKind.CANCELLED, None)
    return Outcome(EventKind.FAILED, None, fault.error, _sentence(fault))


def _sentence(fault: Fault) -> str:
    if fault.interrupted:
        return f"the pod was interrupted in {fault.place}, before the handler was there."
    hint = ""
    if fault.missing is not None:
        hint = f" The pod's Python has no `{fault.missing}`: pod.install() puts it there."
    message = fault.error.message.rstrip(".")
    return f"the pod could not run {fault.place}: {_name(fault.error.type)}: {message}.{hint}"


def _name(type_text: str) -> str:
    return type_text.removeprefix("<class '").removesuffix("'>")
