"""Numbered parts that are kept until the other side has them: nothing lost, nothing twice, in order.

Without any input or output of its own. Both sides use it, each for what it sends and receives; a
Jupyter server may drop a part (its rate limits), repeat some (its replay after a reconnect) or
vanish, and the stream of whole messages stays what it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

#: bytes of one part; tornado refuses messages to the server of more than 10 MiB
PART_BYTES = 1 << 20
#: bytes under way that the other side has not acknowledged yet
WINDOW_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message.

    Attributes
    ----------
    seq : int
        From 1, without gaps.
    last : bool
        Whether its message ends with it.
    data : bytes
    """

    seq: int
    last: bool
    data: bytes


class Channel:
    """One side of a connection; not thread-safe."""

    def __init__(self, part_bytes: int = PART_BYTES, window_bytes: int = WINDOW_BYTES) -> None:
        self._part_bytes, self._window = part_bytes, window_bytes
        self._kept: deque[Part] = deque()
        #: the acknowledged parts of a message whose end is not
        self._begun: list[bytes] = []
        self._sent = self._acked = self._last = 0
        self._flying = 0
        self._pieces: list[bytes] = []
        #: number of the last part received in order
        self.received = 0
        #: whether a part is missing: the other side is to send again what follows ``received``
        self.gap = False
        #: bytes kept here because the other side has not acknowledged them
        self.kept_bytes = 0

    # -- out ------------------------------------------------------------------------------------

    def post(self, message: bytes) -> None:
        """Queue one message."""
        view = memoryview(message)
        for start in range(0, max(1, len(message)), self._part_bytes):
            self._last += 1
            data = bytes(view[start : start + self._part_bytes])
            last = start + self._part_bytes >= len(message)
            self._kept.append(Part(self._last, last, data))
        self.kept_bytes += len(message)

    def take(self, limit_bytes: int) -> list[Part]:
        """The parts to send now, in order: at least one if there is any that fits the window."""
        parts: list[Part] = []
        size = 0
        first = self._sent - self._acked
        for index in range(first, len(self._kept)):
            part = self._kept[index]
            if self._flying and self._flying + len(part.data) > self._window:
                break
            if parts and size + len(part.data) > limit_bytes:
                break
            parts.append(part)
            size += len(part.data)
            self._flying += len(part.data)
            self._sent = part.seq
        return parts

    def acknowledged(self, seq: int, *, again: bool = False) -> None:
        """The other side has everything up to a part; ``again``: it wants the rest once more."""
        while self._kept and self._kept[0].seq <= seq:
            part = self._kept.popleft()
            self.kept_bytes -= len(part.data)
            if part.seq <= self._sent:
                self._flying -= len(part.data)
            if part.last:
                self._begun.clear()
            else:
                self._begun.append(part.data)
        self._acked = max(self._acked, min(seq, self._last))
        self._sent = max(self._sent, self._acked)
        if again:
            self.rewind()

    def rewind(self) -> None:
        """Send again whatever is not acknowledged: the connection was another one."""
        self._sent, self._flying = self._acked, 0

    def unfinished(self) -> list[bytes]:
        """The messages that the other side does not have whole."""
        whole, pieces = [], list(self._begun)
        for part in self._kept:
            pieces.append(part.data)
            if part.last:
                whole.append(b"".join(pieces))
                pieces = []
        return whole

    @property
    def pending(self) -> bool:
        """Whether ``take`` would give something, the window aside."""
        return self._sent < self._last

    @property
    def unacknowledged(self) -> bool:
        return bool(self._kept)

    # -- in -------------------------------------------------------------------------------------

    def receive(self, parts: Iterable[Part]) -> list[bytes]:
        """Take parts in; give the messages that are whole now."""
        whole: list[bytes] = []
        for part in parts:
            if part.seq <= self.received:
                continue
            if part.seq > self.received + 1:
                self.gap = True
                continue
            self.received = part.seq
            self.gap = False
            self._pieces.append(part.data)
            if part.last:
                whole.append(b"".join(self._pieces))
                self._pieces = []
        return whole
