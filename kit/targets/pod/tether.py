"""The connection to one kernel of a pod: opened, kept up, caught up, and in the end given up.

A dropped websocket is opened again to the same kernel under the same session, with back-off; what
either side has not acknowledged is then sent again. Only a kernel that is gone ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kit.errors import TargetError
from kit.targets.pod.channel import Channel, Part
from kit.targets.pod.clock import Clock
from kit.targets.pod.frames import Message
from kit.targets.pod.greeting import TYPE, Greeting, Welcome
from kit.targets.pod.letters import Letter, pack, unpack
from kit.targets.pod.parcel import parcel
from kit.targets.pod.server import Away, Server
from kit.targets.pod.terms import Facts, Pace, Who
from kit.targets.pod.wire import Gone, Wire

#: messages to the pod are at least so far apart; what is to be said meanwhile goes in one
_PACE_S = 0.003
_ACK_S = 0.03
#: beats without a word from the kernel after which the connection is made again
_DEAF = 3
_ACK_BYTES = 2 << 20
_MESSAGE_BYTES = 4 << 20
#: how long a kernel may take to say whether the kit's part is still in it, before it is tried again
_PROBE_S = 5.0
_RESTARTED = (
    "its kernel was restarted: by somebody, or by the server because it died. If its memory ran "
    "out, the system killed it; the server's log and `dmesg` on the pod say more."
)


class Tether:
    """One life of one kernel. All methods belong to one event loop.

    Parameters
    ----------
    server : Server
    kernel : str
        Name of the kernel's session.
    who : Who
    hear : callable
        Takes letters from the pod, in order, each once.
    state : callable
        Told ``"up"``, ``"away"`` or ``"lease"`` (it has been away for longer than the lease) with a
        sentence.
    """

    def __init__(
        self,
        server: Server,
        kernel: str,
        who: Who,
        pace: Pace,
        hear: Callable[[Sequence[Letter]], None],
        state: Callable[[str, str], None],
    ) -> None:
        self.server, self._name, self._who, self._pace = server, kernel, who, pace
        self._hear, self._state = hear, state
        self._wire = Wire(server, self._dispatch)
        self._channel = Channel()
        self._outbox: deque[Letter] = deque()
        self._wake = asyncio.Event()
        self._again_now = asyncio.Event()
        self._greeting = Greeting(self._wire, server, who, pace)
        self._incarnation: str | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._unacked_bytes = 0
        self._up = False
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.clock = Clock()
        self.kernel_id = ""
        self.fresh = False
        self.facts: Facts | None = None
        #: what the kernel said at first: what has run there, and jobs of a former kernel
        self.welcome: Welcome | None = None
        #: how often the connection was made again
        self.reconnects = 0

    # -- opening --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect for the first time; TargetError says plainly why not."""
        await self.server.check()
        self.kernel_id, self.fresh = await self.server.kernel(self._name)
        await self._wire.open(self.kernel_id, self._pace.beat_s)
        reader = asyncio.ensure_future(self._wire.read())
        try:
            if self.fresh or not await self._greeted(1.5):
                await self._greeting.boot(reader)
                if not await self._greeted(self._pace.answer_s, reader):
                    raise TargetError(
                        f"the kernel on {self.server.address.label} does not answer: it takes no "
                        "messages beside its cells. It needs ipykernel 6 or later."
                    )
        except BaseException:
            reader.cancel()
            await self._wire.drop()
            raise
        self._tasks = [
            asyncio.ensure_future(task)
            for task in (self._keep(reader), self._send_loop(), self._beat())
        ]

    async def _greeted(self, within_s: float, reader: asyncio.Task[None] | None = None) -> bool:
        """Say hello and wait for the welcome; False if none comes."""
        first = self._incarnation is None
        answer = await self._greeting.hello(
            within_s, self._channel.received, fresh=first, reader=reader
        )
        if answer is None:
            return False
        if isinstance(answer, str):
            raise TargetError(answer) if first else Gone(answer)
        if self._incarnation not in (None, answer.incarnation):
            raise Gone(_RESTARTED)
        if first:
            self.welcome, self.facts = answer, answer.facts
        self._incarnation = answer.incarnation
        if answer.sent:
            self.clock.read(answer.sent, answer.time, time.time())
        self._channel.acknowledged(answer.acknowledged)
        self._channel.rewind()
        self._up = True
        self._wake.set()
        return True

    # -- keeping up -----------------------------------------------------------------------------

    async def _keep(self, reader: asyncio.Task[None]) -> None:
        """Read; connect again whenever that ends; return when the kernel is gone."""
        self._state("up", "")
        while True:
            try:
                await reader
                why = "the connection was closed"
            except Gone as exc:
                self._state("gone", str(exc))
                return
            except TargetError as exc:
                why = str(exc)
            self._up = False
            self._state("away", why)
            try:
                reader = await self._again()
            except Gone as exc:
                self._state("gone", str(exc))
                return
            self.reconnects += 1
            self._state("up", "")

    async def _again(self) -> asyncio.Task[None]:
        delay, since, told = self._pace.first_s, time.monotonic(), False
        while True:
            await self._wire.drop()
            reader = None
            try:
                if not await self.server.kernel_lives(self.kernel_id):
                    raise Gone(
                        "its kernel is gone: the server was restarted, or somebody ended it."
                    )
                await self._wire.open(self.kernel_id, self._pace.beat_s)
                reader = asyncio.ensure_future(self._wire.read())
                await self._resume(reader)
                return reader
            except Gone:
                if reader is not None:
                    reader.cancel()
                raise
            except TargetError as exc:
                if reader is not None:
                    reader.cancel()
                self._state("away", str(exc))
                if not told and time.monotonic() - since > self._pace.lease_s:
                    told = True
                    self._state("lease", str(exc))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._again_now.wait(), delay * random.uniform(0.7, 1.3))
            self._again_now.clear()
            delay = min(2 * delay, self._pace.longest_s)

    def readdress(self, server: Server) -> None:
        """Take the token of another client of the same server, and try again at once if it is away."""
        self.server.become(server)
        if not self._up:
            self._again_now.set()

    async def _resume(self, reader: asyncio.Task[None]) -> None:
        if await self._greeted(2.0, reader):
            return
        # no answer beside the cells: is the kit's part there at all?
        package = f"{parcel().package!r} in __import__('sys').modules"
        told = await self._wire.execute("", {"there": package}, reader, _PROBE_S)
        if told["there"] != "True":
            raise Gone(_RESTARTED)
        if not await self._greeted(self._pace.answer_s, reader):
            raise Away("its kernel does not answer.")

    # -- in -------------------------------------------------------------------------------------

    def _dispatch(self, message: Message) -> None:
        if message.type == TYPE:
            content = message.content
            if content.get("owner") == self._who.owner:
                self._heard(content, message.buffers)
        elif message.type == "status":
            doing = message.content.get("execution_state")
            if doing in ("restarting", "dead") and self._incarnation is not None:
                raise Gone(_RESTARTED)

    def _heard(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        op = content["op"]
        self._heard_at = time.monotonic()
        if op in ("welcome", "refused"):
            self._greeting.heard(content)
        elif op == "gone":
            raise Gone(f"{content['why']}.")
        elif op == "pong":
            self.clock.read(content["sent"], content["time"], time.time())
            self._acknowledged(content)
        elif op == "data":
            self._acknowledged(content)
            parts = [Part(seq, last, data) for (seq, last), data in zip(content["parts"], buffers)]
            for whole in self._channel.receive(parts):
                self._hear(unpack(whole))
            self._owe(sum(len(data) for data in buffers))

    def _acknowledged(self, content: dict[str, Any]) -> None:
        self._channel.acknowledged(content["ack"], again=content["again"])
        if self._channel.pending:
            self._wake.set()

    def _owe(self, size: int) -> None:
        """An acknowledgement is due: soon, or at once if much has come."""
        self._unacked_bytes += size
        if self._unacked_bytes >= _ACK_BYTES or self._channel.gap:
            self._wake.set()
        elif self._ack_timer is None:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_later(_ACK_S, self._wake.set)

    # -- out ------------------------------------------------------------------------------------

    def post(self, letters: Sequence[Letter]) -> None:
        """Send letters as soon as the connection lets them through, in order, each once."""
        self._outbox.extend(letters)
        self._wake.set()

    async def room(self, limit_bytes: int) -> None:
        """Wait until the pod has taken so much that no more than this is kept for it."""
        while self._channel.kept_bytes > limit_bytes or self._outbox:
            await asyncio.sleep(0.005)

    async def _send_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._up:
                with contextlib.suppress(Away):  # the reader sees it too, and connects again
                    await self._flush()
            await asyncio.sleep(_PACE_S)

    async def _flush(self) -> None:
        channel = self._channel
        while self._outbox or channel.pending or self._unacked_bytes:
            letters = [self._outbox.popleft() for _ in range(len(self._outbox))]
            if letters:
                channel.post(pack(letters))
            parts = channel.take(_MESSAGE_BYTES)
            if not parts and not self._unacked_bytes and not channel.gap:
                return
            self._unacked_bytes = 0
            if self._ack_timer is not None:
                self._ack_timer.cancel()
                self._ack_timer = None
            content = {
                "op": "data", "owner": self._who.owner, "ack": channel.received,
                "again": channel.gap, "parts": [(part.seq, part.last) for part in parts],
            }  # fmt: skip
            buffers = tuple(part.data for part in parts)
            await self._wire.transmit(Message("control", TYPE, content, buffers))

    async def _beat(self) -> None:
        """Keep proxies from thinking nobody is there, and the two clocks together."""
        while True:
            await asyncio.sleep(self._pace.beat_s)
            if self._up and time.monotonic() - self._heard_at > _DEAF * self._pace.beat_s:
                # the server answers pings of the websocket also for a kernel that it has ended;
                # to connect again is to ask whether there is one
                await self._wire.drop()
            elif self._up:
                with contextlib.suppress(Away):
                    content = {
                        "op": "ping", "owner": self._who.owner, "sent": time.time(),
                        "ack": self._channel.received, "again": self._channel.gap,
                    }  # fmt: skip
                    await self._wire.transmit(Message("control", TYPE, content))

    async def close(self, *, bye: bool = True) -> None:
        """Let go of the kernel; it stays, and its model with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if bye and self._up:
            with contextlib.suppress(TargetError, asyncio.TimeoutError):
                content = {"op": "bye", "owner": self._who.owner}
                await asyncio.wait_for(self._wire.transmit(Message("control", TYPE, content)), 0.5)
        await self._wire.drop()
