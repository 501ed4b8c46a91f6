"""What the page asks for besides a job's own message: the input, more of a tree, bytes, a search.

Nothing that comes from a page is trusted: places and numbers are looked at before they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.errors import PayloadError
from kit.events import JobView
from kit.inspector import Answer, Ask
from kit.views.aside import aside
from kit.views.detail import INPUT_BYTES, OUTPUT_BYTES, WIRE_BYTES, size_of, stream_text
from kit.views.feed import Message, shown

#: what a page may ask for
KINDS = frozenset({"input", "wire", "tree", "more", "media", "slice", "search"})
#: characters of a message, of a text that is looked for; levels of a place
_MESSAGE_CHARS, _NEEDLE_CHARS, _LEVELS = 4_000, 200, 1_000
#: chunks of a stream that the wire shows
_CHUNKS = 500
_PARTS = {"output": "output", "input": "input", "stream": ""}


def part_message(generation: int, index: int, view: JobView, ask: dict[str, Any]) -> Message:
    """The answer to a page. Takes a second for 20 MB; small payloads take milliseconds.

    Parameters
    ----------
    ask : dict
        As it came from the page: ``t`` is one of ``KINDS``; most say of ``what`` (output, input,
        stream) and where (``at``).
    """
    name = ask.get("name")
    content: dict[str, Any] = {
        "t": "part",
        "g": generation,
        "i": index,
        "name": name if isinstance(name, str) else "",
    }
    try:
        answer = _wire(view) if ask.get("t") == "wire" else _answer(view, ask)
    except PayloadError as error:
        answer = Answer({"s": str(error)})
    content.update(answer.content)
    return Message(content, () if answer.data is None else (answer.data,))


def payload(view: JobView, what: object) -> tuple[str, str, str]:
    """Name, text and part of one payload of a job: ``output``, ``input`` or ``stream``.

    Raises
    ------
    PayloadError
        If it is not stored, or no longer.
    """
    text = None
    if what == "output":
        text = view.done
    elif what == "input":
        text = view.request
    elif what == "stream" and view.stream:
        text = stream_text(view.stream)
    if text is None or not isinstance(what, str):
        raise PayloadError("This payload is no longer stored.")
    return f"{view.key}:{what}:{view.attempt}:{len(text)}", text, _PARTS[what]


def _answer(view: JobView, ask: Mapping[str, Any]) -> Answer:
    kind = ask.get("t")
    what = "input" if kind == "input" else ask.get("what")
    name, text, part = payload(view, what)
    texts = {name: text}
    at, start, limit = _positions(ask.get("at")), _number(ask.get("start")), INPUT_BYTES
    if kind in ("input", "tree", "more"):
        if kind == "tree":
            limit = OUTPUT_BYTES
        answer = aside.ask(Ask("tree", name, part, at, start, limit), texts)
        if part and kind != "more" and answer.content.get("s"):
            # no such entry: then all of it is what was sent
            answer = aside.ask(Ask("tree", name, "", at, start, limit), texts)
        if kind != "more":
            answer.content["bytes"] = size_of(text)
        return answer
    limit = _number(ask.get("limit")) or 1_000_000
    if kind == "media":
        any_size = ask.get("any") is True
        return aside.ask(Ask("media", name, "", at, start, limit, any_size=any_size), texts)
    if kind == "slice":
        return aside.ask(Ask("slice", name, part, at, start, limit), texts)
    needle = ask.get("q")
    if not isinstance(needle, str) or not needle:
        return Answer({"hits": [], "n": 0, "more": False})
    return aside.ask(Ask("search", name, part, needle=needle[:_NEEDLE_CHARS]), texts)


def _wire(view: JobView) -> Answer:
    """What RunPod's worker would post for a job."""
    content: dict[str, Any] = {}
    if view.lost is not None:
        content["lost"] = shown(view.lost)[:_MESSAGE_CHARS]
    texts = {} if view.done is None else {"done": view.done}
    for name, start, posted in (
        ("stream", '{"output":', view.stream),
        ("progress", '{"status":"IN_PROGRESS","output":', view.progress),
    ):
        if posted:
            texts[name] = f"[{','.join(start + text + '}' for text in posted[:_CHUNKS])}]"
            content[f"n_{name}"] = len(posted)
    for name, text in texts.items():
        full = f"{view.key}:wire-{name}:{view.attempt}:{len(text)}"
        answer = aside.ask(Ask("tree", full, limit=WIRE_BYTES), {full: text})
        content[name] = answer.content.get("tree", answer.content.get("s"))
    return Answer(content)


def _positions(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(v) is int and v >= 0 for v in value):
        return ()
    return tuple(value[:_LEVELS])


def _number(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
