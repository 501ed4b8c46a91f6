"""The first words with a kernel: the kit's part is put there if need be, then both say who they are."""

from __future__ import annotations

import ast
import asyncio
import time
from dataclasses import dataclass
from typing import Any

from kit.errors import TargetError
from kit.targets.pod.frames import Message
from kit.targets.pod.parcel import parcel
from kit.targets.pod.server import Server
from kit.targets.pod.terms import Facts, Pace, Who
from kit.targets.pod.wire import Wire

#: type of all messages between the two parts of the kit
TYPE = "kit_pod"
_OLDEST_PYTHON = (3, 10)
_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a kernel says to a notebook that comes to it.

    Attributes
    ----------
    incarnation : str
        Another one after a restart.
    acknowledged : int
        Number of the last part that it has.
    sent, time : float
        When the notebook asked, by its clock, and when this was said, by the pod's.
    facts : Facts
    record : list of (str, str, bool)
        Statements that have run there for this notebook: key, what was said of it, success.
    held : list of (str, int)
        Jobs of a former kernel of the notebook: key and attempt.
    plans : int
        Number of the last plan it has had from this notebook.
    """

    incarnation: str
    acknowledged: int
    sent: float
    time: float
    facts: Facts
    record: list[tuple[str, str, bool]]
    held: list[tuple[str, int]]
    plans: int


class Greeting:
    """Says hello until it is answered. Belongs to one event loop.

    Parameters
    ----------
    wire : Wire
    server : Server
    who : Who
    pace : Pace
    """

    def __init__(self, wire: Wire, server: Server, who: Who, pace: Pace) -> None:
        self._wire, self._server, self._who, self._pace = wire, server, who, pace
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    def heard(self, content: dict[str, Any]) -> None:
        """The kernel has said welcome, or has refused."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(content)

    async def boot(self, reader: asyncio.Task[None]) -> None:
        """Put the kit's part into the kernel."""
        label = self._server.address.label
        told = await self._wire.execute(
            "", {"v": "list(__import__('sys').version_info[:3])"}, reader, self._pace.answer_s
        )
        version = ast.literal_eval(told["v"])
        if tuple(version) < _OLDEST_PYTHON:
            raise TargetError(
                f"the Python of {label} is {'.'.join(map(str, version))}; the kit needs "
                f"{'.'.join(map(str, _OLDEST_PYTHON))} or later there. Take a newer image."
            )
        await self._wire.execute(parcel().code, {}, reader, self._pace.answer_s)

    async def hello(
        self,
        within_s: float,
        received: int,
        *,
        fresh: bool,
        reader: asyncio.Task[None] | None = None,
    ) -> Welcome | str | None:
        """Say hello: a welcome, a refusal in words, or None where nobody answers who could.

        Parameters
        ----------
        within_s : float
        received : int
            Number of the last part that is here.
        fresh : bool
            Whether this notebook's kernel has not spoken with that kernel before.
        reader : Task or None
            What it raises is raised.
        """
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        deadline = loop.time() + within_s
        while True:
            content = {
                "op": "hello", "owner": self._who.owner, "identity": self._who.identity,
                "who": self._who.words, "share": self._who.share, "sent": time.time(),
                "received": received, "fresh": fresh,
            }  # fmt: skip
            await self._wire.transmit(Message("control", TYPE, content))
            waiting: set[asyncio.Future[Any]] = {self._answer}
            if reader is not None:
                waiting.add(reader)
            left = min(_AGAIN_S, deadline - loop.time())
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self._answer.done():
                return _read(self._answer.result())
            if reader is not None and reader.done():
                reader.result()
            if loop.time() >= deadline:
                return None


def _read(told: dict[str, Any]) -> Welcome | str | None:
    if told["op"] != "welcome":
        return str(told["why"])
    if told.get("package") != parcel().package:
        return None  # the part of another version of the kit: it is not understood
    return Welcome(
        told["incarnation"],
        told["ack"],
        told.get("sent") or 0.0,
        told["time"],
        Facts(**told["facts"]),
        [(key, about, ok) for key, about, ok in told["record"] or ()],
        [(key, attempt) for key, attempt in told["held"] or ()],
        told["plans"],
    )
