"""Run jobs through exported code in real worker processes: what production would make of them.

The handler's cells are exported into a folder of the session's own, the emulator starts
``python -u handler.py`` there, and what the unmodified SDK posts becomes the job's events. So a job
has a real cold start, the SDK's own pacing, and the wire as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kit import findings
from kit.emulator.endpoint import Endpoint
from kit.emulator.pool import Pool, Scale
from kit.emulator.server import Server
from kit.emulator.ticket import Settings, Ticket
from kit.errors import KitError
from kit.events import ErrorInfo, EventKind, Finding, JobState
from kit.handler import Handler
from kit.outcome import Outcome
from kit.payload import size_findings
from kit.posted import error_of
from kit.queue import Entry
from kit.treememory import WorkerJob
from kit.worker import Worker

_WEEK_S = 7 * 86_400.0
_HUGE = 1_000_000_000
#: a limit of the platform is a finding on the job here, as for jobs of the kernel, not a refusal
_SETTINGS = Settings(
    execution_timeout_s=_WEEK_S, ttl_s=_WEEK_S, run_limit=_HUGE, runsync_limit=_HUGE,
    chunk_limit=_HUGE, run_retention_s=0.0,
)  # fmt: skip
#: jobs handed to an endpoint ahead of their turn; the rest stay in the session's own queue
_AHEAD = 64
#: a worker stays so long without a job: a person thinks longer than RunPod's 5 s between two runs
_SCALE = Scale(idle_timeout_s=60.0, give_up=2)
_WORTH_TELLING_S = 0.15
#: what the SDK itself prints at start (runpod 1.12.0, ``serverless.start``); no handler printed it
_BANNER = "--- Starting Serverless Worker |"


class ProcessTarget:
    """Target ``process``.

    Parameters
    ----------
    worker : Worker
    write : callable
        Exports a handler into an empty folder. Blocks; raises KitError.
    fits : callable
        None if a second copy of the model fits beside the kernel's, else the sentence why not.
    hz : callable
        How often the memory of a worker is read while it has a job, a second.
    """

    name = "process"

    def __init__(
        self,
        worker: Worker,
        write: Callable[[Handler, Path], None],
        fits: Callable[[], str | None],
        hz: Callable[[], float] = lambda: 10.0,
    ) -> None:
        self._worker, self._write, self._fits = worker, write, fits
        #: memory samples a second while a job runs
        self.hz = hz
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._folder: Path | None = None
        self._lines: dict[tuple[str, int], _Line] = {}
        self.entries: dict[str, Entry] = {}
        self._pumping = self._closed = False

    def wake(self) -> None:
        """Look at the queue; starts the emulator on first use. Thread-safe, returns at once."""
        with self._lock:
            if self._closed:
                return
            if self._server is None:
                server = Server()
                threading.Thread(target=self._open, args=(server,), name="kit-open").start()
                self._server = server
                return
            server = self._server
        if server.listening:
            with contextlib.suppress(RuntimeError):
                server.loop.call_soon_threadsafe(self._pump)

    def _open(self, server: Server) -> None:
        # on a thread of its own: importing aiohttp takes 0.2 s, and a cell waits for submit
        self._folder = Path(tempfile.mkdtemp(prefix="kit-process-"))
        try:
            server.start()
        except KitError as exc:
            while (entry := self._worker.reserve(self.name)) is not None:
                self._worker.finish(entry, _failed(str(exc)))
            return
        server.loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        while len(self.entries) < _AHEAD and not self._closed:
            entry = self._worker.reserve(self.name)
            if entry is None:
                return
            handler = entry.handler
            line = self._lines.get((handler.name, handler.version))
            if line is None:
                self._retire(handler)
                line = self._lines[(handler.name, handler.version)] = _Line(self, handler)
            line.put(entry)

    def _retire(self, newest: Handler) -> None:
        """Workers of older versions end once their jobs have: they hold a model each."""
        for line in list(self._lines.values()):
            if line.handler.name == newest.name:
                line.retired = True
                self.tidy(line)

    def tidy(self, line: _Line) -> None:
        """End a retired version's workers if it has no job left."""
        if line.retired and not line.busy() and self._server is not None:
            self._lines.pop((line.handler.name, line.handler.version), None)
            self._server.remove(line.endpoint)

    async def prepare(self, line: _Line) -> Pool:
        """Export a handler and make its pool; raises KitError."""
        assert self._server is not None
        assert self._folder is not None
        folder = self._folder / line.endpoint.id

        def write() -> None:
            why_not = self._fits()
            if why_not is not None:
                raise KitError(
                    f"a real worker was not started: {why_not}. Free it in the notebook, restart "
                    "the kernel, or run the job on target local."
                )
            self._write(line.handler, folder)

        await asyncio.get_running_loop().run_in_executor(None, write)
        server = self._server
        server.add(line.endpoint)
        return Pool(line.endpoint, server.base, server.token, folder, _SCALE, on_log=line.printed)

    async def stop(self, entry: Entry) -> None:
        """End a running or waiting job; its process is killed if it does not give up in time."""
        server = self._server
        if server is not None and server.listening:
            with contextlib.suppress(RuntimeError):
                server.loop.call_soon_threadsafe(self._stop, entry)

    def _stop(self, entry: Entry) -> None:
        for line in self._lines.values():
            ticket = line.tickets.get(entry)
            if ticket is not None:
                line.endpoint.cancel(ticket)
                return

    @property
    def worker(self) -> Worker:
        return self._worker

    def next(self) -> None:
        """A job has ended: there may be room for another."""
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._again)

    def _again(self) -> None:
        self._pumping = False
        self._pump()

    def rest(self) -> int:
        """End the workers of handlers that have no job; the next job starts one again.

        Blocks until they are gone, for at most 10 s. Returns how many processes that were.
        """
        server = self._server
        if server is None or not server.listening:
            return 0

        async def work() -> int:
            ended = 0
            for at, line in list(self._lines.items()):
                if not line.busy():
                    ended += line.processes
                    del self._lines[at]
                    server.remove(line.endpoint)
            return ended

        return asyncio.run_coroutine_threadsafe(work(), server.loop).result(10.0)

    def close(self) -> None:
        """End every worker; returns when none is left."""
        with self._lock:
            self._closed = True
            server, folder = self._server, self._folder
        if server is not None:
            server.stop()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


