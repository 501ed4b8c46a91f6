"""What one job printed: its first 64 kB and its last 64 kB, in order, with a count of the rest."""

from __future__ import annotations

import re
import threading
from collections import deque

from kit.events import Log
from kit.secret import redact

HEAD_CHARS = 65_536
TAIL_CHARS = 65_536

#: a line that was drawn over (progress bars): only its last state is worth keeping
_REDRAWN = re.compile(r"[^\n]*\r(?!\n)")


class JobLog:
    """Collects text from any thread; the worker drains it into LOG events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, str]] = []
        self._taken = 0
        self._tail: deque[tuple[str, str]] = deque()
        self._tail_chars = 0
        self._dropped = 0
        self._announced = False

    def write(self, stream: str, text: str) -> bool:
        """Add text; True if the worker has not been told yet that there is something to drain."""
        if not text:
            return False
        with self._lock:
            room = HEAD_CHARS - self._taken
            if room > 0:
                self._waiting.append((stream, text[:room]))
                self._taken += min(room, len(text))
                text = text[room:]
            if text:
                self._to_tail(stream, text)
            if self._announced:
                return False
            self._announced = True
            return True

    def _to_tail(self, stream: str, text: str) -> None:
        if len(text) > TAIL_CHARS:
            self._dropped += len(text) - TAIL_CHARS
            text = text[-TAIL_CHARS:]
        self._tail.append((stream, text))
        self._tail_chars += len(text)
        while self._tail_chars > TAIL_CHARS:
            name, oldest = self._tail.popleft()
            extra = self._tail_chars - TAIL_CHARS
            cut = min(extra, len(oldest))
            self._dropped += cut
            self._tail_chars -= cut
            if cut < len(oldest):
                self._tail.appendleft((name, oldest[cut:]))

    def text(self) -> str:
        """All that is kept, without taking it out."""
        with self._lock:
            parts = [*self._waiting, *self._tail]
            if self._dropped:
                note = f"\n... {self._dropped:,} characters are not kept ...\n"
                parts.insert(len(self._waiting), ("kit", note))
        return "".join(log.text for log in _joined(parts))

    def drain(self, *, final: bool) -> list[Log]:
        """Log events for what came since the last time; with ``final`` also the tail."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._announced = False
            if final and self._tail:
                if self._dropped:
                    note = f"\n... {self._dropped:,} characters are not kept ...\n"
                    waiting.append(("kit", note))
                waiting += self._tail
                self._tail.clear()
                self._tail_chars = self._dropped = 0
        return _joined(waiting)


def _joined(parts: list[tuple[str, str]]) -> list[Log]:
    logs: list[Log] = []
    text: list[str] = []
    for index, (stream, piece) in enumerate(parts):
        text.append(piece)
        if index + 1 == len(parts) or parts[index + 1][0] != stream:
            logs.append(Log(stream, redact(_REDRAWN.sub("", "".join(text)))))
            text = []
    return logs
