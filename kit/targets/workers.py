"""One version of one handler as real worker processes, and what these say of its jobs."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from kit import findings, wirefindings
from kit.emulator.endpoint import Endpoint
from kit.emulator.pool import Pool
from kit.emulator.ticket import Settings, Ticket
from kit.errors import KitError
from kit.events import ErrorInfo, EventKind, Finding, JobState
from kit.handler import Handler
from kit.outcome import Outcome
from kit.payload import size_findings
from kit.posted import error_of
from kit.queue import Entry

if TYPE_CHECKING:
    from kit.targets.process import ProcessTarget

_WEEK_S = 7 * 86_400.0
_HUGE = 1_000_000_000
#: a limit of the platform is a finding on the job here, as for jobs of the kernel, not a refusal
_SETTINGS = Settings(
    execution_timeout_s=_WEEK_S, ttl_s=_WEEK_S, run_limit=_HUGE, runsync_limit=_HUGE,
    chunk_limit=_HUGE, run_retention_s=0.0,
)  # fmt: skip
_WORTH_TELLING_S = 0.15
#: what the SDK itself prints at start (runpod 1.12.0, ``serverless.start``); no handler printed it
_BANNER = "--- Starting Serverless Worker |"


class Line:
    """Its endpoint, and which ticket is which entry. On the server's loop."""

    def __init__(self, target: ProcessTarget, handler: Handler) -> None:
        self._target, self.handler = target, handler
        self.endpoint = Endpoint(f"{handler.name}-v{handler.version}", _SETTINGS)
        self.endpoint.observers.append(self)
        self.tickets: dict[Entry, Ticket] = {}
        self._entries: dict[Ticket, Entry] = {}
        self._notes: dict[Ticket, list[Finding]] = {}
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
            self._target.worker.finish(entry, failed(why))
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
            self._target.worker.finish(entry, failed(str(exc)))
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
        if slot is not None and slot.process.pid:
            self._target.meters.begin(ticket, slot.process.pid)

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
        used = self._target.meters.end(ticket)
        self._target.worker.finish(entry, _outcome(ticket), notes, used)
        self._target.next()
        self._target.tidy(self)


def _member(text: str) -> str:
    return json.dumps(json.loads(text).get("output"), ensure_ascii=False)


def failed(why: str) -> Outcome:
    """The end of a job that no worker has run."""
    return Outcome(EventKind.FAILED, None, ErrorInfo("", why), why)


def _outcome(ticket: Ticket) -> Outcome:
    if ticket.state is JobState.CANCELLED:
        return Outcome(EventKind.CANCELLED, None)
    if ticket.state is JobState.TIMED_OUT:
        return Outcome(EventKind.TIMED_OUT, None)
    if ticket.done is None:
        why = str(ticket.error)
        note = (wirefindings.never_posted(why),) if ticket.lost else ()
        return Outcome(EventKind.FAILED, None, ErrorInfo("", why), why, note)
    notes = size_findings(len(ticket.done.encode()), "output")
    if ticket.state is JobState.COMPLETED:
        return Outcome(EventKind.COMPLETED, ticket.done, None, None, notes)
    lost = str(ticket.error) if ticket.refused else None
    return Outcome(EventKind.FAILED, ticket.done, error_of(ticket.error), lost, notes)
