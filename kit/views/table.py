"""Jobs as packed records, kept up to date by their events: what a view draws, and nothing more.

Folding a job in Python costs 3 us and a dataclass; a view of 10,000 jobs that changes ten times a
second can afford neither. So a record is changed in place by each event, and the rules are those of
``kit.fold`` (a test compares the two).
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kit.events import (
    CancelAsked,
    Chunk,
    Ended,
    Event,
    EventKind,
    Found,
    JobKey,
    JobView,
    Progress,
    Queued,
    Started,
    Stuck,
)
from kit.views import codec
from kit.views.codec import NAN, Row
from kit.views.records import Names, is_live, records_of, row_of
from kit.views.times import Times, counts_in
from kit.views.words import fraction

if TYPE_CHECKING:
    from kit.marks import Mark
    from kit.rows import JobRow

#: ticks kept per job; at the limit every second one goes, here and in codec.js alike
MAX_TICKS = 512
#: ticks sent per update; more chunks than that in 0.1 s cannot be told apart on a screen
MAX_NEW_TICKS = 64

#: jobs whose progress one update tells, and the longest progress value that is read
MAX_NEW_PROGRESS, MAX_PROGRESS_TEXT = 16, 4096

_EMPTY = bytes(codec.ROW_BYTES)
_CODE_OF_END = {
    EventKind.COMPLETED: codec.COMPLETED,
    EventKind.FAILED: codec.FAILED,
    EventKind.CANCELLED: codec.CANCELLED,
    EventKind.TIMED_OUT: codec.TIMED_OUT,
    EventKind.LOST: codec.LOST,
}
_NO_SLOT = codec.SLOT.pack(-1)


class JobTable:
    """Records of the jobs of one handler, or of all of them.

    Not thread-safe: one thread at a time.

    Parameters
    ----------
    handler : str or None
        Only jobs of this handler; None takes all.
    key : JobKey or None
        Only this job; None takes all.
    """

    def __init__(self, handler: str | None, key: JobKey | None = None) -> None:
        self._only, self._key = handler, key
        self.rows = bytearray()
        self.keys: list[JobKey] = []
        self._index: dict[str, int] = {}
        self.handlers, self.sessions, self.targets = Names(), Names(), Names()
        #: indexes of jobs that have not ended
        self.live: set[int] = set()
        #: indexes of jobs that changed since the last update
        self.dirty: set[int] = set()
        self.ticks: dict[int, array[float]] = {}
        self._new_ticks: list[tuple[int, float]] = []
        #: progress of live jobs: index -> share, and the JSON text of what came since the last update
        self.progress: dict[int, float] = {}
        self._new_progress: dict[int, str] = {}
        self._times = Times(lambda: self.rows)

    def __len__(self) -> int:
        return len(self.keys)

    def index(self, key: str) -> int | None:
        return self._index.get(key)

    def row(self, index: int) -> Row:
        return Row(*codec.ROW.unpack_from(self.rows, index * codec.ROW_BYTES))

    # -- whole rows -----------------------------------------------------------------------------

    def put(self, job: JobRow) -> int:
        """Take a job from the store's projection; returns its index."""
        return self._take(job, job.session, job.n_findings, job.n_chunks)

    def put_view(self, job: JobView, session: str) -> int:
        """Take a job from its fold; returns its index."""
        return self._take(job, session, len(job.findings), len(job.stream))

    def _take(self, job: JobRow | JobView, session: str, findings: int, chunks: int) -> int:
        index = self._place(job.key)
        codes = (
            self.handlers.code(job.handler),
            self.sessions.code(session),
            self.targets.code(job.target),
        )
        self.write(row_of(job, index, codes, findings, chunks))
        return index

    def fill(self, marks: Sequence[Mark]) -> None:
        """Take the jobs of a view that opens, all at once; the table is empty until then."""
        self.rows += records_of(marks, self.handlers, self.sessions, self.targets)
        self.keys = [mark.key for mark in marks]
        self._index = {key: index for index, key in enumerate(self.keys)}
        self.live = {index for index, mark in enumerate(marks) if is_live(mark)}
        self.dirty = set(range(len(marks)))

    def _place(self, key: JobKey) -> int:
        index = self._index.get(key)
        if index is None:
            index = self._index[key] = len(self.keys)
            self.keys.append(key)
            self.rows += _EMPTY
        return index

    def write(self, row: Row) -> None:
        """Replace the record at ``row.number``."""
        at = row.number * codec.ROW_BYTES
        self._times.forget()
        self.rows[at : at + codec.ROW_BYTES] = codec.pack_row(row)
        (self.live.add if row.state < codec.COMPLETED else self.live.discard)(row.number)
        self.dirty.add(row.number)

    # -- events ---------------------------------------------------------------------------------

    def apply(self, events: Iterable[Event], session: str) -> None:
        """Bring the records up to date. Events of jobs that are not here are passed over."""
        rows, index_of = self.rows, self._index.get
        for event in events:
            data = event.data
            if type(data) is Queued:
                if self._only in (None, data.handler) and self._key in (None, event.job_key):
                    self._queued(event, data, session)
                continue
            index = index_of(event.job_key)
            if index is None:
                continue
            at = index * codec.ROW_BYTES
            if rows[at + codec.OFFSET_ATTEMPT] != min(event.attempt, 0xFF):
                continue
            state = rows[at + codec.OFFSET_STATE]
            if type(data) is Started:
                if state == codec.LOST:  # it went on where it could not be seen
                    if rows[at + codec.OFFSET_SLOT : at + codec.OFFSET_SLOT + 2] != _NO_SLOT:
                        continue
                elif state != codec.IN_QUEUE:
                    continue
                else:
                    rows[at + codec.OFFSET_STATE] = codec.IN_PROGRESS
                codec.SLOT.pack_into(rows, at + codec.OFFSET_SLOT, min(data.slot, 0x7FFF))
                codec.WAIT.pack_into(rows, at + codec.OFFSET_WAIT, data.delay_ms)
            elif type(data) is Ended:
                if state >= codec.COMPLETED and not (
                    state == codec.LOST and event.kind is not EventKind.LOST
                ):
                    continue
                self._ended(index, at, event, data)
            elif type(data) is Chunk:
                if state >= codec.COMPLETED and state != codec.LOST:
                    continue
                self._chunk(index, at, event.time)
            elif type(data) is Found:
                _count(rows, at + codec.OFFSET_FINDINGS, 0xFFFF)
            elif type(data) is CancelAsked:
                rows[at + codec.OFFSET_STATE + 1] |= codec.CANCEL_ASKED
            elif type(data) is Stuck:
                rows[at + codec.OFFSET_STATE + 1] |= codec.STUCK
            else:  # logs change nothing that is drawn
                if type(data) is Progress and state < codec.COMPLETED and event.payload is not None:
                    self._new_progress[index] = event.payload
                continue
            self.dirty.add(index)

    def _queued(self, event: Event, data: Queued, session: str) -> None:
        # by hand and not by ``write``: a batch of 10,000 jobs comes through here
        index = self._index.get(event.job_key)
        if index is None:
            index = self._index[event.job_key] = len(self.keys)
            self.keys.append(event.job_key)
            self.rows += _EMPTY
        else:  # a retry
            self._times.forget()
            self.ticks.pop(index, None)
            self.progress.pop(index, None)
        codec.ROW.pack_into(
            self.rows,
            index * codec.ROW_BYTES,
            index,
            codec.IN_QUEUE,
            0,
            min(data.version, 0xFFFF),
            -1,
            0,
            0,
            event.time,
            NAN,
            NAN,
            NAN,
            NAN,
            min(self.handlers.code(data.handler), 0xFFFF),
            min(self.sessions.code(session), 0xFFFF),
            min(self.targets.code(data.target), 0xFF),
            min(event.attempt, 0xFF),
            codec.short_id(data.job_id),
        )
        self.live.add(index)
        self.dirty.add(index)

    def _ended(self, index: int, at: int, event: Event, data: Ended) -> None:
        rows = self.rows
        rows[at + codec.OFFSET_STATE] = _CODE_OF_END[event.kind]
        (submitted,) = codec.SUBMITTED.unpack_from(rows, at + codec.OFFSET_SUBMITTED)
        peak, flags = codec.peak_of(data.memory)
        # what LOST said of memory goes when the real end comes
        kept = rows[at + codec.OFFSET_STATE + 1] & (codec.CANCEL_ASKED | codec.STUCK)
        rows[at + codec.OFFSET_STATE + 1] = kept | flags
        execution = NAN if data.execution_ms is None else data.execution_ms
        end = (event.time - submitted) * 1000
        with self._times.lock:
            codec.END.pack_into(rows, at + codec.OFFSET_EXECUTION, execution, end, peak)
            if event.kind is EventKind.COMPLETED and execution == execution:
                self._times.add(execution)
        self.live.discard(index)
        self.progress.pop(index, None)

    def _chunk(self, index: int, at: int, time: float) -> None:
        _count(self.rows, at + codec.OFFSET_CHUNKS, 0xFFFFFFFF)
        (submitted,) = codec.SUBMITTED.unpack_from(self.rows, at + codec.OFFSET_SUBMITTED)
        self._new_ticks.append((index, (time - submitted) * 1000))

    def newer(self, drop: int) -> JobTable:
        """A table without the oldest ``drop`` jobs; the indexes of the others start anew."""
        table = JobTable(self._only, self._key)
        table.handlers, table.sessions, table.targets = self.handlers, self.sessions, self.targets
        table.rows = self.rows[drop * codec.ROW_BYTES :]
        table.keys = self.keys[drop:]
        table._index = {key: index for index, key in enumerate(table.keys)}
        for index in range(len(table.keys)):
            codec.NUMBER.pack_into(table.rows, index * codec.ROW_BYTES, index)
        table.live = {index - drop for index in self.live if index >= drop}
        table.progress = {i - drop: share for i, share in self.progress.items() if i >= drop}
        table.ticks = {index - drop: t for index, t in self.ticks.items() if index >= drop}
        return table

    def times(self) -> list[float]:
        """Execution times of completed jobs in ms, sorted. Not to be changed by the caller."""
        return self._times.all()

    def counts(self) -> dict[int, int]:
        """How many jobs are in each state, by state code."""
        return counts_in(self.rows)

    # -- what changed ---------------------------------------------------------------------------

    def take_rows(self, limit: int) -> bytes:
        """Records that changed, at most ``limit`` of them; the rest stays for the next time."""
        size, rows = codec.ROW_BYTES, self.rows
        if len(self.dirty) <= limit:
            taken = sorted(self.dirty)
            self.dirty.clear()
        else:
            taken = sorted(self.dirty)[:limit]
            self.dirty.difference_update(taken)
        return b"".join([rows[i * size : i * size + size] for i in taken])

    def take_ticks(self) -> bytes:
        """Stream chunks that came since the last call, thinned to what a screen can show."""
        fresh = self._new_ticks
        if not fresh:
            return b""
        self._new_ticks = []
        step = -(-len(fresh) // MAX_NEW_TICKS)
        kept = fresh[::step]
        for index, ms in kept:
            ticks = self.ticks.setdefault(index, array("f"))
            if len(ticks) >= MAX_TICKS:
                ticks = self.ticks[index] = ticks[::2]
            ticks.append(ms)
        return b"".join([codec.TICK.pack(index, ms) for index, ms in kept])

    def take_progress(self, limit: int = MAX_NEW_PROGRESS) -> list[list[float]]:
        """What live jobs said of their progress since the last call: index and share, 0 to 1."""
        told: list[list[float]] = []
        # only the last word of each job is read, and only as many as an update may carry
        for index in list(self._new_progress)[:limit]:
            text = self._new_progress.pop(index)
            share = fraction(decoded(text)) if len(text) <= MAX_PROGRESS_TEXT else None
            if share is None or index not in self.live:
                continue
            share = round(share, 3)
            if share != self.progress.get(index):  # a line that does not move needs no drawing
                self.progress[index] = share
                told.append([index, share])
        return told

    @property
    def progress_waits(self) -> bool:
        """Whether there is progress that was not taken yet."""
        return bool(self._new_progress)

    def all_ticks(self) -> bytes:
        """Every tick that is kept, for a snapshot."""
        pack = codec.TICK.pack
        return b"".join([pack(index, ms) for index, ticks in self.ticks.items() for ms in ticks])


def decoded(text: str) -> Any:
    """A progress value from its JSON text; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _count(rows: bytearray, at: int, limit: int) -> None:
    """Add one to a little-endian counter that stops at its limit."""
    size = 2 if limit == 0xFFFF else 4
    value = int.from_bytes(rows[at : at + size], "little")
    if value < limit:
        rows[at : at + size] = (value + 1).to_bytes(size, "little")
