"""One websocket to one kernel at a time: messages out, messages in, and answers to requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Callable

import aiohttp

from kit.errors import TargetError
from kit.targets.pod import frames
from kit.targets.pod.frames import Message
from kit.targets.pod.server import Away, Server

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class Gone(TargetError):
    """The kernel there is gone, with all it held."""


class Wire:
    """The connection that a tether keeps up.

    Parameters
    ----------
    server : Server
    dispatch : callable
        Takes every message that answers no request.
    """

    def __init__(self, server: Server, dispatch: Callable[[Message], None]) -> None:
        self._server, self._dispatch = server, dispatch
        # the same for every connection: the server then hands over what came in between
        self._session = uuid.uuid4().hex
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._replies: dict[str, asyncio.Future[Message]] = {}

    async def open(self, kernel: str, heartbeat_s: float) -> None:
        """Open a kernel's channels; an older connection is left."""
        self._socket = await self._server.websocket(
            kernel, self._session, (frames.V1,), heartbeat_s
        )
        self._acknowledge_quickly()

    def _acknowledge_quickly(self) -> None:
        # The server's Nagle waits for our acknowledgement, which Linux delays by 40 ms. The kernel
        # forgets this setting after a while, so it is set before each read.
        if _QUICKACK is None or self._socket is None:
            return
        raw = self._socket.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    async def read(self) -> None:
        """Read until the connection ends: raises Away then, or what ``dispatch`` raises."""
        connection = self._socket
        assert connection is not None
        protocol = connection.protocol
        while True:
            self._acknowledge_quickly()
            frame = await connection.receive()
            if frame.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                try:
                    message = frames.decode(frame.data, protocol)
                except ValueError:
                    continue  # of a newer protocol; what matters comes again
                reply = self._replies.pop(message.parent, None) if message.parent else None
                if reply is not None and message.type == "execute_reply":
                    if not reply.done():
                        reply.set_result(message)
                    continue
                if reply is not None:
                    self._replies[message.parent] = reply
                self._dispatch(message)
                continue
            if frame.type is aiohttp.WSMsgType.ERROR:
                raise Away(f"the connection broke: {connection.exception() or 'no reason given'}")
            raise Away("the connection was closed by the other side")

    async def transmit(self, message: Message) -> None:
        """Send a message; Away if the connection does not take it."""
        connection = self._socket
        if connection is None or connection.closed:
            raise Away("the connection is closed.")
        frame = frames.encode(message, self._session, connection.protocol)
        try:
            if isinstance(frame, str):
                await connection.send_str(frame)
            else:
                await connection.send_bytes(frame)
        except (aiohttp.ClientError, OSError, RuntimeError) as exc:
            raise Away(f"the connection broke: {exc}") from None
        self._acknowledge_quickly()

    async def execute(
        self,
        code: str,
        expressions: dict[str, str],
        reader: asyncio.Task[None],
        within_s: float,
    ) -> dict[str, str]:
        """Execute code in the kernel's main thread; give the values of expressions as text."""
        content = {
            "code": code, "silent": False, "store_history": False, "allow_stdin": False,
            "user_expressions": expressions, "stop_on_error": False,
        }  # fmt: skip
        message = Message("shell", "execute_request", content)
        reply = self._replies[message.id] = asyncio.get_running_loop().create_future()
        await self.transmit(message)
        done, _ = await asyncio.wait(
            {reply, reader}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
        self._replies.pop(message.id, None)
        if reply not in done:
            if reader in done:
                reader.result()
            raise TargetError(
                f"the kernel on {self._server.address.label} did not answer within "
                f"{within_s:g} s: something else runs in it."
            )
        answer = reply.result().content
        if answer.get("status") != "ok":
            raise TargetError(
                f"the kernel on {self._server.address.label} could not load the kit's part: "
                f"{answer.get('ename')}: {answer.get('evalue')}"
            )
        values = answer.get("user_expressions", {})
        return {name: value.get("data", {}).get("text/plain", "") for name, value in values.items()}

    async def drop(self) -> None:
        """Close it, if there is one."""
        found, self._socket = self._socket, None
        if found is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(found.close(), 0.5)
