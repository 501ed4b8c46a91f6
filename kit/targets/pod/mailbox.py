"""The pod's end of the line to one notebook: what is to be told, kept until the notebook has it.

A notebook's kernel may restart; whatever the former one has not fetched is handed to the next.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kit.targets.pod.channel import Channel, Part
from kit.targets.pod.letters import Letter, pack, unpack

#: messages to the notebook are at least so far apart: the server drops more than 1,000 a second
PACE_S = 0.005
#: how long a job's start waits for more to say
_HOLD_S = 0.002
#: bytes of parts in one message
_MESSAGE_BYTES = 4 << 20
#: bytes the notebook has not fetched above which a stream waits
_KEEP_BYTES = 256 << 20
_sleep = time.sleep

#: sends a content and buffers to the notebook; thread-safe
Send = Callable[[dict[str, Any], list[bytes]], None]


class Mailbox:
    """Letters to and from one notebook.

    Parameters
    ----------
    send : callable
    read : callable
        Takes the letters that came, on the control thread.
    """

    def __init__(self, send: Send, read: Callable[[Sequence[Letter]], None]) -> None:
        self._send, self._read = send, read
        self._lock = threading.Lock()
        self.channel = Channel()
        self._outbox: deque[Letter] = deque()
        self._wake = threading.Event()
        #: of the former kernel; None: this one has said what of it it wants
        self._former: list[Letter] | None = None
        self._closed = False
        threading.Thread(target=self._main, name="kit-link", daemon=True).start()

    # -- out ------------------------------------------------------------------------------------

    def post(self, letters: Sequence[Letter]) -> None:
        """Send letters as soon as the notebook takes them, in order. Thread-safe."""
        self._outbox.extend(letters)
        self._wake.set()

    def tell(self, kind: str, *head: Any, text: str | None = None) -> None:
        """One letter to the notebook. Thread-safe."""
        self._outbox.append(Letter(kind, head, text))
        self._wake.set()

    @property
    def full(self) -> bool:
        """Whether the notebook has fetched so little that nothing more should be made."""
        return self.channel.kept_bytes > _KEEP_BYTES

    @property
    def fetched(self) -> bool:
        """Whether the notebook has everything."""
        return not self._outbox and not self.channel.unacknowledged and self._former is None

    def _main(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            if all(one.kind == "event" and one.head[2] == "started" for one in list(self._outbox)):
                _sleep(_HOLD_S)  # a short job's end then goes in the same message
            self._flush()
            _sleep(PACE_S)

    def _flush(self) -> None:
        """Send what the window lets through."""
        while True:
            with self._lock:
                if self._former is not None:
                    return
                send, channel = self._send, self.channel
                letters = [self._outbox.popleft() for _ in range(len(self._outbox))]
                if letters:
                    channel.post(pack(letters))
                parts = channel.take(_MESSAGE_BYTES)
                if not parts:
                    return
                content = {
                    "op": "data",
                    "ack": channel.received,
                    "again": channel.gap,
                    "parts": [(part.seq, part.last) for part in parts],
                }
            send(content, [part.data for part in parts])

    # -- from one kernel of the notebook to the next ----------------------------------------------

    def hand_over(self, send: Send) -> None:
        """Speak to a newer kernel of the notebook; it is told nothing until it has chosen."""
        with self._lock:
            kept = [letter for whole in self.channel.unfinished() for letter in unpack(whole)]
            self._former = [*(self._former or ()), *kept]
            self.channel, self._send = Channel(), send

    def choose(self, choice: Callable[[list[Letter]], list[Letter]]) -> None:
        """Let pass what the newer kernel wants of what the former one has not fetched."""
        with self._lock:
            if self._former is None:
                return
            waiting = [self._outbox.popleft() for _ in range(len(self._outbox))]
            chosen = choice([*self._former, *waiting])
            self._former = None
            self._outbox.extendleft(reversed(chosen))
        self._wake.set()

    # -- in (control thread) --------------------------------------------------------------------

    def resume(self, received: int) -> None:
        """The notebook is back and has everything up to a part."""
        with self._lock:
            self.channel.acknowledged(received)
            self.channel.rewind()
        self._wake.set()

    def acknowledged(self, seq: int, *, again: bool) -> None:
        """The notebook has everything up to a part."""
        with self._lock:
            self.channel.acknowledged(seq, again=again)
            more = self.channel.pending
        if more:
            self._wake.set()

    def take(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        """Parts from the notebook."""
        with self._lock:
            self.channel.acknowledged(content["ack"], again=content["again"])
            parts = [Part(seq, last, data) for (seq, last), data in zip(content["parts"], buffers)]
            messages = self.channel.receive(parts)
            more = self.channel.pending
        if more:
            self._wake.set()
        for message in messages:
            self._read(unpack(message))

    def close(self) -> None:
        """End the thread; what was not fetched is dropped."""
        self._closed = True
        self._wake.set()
