"""Run jobs through exported code in real worker processes: what production would make of them.

The handler's cells are exported into a folder of the session's own, the emulator starts
``python -u handler.py`` there, and what the unmodified SDK posts becomes the job's events. So a job
has a real cold start, the SDK's own pacing, and the wire as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from kit.emulator.pool import Pool, Scale
from kit.emulator.server import Server
from kit.errors import KitError
from kit.events import Sample
from kit.handler import Handler
from kit.queue import Entry
from kit.targets.meters import Meters
from kit.targets.workers import Line, failed
from kit.worker import Worker

#: jobs handed to an endpoint ahead of their turn; the rest stay in the session's own queue
_AHEAD = 64
#: a worker stays so long without a job: a person thinks longer than RunPod's 5 s between two runs
_SCALE = Scale(idle_timeout_s=60.0, give_up=2)


class ProcessTarget:
    """Target ``process``.

    Parameters
    ----------
    worker : Worker
    write : callable
        Exports a handler into an empty folder. Blocks; raises KitError.
    fits : callable
        None if a second copy of the model fits beside the kernel's, else the sentence why not.
    hz : callable
        How often the memory of a worker is read while it has a job, a second.
    samples : callable
        Keeps readings of what all workers together use; may raise KitError.
    """

    name = "process"

    def __init__(
        self,
        worker: Worker,
        write: Callable[[Handler, Path], None],
        fits: Callable[[], str | None],
        hz: Callable[[], float],
        samples: Callable[[Sequence[Sample]], None],
    ) -> None:
        self._worker, self._write, self._fits = worker, write, fits
        self.meters = Meters(self.name, hz, samples)
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._folder: Path | None = None
        self._lines: dict[tuple[str, int], Line] = {}
        self.entries: dict[str, Entry] = {}
        self._pumping = self._closed = False

    def wake(self) -> None:
        """Look at the queue; starts the emulator on first use. Thread-safe, returns at once."""
        with self._lock:
            if self._closed:
                return
            if self._server is None:
                server = Server()
                threading.Thread(target=self._open, args=(server,), name="kit-open").start()
                self._server = server
                return
            server = self._server
        if server.listening:
            with contextlib.suppress(RuntimeError):
                server.loop.call_soon_threadsafe(self._pump)

    def _open(self, server: Server) -> None:
        # on a thread of its own: importing aiohttp takes 0.2 s, and a cell waits for submit
        self._folder = Path(tempfile.mkdtemp(prefix="kit-process-"))
        try:
            server.start()
        except KitError as exc:
            while (entry := self._worker.reserve(self.name)) is not None:
                self._worker.finish(entry, failed(str(exc)))
            return
        server.loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        while len(self.entries) < _AHEAD and not self._closed:
            entry = self._worker.reserve(self.name)
            if entry is None:
                return
            handler = entry.handler
            line = self._lines.get((handler.name, handler.version))
            if line is None:
                self._retire(handler)
                line = self._lines[(handler.name, handler.version)] = Line(self, handler)
            line.put(entry)

    def _retire(self, newest: Handler) -> None:
        """Workers of older versions end once their jobs have: they hold a model each."""
        for line in list(self._lines.values()):
            if line.handler.name == newest.name:
                line.retired = True
                self.tidy(line)

    def tidy(self, line: Line) -> None:
        """End a retired version's workers if it has no job left."""
        if line.retired and not line.busy() and self._server is not None:
            self._lines.pop((line.handler.name, line.handler.version), None)
            self._server.remove(line.endpoint)

    async def prepare(self, line: Line) -> Pool:
        """Export a handler and make its pool; raises KitError."""
        assert self._server is not None
        assert self._folder is not None
        folder = self._folder / line.endpoint.id

        def write() -> None:
            why_not = self._fits()
            if why_not is not None:
                raise KitError(
                    f"a real worker was not started: {why_not}. Free it in the notebook, restart "
                    "the kernel, or run the job on target local."
                )
            self._write(line.handler, folder)

        await asyncio.get_running_loop().run_in_executor(None, write)
        server = self._server
        server.add(line.endpoint)
        return Pool(line.endpoint, server.base, server.token, folder, _SCALE, on_log=line.printed)

    async def stop(self, entry: Entry) -> None:
        """End a running or waiting job; its process is killed if it does not give up in time."""
        server = self._server
        if server is not None and server.listening:
            with contextlib.suppress(RuntimeError):
                server.loop.call_soon_threadsafe(self._stop, entry)

    def _stop(self, entry: Entry) -> None:
        for line in self._lines.values():
            ticket = line.tickets.get(entry)
            if ticket is not None:
                line.endpoint.cancel(ticket)
                return

    @property
    def worker(self) -> Worker:
        return self._worker

    def next(self) -> None:
        """A job has ended: there may be room for another."""
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._again)

    def _again(self) -> None:
        self._pumping = False
        self._pump()

    def rest(self) -> int:
        """End the workers of handlers that have no job; the next job starts one again.

        Blocks until they are gone, for at most 10 s. Returns how many processes that were.
        """
        server = self._server
        if server is None or not server.listening:
            return 0

        async def work() -> int:
            ended = 0
            for at, line in list(self._lines.items()):
                if not line.busy():
                    ended += line.processes
                    del self._lines[at]
                    server.remove(line.endpoint)
            return ended

        return asyncio.run_coroutine_threadsafe(work(), server.loop).result(10.0)

    def close(self) -> None:
        """End every worker; returns when none is left."""
        with self._lock:
            self._closed = True
            server, folder = self._server, self._folder
        if server is not None:
            server.stop()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
