"""One job of an endpoint, one worker that takes jobs, and the settings both obey."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from kit.events import JobState
from kit.payload import CHUNK_LIMIT_BYTES, RUN_LIMIT_BYTES, RUNSYNC_LIMIT_BYTES
from kit.policy import EXECUTION_TIMEOUT_MS, NONE, TTL_MS, Policy


@dataclass(frozen=True, slots=True)
class Settings:
    """What RunPod documents of an endpoint, with its defaults; times in seconds, sizes in bytes.

    Attributes
    ----------
    take_hold_s, stop_hold_s : float
        How long a worker's poll is held open.
    stream_hold_s : float
        How long a /stream without anything new is held open; 0 answers at once.
    grace_s : float
        How long a worker process may keep a job that was stopped before it is killed.
    rate_limits : bool
        Whether the documented limits per verb and 10 s hold (429 above them).
    take_many : int
        Hand out so many jobs at a job-take although one was asked for. The SDK takes the list and
        runs them one after the other without its pause of a second: for a proof, never for serving.
    stop_pods : bool
        Whether ``stopPod`` in a result ends the worker.
    """

    execution_timeout_s: float = EXECUTION_TIMEOUT_MS / 1000
    ttl_s: float = TTL_MS / 1000
    run_retention_s: float = 1800.0
    runsync_retention_s: float = 60.0
    run_limit: int = RUN_LIMIT_BYTES
    runsync_limit: int = RUNSYNC_LIMIT_BYTES
    chunk_limit: int = CHUNK_LIMIT_BYTES
    take_hold_s: float = 20.0
    stop_hold_s: float = 20.0
    stream_hold_s: float = 1.0
    webhook_pause_s: float = 10.0
    grace_s: float = 1.0
    rate_limits: bool = False
    take_many: int = 1
    stop_pods: bool = True


class Ticket:
    """A job as the endpoint knows it. Lives on the endpoint's loop; nobody else writes to it."""

    __slots__ = (
        "attempt", "body", "chunks", "done", "ended_at", "error", "expires_at", "id", "lost",
        "output", "policy", "posted", "progressed", "refused", "state", "submitted_at", "sync", "taken_at",
        "watchers", "webhook", "worker", "worker_id",
    )  # fmt: skip

    def __init__(self, id: str, body: dict[str, Any], *, sync: bool, policy: Policy = NONE) -> None:
        self.id = id
        #: the request without ``id``
        self.body = body
        #: whether it came by /runsync
        self.sync = sync
        self.policy = policy
        self.webhook = body.get("webhook")
        self.attempt = 0
        self.watchers: list[asyncio.Future[None]] = []
        self.reset()

    def reset(self) -> None:
        """Back to the queue, as new: for the first time, and by /retry."""
        self.state = JobState.IN_QUEUE
        self.attempt += 1
        self.submitted_at = time.monotonic()
        self.taken_at: float | None = None
        self.ended_at: float | None = None
        self.expires_at: float | None = None
        self.worker: Worker | None = None
        self.worker_id: str | None = None
        #: the last progress value, then the final output
        self.output: Any = None
        self.progressed = False
        self.error: Any = None
        #: final body as it was posted; None if none was, or the endpoint ended the job itself
        self.done: str | None = None
        #: why a worker that took the job will post nothing
        self.lost: str | None = None
        #: whether what was posted is no result (not JSON)
        self.refused = False
        #: chunks no /stream has fetched yet, as posted
        self.chunks: list[str] = []
        #: every body a worker posted for this attempt: (job-stream or job-done, text)
        self.posted: list[tuple[str, str]] = []

    def changed(self) -> None:
        """Wake whoever waits for a chunk or the end."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    def facts(self) -> dict[str, Any]:
        """The answer of /status."""
        state = self.state
        facts: dict[str, Any] = {"id": self.id, "status": str(state)}
        if self.taken_at is not None:
            facts["delayTime"] = round((self.taken_at - self.submitted_at) * 1000)
            facts["workerId"] = self.worker_id
            if self.ended_at is not None:
                facts["executionTime"] = round((self.ended_at - self.taken_at) * 1000)
        if self.progressed or (self.done is not None and self.output is not _NOTHING):
            facts["output"] = self.output
        if self.error is not None:
            facts["error"] = self.error
        return facts


#: the final body had no ``output`` at all
_NOTHING: Any = object()
NO_OUTPUT = _NOTHING


@dataclass(eq=False, slots=True)
class Worker:
    """Somebody who takes jobs: a process of the pool, or any RunPod worker with the token."""

    id: str
    jobs: dict[str, Ticket] = field(default_factory=dict)
    #: jobs that ended without the worker, and since when it was told to stop them
    stopping: dict[str, float] = field(default_factory=dict)
    #: ids to tell it at its next job-stop poll
    signals: list[str] = field(default_factory=list)
    #: gets no more jobs; its polls are answered at once
    draining: bool = False
    first_take_at: float | None = None
    last_seen_at: float = 0.0
    last_done_at: float | None = None
    takes: int = 0
    #: jobs missing from its last ping, to be believed at the second one
    missing: set[str] = field(default_factory=set)
    polls: set[asyncio.Future[None]] = field(default_factory=set)

    def signal(self, id: str) -> None:
        """Tell it to stop a job, unless it has let go of it meanwhile."""
        if id in self.stopping:
            self.signals.append(id)
            self.wake()

    def wake(self) -> None:
        """Answer its open polls now."""
        for poll in list(self.polls):
            if not poll.done():
                poll.set_result(None)


class Observer(Protocol):
    """Follows an endpoint's jobs. Called on its loop, must not block."""

    def started(self, ticket: Ticket) -> None: ...

    def progress(self, ticket: Ticket, text: str) -> None: ...

    def chunk(self, ticket: Ticket, text: str) -> None: ...

    def ended(self, ticket: Ticket) -> None: ...


class Backend(Protocol):
    """Whoever makes sure that queued jobs are taken."""

    def wake(self) -> None:
        """A job was queued, or a worker became free."""

    def before_done(self, worker: Worker) -> None:
        """A worker is about to give a job up: take in what it printed until now."""

    def stop(self, ticket: Ticket) -> None:
        """A job in progress was ended from outside."""

    def counts(self) -> tuple[int, int]:
        """Idle and running workers."""

    def close(self) -> None: ...
