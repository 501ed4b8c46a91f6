"""What the job pane is told of one job: bounded, with keys masked, however large the job is.

Everything here is made when a person looks at a job, and sent as a message: it is never a synced
trait, so nothing of it is saved into the notebook.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kit.events import JobView, Log
from kit.preview import preview
from kit.redraw import last_drawn
from kit.secret import redact
from kit.views.aside import NEAR_CHARS
from kit.views.feed import Message, shown

#: parts of one message, in bytes: together below what a browser draws without a pause
OUTPUT_BYTES, STREAM_BYTES, INPUT_BYTES, WIRE_BYTES = 80_000, 30_000, 180_000, 55_000
#: characters of logs, of a traceback, of a message
LOG_CHARS, TRACE_CHARS, MESSAGE_CHARS = 40_000, 16_000, 4_000
#: characters and chunks of each end of a text stream
STREAM_CHARS, STREAM_CHUNKS = 10_000, 1_000
_OUTPUT_FIRST = '{"output":'


def job_message(generation: int, index: int, view: JobView) -> Message:
    """The head, output, stream, logs and findings of a job."""
    logs, cut = _logs(view.logs)
    content: dict[str, Any] = {
        "t": "job",
        "g": generation,
        "i": index,
        "id": shown(view.id[:200]),
        "state": view.state.value,
        "final": view.state.final,
        "attempt": view.attempt,
        "error": None,
        "lost": None if view.lost is None else _middle(shown(view.lost), MESSAGE_CHARS),
        "progress": _last_progress(view),
        "stream": _stream(view),
        "logs": logs,
        "logs_cut": cut,
        "has_input": view.request is not None,
        "output_dropped": view.done is None and view.state.value == "COMPLETED",
        "findings": [
            [f.code, shown(f.sentence), shown(f.place), shown(f.remedy)] for f in view.findings[:50]
        ],
    }
    if view.error is not None:
        content["error"] = {
            "type": shown(view.error.type[:300]),
            "message": _middle(shown(view.error.message), MESSAGE_CHARS),
            "traceback": _middle(shown(view.error.traceback), TRACE_CHARS),
        }
    if view.done is not None:
        if len(view.done) > NEAR_CHARS:
            # the page asks for it, and it is read aside
            content["output_later"] = True
            content["output_bytes"] = size_of(view.done)
        elif (at := output_at(view.done)) is not None:
            content["output"] = _tree(view.done, OUTPUT_BYTES, at)
            content["output_bytes"] = size_of(view.done)
    return Message(content)


def output_at(done: str) -> list[int] | None:
    """Where ``output`` lies in the final body, as a path for ``preview``; None if it has none."""
    if done.startswith(_OUTPUT_FIRST):
        return [0]
    return key_at(done, "output")


def key_at(text: str, key: str) -> list[int] | None:
    """Where a key of an object lies, as a path for ``preview``; None if it has no such key."""
    top = json.loads(preview(text, limit_bytes=20_000))
    if not isinstance(top, dict) or top.get("t") != "object" or key not in top["k"]:
        return None
    return [len(top["k"]) - 1 - top["k"][::-1].index(key)]


def stream_text(stream: Sequence[str]) -> str:
    """All chunks as one JSON array."""
    return f"[{','.join(stream)}]"


def _tree(text: str, limit: int, at: Sequence[int] = ()) -> Any:
    return json.loads(redact(preview(text, limit_bytes=limit, at=at)))


def _stream(view: JobView) -> dict[str, Any]:
    """Chunks so far: the first and last as they were posted, and a tree if they are not all text.

    ``live`` is the page's own.
    """
    stream = view.stream
    content: dict[str, Any] = {"n": len(stream), "live": [], "tree": None}
    content["head"] = head = _ends(stream)
    rest = stream[len(head) :]
    content["tail"] = tail = _ends(rest[::-1])[::-1]
    content["left"] = len(rest) - len(tail)
    if not stream:
        return content
    content["largest"] = max(map(size_of, stream))
    content["bytes"] = sum(map(len, stream))
    if not all(chunk.startswith('"') for chunk in stream):
        if content["bytes"] > NEAR_CHARS:
            content["later"] = True
        else:
            content["tree"] = _tree(stream_text(stream), STREAM_BYTES)
    return content


def _ends(stream: Sequence[str]) -> list[str]:
    """As many chunks from the beginning as are shown."""
    kept: list[str] = []
    room = STREAM_CHARS
    for chunk in stream[:STREAM_CHUNKS]:
        room -= len(chunk)
        if room < 0:
            break
        kept.append(shown(chunk))
    return kept


def _last_progress(view: JobView) -> str | None:
    if not view.progress:
        return None
    return shown(view.progress[-1]) if len(view.progress[-1]) <= 4096 else '"…"'


def _logs(logs: Sequence[Log]) -> tuple[list[list[str]], str | None]:
    """The last part of the logs, neighbours of one stream joined; and what was left out."""
    kept: list[list[str]] = []
    left, total = LOG_CHARS, sum(len(log.text) for log in logs)
    for log in reversed(logs):
        if left <= 0:
            break
        text = log.text[-left:]
        left -= len(text)
        if kept and kept[-1][0] == log.stream:
            kept[-1][1] = text + kept[-1][1]
        else:
            kept.append([log.stream, text])
    kept.reverse()
    cut = None if total <= LOG_CHARS else f"The last {LOG_CHARS:,} of {total:,} characters."
    return [[stream, shown(last_drawn(text))] for stream, text in kept], cut


def _middle(text: str, limit: int) -> str:
    """Text without its middle if it is longer than the limit."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def size_of(text: str) -> int:
    """Bytes of a text in UTF-8, counted piece by piece: the interpreter is not held for long."""
    if text.isascii():
        return len(text)
    step = 1_000_000
    pieces = (text[at : at + step] for at in range(0, len(text), step))
    return sum(len(piece.encode("utf-8", "replace")) for piece in pieces)
