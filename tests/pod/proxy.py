"""A TCP proxy on loopback with the faults of real networks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Faults:
    """What is wrong with the line at the moment.

    Attributes
    ----------
    latency_s : float
        Added to every piece, each way.
    slice_bytes : int
        Pieces are handed on in bits of so many bytes; 0 as they are.
    idle_s : float
        A connection without traffic for so long is cut; 0 never.
    frozen : bool
        Half open: nothing passes, nothing is closed.
    refusing : bool
        New connections are reset.
    every : int
        After so many pieces through one connection it is cut by a reset; 0 never.
    """

    latency_s: float = 0.0
    slice_bytes: int = 0
    idle_s: float = 0.0
    frozen: bool = False
    refusing: bool = False
    every: int = 0


class Proxy:
    """Forwards to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.faults = Faults()
        self.cuts = 0
        #: connections that were made to it
        self.accepted = 0
        #: replaces what the proxy answers to a whole connection: bytes to send, then close
        self.instead: bytes | None = None
        self._upstream = port
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.port = 0

        async def main() -> None:
            self._server = server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.create_task(main())
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.faults.refusing:
            self._reset(writer)
            return
        if self.instead is not None:
            with contextlib.suppress(OSError):
                await reader.read(65_536)
                writer.write(self.instead)
                await writer.drain()
                writer.close()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            self._reset(writer)
            return
        pair = (writer, back)
        self._open.update(pair)
        count = [0]
        heard = [time.monotonic()]
        try:
            tasks = [
                asyncio.ensure_future(self._pass(reader, back, count, heard)),
                asyncio.ensure_future(self._pass(there, writer, count, heard)),
                asyncio.ensure_future(self._watch(heard)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._open.difference_update(pair)
            for one in pair:
                one.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        count: list[int],
        heard: list[float],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                heard[0] = time.monotonic()
                while self.faults.frozen:
                    await asyncio.sleep(0.01)
                if self.faults.latency_s:
                    await asyncio.sleep(self.faults.latency_s)
                size = self.faults.slice_bytes or len(data)
                for start in range(0, len(data), size):
                    sink.write(data[start : start + size])
                    await sink.drain()
                    if self.faults.slice_bytes:
                        await asyncio.sleep(0)
                count[0] += 1
                if self.faults.every and count[0] >= self.faults.every:
                    self.cuts += 1
                    self._reset(sink)
                    return

    async def _watch(self, heard: list[float]) -> None:
        while not self.faults.idle_s or time.monotonic() - heard[0] < self.faults.idle_s:
            await asyncio.sleep(0.02)
        self.cuts += 1

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        """End a connection so that the other side sees a reset."""
        raw = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    def cut(self, *, hard: bool = True) -> None:
        """End every connection, by a reset or in good order. Thread-safe; returns when done."""

        def now() -> None:
            for writer in list(self._open):
                if hard:
                    self._reset(writer)
                else:
                    writer.close()
            done.set()

        done = threading.Event()
        self.cuts += 1
        self._loop.call_soon_threadsafe(now)
        done.wait(5)

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    one = Proxy(port)
    try:
        yield one
    finally:
        one.close()
