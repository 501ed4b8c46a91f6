"""What a person may ask of a payload: a part of it, its bytes, where a text stands, what changed.

A payload of 20 MB takes a second to read, and Python's JSON reader holds the interpreter all that
time. So the same answers can be given by a process of its own (``python -c "... serve()"``), which
the views start for large payloads: the kernel then goes on as if nobody looked.
"""

from __future__ import annotations

import codecs
import json
import os
import struct
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from kit.difference import difference
from kit.errors import PayloadError
from kit.media import media_of
from kit.preview import (
    LIMIT_BYTES,
    is_object,
    preview_of,
    preview_of_text,
    value_at,
    value_of,
)
from kit.search import search
from kit.secret import Secret, redact

#: payloads kept for the next question, and parsed ones among them
KEPT, PARSED = 4, 2
#: characters or bytes of one slice at most
SLICE = 1_000_000
_LENGTH = struct.Struct("<I")
_decoder: Any = json.decoder
#: characters written or read at a time: the interpreter is not held longer than for these
PIECE = 250_000


@dataclass(frozen=True)
class Ask:
    """One question about one payload, or two.

    Attributes
    ----------
    kind : str
        ``tree``, ``media``, ``slice``, ``search`` or ``compare``.
    name : str
        The payload.
    part : str
        The entry of the payload that is meant, e.g. ``output``; empty for all of it.
    at : tuple of int
        Where in that part.
    start, limit : int
        First entry or character, and how many bytes or characters.
    needle : str
        What is looked for.
    other, other_part : str
        The payload to compare with, the older one.
    any_size : bool
        Media also where they are too large to show: for a download.
    """

    kind: str
    name: str
    part: str = ""
    at: tuple[int, ...] = ()
    start: int = 0
    limit: int = LIMIT_BYTES
    needle: str = ""
    other: str = ""
    other_part: str = ""
    any_size: bool = False


@dataclass(frozen=True)
class Answer:
    """Content for the page, and bytes beside it."""

    content: dict[str, Any]
    data: bytes | None = None


