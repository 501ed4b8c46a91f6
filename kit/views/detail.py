"""What the job pane is told of one job: bounded, with keys masked, however large the job is.

Everything here is made when a person looks at a job, and sent as a message: it is never a synced
trait, so nothing of it is saved into the notebook.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kit.errors import PayloadError
from kit.events import JobView, Log
from kit.preview import media_at, preview
from kit.redraw import last_drawn
from kit.secret import redact
from kit.views.feed import Message

#: parts of one message, in bytes: together below what a browser draws without a pause
OUTPUT_BYTES, STREAM_BYTES, INPUT_BYTES, WIRE_BYTES = 90_000, 40_000, 180_000, 55_000
#: characters of logs, of a traceback, of a message
LOG_CHARS, TRACE_CHARS, MESSAGE_CHARS = 40_000, 16_000, 4_000
#: characters and chunks of each end of a text stream
STREAM_CHARS, STREAM_CHUNKS = 12_000, 1_000
_OUTPUT_FIRST = '{"output":'


def job_message(generation: int, index: int, view: JobView) -> Message:
    """The head, output, stream, logs and findings of a job."""
    logs, cut = _logs(view.logs)
    content: dict[str, Any] = {
        "t": "job",
        "g": generation,
        "i": index,
        "id": redact(view.id[:200]),
        "state": view.state.value,
        "final": view.state.final,
        "error": None,
        "lost": None if view.lost is None else _middle(redact(view.lost), MESSAGE_CHARS),
        "progress": _last_progress(view),
        "stream": _stream(view),
        "logs": logs,
        "logs_cut": cut,
        "has_input": view.request is not None,
        "output_dropped": view.done is None and view.state.value == "COMPLETED",
        "findings": [
            [f.code, redact(f.sentence), redact(f.place), redact(f.remedy)]
            for f in view.findings[:50]
        ],
    }
    if view.error is not None:
        content["error"] = {
            "type": view.error.type[:300],
            "message": _middle(redact(view.error.message), MESSAGE_CHARS),
            "traceback": _middle(redact(view.error.traceback), TRACE_CHARS),
        }
    if view.done is not None:
        at = output_at(view.done)
        if at is not None:
            content["output"] = _tree(view.done, OUTPUT_BYTES, at)
            content["output_bytes"] = _size(view.done)
    return Message(content)


def part_message(generation: int, index: int, view: JobView, ask: dict[str, Any]) -> Message:
    """What the page asked for besides: the input, the wire, more of a tree, a picture.

    Parameters
    ----------
    ask : dict
        As it came from the page: ``t`` is ``input``, ``wire``, ``more`` or ``media``; the latter two
        say of ``what`` (output, input, stream) and where (``at``). Nothing in it is trusted.
    """
    name = ask.get("name")
    content: dict[str, Any] = {
        "t": "part",
        "g": generation,
        "i": index,
        "name": name if isinstance(name, str) else "",
    }
    try:
        buffers = _fill(content, view, ask)
    except PayloadError as error:
        content["s"], buffers = str(error), ()
    return Message(content, buffers)


def _fill(content: dict[str, Any], view: JobView, ask: dict[str, Any]) -> tuple[bytes, ...]:
    kind = ask.get("t")
    if kind == "input" and view.request is not None:
        at = input_at(view.request)
        content["tree"] = _tree(view.request, INPUT_BYTES, at)
        content["bytes"] = _size(view.request)
    elif kind == "wire":
        _wire(content, view)
    elif kind in ("more", "media"):
        text, root = _text_of(view, ask.get("what"))
        at = [*root, *_positions(ask.get("at"))]
        if kind == "more":
            start = ask.get("start")
            start = start if type(start) is int and start > 0 else 0
            content["tree"] = json.loads(
                redact(preview(text, limit_bytes=INPUT_BYTES, at=at, start=start))
            )
            return ()
        # the page repeats the place that the preview gave it, which counts from the whole text
        found = media_at(text, _positions(ask.get("at")))
        if found is None or found[0].hidden is not None:
            content["s"] = "not shown" if found is None else found[0].hidden
            return ()
        content["mime"] = found[0].mime
        return (found[1],)
    else:
        content["s"] = "no longer stored"
    return ()


def output_at(done: str) -> list[int] | None:
    """Where ``output`` lies in the final body, as a path for ``preview``; None if it has none."""
    if done.startswith(_OUTPUT_FIRST):
        return [0]
    return _key_at(done, "output")


def input_at(request: str) -> list[int]:
    """Where ``input`` lies in a request; the whole request if it has none."""
    return _key_at(request, "input") or []


def _key_at(text: str, key: str) -> list[int] | None:
    top = json.loads(preview(text, limit_bytes=20_000))
    if not isinstance(top, dict) or top.get("t") != "object" or key not in top["k"]:
        return None
    return [len(top["k"]) - 1 - top["k"][::-1].index(key)]


def _text_of(view: JobView, what: object) -> tuple[str, list[int]]:
    if what == "output" and view.done is not None:
        return view.done, output_at(view.done) or []
    if what == "input" and view.request is not None:
        return view.request, input_at(view.request)
    if what == "stream":
        return stream_text(view.stream), []
    raise PayloadError("This payload is no longer stored.")


def stream_text(stream: Sequence[str]) -> str:
    """All chunks as one JSON array."""
    return f"[{','.join(stream)}]"


def _tree(text: str, limit: int, at: Sequence[int] = ()) -> Any:
    return json.loads(redact(preview(text, limit_bytes=limit, at=at)))


def _positions(value: object) -> list[int]:
    if not isinstance(value, list) or not all(type(v) is int and v >= 0 for v in value):
        return []
    return value[:200]


def _stream(view: JobView) -> dict[str, Any]:
    """Chunks so far: as running text if all are strings, else as a tree. ``live`` is the page's own."""
    stream = view.stream
    content: dict[str, Any] = {"n": len(stream), "text": None, "tree": None, "live": []}
    if not stream:
        # a chunk decides when it comes; most streams are text
        content["text"] = {"head": [], "tail": [], "left": 0}
        return content
    content["largest"] = max(len(chunk) for chunk in stream)
    if all(chunk.startswith('"') for chunk in stream) and content["largest"] < STREAM_CHARS:
        head = _ends(stream)
        rest = stream[len(head) :]
        tail = _ends(rest[::-1])[::-1]
        content["text"] = {"head": head, "tail": tail, "left": len(rest) - len(tail)}
    else:
        content["tree"] = _tree(stream_text(stream), STREAM_BYTES)
    return content


