"""Small pieces of HTML. Text from anywhere goes through ``safe``; nothing here takes markup from a job."""

from __future__ import annotations

from collections.abc import Iterable

from kit.events import JobState
from kit.views.static import safe

#: class names of states in report.css
CLASSES = {
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "failed",
    JobState.CANCELLED: "cancelled",
    JobState.LOST: "lost",
    JobState.IN_PROGRESS: "running",
    JobState.IN_QUEUE: "queued",
}


def cut(text: str, limit: int) -> str:
    """Text of at most so many characters, the middle taken out."""
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]} … {text[-limit // 4 :]}"


def line(text: str, limit: int = 200) -> str:
    """Text from anywhere as one line of HTML text."""
    return safe(cut(" ".join(text[: 20 * limit].split()), limit))


def swatch(state: JobState) -> str:
    """The coloured square before a state's word."""
    return f'<span class="sw {CLASSES[state]}"></span>'


def joined(parts: Iterable[str]) -> str:
    """Pieces of HTML after each other."""
    return "".join(parts)
