"""The statements that stand on a pod for each handler, and the bars that running them leaves."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.errors import KitError, TargetError
from kit.events import ENDS, Event, EventKind, JobKey, JobView, Sample
from kit.handler import Handler, HandlerKind, HandlerVersion, Options
from kit.queue import Entry
from kit.source.record import Cell
from kit.source.slice import slice_with_links
from kit.source.statements import Statement
from kit.targets.pod.letters import Letter
from kit.targets.pod.plan import Item, Ledger, Step, items_of, plan
from kit.targets.pod.report import Plan, Row
from kit.worker import Worker

#: a setup that takes longer than this, prints or fails is a bar on the timeline
_WORTH_SHOWING_S = 0.05


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a target asks of the session.

    Attributes
    ----------
    cells : callable
        The cells that have run.
    key : callable
        A new job key.
    samples : callable
        Keeps memory readings of the pod.
    view : callable
        What the journal has of a job, of any session; None if it does not know it.
    """

    cells: Callable[[], Sequence[Cell]]
    key: Callable[[], JobKey]
    samples: Callable[[Sequence[Sample]], None]
    view: Callable[[JobKey], JobView | None]


@dataclass(slots=True)
class _Standing:
    """One version of one handler on the pod."""

    cells: Sequence[Cell]
    keys: tuple[str, ...]
    items: list[Item]
    notes: tuple[str, ...]
    number: int
    generation: int


@dataclass(slots=True)
class _Setup:
    """Statements that run there."""

    number: int
    handler: Handler
    steps: list[Step]
    items: list[Item]
    notes: tuple[str, ...]
    entry: Entry
    enrolled: bool = False
    early: list[Event] = field(default_factory=list)