class _Line:
    """One version of one handler: its endpoint, and which ticket is which entry. On the server's loop."""

    def __init__(self, target: ProcessTarget, handler: Handler) -> None:
        self._target, self.handler = target, handler
        self.endpoint = Endpoint(f"{handler.name}-v{handler.version}", _SETTINGS)
        self.endpoint.observers.append(self)
        self.tickets: dict[Entry, Ticket] = {}
        self._entries: dict[Ticket, Entry] = {}
        self._notes: dict[Ticket, list[Finding]] = {}
        self._meters: dict[Ticket, WorkerJob] = {}
        self._looking = False
        self._early: list[Entry] = []
        self._pool: Pool | None = None
        self.retired = False
        self._making = asyncio.get_running_loop().create_task(self._make())

    @property
    def processes(self) -> int:
        """How many worker processes it has."""
        return 0 if self._pool is None else len(self._pool.slots)

    def busy(self) -> bool:
        return bool(self.tickets or self._early or not self._making.done())

    async def _make(self) -> None:
        try:
            self._pool = await self._target.prepare(self)
        except KitError as exc:
            why = str(exc)
        except Exception as exc:
            why = f"the export broke: {type(exc).__name__}: {exc}"
        else:
            early, self._early = self._early, []
            for entry in early:
                self.put(entry)
            return
        # the next job tries again: the person may have changed something meanwhile
        self.retired = True
        early, self._early = self._early, []
        for entry in early:
            self._target.worker.finish(entry, _failed(why))
        asyncio.get_running_loop().call_soon(self._target.tidy, self)

    def put(self, entry: Entry) -> None:
        """Queue a job at the endpoint."""
        if entry.closed:
            return
        if self._pool is None:
            self._early.append(entry)
            return
        try:
            body = json.loads(self._target.worker.request_of(entry))
            ticket = self.endpoint.make(body, id=entry.id, attempt=entry.attempt)
        except KitError as exc:
            self._target.worker.finish(entry, _failed(str(exc)))
            return
        self.tickets[entry] = ticket
        self._entries[ticket] = entry
        self._target.entries[entry.key] = entry
        self.endpoint.enqueue(ticket)

    def printed(self, ticket: Ticket | None, text: str) -> None:
        """Log of a job, or of a worker between jobs: that goes to whoever waits for it."""
        entry = self._entries.get(ticket) if ticket is not None else None
        if entry is None:
            entry = next(iter(self._entries.values()), None)
        lines = text.splitlines(keepends=True)
        own = "".join(line for line in lines if not line.startswith(_BANNER))
        if entry is not None and own:
            entry.write("process", own)

    # -- Observer -------------------------------------------------------------------------------

    def started(self, ticket: Ticket) -> None:
        entry = self._entries.get(ticket)
        if entry is None or not self._target.worker.begin(entry):
            return
        self._measure(ticket)
        worker, notes = ticket.worker, self._notes.setdefault(ticket, [])
        waited = (ticket.taken_at or 0.0) - ticket.submitted_at
        if worker is None or waited < _WORTH_TELLING_S:
            return
        cold = self._pool.cold_start(worker) if self._pool is not None else None
        if worker.takes == 1 and cold is not None:
            notes.append(findings.cold_start(min(waited, cold)))
        elif worker.takes > 1:
            since = time.monotonic() - max(worker.last_done_at or 0.0, ticket.submitted_at)
            if since >= _WORTH_TELLING_S:
                notes.append(findings.paced(since))

    def _measure(self, ticket: Ticket) -> None:
        """Begin to look at the memory of the process that has taken a job."""
        slot = None
        if ticket.worker is not None and self._pool is not None:
            slot = self._pool.slots.get(ticket.worker.id)
        if slot is None or not slot.process.pid:
            return
        beside = [m for t, m in self._meters.items() if t.worker is ticket.worker]
        for meter in beside:
            meter.alone = False
        self._meters[ticket] = WorkerJob(slot.process.pid, alone=not beside)
        if not self._looking:
            self._look()

    def _look(self) -> None:
        self._looking = bool(self._meters)
        if self._looking:
            for meter in self._meters.values():
                meter.sample()
            asyncio.get_running_loop().call_later(1 / self._target.hz(), self._look)

    def progress(self, ticket: Ticket, text: str) -> None:
        entry = self._entries.get(ticket)
        if entry is not None:
            self._target.worker.progress(entry, _member(text))

    def chunk(self, ticket: Ticket, text: str) -> None:
        entry = self._entries.get(ticket)
        if entry is not None:
            value = _member(text)
            self._target.worker.chunk(entry, value)
            notes = self._notes.setdefault(ticket, [])
            if not any(note.code == "K109" for note in notes):
                notes += size_findings(len(value.encode()), "chunk")

    def ended(self, ticket: Ticket) -> None:
        entry = self._entries.pop(ticket, None)
        notes = self._notes.pop(ticket, [])
        if entry is None:
            return
        del self.tickets[entry]
        self._target.entries.pop(entry.key, None)
        meter = self._meters.pop(ticket, None)
        used = () if meter is None else meter.end()
        self._target.worker.finish(entry, _outcome(ticket), notes, used)
        self._target.next()
        self._target.tidy(self)


def _member(text: str) -> str:
    return json.dumps(json.loads(text).get("output"), ensure_ascii=False)


def _failed(why: str) -> Outcome:
    return Outcome(EventKind.FAILED, None, ErrorInfo("", why), why)


def _outcome(ticket: Ticket) -> Outcome:
    if ticket.state is JobState.CANCELLED:
        return Outcome(EventKind.CANCELLED, None)
    if ticket.state is JobState.TIMED_OUT:
        return Outcome(EventKind.TIMED_OUT, None)
    if ticket.done is None:
        why = str(ticket.error)
        note = (findings.never_posted(why),) if ticket.lost else ()
        return Outcome(EventKind.FAILED, None, ErrorInfo("", why), why, note)
    notes = size_findings(len(ticket.done.encode()), "output")
    if ticket.state is JobState.COMPLETED:
        return Outcome(EventKind.COMPLETED, ticket.done, None, None, notes)
    lost = str(ticket.error) if ticket.refused else None
    return Outcome(EventKind.FAILED, ticket.done, error_of(ticket.error), lost, notes)
