"""What a view is told: one binary snapshot, then deltas.

A feed listens to the store, keeps the jobs of one view as packed records and turns what changed
into messages of a few hundred bytes. It knows nothing of widgets: whoever owns it decides when to
ask and where the messages go.

Every snapshot has a number, its *generation*. Indexes of jobs are only valid within one, so what
comes back from a page carries the generation it speaks of.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from kit.events import Chunk, Event, JobKey, Log, Progress
from kit.secret import redact
from kit.span import Spans
from kit.views.codec import pack_span
from kit.views.series import SampleLog
from kit.views.table import JobTable

if TYPE_CHECKING:
    from kit.marks import Mark
    from kit.store import Store

#: jobs kept by one view; older ones stay in the store and leave the picture
MAX_JOBS = 100_000
#: jobs read from the store when a view opens
OPEN_JOBS = 10_000
#: job records per update; a burst is spread over several
MAX_ROWS = 2_000
#: text of the watched job per update, in characters; what is over is counted, not sent
MAX_LIVE_TEXT = 32_768
#: seconds after the last job for which the sampler still delivers
SAMPLE_TAIL_S = 2.5


class Message(NamedTuple):
    """One message to the page: ``content`` is JSON, ``buffers`` travel as they are."""

    content: dict[str, Any]
    buffers: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of content and buffers."""
        return len(json.dumps(self.content)) + sum(map(len, self.buffers))


def shown(text: str) -> str:
    """Text for the page: keys masked, half characters (lone surrogates) written out.

    A message with a half character cannot be sent at all.
    """
    return redact(text).encode("utf-8", "backslashreplace").decode()


