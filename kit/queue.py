"""What waits, and what may start next: first in, first out per handler, with its concurrency.

A plain structure without a lock of its own; the worker holds one around every call.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kit.errors import StoreError
from kit.events import Event, EventKind, Finding, JobKey, JobView
from kit.handler import Handler
from kit.joblog import JobLog

#: requests kept in memory while they wait, in characters; the rest is read back when its turn comes
QUEUE_CHARS = 32_000_000


class Journal(Protocol):
    """Where a worker keeps what happens: the store, or on a pod what goes back to the notebook."""

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Keep events and give those that were accepted; StoreError if none can be kept."""

    def view(self, key: JobKey) -> JobView | None: ...


class Reporter(Protocol):
    """Hears that a job has printed something."""

    def log_waits(self, entry: Entry) -> None: ...


class Gate:
    """How many jobs of one ``kit.map`` may run at once."""

    __slots__ = ("flight", "limit")

    def __init__(self, limit: int) -> None:
        self.limit, self.flight = limit, 0


class Entry:
    """One attempt of one job, from the queue to its end. Internal and mutable; others see events."""

    __slots__ = (
        "attempt", "cell", "closed", "context", "done", "echo", "elsewhere", "expired", "gate", "handler", "id", "key", "log",
        "notes", "order", "owner", "queued_at", "request", "reserved", "resident", "seq_chunk", "slot",
        "started_at", "stopping", "target", "task", "timeout_s", "ttl_s", "worker",
    )  # fmt: skip

    def __init__(
        self,
        key: JobKey,
        id: str,
        handler: Handler,
        request: str,
        *,
        target: str = "local",
        attempt: int = 1,
        timeout_s: float | None = None,
        ttl_s: float | None = None,
        context: contextvars.Context | None = None,
        gate: Gate | None = None,
        cell: object = None,
        resident: bool = False,
    ) -> None:
        self.key, self.id, self.handler, self.target = key, id, handler, target
        self.request: str | None = request
        self.attempt, self.timeout_s, self.context, self.gate = attempt, timeout_s, context, gate
        self.cell, self.resident, self.ttl_s = cell, resident, ttl_s
        #: whether its ttl was over before its end
        self.expired = False
        #: findings that are known before it runs; journaled with its QUEUED row
        self.notes: tuple[Finding, ...] = ()
        #: whether what it prints is shown under the cell as well (``kit.debug``)
        self.echo = False
        self.order = self.slot = self.seq_chunk = 0
        self.queued_at = self.started_at = 0.0
        self.closed = False
        #: whether the worker of another machine runs it and keeps its time limit
        self.elsewhere = False
        #: taken out of its lane, perhaps not begun
        self.reserved = False
        self.stopping: EventKind | None = None
        #: its final body once that is in the journal and the job is COMPLETED, for whoever waits
        self.done: str | None = None
        self.log: JobLog | None = None
        self.task: Any = None
        self.owner: Any = None
        self.worker: Reporter | None = None

    @property
    def timed(self) -> bool:
        """Whether this worker keeps a time limit for it now."""
        return self.timeout_s is not None and not self.closed and not self.elsewhere

    def write(self, stream: str, text: str) -> None:
        """Take what the handler printed (see ``capture``). Thread-safe."""
        if self.log is None:
            self.log = JobLog()
        if self.log.write(stream, text) and self.worker is not None:
            self.worker.log_waits(self)


class Lane:
    """The queue of one handler on one target: first in, first out, with its concurrency."""

    __slots__ = ("flight", "limit", "queue")

    def __init__(self) -> None:
        self.queue: deque[Entry] = deque()
        self.flight, self.limit = 0, 1


class Queue:
    """All lanes of one worker.

    Concurrency follows the SDK (runpod 1.12.0, ``rp_scale``): 1 without a ``concurrency_modifier``;
    with one, it is asked again only while no job of its handler is in flight.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._order = 0
        self._chars = 0

    def put(self, entry: Entry) -> None:
        """Add a job at the end of its lane."""
        self._order += 1
        entry.order = self._order
        at = (entry.target, entry.handler.name)
        lane = self._lanes.get(at)
        if lane is None:
            lane = self._lanes[at] = Lane()
        if entry.request is not None and not entry.resident:
            if lane.queue and self._chars + len(entry.request) > QUEUE_CHARS:
                entry.request = None  # it is in the journal; read back when its turn comes
            else:
                self._chars += len(entry.request)
        lane.queue.append(entry)

    def head(self, target: str, *, ahead: bool = False) -> Entry | None:
        """The oldest job of a target whose handler has room; None if there is none.

        ``ahead`` is for a target that keeps a queue and the handlers' concurrency itself.
        """
        best: Entry | None = None
        for (name, _), lane in self._lanes.items():
            if name != target or (lane.flight >= lane.limit and not ahead):
                continue
            while lane.queue and lane.queue[0].closed:  # cancelled while it waited
                self._forget(lane.queue.popleft())
            if not lane.queue:
                continue
            first = lane.queue[0]
            if first.gate is not None and first.gate.flight >= first.gate.limit:
                continue
            if best is None or first.order < best.order:
                best = first
        return best

    def _lane(self, entry: Entry) -> Lane:
        return self._lanes[(entry.target, entry.handler.name)]

    def limit(self, entry: Entry) -> int:
        """How many jobs of this handler may run at once now."""
        return self._lane(entry).limit

    def asks(self, head: Entry) -> Callable[[int], int] | None:
        """The modifier that must be asked before this job starts; None if none."""
        lane = self._lane(head)
        if lane.flight:
            return None
        modifier = head.handler.options.concurrency_modifier
        if modifier is None:
            lane.limit = 1
        return modifier

    def scale(self, head: Entry, limit: int) -> bool:
        """Set a handler's concurrency; False if this job is no longer the next one."""
        lane = self._lane(head)
        lane.limit = limit
        return bool(lane.queue) and lane.queue[0] is head and not head.closed

    def pop(self, head: Entry) -> Entry:
        """Take a lane's first job out to run it."""
        lane = self._lane(head)
        lane.queue.popleft()
        lane.flight += 1
        head.reserved = True
        if head.gate is not None:
            head.gate.flight += 1
        self._forget(head)
        return head

    def leave(self, entry: Entry) -> None:
        """A job that was taken has ended."""
        if entry.order:
            self._lane(entry).flight -= 1
            if entry.gate is not None:
                entry.gate.flight -= 1

    def _forget(self, entry: Entry) -> None:
        if entry.request is not None and not entry.resident:
            self._chars -= len(entry.request)


def rescaled(modifier: Callable[[int], int], current: int) -> tuple[int, str | None]:
    """What a handler's ``concurrency_modifier`` wants, or what it has now and the complaint."""
    try:
        given: object = modifier(current)  # user code, whatever its annotation says
    except Exception as exc:
        return current, f"raised {type(exc).__name__}: {exc}"
    if isinstance(given, int) and given >= 1:
        return given, None
    return current, f"returned {given!r}"


def read_back(entry: Entry, journal: Journal) -> str:
    """The request of a job that was taken; from the journal if it was put aside there."""
    if entry.request is None:
        view = journal.view(entry.key)
        if view is None or view.request is None:
            raise StoreError(
                f"the request of job {entry.id} is no longer in the journal: its "
                "payload cap dropped it while it waited. Run it again."
            )
        entry.request = view.request
    return entry.request
