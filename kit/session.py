"""One kernel's kit: wires queue, targets, journal, samples and views; the only place that knows all.

Everything a person or a button asks for ends here, becomes an event, and is read back from the
journal. Parts are made when first needed: ``import kit`` opens nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit import exporting
from kit.breakpoints import Breakpoints
from kit.capture import JOB, Capture
from kit.cellend import CellEnd
from kit.displays import Displays
from kit.draft import ExportDraft, ExportOutcome
from kit.errors import StoreError, UsageError
from kit.events import JobKey
from kit.exits import Exits
from kit.fit import fits
from kit.handler import Handler
from kit.handlers import Handlers
from kit.held import Errors
from kit.intake import Intake
from kit.job import Job
from kit.payload import decode
from kit.places import Places
from kit.prefill import prefill
from kit.queue import Entry
from kit.reads import Prefill
from kit.request import make
from kit.sampler import Sampler
from kit.span import Spans
from kit.spankeeping import journal_spans
from kit.store import Store
from kit.targets.local import LocalTarget, report_progress
from kit.waiting import Waiting
from kit.worker import Worker

if TYPE_CHECKING:
    from kit.cleanenv import Say
    from kit.export import Bundle, Report
    from kit.export.choices import Choices
    from kit.export.compare import Tolerance
    from kit.pod import Pod
    from kit.serving import Serving

_TEND_S = 5.0


class Session(Handlers, Displays):
    """The state of one kernel. ``kit.run`` and its kin are methods of the default session.

    Parameters
    ----------
    home : Path or None
        Folder or file of the journal; None for the default place.
    """

    def __init__(self, home: Path | None = None) -> None:
        Handlers.__init__(self)
        Displays.__init__(self)
        self._home = home
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._worker: Worker | None = None
        self._sampler: Sampler | None = None
        self._local: LocalTarget | None = None
        self._breakpoints, self._exits = Breakpoints(), Exits()
        self.places = Places(self)
        self._closed = False
        #: exceptions that Python and, in a notebook, IPython keep
        self.errors = Errors()
        self.intake = Intake(self)
        self.target = "local"
        self.autorun = True
        #: model loads and setups; every card and panel shows them
        self.spans = Spans()
        journal_spans(self.spans, lambda: self.store)
        #: the cell that is running, any object that differs per cell; None between cells
        self.cell: object = None
        self.cell_end = CellEnd()
        self.at_cell_end = self.cell_end.add
        self.waiting = Waiting(self)
        self.capture = Capture(self._sinks, self.cell_is_running)
        self.servings: list[Serving] = []
        #: folder against which export paths are resolved
        self.folder: Callable[[], Path] = Path.cwd
        #: the notebook's names; empty without a notebook
        self.namespace: Mapping[str, Any] = {}

    @property
    def _whole(self) -> Session:
        return self

    # -- parts ----------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The journal; opened at first use.

        Raises
        ------
        StoreError
            It cannot be opened, or the session is closed: a view or a Job that outlives it must not
            bring its threads and its routing of output back.
        """
        if self._store is None:
            with self._lock:
                if self._closed:
                    raise StoreError("this session of the kit is closed: %load_ext kit begins one.")
                if self._store is None:
                    self._store = Store.open(self._home)
                    atexit.register(self.close)
        return self._store

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            with self._lock:
                if self._worker is None:
                    store = self.store
                    self._sampler = Sampler(store.append_samples)
                    worker = Worker(store, self._sampler)
                    self._local = LocalTarget(worker)
                    worker.attach(self._local)
                    self.capture.install()
                    self._breakpoints.install(worker.note)
                    self._exits.install()
                    worker.growth.holders = self.errors.held
                    self._sampler.start()
                    self._worker = worker
                    worker.call_later(_TEND_S, self._tend)
        return self._worker

    @property
    def sampler(self) -> Sampler:
        self.worker  # noqa: B018 - makes it
        assert self._sampler is not None
        return self._sampler

    def _tend(self) -> None:
        # On its own thread: a network volume may take seconds, the control loop must not.
        if self._store is None or self._worker is None:
            return
        threading.Thread(target=self._store.tend, name="kit-tend", daemon=True).start()
        self._worker.call_later(_TEND_S, self._tend)

    def close(self) -> None:
        """Write what is left and let go of the journal. Running jobs become LOST at the next start."""
        servings, self.servings = self.servings, []
        for serving in servings:
            serving.stop()
        with self._lock:
            self._closed = True
            worker, store, sampler = self._worker, self._store, self._sampler
            self._worker = self._store = self._sampler = None
            self.places.forget()
        self.capture.remove()
        self._breakpoints.remove()
        self._exits.remove()
        if worker is not None:
            worker.close()
        if sampler is not None:
            sampler.stop()
        if store is not None:
            store.close()
        atexit.unregister(self.close)

    # -- where jobs run -------------------------------------------------------------------------

    def use(self, target: str | Pod) -> None:
        """Set the default target."""
        self.target = self.check_target(target)
        for card in self.cards.values():
            card.head_changed()

    def check_target(self, target: object) -> str:
        """The name of a target that exists; TargetError for any other. Connects a pod."""
        return self.places.check(target)

    # -- running --------------------------------------------------------------------------------

    def retry(self, key: JobKey) -> Job:
        return self.intake.retry(key)

    def rest_workers(self) -> int:
        """End worker processes of target ``process`` that have no job; blocks until they are gone."""
        return self.places.rest()

    def stuck_threads(self) -> int:
        """How many handler threads could not be stopped and still hold what they hold."""
        return 0 if self._local is None else sum(thread.alive for thread in self._local.retired)

    # -- what a Job reads -----------------------------------------------------------------------

    def wait(self, key: JobKey, timeout_s: float | None) -> bool:
        return self.waiting.one(key, timeout_s)

    def wait_all(self, keys: Sequence[JobKey], timeout_s: float | None) -> bool:
        return self.waiting.all(keys, timeout_s)

    async def wait_all_async(self, keys: Sequence[JobKey]) -> None:
        await self.waiting.awaited_all(keys)

    def when_each_ended(self, keys: Sequence[JobKey], call: Callable[[], None]) -> int:
        return self.waiting.when_each(keys, call)

    def chunks(self, key: JobKey) -> AsyncIterator[str]:
        return self.waiting.chunks(key)

    def cancel(self, key: JobKey) -> None:
        self.worker.cancel(key)

    # -- reports from the handler's side --------------------------------------------------------

    def progress(self, job: Any, value: Any) -> bool:
        """``progress_update`` was called; False if no job of ours can have called it."""
        worker, entry = self._worker, JOB.get()
        if worker is None:  # no job has run yet
            return False
        ours, id = isinstance(entry, Entry), job.get("id") if isinstance(job, dict) else None
        if not isinstance(entry, Entry) or entry.id != id:
            entry = next((e for e in worker.running() if e.id == id), None)
        if entry is not None:
            report_progress(worker, entry, value)
        elif ours:
            sys.stdout.write(f"progress_update: no job {id} runs here; the update was dropped.\n")
        return ours or entry is not None

    def _sinks(self) -> list[Entry]:
        # what this process writes is never of a job that runs in another
        running = [] if self._worker is None else self._worker.running()
        return [entry for entry in running if entry.target == "local"]

    @property
    def memory_reason(self) -> str | None:
        """Why no VRAM is shown, as a sentence; None where it is."""
        return next((a.reason for a in self.sampler.absences if a.source == "vram"), None)

    def cell_is_running(self) -> bool:
        return self.cell is not None

    # -- Controls: what buttons ask for ---------------------------------------------------------

    @property
    def session_id(self) -> str:
        return self.store.session_id

    def run(self, handler: str, text: str | None = None) -> JobKey:
        """Run from a button; see ``kit.controls.Controls``."""
        if text is None:
            request = self.intake.last_request(handler)
            if request is None:
                raise UsageError(f"no input yet: run {self.handler(handler).info.call} once.")
        else:
            request = make(decode(text))
        return self.intake.submit(request, handler).key

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        self.worker.call_later(delay_s, function)

    def prefill(self, handler: str, key: JobKey | None = None) -> Prefill:
        """What an input editor begins with; see ``kit.controls.Controls``."""
        return prefill(self, handler, key)

    def draft(self, handler: str, path: str, done: Callable[[ExportDraft], None]) -> None:
        exporting.draft(self, handler, path, done)

    def export(
        self,
        handler: str,
        done: Callable[[ExportOutcome], None],
        path: str = "worker",
        overwrite: bool = False,
    ) -> None:
        exporting.export(self, handler, done, path, overwrite)

    def export_to(
        self,
        path: str | os.PathLike[str],
        handler: str | Handler | Callable[..., Any] | None = None,
        overwrite: bool = False,
        verify: bool = True,
        choices: Choices | None = None,
        *,
        clean_env: Say | None = None,
    ) -> Bundle:
        """Export a handler with what this session has recorded; see ``kit.export``.

        ``clean_env`` is where pip's progress goes; None proves in this environment.
        """
        from kit.export import export

        player = exporting.player(clean_env)
        return export(exporting.request_of(self, path, handler, overwrite, verify, choices, player))

    def verify(
        self,
        path: str | os.PathLike[str],
        handler: str | Handler | Callable[..., Any] | None = None,
        tolerance: Tolerance | None = None,
        *,
        clean_env: Say | None = None,
    ) -> Report:
        """See ``kit.verify``; ``clean_env`` as in :meth:`export_to`."""
        from kit.verifying import verify_folder

        name = None if handler is None else self.handler(handler).name
        return verify_folder(
            self.folder() / os.fspath(path), self.store, name, self.second_copy_fits, tolerance,
            exporting.player(clean_env),
        )  # fmt: skip

    def serve(
        self,
        path: str | os.PathLike[str] | None,
        handler: str | Handler | None,
        host: str,
        port: int,
        workers: tuple[int, int],
        idle_timeout_s: float,
    ) -> Serving:
        """See ``kit.serve``."""
        from kit.serving import serve

        serving = serve(self, path, handler, host, port, workers, idle_timeout_s)
        self.servings.append(serving)
        return serving

    def second_copy_fits(self) -> str | None:
        """None if a second copy of the model fits beside this kernel's, else why not."""
        recent = self.store.samples(session=self.session_id)
        rows = self.store.rows(limit=50, session=self.session_id)
        # what is used on a pod takes nothing from this machine
        recent = [sample for sample in recent if sample.target == "local"]
        rows = [row for row in rows if not row.target.startswith("pod:")]
        return fits(recent, [use for row in rows for use in row.memory])
