"""Target ``pod``: this kernel's jobs through the same worker on another machine.

A thread of its own, ``kit-pod``, with one event loop: the journal's thread never waits for a
network. What the pod's worker says is relayed into the journal with this machine's times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from kit.errors import KitError, TargetError
from kit.events import JobKey
from kit.queue import Entry
from kit.targets.pod.flight import Flight
from kit.targets.pod.goods import Carrier, Goods
from kit.targets.pod.letters import Letter
from kit.targets.pod.server import Away, Server
from kit.targets.pod.setups import Hooks, Setups, standing
from kit.targets.pod.terms import Pace, Who
from kit.targets.pod.tether import Tether
from kit.worker import Worker

_SLICE_S = 0.1
_LINGER_S = 0.02


class PodTarget:
    """Jobs on a pod.

    Parameters
    ----------
    name : str
    worker : Worker
    connect : callable
        Makes the server's client; called on the target's thread, may raise TargetError.
    kernel : str
        Name of the kernel's session there.
    who : Who
    hooks : Hooks
    """

    def __init__(
        self,
        name: str,
        worker: Worker,
        connect: Callable[[], Server],
        kernel: str,
        who: Who,
        hooks: Hooks,
        pace: Pace | None = None,
    ) -> None:
        self.name = name
        self._worker, self._connect, self._kernel = worker, connect, kernel
        self._who, self._hooks, self._pace = who, hooks, pace or Pace()
        self.tether: Tether | None = None
        #: why it does not answer at the moment; empty while it does
        self.trouble = "it is not connected yet."
        self._opening: asyncio.Task[None] | None = None
        self._carrier = Carrier()
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False
        #: whether it has been away for longer than the lease
        self._given_up = False
        #: jobs of a former kernel of this notebook that were still there when this one came
        self.former = 0
        self._loop = asyncio.new_event_loop()
        self._servers: set[Server] = set()
        self.setups = Setups(name, worker, hooks, self._loop.call_later)
        self._flight = Flight(name, worker, hooks, self.setups)
        self._thread = threading.Thread(target=self._main, name="kit-pod", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        # what was cancelled may have left its client open
        for server in list(self._servers):
            self._loop.run_until_complete(server.close())
        # a TLS connection that was given up is closed a few turns of the loop later
        self._loop.run_until_complete(asyncio.sleep(_LINGER_S))
        self._loop.close()

    # -- from other threads ---------------------------------------------------------------------

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the target's loop and wait for it; interruptible."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            while not done.wait(_SLICE_S):
                pass
        except KeyboardInterrupt:
            future.cancel()
            raise
        try:
            return future.result()
        except KitError as exc:
            fault = exc
        # From here, not from the frames of another thread, and by its public name.
        if isinstance(fault, Away):
            raise TargetError(str(fault))
        raise fault.with_traceback(None) from None

    def open(self) -> None:
        """Connect; returns once the pod has answered. TargetError says why it did not."""
        self.call(self._open_once())

    def readdress(self, connect: Callable[[], Server]) -> None:
        """Speak to the same server with another token from now on; blocks until it was tried.

        Raises
        ------
        TargetError
            The server does not take it either; nothing has changed then.
        """
        self.call(self._readdress(connect))

    async def _readdress(self, connect: Callable[[], Server]) -> None:
        server = self._client(connect)
        try:
            await server.check()
        finally:
            await server.close()
        self._connect = connect
        if self.tether is not None:
            self.tether.readdress(server)

    def _client(self, connect: Callable[[], Server]) -> Server:
        server = connect()
        self._servers.add(server)
        return server

    def put(self, goods: Sequence[Goods]) -> list[str]:
        """Send files; blocks until the pod has them. Gives the names of those that had changed."""
        return list(self.call(self._put(goods)))

    async def _put(self, goods: Sequence[Goods]) -> list[str]:
        await self._open_once()
        assert self.tether is not None
        return await self._carrier.put(self.tether, goods)

    def provider(self, module: str) -> tuple[str, str] | None:
        """Distribution and version that give a module there; None: none, or it does not answer now."""
        try:
            found = self.call(self._provider(module))
        except KitError:
            return None
        return None if found is None else (str(found[0]), str(found[1]))

    async def _provider(self, module: str) -> Any:
        if self.tether is None or self.trouble:
            return None
        return await self._carrier.provider(self.tether, module)

    def install(self, wanted: Sequence[tuple[str | None, str]]) -> JobKey:
        """Have the pod's pip install what is missing; gives the key of the job that it is."""
        return JobKey(self.call(self._install(wanted)))

    async def _install(self, wanted: Sequence[tuple[str | None, str]]) -> JobKey:
        await self._open_once()
        assert self.tether is not None
        key = self._hooks.key()
        names = [need for _, need in wanted]
        entry = Entry(key, f"install-{key}", standing("pod install"), "", target=self.name)
        self._worker.enroll(entry, json.dumps({"input": {"requirements": names}}))
        self._flight.follow(entry)
        self.tether.post([Letter("install", (key,), json.dumps(list(wanted)))])
        return key

    def end(self) -> None:
        """End the kernel there; blocks until the server has done so."""
        self.call(self._end())

    async def _end(self) -> None:
        tether = self.tether
        if tether is not None:
            await tether.server.end(tether.kernel_id)
            if self.tether is tether:
                self._changed("gone", "its kernel was ended from this notebook.")

    def wake(self) -> None:
        """Look at the queue. Thread-safe, returns at once."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pump)

    async def stop(self, entry: Entry) -> None:
        """Ask the pod to end a job; what it says comes as an event."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop, entry)

    def _stop(self, entry: Entry) -> None:
        letters = self._flight.stop(entry)
        if letters and self.tether is not None:
            self.tether.post(letters)

    def close(self) -> None:
        """Let go of the pod; its kernel stays, with the model. Blocks for at most 2 s."""
        if self._closed:
            return
        self._closed = True
        future = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with contextlib.suppress(Exception):
            future.result(1.5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(0.5)

    async def _close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self.tether is not None:
            await self.tether.close()
            await self.tether.server.close()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # -- the connection -------------------------------------------------------------------------

    async def _open_once(self) -> None:
        if self.tether is not None:
            return
        opening = self._opening or asyncio.ensure_future(self._open())
        self._opening = opening
        try:
            await asyncio.shield(opening)
        finally:
            if opening.done():
                self._opening = None

    async def _open(self) -> None:
        server = self._client(self._connect)
        tether = Tether(server, self._kernel, self._who, self._pace, self._hear, self._changed)
        try:
            await tether.open()
        except BaseException:
            await server.close()
            self._servers.discard(server)
            raise
        assert tether.welcome is not None
        self.setups.renew(tether.welcome.record, tether.welcome.plans)
        self.tether = tether
        letters = self._flight.adopt(tether.welcome.held)
        self.former = len(letters[0].head)
        tether.post(letters)
        self._loop.call_soon(self._pump)

    async def _reopen(self) -> None:
        """Connect anew, for jobs that wait; they FAIL with the reason where that cannot be."""
        since, delay = time.monotonic(), self._pace.first_s
        while True:
            try:
                await self._open()
                return
            except TargetError as exc:
                self.trouble = str(exc)
                patient = time.monotonic() - since < self._pace.lease_s
                if not (isinstance(exc, Away) and patient):
                    self._flight.fail_waiting(str(exc))
                    return
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._pace.longest_s)

    def _changed(self, state: str, sentence: str) -> None:
        self.trouble = sentence
        label = self.name
        if state == "up":
            self._given_up = False
            self._pump()
        elif state == "lease":
            self._given_up = True
            self._lose(f"{self._absent()} If it went on there, its end comes when the pod is back.")
            self._pump()
        elif state == "gone":
            why = f"{label}: {sentence} job.retry() runs it again on a new kernel"
            self._lose(why, gone=True)
            tether, self.tether = self.tether, None
            if tether is not None and not self._closed:
                leaving = self._loop.create_task(self._leave(tether))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
                self._loop.call_soon(self._pump)

    def _absent(self) -> str:
        return f"{self.name} has not answered for {self._pace.lease_s:g} s: {self.trouble}"

    async def _leave(self, tether: Tether) -> None:
        await tether.close(bye=False)
        await tether.server.close()
        self._servers.discard(tether.server)

    def _lose(self, reason: str, *, gone: bool = False) -> None:
        self._flight.lose(reason, gone=gone)
        self._carrier.lose(reason)

    # -- letters --------------------------------------------------------------------------------

    def _pump(self) -> None:
        if self._closed:
            return
        if self.tether is not None and self.trouble:
            # what has not left this machine is not lost with the kernel there
            if self._given_up:
                self._flight.fail_waiting(f"{self._absent()} It never left this notebook.")
        elif self.tether is not None:
            letters = self._flight.depart()
            if letters:
                self.tether.post(letters)
        elif self._flight.waits() and self._opening is None:
            self._opening = self._loop.create_task(self._reopen())
            self._opening.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening = None
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._flight.fail_waiting(f"{self.name}: {type(exc).__name__}: {exc}")

    def _hear(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            if letter.kind == "event":
                self._flight.hear(letter, self._local)
            elif letter.kind == "samples":
                self._flight.sampled(letter, self._local)
            elif letter.kind == "ran":
                self.setups.ran(letter)
            elif letter.kind in ("wanted", "stored", "provider"):
                self._carrier.heard(letter)
        self._pump()

    def _local(self, remote_s: float) -> float:
        assert self.tether is not None
        return remote_s - self.tether.clock.best.offset_s