def _ends(stream: Sequence[str]) -> list[str]:
    """As many chunks from the beginning as are shown, as text."""
    kept: list[str] = []
    room = STREAM_CHARS
    for chunk in stream[:STREAM_CHUNKS]:
        room -= len(chunk)
        if room < 0:
            break
        # a lone surrogate is valid JSON and no valid text
        kept.append(redact(json.loads(chunk)).encode("utf-8", "replace").decode())
    return kept


def _wire(content: dict[str, Any], view: JobView) -> None:
    if view.lost is not None:
        content["lost"] = _middle(redact(view.lost), MESSAGE_CHARS)
    if view.done is not None:
        content["done"] = _tree(view.done, WIRE_BYTES)
    for name, texts in (("stream", view.stream), ("progress", view.progress)):
        if texts:
            start = '{"output":' if name == "stream" else '{"status":"IN_PROGRESS","output":'
            some = f"[{','.join(start + text + '}' for text in texts[:500])}]"
            content[name] = _tree(some, WIRE_BYTES)
            content[f"n_{name}"] = len(texts)


def _last_progress(view: JobView) -> str | None:
    if not view.progress:
        return None
    return redact(view.progress[-1]) if len(view.progress[-1]) <= 4096 else '"…"'


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
    return [[stream, redact(last_drawn(text))] for stream, text in kept], cut


def _middle(text: str, limit: int) -> str:
    """Text without its middle if it is longer than the limit."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters …]\n{text[-half:]}"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
