"""Jobs that are on a pod: handed over in order, followed by what the pod says of them."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from kit import codec
from kit.errors import KitError
from kit.events import (
    ENDS,
    REAL_ENDS,
    Data,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Finding,
    Found,
    JobKey,
    JobState,
    Log,
    Sample,
)
from kit.outcome import Outcome
from kit.queue import Entry
from kit.secret import redact
from kit.targets.pod.letters import Letter
from kit.targets.pod.setups import Hooks, Setups, standing
from kit.worker import Worker

#: jobs handed to the pod ahead of their turn; the rest stay in the session's own queue
_AHEAD = 2_000
_AHEAD_CHARS = 64_000_000
_REAL_STATES = frozenset(JobState(kind.value.upper()) for kind in REAL_ENDS)


class Flight:
    """The jobs of a target that are on their way, on the pod or on their way back.

    Belongs to the target's event loop.

    Parameters
    ----------
    name : str
        The target's.
    worker : Worker
    hooks : Hooks
    setups : Setups
    """

    def __init__(self, name: str, worker: Worker, hooks: Hooks, setups: Setups) -> None:
        self._name, self._worker, self._hooks, self._setups = name, worker, hooks, setups
        self._entries: dict[str, Entry] = {}
        self._chars = 0
        self._held: deque[Entry] = deque()
        #: findings that a job of a former kernel has in the journal already
        self._known: dict[str, tuple[Finding, ...]] = {}

    # -- to the pod -----------------------------------------------------------------------------

    def waits(self) -> bool:
        """Whether a job wants to go, so that the pod must be connected."""
        if not self._held and (first := self._worker.reserve(self._name)) is not None:
            self._held.append(first)
        return bool(self._held)

    def depart(self) -> list[Letter]:
        """The letters that take waiting jobs there, as far as there is room."""
        letters: list[Letter] = []
        while len(self._entries) < _AHEAD and self._chars < _AHEAD_CHARS:
            entry = self._held.popleft() if self._held else self._worker.reserve(self._name)
            if entry is None:
                break
            if entry.closed:
                continue
            try:
                number = self._setups.number_of(entry.handler, letters)
                text = self._worker.request_of(entry)
            except KitError as exc:
                self._worker.finish(entry, failed(str(exc)))
                continue
            except Exception as exc:
                # a fault of the kit's own: without an end the job would wait for ever
                self._worker.finish(entry, failed(f"the kit failed: {type(exc).__name__}: {exc}"))
                continue
            if number is None:
                self._held.appendleft(entry)
                break
            entry.elsewhere = True
            self._entries[entry.key] = entry
            self._chars += len(text)
            head = (entry.key, entry.id, entry.attempt, number, entry.timeout_s)
            letters.append(Letter("job", head, text))
        return letters

    def follow(self, entry: Entry) -> None:
        """Hear of a job that is there by another way: an installation."""
        self._entries[entry.key] = entry

    def adopt(self, held: Sequence[tuple[str, int]]) -> list[Letter]:
        """Follow jobs of a former kernel of this notebook that the journal knows and has no end of.

        Parameters
        ----------
        held : sequence of (str, int)
            What the pod has: key and attempt.

        Returns
        -------
        list of Letter
            Tells the pod which of them, and how much of each is here already.
        """
        claims = []
        for key, attempt in held:
            view = self._hooks.view(JobKey(key))
            if view is None or view.attempt != attempt or view.state in _REAL_STATES:
                continue
            name = standing(view.handler)
            entry = Entry(JobKey(key), view.id, name, "", target=self._name, attempt=attempt)
            self._worker.adopt(entry, view.submitted_at, started=view.started_at is not None)
            self._entries[key], self._known[key] = entry, view.findings
            counts = len(view.stream), len(view.progress), len(view.logs)
            claims.append((key, attempt, view.started_at is not None, *counts))
        return [Letter("claim", tuple(claims))]

    def stop(self, entry: Entry) -> list[Letter]:
        """What to tell the pod so that a job ends."""
        if entry in self._held:
            self._held.remove(entry)
            return []
        if entry.key not in self._entries and not self._setups.has(entry.key):
            return []
        letters = [Letter("stop", (entry.key,))]
        waiting = [e for e in self._entries.values() if not e.closed and e is not entry]
        if self._setups.running is not None and not waiting and not self._held:
            # nobody waits for the model any more: its loading is interrupted too
            letters.append(Letter("stop", (self._setups.running,)))
        return letters

    def fail_waiting(self, why: str) -> None:
        """End all jobs that have not gone."""
        while self._held:
            self._worker.finish(self._held.popleft(), failed(why))
        while (entry := self._worker.reserve(self._name)) is not None:
            self._worker.finish(entry, failed(why))

    def lose(self, reason: str, *, gone: bool = False) -> None:
        """Nobody knows of the jobs there; ``gone``: nobody ever will."""
        for entry in list(self._entries.values()):
            self._worker.lost(entry, reason)
        self._setups.lose(reason)
        if gone:
            self._entries.clear()
            self._known.clear()
            self._chars = 0

    # -- from the pod ---------------------------------------------------------------------------

    def hear(self, letter: Letter, local: Callable[[float], float]) -> None:
        """Something happened to a job; ``local`` makes this machine's time of the pod's."""
        key, attempt, kind_text, at, data, _ = letter.head
        kind = EventKind(kind_text)
        told = _ours(codec.decode(kind, data))
        event = Event(JobKey(key), attempt, kind, local(at), told, letter.text)
        entry = self._entries.get(key)
        if entry is None or entry.attempt != attempt:
            self._setups.heard(event)
            return
        if kind in ENDS:
            del self._entries[key]
            self._known.pop(key, None)
            self._chars -= len(entry.request or "")
        elif isinstance(told, Found) and told.finding in self._known.get(key, ()):
            return
        self._worker.relay(entry, event)

    def sampled(self, letter: Letter, local: Callable[[float], float]) -> None:
        """Memory of the pod."""
        samples = [
            Sample(local(at), kind, device, used, total, utilization, self._name)
            for at, kind, device, used, total, utilization in letter.head
        ]
        with contextlib.suppress(KitError):  # a chart with a gap is better than no jobs
            self._hooks.samples(samples)


def _ours(data: Data) -> Data:
    """Without the keys that this machine knows."""
    if isinstance(data, Log):
        return replace(data, text=redact(data.text))
    if isinstance(data, Ended) and (error := data.error) is not None:
        message, traceback = redact(error.message), redact(error.traceback)
        return replace(data, error=replace(error, message=message, traceback=traceback))
    return data


def failed(why: str) -> Outcome:
    """The end of a job that never reached the pod."""
    return Outcome(EventKind.FAILED, None, ErrorInfo("", why), why)
