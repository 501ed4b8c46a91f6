"""The statements of a notebook on its pod: they run in turn, and a handler stands when they have."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kit import torchstate
from kit.capture import JOB
from kit.errors import KitError
from kit.events import ErrorInfo, EventKind, JobKey
from kit.handler import Handler, HandlerKind, HandlerVersion, Options, kind_of
from kit.outcome import Outcome
from kit.queue import Entry
from kit.targets.pod.letters import Letter
from kit.targets.pod.stage import Fault, Line, Stage

if TYPE_CHECKING:
    from kit.worker import Worker

#: plans that are remembered although nothing waits for them
_REMEMBERED = 8
_utc, _clock = time.time, time.perf_counter


class Play:
    """Statements, and the handler that stands once they have run."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.handler: Handler | None = None
        self.error: tuple[ErrorInfo, str] | None = None
        self.waiting: list[Entry] = []


class Plays:
    """What runs on the stage of one notebook.

    Parameters
    ----------
    stage : Stage
    worker : Worker
        Journals a setup as a job.
    loop : asyncio.AbstractEventLoop
        Of the kernel's main thread.
    tell : callable
        Sends a letter to the notebook.
    refuse : callable
        Ends jobs that waited for statements which failed.
    """

    def __init__(
        self,
        stage: Stage,
        worker: Worker,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[..., None],
        refuse: Callable[[Sequence[Entry], ErrorInfo, str], None],
    ) -> None:
        self.stage = stage
        self._worker, self._loop, self._tell, self._refuse = worker, loop, tell, refuse
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._plays: dict[int, Play] = {}
        self._setup = ""
        #: keys that plans of the former kernel have run since this one took over
        self._meanwhile: set[str] = set()
        #: number of the last plan of the former kernel
        self._before = 0

    @property
    def last(self) -> int:
        """Number of the last plan."""
        return max(self._plays, default=self._before)

    def handed_over(self) -> None:
        """The plans so far are those of a kernel that is no more."""
        self._before = self.last
        self._meanwhile.clear()

    # -- control thread -------------------------------------------------------------------------

    def begin(self, letter: Letter) -> None:
        """Run a plan when its turn comes."""
        number, setup = letter.head
        play = self._plays[number] = Play(number)
        old = [n for n, p in self._plays.items() if n < number - _REMEMBERED and not p.waiting]
        for one in old:
            del self._plays[one]
        told = json.loads(letter.text or "{}")
        lines = [Line(*line) for line in told["lines"]]
        asyncio.run_coroutine_threadsafe(self._run(play, JobKey(setup), lines, told), self._loop)

    def cast(self, entry: Entry, number: int) -> bool:
        """Give a job its handler; False if it waits for it, or was refused."""
        play = self._plays[number]
        with self._lock:
            if play.error is not None:
                self._refuse([entry], *play.error)
                return False
            if play.handler is None:
                play.waiting.append(entry)
                return False
            entry.handler = play.handler
        return True

    def stop(self, key: JobKey) -> bool:
        """Interrupt the setup of this key; False if none of it runs."""
        if key != self._setup:
            return False
        self.stage.interrupt()
        return True

    def withdraw(self, key: JobKey) -> Entry | None:
        """Take back a job that waits for its handler."""
        with self._lock:
            for play in self._plays.values():
                for entry in play.waiting:
                    if entry.key == key:
                        play.waiting.remove(entry)
                        return entry
        return None

    # -- main thread ----------------------------------------------------------------------------

    async def _run(
        self, play: Play, setup: JobKey, lines: Sequence[Line], told: dict[str, Any]
    ) -> None:
        async with self._turn:
            ran: list[tuple[str, float]] = []
            fault: Fault | None = None
            handler: Handler | None = None
            entry = None
            try:
                if lines:
                    entry = Entry(setup, setup, standing(told["setup"]), "{}", resident=True)
                    self._worker.admit(entry, "")
                    fault = await self._perform(play, entry, lines, ran)
                if fault is None:
                    handler = self._handler(told["handler"])
            except BaseException as exc:
                cell = told["handler"]["cell"]
                place = f"In [{cell}]" if cell else "the handler's cell"
                fault = Fault(
                    place, ErrorInfo(str(type(exc)), f"{type(exc).__name__}: {exc}"), False
                )
            if entry is not None:
                self._worker.finish(entry, _outcome(fault, ran))
            self._done(play, handler, ran, fault, lines)

    async def _perform(
        self, play: Play, entry: Entry, lines: Sequence[Line], ran: list[tuple[str, float]]
    ) -> Fault | None:
        self._setup = entry.key
        self.stage.begin()
        token = JOB.set(entry)
        try:
            for line in lines:
                began = _clock()
                # a model that the former kernel of the notebook had begun to load is not loaded again
                if play.number <= self._before or line.key not in self._meanwhile:
                    fault = await self.stage.run(line)
                    if fault is not None:
                        return fault
                if play.number <= self._before:
                    self._meanwhile.add(line.key)
                ran.append((line.key, round((_clock() - began) * 1e3, 3)))
        finally:
            JOB.reset(token)
            self._setup = ""
            if play.number > self._before:
                self._meanwhile.clear()  # from here on this kernel knows what has run
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
        play: Play,
        handler: Handler | None,
        ran: Sequence[tuple[str, float]],
        fault: Fault | None,
        lines: Sequence[Line],
    ) -> None:
        failed = lines[len(ran)].key if fault is not None and len(ran) < len(lines) else None
        told = None if fault is None else json.dumps(asdict(fault))
        self._tell("ran", play.number, list(ran), failed, text=told)
        with self._lock:  # jobs come in on the control thread meanwhile
            waiting, play.waiting = play.waiting, []
            play.handler = handler
            if fault is not None:
                sentence = _sentence(fault)
                play.error = (ErrorInfo("", sentence, fault.error.traceback), sentence)
                self._refuse(waiting, *play.error)
                return
            assert handler is not None
            for entry in waiting:
                entry.handler = handler
            if waiting:
                self._worker.submit(waiting, [""] * len(waiting))


def standing(name: str) -> Handler:
    """A handler that stands for what is not one: a setup, or one that is not there yet."""
    info = HandlerVersion(name, 1, HandlerKind.SYNC, "", (), "", None, None, None, "{}", _utc())
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