class Feed:
    """Jobs and memory of one view.

    ``receive`` may be called from any thread; everything else from one thread at a time.

    Parameters
    ----------
    store : Store
    handler : str or None
        Only jobs of this handler; None takes all.
    key : JobKey or None
        Only this job; None takes all.
    spans : Spans or None
        What stands above the jobs; None for nothing.
    """

    def __init__(
        self,
        store: Store,
        handler: str | None = None,
        key: JobKey | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._store = store
        self._spans, self._span_position = spans or Spans(), 0
        self._span_starts: list[float] = []
        self._span_open = False
        self._sampled = 0
        self._handler, self._key = handler, key
        self._pending: deque[Sequence[Event]] = deque()
        self.all_sessions = False
        self.generation = 0
        self.table = JobTable(handler, key)
        self.samples = SampleLog()
        #: jobs that the store has and this view left out; -1: some, not counted
        self.older = 0
        #: jobs whose chunks, logs and progress the page wants as they come: index -> position in the
        #: store up to which it has them
        self.watched: dict[int, int] = {}
        self._sent_names: tuple[int, ...] = ()
        self._last_activity = 0.0
        self._data_version: int | None = None
        self._loaded_seq: dict[str, int] = {}

    # -- in -------------------------------------------------------------------------------------

    def receive(self, events: Sequence[Event]) -> None:
        """Take events of this session; the store calls this after each commit."""
        self._pending.append(events)

    def load(self, *, all_sessions: bool = False) -> None:
        """Read the jobs from the store anew. The next message must be a snapshot."""
        self.all_sessions = all_sessions
        session = None if all_sessions else self._store.session_id
        self._data_version = self._store.data_version() if all_sessions else None
        # what arrives while we read is applied afterwards, unless the rows already contain it
        self._pending.clear()
        if self._key is not None:
            self._load_one(self._key)
            return
        rows = self._store.marks(OPEN_JOBS, session=session, handler=self._handler)
        self._take(rows)
        if len(rows) == OPEN_JOBS:
            count = self._store.count(session=session)
            self.older = -1 if self._handler is not None else max(0, count - len(rows))
        self.samples = SampleLog()
        self._take_spans(whole=True)
        starts = [*(row.submitted_at for row in rows), *self._span_starts]
        if starts:
            since = min(starts)
            self.samples.add(self._store.samples(since=since, session=self._store.session_id))

    def _load_one(self, key: JobKey) -> None:
        self._take(())
        view = self._store.view(key)
        if view is not None:
            self.table.put_view(view, self._store.session_id)
            self._loaded_seq = {key: view.seq}

    def _take(self, marks: Sequence[Mark]) -> None:
        self.generation += 1
        self.table = JobTable(self._handler, self._key)
        self.watched.clear()
        self.older = 0
        self.table.fill(sorted(marks, key=attrgetter("submitted_at")))
        self._loaded_seq = {mark.key: mark.seq for mark in marks}

    # -- out ------------------------------------------------------------------------------------

    def snapshot(self) -> Message:
        """Everything, for a page that has just opened."""
        self._drain()
        table = self.table
        table.dirty.clear()
        table.take_ticks()
        table.take_progress(len(table.live))
        rows, samples, ticks = bytes(table.rows), bytes(self.samples.packed), table.all_ticks()
        names = self._names()
        self._sent_names = _lengths(names)
        spans = self._take_spans(whole=True)
        content = {
            "t": "snapshot",
            "g": self.generation,
            "now": time.time(),
            "all": self.all_sessions,
            "older": self.older,
            "n": [len(rows), len(samples), len(ticks)],
            "names": names,
            "own": self._store.session_id,
            "spans": spans,
            "p": [list(told) for told in table.progress.items()],
        }
        return Message(content, (rows + samples + ticks,))

    def update(self) -> list[Message]:
        """What changed since the last message; an empty list if nothing did."""
        live = self._drain()
        if len(self.table) > MAX_JOBS:
            self._drop_old()
            return [self.snapshot()]
        spans = self._take_spans(whole=False)
        samples = self._new_samples()
        rows, ticks = self.table.take_rows(MAX_ROWS), self.table.take_ticks()
        progress = self.table.take_progress()
        messages = []
        if rows or ticks or samples or spans or progress:
            content: dict[str, Any] = {
                "t": "delta",
                "g": self.generation,
                "now": round(time.time(), 3),
                "n": [len(rows), len(samples), len(ticks)],
            }
            names = self._names()
            if _lengths(names) != self._sent_names:
                self._sent_names = _lengths(names)
                content["names"] = names
            if progress:
                content["p"] = progress
            if spans:
                content["spans"] = spans
            messages.append(Message(content, (rows + samples + ticks,)))
        return messages + live

    @property
    def backlog(self) -> bool:
        """Whether there is more to send at once."""
        return bool(self._pending or self.table.dirty or self.table.progress_waits)

    @property
    def awake(self) -> bool:
        """Whether time alone may bring something: a job or span is live, or the sampler's tail due."""
        live = bool(self.table.live) or self._span_open
        return live or time.time() - self._last_activity < SAMPLE_TAIL_S

    def poll(self) -> bool:
        """Notice what other kernels wrote; True if something changed. For all sessions only."""
        version = self._store.data_version()
        if version == self._data_version:
            return False
        self._data_version = version
        own = self._store.session_id
        seen = set()
        for row in self._store.rows(limit=500):
            seen.add(row.key)
            if row.session != own and self._handler in (None, row.handler):
                self.table.put(row)
        own_code = self.table.sessions.code(own)
        for index in [i for i in self.table.live if self.table.keys[i] not in seen][:20]:
            if self.table.row(index).session != own_code:
                self._refresh(self.table.keys[index])
        return True

    def key(self, generation: object, index: object) -> JobKey | None:
        """The job a page speaks of; None if the page speaks of something that is gone."""
        if generation != self.generation or type(index) is not int:
            return None
        return self.table.keys[index] if 0 <= index < len(self.table) else None

    # -- inside ---------------------------------------------------------------------------------

    def _drain(self) -> list[Message]:
        """Apply what was received; returns the text of watched jobs."""
        live: dict[int, _Live] = {}
        session = self._store.session_id
        while self._pending:
            events = self._pending.popleft()
            self._last_activity = time.time()
            if self._loaded_seq:
                known = self._loaded_seq
                events = [e for e in events if e.seq > known.get(e.job_key, 0)]
            self.table.apply(events, session)
            if self.watched:
                self._overhear(events, live)
        self._loaded_seq = {}
        return [Message({"t": "live", "g": self.generation, **w.content}) for w in live.values()]

    def _overhear(self, events: Sequence[Event], live: dict[int, _Live]) -> None:
        for event in events:
            if type(event.data) in (Chunk, Log, Progress):
                index = self.table.index(event.job_key)
                if index is not None and event.seq > self.watched.get(index, event.seq):
                    live.setdefault(index, _Live(index)).add(event)

    def _new_samples(self) -> bytes:
        # as many as were appended, not by the clock: mostly there is nothing new to read
        if not self.awake or self._sampled == self._store.sampled:
            return b""
        self._sampled = self._store.sampled
        session, since = self._store.session_id, self.samples.since
        if not since:  # nothing before the first job of this view belongs to it
            starts = [self.table.row(i).submitted for i in self.table.live]
            since = min([*starts, *self._span_starts], default=0.0)
            since = since or self._last_activity - SAMPLE_TAIL_S
        return self.samples.add(self._store.samples(since=since, session=session))

    def _refresh(self, key: JobKey) -> None:
        """Re-read one job of another kernel that is older than the rows polled."""
        view = self._store.view(key)
        index = self.table.index(key)
        if view is None or index is None or not view.state.final:
            return
        session = self.table.sessions.all[self.table.row(index).session]
        self.table.put_view(view, session)

    def _drop_old(self) -> None:
        """Keep the newer half. Its records are copied; nothing is read from the store."""
        old, half = self.table, len(self.table) // 2
        self.generation += 1
        self.watched.clear()
        self.older += half
        self.table = old.newer(half)

    def _take_spans(self, *, whole: bool) -> list[list[Any]]:
        """Spans for a message: all of them, or those that changed since the last one."""
        position, spans = self._spans.after(0)
        fresh = spans if whole else self._spans.after(self._span_position)[1]
        if position != self._span_position:
            if not whole or position > self._span_position:
                self._last_activity = time.time()  # the sampler's tail belongs to a span too
            self._span_starts = [span.started_at for span in spans]
            self._span_open = any(span.ended_at is None for span in spans)
        self._span_position = position
        return [pack_span(span) for span in fresh]

    def _names(self) -> dict[str, list[str]]:
        table = self.table
        return {
            "handlers": list(table.handlers.all),
            "sessions": list(table.sessions.all),
            "targets": list(table.targets.all),
            "places": list(self.samples.places),
        }


class _Live:
    """Text of one watched job that came within one update."""

    def __init__(self, index: int) -> None:
        self._left = MAX_LIVE_TEXT
        self.content: dict[str, Any] = {"i": index, "chunks": [], "logs": [], "missed": 0}

    def add(self, event: Event) -> None:
        if isinstance(event.data, Log):
            text = event.data.text
            self._keep("logs", [event.data.stream, shown(text[:MAX_LIVE_TEXT])], len(text))
        elif event.payload is not None and isinstance(event.data, Chunk):
            self._keep("chunks", shown(event.payload[:MAX_LIVE_TEXT]), len(event.payload))
        elif event.payload is not None and len(event.payload) <= 4096:
            self.content["progress"] = shown(event.payload)

    def _keep(self, what: str, value: object, size: int) -> None:
        self._left -= size
        if self._left >= 0:
            self.content[what].append(value)
        else:
            self.content["missed"] += 1


def _lengths(names: dict[str, list[str]]) -> tuple[int, ...]:
    return tuple(len(names[of]) for of in ("handlers", "sessions", "targets", "places"))