class Inspector:
    """Answers questions about payloads that were put on its shelf. For one thread at a time."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._values: OrderedDict[str, Any] = OrderedDict()
        self._masked: dict[str, str] = {}

    def has(self, name: str) -> bool:
        return name in self._texts

    def touch(self, ask: Ask) -> None:
        """Forget others before what a question is about."""
        for name in (ask.name, ask.other):
            if name in self._texts:
                self._texts.move_to_end(name)

    def put(self, name: str, text: str) -> None:
        """Keep a payload's text; the oldest of more than four is forgotten."""
        self._texts[name] = text
        while len(self._texts) > KEPT:
            gone = next(iter(self._texts))
            del self._texts[gone]
            self._values.pop(gone, None)
            self._masked = {
                key: text for key, text in self._masked.items() if json.loads(key)[0] != gone
            }

    def answer(self, ask: Ask) -> Answer:
        """The answer to a question; its texts are on the shelf.

        Raises
        ------
        PayloadError
            With a sentence for the person.
        """
        answers: dict[str, Callable[[Ask], Answer]] = {
            "tree": self._tree,
            "media": self._media,
            "slice": self._slice,
            "search": self._search,
            "compare": self._compare,
        }
        self.touch(ask)
        return answers[ask.kind](ask)

    # -- answers --------------------------------------------------------------------------------

    def _tree(self, ask: Ask) -> Answer:
        try:
            value, root = self._part(ask.name, ask.part)
        except PayloadError as error:
            if error.code == "part":
                raise
            node = preview_of_text(
                self._texts[ask.name], str(error), limit_bytes=ask.limit, start=ask.start
            )
            return Answer({"tree": json.loads(redact(node))})
        at = (*root, *ask.at)
        node = preview_of(value_at(value, ask.at), limit_bytes=ask.limit, at=at, start=ask.start)
        return Answer({"tree": json.loads(redact(node))})

    def _media(self, ask: Ask) -> Answer:
        """A slice of the bytes of a picture; ``at`` counts from the whole payload, as nodes do."""
        value = value_at(self._value(ask.name), ask.at)
        found = media_of(value) if isinstance(value, str) else None
        if found is None:
            return Answer({"s": "not shown"})
        media, data = found
        if media.hidden is not None and not ask.any_size:
            return Answer({"s": media.hidden})
        some = data[ask.start : ask.start + min(ask.limit, SLICE)]
        return Answer({"mime": media.mime, "n": len(data), "start": ask.start}, some)

    def _slice(self, ask: Ask) -> Answer:
        text = self._text_of(ask)
        end = min(ask.start + min(ask.limit, SLICE), len(text))
        data = text[ask.start : end].encode("utf-8", "replace")
        return Answer({"n": len(text), "start": ask.start, "end": end}, data)

    def _search(self, ask: Ask) -> Answer:
        value, _ = self._part(ask.name, ask.part)
        found = search(value, ask.needle)
        hits = [
            [hit.at, hit.in_key, None if hit.around is None else _clean(hit.around)]
            for hit in found.hits
        ]
        return Answer(
            {"hits": json.loads(redact(json.dumps(hits))), "n": found.n, "more": found.more}
        )

    def _compare(self, ask: Ask) -> Answer:
        new, root = self._part(ask.name, ask.part)
        old, other_root = self._part(ask.other, ask.other_part)
        told = difference(old, new)
        changes = json.loads(redact(json.dumps([asdict(change) for change in told.changes])))
        for change in changes:
            _count_from(change["old"], other_root)
            _count_from(change["new"], root)
        return Answer(
            {
                "changes": changes,
                "added": told.added,
                "removed": told.removed,
                "changed": told.changed,
                "equal": told.equal,
                "cut": told.cut,
            }
        )

    # -- what is on the shelf -------------------------------------------------------------------

    def _value(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = value_of(self._texts[name])
            while len(self._values) > PARSED:
                self._values.popitem(last=False)
        self._values.move_to_end(name)
        return self._values[name]

    def _part(self, name: str, part: str) -> tuple[Any, tuple[int, ...]]:
        """The part of a payload and its place; the last entry if a key occurs twice."""
        value = self._value(name)
        if not part:
            return value, ()
        if is_object(value):
            pairs = list(value.items()) if isinstance(value, dict) else list(value)
            for position in range(len(pairs) - 1, -1, -1):
                if pairs[position][0] == part:
                    return pairs[position][1], (position,)
        raise PayloadError(f"There is no {part} in this payload.", code="part")

    def _text_of(self, ask: Ask) -> str:
        """The text of a part as it was posted, with keys masked; of a string inside it, itself."""
        key = json.dumps([ask.name, ask.part, ask.at])
        text = self._masked.get(key)
        if text is None:
            if ask.at:
                value = value_at(self._part(ask.name, ask.part)[0], ask.at)
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            else:
                text = _span(self._texts[ask.name], ask.part) if ask.part else self._texts[ask.name]
            text = redact(text)
            # what was asked before is not asked again
            self._masked = {key: text}
        return text


def _span(text: str, key: str) -> str:
    """The text of one entry of a JSON object, as it stands there."""
    scan: Any = _decoder.JSONDecoder().scan_once
    space = _decoder.WHITESPACE.match
    found = ""
    try:
        at = space(text, 0).end() + 1
        while True:
            at = space(text, at).end()
            name, at = _decoder.scanstring(text, at + 1, True)
            begin = space(text, space(text, at).end() + 1).end()
            _, at = scan(text, begin)
            if name == key:
                found = text[begin:at]
            at = space(text, at).end()
            if text[at : at + 1] != ",":
                return found
            at += 1
    except (ValueError, StopIteration, RecursionError):
        return text


def _count_from(node: Any, root: tuple[int, ...]) -> None:
    """Places of media count from the whole payload."""
    if isinstance(node, dict):
        if node.get("t") == "media":
            node["at"] = [*root, *node["at"]]
        for child in node.get("v", ()):
            _count_from(child, root)


def _clean(parts: tuple[str, ...]) -> list[str]:
    return [part.encode("utf-8", "backslashreplace").decode() for part in parts]


# -- in a process of its own ----------------------------------------------------------------------


def write_text(pipe: IO[bytes], text: str) -> None:
    """Write a text piece by piece, so that the interpreter is never held for long."""
    for at in range(0, len(text), PIECE):
        data = text[at : at + PIECE].encode("utf-8", "surrogatepass")
        pipe.write(_LENGTH.pack(len(data)))
        pipe.write(data)
    pipe.write(_LENGTH.pack(0))


def _read_text(pipe: IO[bytes]) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    return "".join(map(decoder.decode, read_pieces(pipe)))


def _write_bytes(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    for at in range(0, len(data), PIECE):
        pipe.write(_LENGTH.pack(len(view[at : at + PIECE])))
        pipe.write(view[at : at + PIECE])
    pipe.write(_LENGTH.pack(0))


def read_pieces(pipe: IO[bytes]) -> Iterator[bytes]:
    """Pieces up to the empty one; EOFError if the pipe ends before it."""
    while True:
        head = pipe.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise EOFError
        (length,) = _LENGTH.unpack(head)
        if not length:
            return
        piece = pipe.read(length)
        if len(piece) < length:
            raise EOFError
        yield piece


def serve(idle_s: float) -> None:
    """Answer questions from standard input until it ends, or nobody has asked for a while."""
    pipe, out = sys.stdin.buffer, sys.stdout.buffer
    inspector = Inspector()
    while True:
        alarm = threading.Timer(idle_s, lambda: os._exit(0))
        alarm.daemon = True
        alarm.start()
        line = pipe.readline()
        alarm.cancel()
        if not line:
            return
        asked = json.loads(line)
        # what the parent masks is masked here: an object that lives is a key that is known
        known = [Secret(value) for value in asked["known"]]
        ask = Ask(**{**asked["ask"], "at": tuple(asked["ask"]["at"])})
        inspector.touch(ask)
        for name in asked["texts"]:
            inspector.put(name, _read_text(pipe))
        answer = _answer(inspector, ask)
        del known
        out.write(json.dumps({"content": answer.content, "data": answer.data is not None}).encode())
        out.write(b"\n")
        _write_bytes(out, answer.data or b"")
        out.flush()


def _answer(inspector: Inspector, ask: Ask) -> Answer:
    try:
        return inspector.answer(ask)
    except PayloadError as error:
        return Answer({"s": str(error)})
    except MemoryError:
        return Answer({"s": "There is not enough memory to read this payload."})
