"""One job as escaped HTML and as text: what stays of its display in a saved notebook."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from kit.errors import PayloadError
from kit.events import JobState, JobView
from kit.preview import media_at, preview
from kit.redraw import last_drawn
from kit.secret import redact
from kit.views import codec
from kit.views.detail import output_at, stream_text
from kit.views.static import safe
from kit.views.words import STATE_COLOURS, duration, memory, plural, size

#: bytes of the payload's preview, lines shown of it, characters of one value
PREVIEW_BYTES, LINES, VALUE_CHARS = 6_000, 24, 200
#: entries shown of the payload itself, and of what is inside it
MOST, MOST_INSIDE = 16, 4
#: a picture up to this size is kept in the notebook; larger ones are named
PICTURE_BYTES = 300_000
LOG_LINES, LOG_CHARS, TRACE_CHARS = 12, 2_000, 4_000
_FONT = "font-variant-numeric:tabular-nums;font-size:13px;line-height:20px"
_CODE = (
    "font-size:12px;line-height:18px;white-space:pre-wrap;margin:4px 0;padding:0;background:none"
)
_SOFT = "opacity:.7"
#: the nine kinds that are pictures
_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


def job_html(view: JobView) -> str:
    """A job as HTML; everything from the job is masked and escaped, there is no script or address."""
    colour = STATE_COLOURS[view.state]
    parts = [
        f'<div style="{_FONT}">',
        (
            '<div><span style="display:inline-block;width:8px;height:8px;border-radius:2px;'
            f'margin-right:8px;background:{colour}"></span><b>{view.state.value}</b> '
            f"<b>job {safe(_id(view))}</b> {safe(facts_of(view))}</div>"
        ),
    ]
    error = error_lines(view)
    if error:
        parts.append(f"<div>{safe(error[0])}</div>")
        if error[1]:
            parts.append(f'<pre style="{_CODE}">{safe(error[1])}</pre>')
    text, at = output_of(view)
    if text is not None:
        tree = tree_of(text, at)
        parts += [_picture(text, node) for node in media_in(tree)][:1]
        parts.append(f'<pre style="{_CODE}">{safe(lines_of(tree))}</pre>')
    logs = log_tail(view)
    if logs:
        parts.append(f'<div style="{_SOFT}">printed</div><pre style="{_CODE}">{safe(logs)}</pre>')
    for finding in view.findings[:10]:
        rest = ". ".join(part for part in (finding.place, finding.remedy) if part)
        parts.append(
            f"<div><b>{safe(finding.code)}</b> {safe(finding.sentence)} "
            f'<span style="{_SOFT}">{safe(rest)}</span></div>'
        )
    parts.append("</div>")
    return "".join(parts)


def job_text(view: JobView) -> str:
    """The same as text."""
    lines = [f"{view.state.value}  job {redact(_id(view))}  {redact(facts_of(view))}"]
    error = error_lines(view)
    if error:
        lines += [redact(part) for part in error if part]
    text, at = output_of(view)
    if text is not None:
        lines.append(redact(lines_of(tree_of(text, at))))
    logs = log_tail(view)
    if logs:
        lines += ["printed:", redact(logs)]
    for f in view.findings[:10]:
        lines.append(
            redact(" ".join(part for part in (f.code, f.sentence, f.place, f.remedy) if part))
        )
    return "\n".join(lines)


def _id(view: JobView) -> str:
    return codec.short_id(view.id).decode("utf-8", "replace")


def facts_of(view: JobView) -> str:
    """Handler, times, peak and sizes in one line."""
    facts = [f"{view.handler} v{view.version}"]
    if view.execution_ms is not None:
        facts.append(duration(view.execution_ms))
    if view.delay_ms is not None:
        facts.append(f"queued {duration(view.delay_ms)}")
    peak, flags = codec.peak_of(view.memory)
    if peak == peak:
        kind = "peak" if flags & codec.MEMORY_VRAM else "peak RSS"
        whose = "its own" if flags & codec.MEMORY_OWN else "shared"
        how = "" if flags & codec.MEMORY_EXACT else ", sampled"
        facts.append(f"{kind} {memory(peak)}, {whose}{how}")
    if view.stream:
        facts.append(plural(len(view.stream), "chunk"))
    if view.done is not None:
        facts.append(size(len(view.done.encode("utf-8", "replace"))))
    return " · ".join(facts)


def error_lines(view: JobView) -> tuple[str, str] | None:
    """What went wrong in one line, and its traceback; None if nothing did."""
    if view.error is not None:
        # "<class 'ValueError'>" as the SDK writes it
        kind = view.error.type.split("'")[1] if "'" in view.error.type else view.error.type
        message = view.error.message[:2000]
        head = f"{kind}: {message}" if kind else message
        return head, view.error.traceback[-TRACE_CHARS:]
    if view.lost is not None:
        return f"The worker would post no result: {view.lost[:2000]}", ""
    if view.state is JobState.IN_QUEUE:
        return "Waiting for a worker slot.", ""
    return None


def output_of(view: JobView) -> tuple[str | None, list[int]]:
    """What to show as the output: the output, else the chunks of the stream."""
    if view.done is not None:
        at = output_at(view.done)
        # a stream's own output is an empty list: the chunks are what a client gets
        if at is not None and not (
            view.stream and view.done[-20:].replace(" ", "").endswith('"output":[]}')
        ):
            return view.done, at
    if view.stream:
        return stream_text(view.stream[:500]), []
    return None, []


def tree_of(text: str, at: list[int]) -> Any:
    """The bounded preview of a payload, or of a part of it."""
    try:
        return json.loads(preview(text, limit_bytes=PREVIEW_BYTES, at=at))
    except PayloadError as error:
        return str(error)


def media_in(node: Any) -> Iterator[dict[str, Any]]:
    """Pictures, sounds and films of a preview."""
    if isinstance(node, dict):
        if node["t"] == "media":
            yield node
        for child in node.get("v", ()):
            yield from media_in(child)


def _picture(text: str, node: dict[str, Any]) -> str:
    """A small picture of an output; its kind is told by its bytes, never by what it says it is."""
    if node["hidden"] is not None or node["mime"] not in _PICTURES or node["bytes"] > PICTURE_BYTES:
        return ""
    found = media_at(text, node["at"])
    if found is None or found[0].mime not in _PICTURES:
        return ""
    data = base64.b64encode(found[1]).decode("ascii")
    style = "max-width:320px;max-height:320px;display:block;margin:4px 0"
    return f'<img alt="output" style="{style}" src="data:{found[0].mime};base64,{data}">'


def lines_of(tree: Any) -> str:
    """A preview as a few dozen lines of text."""
    lines = list(_lines(tree, "", 0))
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"… {plural(len(lines) - LINES, 'more line')}"]
    return "\n".join(lines)


def _lines(node: Any, name: str, depth: int) -> Iterator[str]:
    start = "  " * depth + (f"{name}: " if name else "")
    if not isinstance(node, dict) or node["t"] not in ("object", "array"):
        yield start + _leaf(node)
        return
    signs = "{}" if node["t"] == "object" else "[]"
    if not node["n"] or depth > 6:
        yield f"{start}{signs[0]}{node['n'] or ''}{signs[1]}"
        return
    plain = [v for v in node["v"] if not isinstance(v, dict)]
    if node["t"] == "array" and len(plain) == len(node["v"]) == node["n"]:
        line = ", ".join(_leaf(v) for v in plain)
        if len(line) <= VALUE_CHARS:
            yield f"{start}[{line}]"
            return
    if name or depth:
        yield f"{start}{signs[0]}{node['n']:,}{signs[1]}"
    shown = node["v"][: MOST_INSIDE if name or depth else MOST]
    for k, child in enumerate(shown):
        key = node["k"][k] if node["t"] == "object" else str(k)
        key = key if isinstance(key, str) else f"{key['head']}…{key['tail']}"
        yield from _lines(child, key, depth + 1 if name or depth else depth)
    left = node["n"] - len(shown)
    if left > 0:
        yield "  " * (depth + 1) + f"… {left:,} more"


def _leaf(node: Any) -> str:
    if isinstance(node, str):
        text = json.dumps(node, ensure_ascii=False)
        if len(text) > VALUE_CHARS:
            text = f"{text[: VALUE_CHARS // 2]} … {len(node):,} characters … {text[-20:]}"
        return text
    if not isinstance(node, dict):
        return json.dumps(node)
    if node["t"] == "number":
        return str(node["text"])
    if node["t"] == "media":
        place = f" {node['width']} x {node['height']}" if node["width"] else ""
        return (
            node["hidden"] or f"{node['mime'].split('/')[1].upper()}{place}, {size(node['bytes'])}"
        )
    return f'"{node["head"][:100]} … {node["n"]:,} characters … {node["tail"][-20:]}"'


def log_tail(view: JobView) -> str:
    """The end of what the handler printed."""
    text = last_drawn("".join(log.text for log in view.logs[-200:]))[-LOG_CHARS:]
    lines = text.splitlines()
    return "\n".join(lines[-LOG_LINES:])