class Setups:
    """Which statements of which handler are on the pod, and the runs that put them there.

    Belongs to the target's event loop.

    Parameters
    ----------
    target : str
        Its name.
    worker : Worker
    hooks : Hooks
    call_later : callable
    """

    def __init__(
        self,
        target: str,
        worker: Worker,
        hooks: Hooks,
        call_later: Callable[..., object],
    ) -> None:
        self._target, self._worker, self._hooks, self._later = target, worker, hooks, call_later
        self.report: Plan | None = None
        self.renew((), 0)

    def renew(self, record: Sequence[tuple[str, str, bool]], plans: int) -> None:
        """Begin with a kernel that has run these statements: key, what was said of it, success.

        ``plans`` is the number of the last plan that it knows.
        """
        self._number = plans
        self._standing: dict[tuple[str, int], _Standing] = {}
        #: what runs there now, and all whose end has not been told yet
        self._setup: _Setup | None = None
        self._bars: dict[str, _Setup] = {}
        self._generation = 0
        self._ledger = Ledger()
        for key, about, ok in record:
            self._ledger.note(key, about, ok=ok)

    def kept(self, handler: Handler) -> list[Statement]:
        """The statements that a handler needs."""
        return [item.statement for item in self._slice(handler, self._hooks.cells()).items]

    @property
    def running(self) -> JobKey | None:
        """Key of the setup that runs there now."""
        return None if self._setup is None else self._setup.entry.key

    def has(self, key: JobKey) -> bool:
        """Whether a key is that of a setup that has not ended."""
        return key in self._bars

    def lose(self, reason: str) -> None:
        """The pod is gone."""
        for setup in self._bars.values():
            if setup.enrolled:
                self._worker.lost(setup.entry, reason)

    def heard(self, event: Event) -> None:
        """Something happened to a setup."""
        setup = self._bars.get(event.job_key)
        if setup is None:
            return
        self._setup_event(setup, event)
        if event.kind in ENDS:
            del self._bars[event.job_key]

    def number_of(self, handler: Handler, letters: list[Letter]) -> int | None:
        """The plan under which a job of a handler runs; None if it must wait for another's end."""
        at = (handler.name, handler.version)
        cells = self._hooks.cells()
        standing = self._standing.get(at)
        known = standing is not None and _same(standing.cells, cells)
        if standing is not None and known and standing.generation == self._generation:
            return standing.number
        if self._setup is not None:
            return None
        fresh = standing if standing is not None and known else self._slice(handler, cells)
        steps = plan(fresh.items, self._ledger)
        runs = [step for step in steps if step.runs]
        if standing is not None and not runs and standing.keys == fresh.keys:
            standing.cells, standing.generation = cells, self._generation
            return standing.number
        self._number += 1
        fresh.number, fresh.generation = self._number, self._generation
        self._standing = {k: v for k, v in self._standing.items() if k[0] != handler.name}
        self._standing[at] = fresh
        letters.append(self._plan_letter(handler, fresh, steps))
        return fresh.number

    def _slice(self, handler: Handler, cells: Sequence[Cell]) -> _Standing:
        sliced, links = slice_with_links(cells, handler.info)
        if sliced.missing:
            name, reason = next(iter(sliced.missing.items()))
            raise TargetError(f"`{name}` cannot go to the pod: {reason}.")
        items = items_of(sliced.kept, links)
        keys = tuple(item.key for item in items)
        return _Standing(cells, keys, items, sliced.notes, 0, 0)

    def _plan_letter(self, handler: Handler, fresh: _Standing, steps: list[Step]) -> Letter:
        info = handler.info
        key = self._hooks.key()
        entry = Entry(
            key, f"setup-{key}", standing(f"{info.name} setup"), "{}", target=self._target
        )
        runs = [step.item for step in steps if step.runs]
        setup = _Setup(fresh.number, handler, steps, fresh.items, fresh.notes, entry)
        self.report = _report(setup, {}, None)
        if runs:
            self._setup = self._bars[key] = setup
        told = {
            "lines": [
                (item.key, s.cell.number, s.line, s.text, item.about(fresh.items))
                for item in runs
                for s in [item.statement]
            ],
            "setup": entry.handler.name,
            "handler": {
                "name": info.name, "version": info.version, "expression": info.expression,
                "options": info.options, "cell": info.cell, "line": info.line,
            },
        }  # fmt: skip
        return Letter("plan", (fresh.number, key), json.dumps(told))

    def _setup_event(self, setup: _Setup, event: Event) -> None:
        if setup.enrolled:
            self._worker.relay(setup.entry, event)
            return
        setup.early.append(event)
        if event.kind is EventKind.STARTED:
            self._later(_WORTH_SHOWING_S, self._enroll, setup)
        elif event.kind is not EventKind.COMPLETED:
            self._enroll(setup)

    def _enroll(self, setup: _Setup) -> None:
        """Make a setup a row of the journal: it takes its time, prints or fails."""
        ended = any(event.kind is EventKind.COMPLETED for event in setup.early)
        if setup.enrolled or (ended and len(setup.early) == 2):
            return
        setup.enrolled = True
        places = [step.item.statement.place for step in setup.steps if step.runs]
        with contextlib.suppress(KitError):  # a journal that cannot be written says so elsewhere
            self._worker.enroll(setup.entry, json.dumps({"input": {"statements": places}}))
            for event in setup.early:
                self._worker.relay(setup.entry, event)

    def ran(self, letter: Letter) -> None:
        """The pod is through with a plan, or stuck in it."""
        number, ran, failed = letter.head
        setup = self._setup
        if setup is None or setup.number != number:
            if letter.text is not None:  # nothing had to run, and yet the handler is not there
                self._standing = {k: v for k, v in self._standing.items() if v.number != number}
            return
        took = {key: float(ms) for key, ms in ran}
        for item in setup.items:
            if item.key in took or item.key == failed:
                self._ledger.note(item.key, item.about(setup.items), ok=item.key in took)
        self._setup = None
        self._generation += 1
        standing = self._standing.get((setup.handler.name, setup.handler.version))
        if letter.text is not None:
            # the next job tries again: the person may have changed something meanwhile
            self._standing.pop((setup.handler.name, setup.handler.version), None)
        elif standing is not None and standing.number == number:
            standing.generation = self._generation
        fault = None if letter.text is None else json.loads(letter.text)
        self.report = _report(setup, took, fault)


def _same(one: Sequence[Cell], other: Sequence[Cell]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other))


def standing(name: str) -> Handler:
    """A handler that stands for work of the pod that is none."""
    info = HandlerVersion(
        name, 1, HandlerKind.SYNC, "", (), "", None, None, None, "{}", time.time()
    )
    return Handler(info, lambda job: None, Options())


def _report(setup: _Setup, took: dict[str, float], fault: dict[str, Any] | None) -> Plan:
    rows = tuple(
        Row(
            step.item.statement.place,
            step.item.statement.text.strip().split("\n")[0],
            step.runs,
            step.why,
            took.get(step.item.key),
        )
        for step in setup.steps
    )
    error = None if fault is None else f"{fault['place']}: {fault['error']['message']}"
    return Plan(setup.handler.name, setup.handler.version, rows, setup.notes, error)
