"""From what a person gives to jobs in the queue: one, many, again, or here and now."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kit import findings
from kit.batch import Batch
from kit.errors import PayloadError, UsageError
from kit.events import Finding, JobKey, JobState
from kit.handler import Handler
from kit.job import Job
from kit.payload import decode
from kit.queue import Entry, Gate
from kit.request import Request, make
from kit.worker import Worker

if TYPE_CHECKING:
    from kit.pod import Pod
    from kit.session import Session

#: a last request above this may be left to the journal
_LARGE_CHARS = 65_536
_AGAIN = (JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELLED, JobState.LOST)


class Intake:
    """Makes the jobs of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counter = 0
        self._noted: set[tuple[str, int]] = set()
        self._last: dict[str, Request] = {}
        self._in_journal: set[str] = set()

    def last_request(self, handler: str) -> Request | None:
        """The last request of a handler in this session, as a new one; None if there was none."""
        last = self._last.get(handler)
        text = None if last is None else last.text
        if last is None and handler in self._in_journal:
            store = self._session.store
            text = store.last_request(handler, store.session_id)
        return None if text is None else make(request=decode(text))

    def forget_large(self) -> int:
        """Drop last requests that the journal has whole; they are read from there. Returns bytes."""
        dropped = 0
        for name, last in list(self._last.items()):
            if len(last.text) > _LARGE_CHARS and not last.withholds:
                del self._last[name]
                self._in_journal.add(name)
                dropped += len(last.text)
        return dropped

    def last(self, handler: str) -> Request | None:
        """The last request of a handler in this session as it was sent; None if there was none."""
        return self._last.get(handler)

    def submit(
        self,
        request: Request,
        handler: str | Handler | None = None,
        target: str | Pod | None = None,
        timeout_s: float | None = None,
    ) -> Job:
        """Queue one job; returns once its row is committed."""
        chosen = self._session.handler(handler)
        entry = self._entry(request, chosen, self._where(target), timeout_s)
        entry.notes = self._notes(request, chosen, entry.target)
        self._last[chosen.name] = request
        self._session.worker.submit([entry], [request.stored])
        return Job(entry.key, entry.id, self._session)

    def taker(self, handler: str) -> Callable[[dict[str, Any], float], JobKey]:
        """What queues requests of an endpoint that serves a handler of this session."""

        def take(request: dict[str, Any], timeout_s: float) -> JobKey:
            return self.submit(make(request=request), handler, timeout_s=timeout_s).key

        return take

    def _entry(
        self,
        request: Request,
        handler: Handler,
        where: str,
        timeout_s: float | None = None,
        gate: Gate | None = None,
        context: contextvars.Context | None = None,
    ) -> Entry:
        limit: object = timeout_s  # a person's, whatever the annotation says
        if limit is not None and not (isinstance(limit, (int, float)) and 0 < limit < math.inf):
            raise UsageError(f"timeout_s is {timeout_s!r}; give seconds above 0, or None.")
        policy = request.policy
        limits = [t for t in (timeout_s, policy.execution_timeout_s) if t is not None]
        return Entry(
            self.new_key(),
            request.id,
            handler,
            request.text,
            target=where,
            timeout_s=min(limits, default=None),
            ttl_s=policy.ttl_s,
            context=contextvars.copy_context() if context is None else context,
            gate=gate,
            cell=self._session.cell,
            resident=request.withholds,
        )

    def _where(self, target: str | Pod | None) -> str:
        return self._session.check_target(self._session.target if target is None else target)

    def debug(
        self,
        request: Request,
        handler: str | Handler | None,
        run_here: Callable[[Worker, Entry, str], BaseException | None],
    ) -> Any:
        """Run a job in the calling thread; see ``kit.debug``."""
        chosen = self._session.handler(handler)
        entry = self._entry(request, chosen, "local")
        entry.notes = self._notes(request, chosen, entry.target)
        self._last[chosen.name] = request
        raised = run_here(self._session.worker, entry, request.stored)
        self._session.wait(entry.key, None)  # until its end is in the journal
        if raised is not None:
            raise raised
        return Job(entry.key, entry.id, self._session).result()

    def new_key(self) -> JobKey:
        """A key that no other job of the journal has."""
        self._counter += 1
        return JobKey(f"{self._session.store.session_id}-{self._counter:06d}")

    def _notes(self, request: Request, handler: Handler, target: str) -> tuple[Finding, ...]:
        return request.findings + self._news(handler) + self._standing(handler, target)

    def _news(self, handler: Handler) -> tuple[Finding, ...]:
        """What is said once: on the first job of a version, or after an edit."""
        at = (handler.name, handler.version)
        notes: tuple[Finding, ...] = ()
        if at not in self._noted:
            self._noted.add(at)
            notes = self._session.static.get(at, ())
        return notes + self._session.edited.since(*at, handler.function, handler.info.source)

    def _standing(self, handler: Handler, target: str) -> tuple[Finding, ...]:
        """What holds for every job now, whatever its input."""
        notes = self._missing(handler, target)
        if self._session.capture.routed_away():
            notes += (findings.stdout_replaced(),)
        return notes

    def _missing(self, handler: Handler, target: str) -> tuple[Finding, ...]:
        """What a job here will not find, because only a pod has it."""
        if target != "local":
            return ()
        look = self._session.elsewhere.missing
        return look(handler.name, handler.version, handler.function)

    def map(
        self,
        inputs: Iterable[Any],
        handler: str | Handler | None = None,
        concurrency: int | None = None,
        target: str | Pod | None = None,
    ) -> Batch:
        """Queue one job per input; nothing is accepted if one of them cannot be sent."""
        if isinstance(inputs, (str, bytes, dict)) or not isinstance(inputs, Iterable):
            raise UsageError(
                f"kit.map takes a list of inputs, not one {type(inputs).__name__}: "
                "kit.map([x]) or kit.run(x)."
            )
        if concurrency is not None and not (hasattr(concurrency, "__index__") and concurrency >= 1):
            raise UsageError(f"concurrency is {concurrency!r}; give a whole number of at least 1.")
        chosen = self._session.handler(handler)
        gate = None if concurrency is None else Gate(concurrency)
        context, where = contextvars.copy_context(), self._where(target)
        entries: list[Entry] = []
        stored = []
        standing = self._standing(chosen, where)
        request: Request | None = None
        for index, value in enumerate(inputs):
            try:
                request = make(input=value)
            except PayloadError as fault:
                raise PayloadError(f"input {index}: {fault}", fault.path) from None
            entry = self._entry(request, chosen, where, None, gate, context)
            entry.notes = request.findings + standing
            entries.append(entry)
            stored.append(request.stored)
        if request is not None:
            entries[0].notes += self._news(chosen)
            modifier = chosen.options.concurrency_modifier
            if concurrency is not None and concurrency > 1 and modifier is None:
                entries[0].notes += (findings.no_concurrency(concurrency),)
            self._last[chosen.name] = request
            self._session.worker.submit(entries, stored)
        return Batch([Job(entry.key, entry.id, self._session) for entry in entries], self._session)

    def retry(self, key: JobKey) -> Job:
        """Run the same request again as the next attempt, with the handler's newest version."""
        view = self._session.view(key)
        if view.state not in _AGAIN:
            raise UsageError(
                f"job {view.id} is {view.state}; a retry takes one that is FAILED, TIMED_OUT, "
                "CANCELLED or LOST. Run the input again with kit.run(job.input)."
            )
        if view.request is None:
            raise UsageError(
                f"the request of job {view.id} is no longer stored (payload cap): run it again "
                "with kit.run(...)."
            )
        if any(note.code == "K222" for note in view.findings):
            raise UsageError(
                f"job {view.id} was sent with keys that are not stored because they may hold "
                "secrets: give the whole request again, kit.run(request={...})."
            )
        entry = Entry(
            key,
            view.id,
            self._session.handler(view.handler),
            view.request,
            target=self._session.check_target(self._session.target),
            attempt=view.attempt + 1,
            timeout_s=view.timeout_s,
            context=contextvars.copy_context(),
            cell=self._session.cell,
        )
        entry.notes = self._missing(entry.handler, entry.target)
        self._session.worker.submit([entry], [view.request])
        return Job(key, view.id, self._session)
