"""What one job printed: its first 64 kB and its last 64 kB, in order, with a count of the rest."""

from __future__ import annotations

import threading
import time
from collections import deque

from kit.events import Log
from kit.redraw import last_drawn
from kit.secret import redact

HEAD_CHARS = 65_536
TAIL_CHARS = 65_536
#: an unfinished line is kept back up to this length, since a ``\r`` may still draw over it
_LINE_CHARS = 8_192
#: how often a line that is drawn over is shown while it changes
_REDRAWN_S = 0.5
#: bound here: a handler may replace it
_clock = time.monotonic


class JobLog:
    """Collects text from any thread; the worker drains it into LOG events.

    Of a line that is drawn over (progress bars) only the last state is kept, and what is shown
    meanwhile comes a few times a second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, str]] = []
        self._taken = 0
        self._tail: deque[tuple[str, str]] = deque()
        self._tail_chars = 0
        self._dropped = 0
        self._announced = False
        #: the unfinished line, whether it was drawn over, and whether a part of it is drained
        self._stream, self._open = "", ""
        self._redrawn = self._begun = False
        self._shown_at = 0.0

    def write(self, stream: str, text: str) -> bool:
        """Add text; True if the worker has not been told yet that there is something to drain."""
        if not text:
            return False
        with self._lock:
            if self._open and self._stream == stream:
                text = self._open + text
            elif self._stream != stream:
                self._put(self._stream, self._open)
                self._stream, self._begun = stream, False
            line = text.rfind("\n") + 1
            self._redrawn = "\r" in text[line:]
            if "\r" in text:
                text = last_drawn(text, open_start=self._begun)
                line = text.rfind("\n") + 1
            if line:
                self._put(stream, text[:line])
                self._begun = False
            self._open = text[line:]
            if len(self._open) > _LINE_CHARS:
                self._put_open()
            if self._announced:
                return False
            self._announced = True
            return True

    def _may_show(self) -> bool:
        now = _clock()
        if now - self._shown_at < _REDRAWN_S:
            return False
        self._shown_at = now
        return True

    def _put_open(self) -> None:
        self._put(self._stream, self._open)
        self._open, self._begun = "", True

    def _put(self, stream: str, text: str) -> None:
        room = HEAD_CHARS - self._taken
        if room > 0 and text:
            self._waiting.append((stream, text[:room]))
            self._taken += min(room, len(text))
            text = text[room:]
        if text:
            self._to_tail(stream, text)

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
            if self._open:
                parts.append((self._stream, self._open))
        return "".join(log.text for log in _joined(parts))

    def drain(self, *, final: bool) -> list[Log]:
        """Log events for what came since the last time; with ``final`` also the tail."""
        with self._lock:
            if self._open and (final or not self._redrawn or self._may_show()):
                self._put_open()
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
            logs.append(Log(stream, redact("".join(text))))
            text = []
    return logs
