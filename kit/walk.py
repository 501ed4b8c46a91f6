"""The careful walk through a value on its way to JSON: paths, refusals, findings.

Follows the rules of CPython's C encoder (3.10 to 3.13), not those of ``isinstance``: what counts is
the real type, and of a str, int, float, list or tuple subclass only its raw content is read. The one
place where the encoder runs a value's own code is ``items()`` of a dict subclass.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

from kit.errors import PayloadError
from kit.events import Finding
from kit.remedies import a_type, remedy_for

#: nesting over which some readers refuse (.NET's System.Text.Json, for one)
SAFE_DEPTH = 64
#: nesting refused: the worker's own json.dumps overflows at 1,000 less the frames it stands on
MAX_DEPTH = 900
#: integers beyond this are rounded by JavaScript
SAFE_INTEGER = 2**53
#: characters of text refused unseen: a few lists that hold each other many times stand for terabytes
MAX_TEXT = 1_000_000_000
#: containers after which that is looked into
MANY = 1 << 18

_quote = json.JSONEncoder(ensure_ascii=False).encode
_quote_ascii = json.JSONEncoder().encode
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LEAVES = frozenset({str, int, float, bool, type(None)})
_CONSTANTS = {None: "null", True: "true", False: "false"}


@dataclass(slots=True)
class _Frame:
    """A container being walked; holds it, so that its id stays its own."""

    node: object
    items: Iterator[tuple[str | int, object, str]]
    close: str


@dataclass(slots=True)
class _Note:
    """The first of a kind of finding, and how many there are."""

    place: str
    detail: str
    count: int = 0


class Walk:
    """One walk through one value, in the order of its text.

    Parameters
    ----------
    root : str
        Path of the value.
    out : list of str or None
        Where to write the pieces of the text; None only looks.

    Attributes
    ----------
    unusual : bool
        True if the C encoder would refuse the value or run code of the value's own.
    """

    def __init__(self, root: str, out: list[str] | None = None) -> None:
        self.unusual = False
        self._root = root
        self._out = out
        # labels[i] is where the walk stands in the i-th open container
        self._labels: list[str | int] = []
        self._open: dict[int, int] = {}
        self._notes: dict[str, _Note] = {}
        self._deepest = 0
        self._seen = 0

    def run(self, value: object) -> None:
        """Walk; raise PayloadError at the first fault in the order of the text."""
        out = self._out
        frames: list[_Frame] = []
        inner = self._visit(value)
        while True:
            if inner is not None:
                frames.append(inner)
                self._labels.append(0)
                self._count(value, len(frames))
                inner = None
            if not frames:
                return
            frame = frames[-1]
            for label, child, lead in frame.items:
                self._labels[-1] = label
                if out is not None:
                    out.append(lead)
                inner = self._visit(child)
                if inner is not None:
                    break
            else:
                if out is not None:
                    out.append(frame.close)
                frames.pop()
                self._labels.pop()
                del self._open[id(frame.node)]

    def _count(self, value: object, depth: int) -> None:
        self._deepest = max(self._deepest, depth)
        self._seen += 1
        if self._seen == MANY:
            refuse_explosion(value, self._root)

    # -- one value --------------------------------------------------------------------------------

    def _visit(self, value: Any) -> _Frame | None:
        """Check a leaf (None), or open a container."""
        kind = type(value)
        if value is None or kind is bool:
            text = _CONSTANTS[value]
        elif issubclass(kind, str):
            text = _quote(self._text(value))
        elif issubclass(kind, int):
            text = self._integer(int.__int__(value))
        elif issubclass(kind, float):
            if not isfinite(value):
                raise self._not_finite(value)
            text = float.__repr__(value)
        elif issubclass(kind, (list, tuple)):
            return self._array(value, kind)
        elif issubclass(kind, dict):
            return self._object(value, kind)
        else:
            raise self._foreign(value)
        if self._out is not None:
            self._out.append(text)
        return None

    def _text(self, value: str) -> str:
        text = str.__str__(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise surrogate(self.path()) from None
        return text

    def _integer(self, value: int) -> str:
        try:
            text = int.__repr__(value)
        except ValueError:
            raise PayloadError(
                f"{self.path()} is an integer with more digits than Python writes as text: "
                "send it as a string, hex(value).",
                self.path(),
                code="bigint",
            ) from None
        if not -SAFE_INTEGER <= value <= SAFE_INTEGER:
            self._note("K105", text if len(text) < 30 else f"{text[:12]}…{text[-4:]}")
        return text

    def _array(self, value: Any, kind: type) -> _Frame | None:
        self._enter(value)
        if issubclass(kind, tuple):
            self._note("K101", "._asdict()" if hasattr(kind, "_fields") else "")
            items = list(tuple.__iter__(value))
        else:
            items = list.copy(value)
        if self._out is None and self._harmless(items):
            del self._open[id(value)]
            self._deepest = max(self._deepest, len(self._labels) + 1)
            return None
        if self._out is not None:
            self._out.append("[")
        return _Frame(value, ((i, item, ", " if i else "") for i, item in enumerate(items)), "]")

    def _object(self, value: Any, kind: type) -> _Frame | None:
        self._enter(value)
        pairs = self._pairs(value, kind)
        keys = [self._key(key) for key, _ in pairs]
        if len(set(keys)) < len(keys):
            seen: set[str] = set()
            self._note("K103", next(_short(k) for k in keys if k in seen or seen.add(k)))  # type: ignore[func-returns-value]
        if self._out is None and self._harmless([item for _, item in pairs]):
            del self._open[id(value)]
            self._deepest = max(self._deepest, len(self._labels) + 1)
            return None
        if self._out is not None:
            self._out.append("{")
        return _Frame(
            value,
            (
                (key, item, f"{', ' if i else ''}{_quote(key)}: ")
                for i, (key, (_, item)) in enumerate(zip(keys, pairs, strict=True))
            ),
            "}",
        )

    def _enter(self, value: object) -> None:
        ancestor = self._open.get(id(value))
        depth = len(self._labels)
        if ancestor is not None:
            raise PayloadError(
                f"{self.path()} is the same object as {self.path(ancestor)}, which holds it, so "
                "the text would never end: send a copy without the loop.",
                self.path(),
                code="cycle",
            )
        if depth >= MAX_DEPTH:
            raise PayloadError(
                f"{self.path()} is nested deeper than {MAX_DEPTH} levels, more than the worker's "
                "json.dumps can follow: flatten it, e.g. into a list of nodes with parent numbers.",
                self.path(),
                code="depth",
            )
        if depth == SAFE_DEPTH:
            self._note("K104", "")
            self.unusual = True
        self._open[id(value)] = depth

    def _pairs(self, value: Any, kind: type) -> list[tuple[object, object]]:
        if kind is dict or kind is defaultdict or (kind is OrderedDict and not vars(value)):
            return list(value.items())
        if not dict.__len__(value):
            return []
        # items() is the subclass's own code and may answer differently each time
        self.unusual = True
        try:
            pairs = list(value.items())
        except Exception as error:
            raise PayloadError(
                f"{self.path()} is {a_type(value)}, whose items() raised "
                f"{type(error).__name__}: send a plain dict.",
                self.path(),
            ) from error
        if not all(isinstance(pair, tuple) and tuple.__len__(pair) == 2 for pair in pairs):
            raise PayloadError(
                f"{self.path()} is {a_type(value)}, whose items() are not pairs: "
                "send a plain dict.",
                self.path(),
            )
        return pairs

    def _key(self, key: Any) -> str:
        kind, word = type(key), ""
        if issubclass(kind, str):
            text = str.__str__(key)
        elif issubclass(kind, float):
            word = "float"
            if isfinite(key):
                text = float.__repr__(key)
            else:
                # quoted, and so valid: but only an encoder that allows NaN values writes it
                text = _not_finite_name(key)
                self.unusual = True
        elif key is None or kind is bool:
            text = _CONSTANTS[key]
            word = "bool" if kind is bool else "None"
        elif issubclass(kind, int):
            word = "int"
            try:
                text = int.__repr__(key)
            except ValueError:
                raise PayloadError(
                    f"{self.path()} has an integer key with more digits than Python writes as "
                    "text: use a string.",
                    self.path(),
                    code="bigint",
                ) from None
        else:
            raise PayloadError(
                f"{self.path()} has a key that is {a_type(key)}, and JSON keys are strings: "
                "use str(key), or a list of [key, value] pairs.",
                self.path(),
            )
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise surrogate(f"{self.path()}{_label(text)}", "The key at ") from None
        if word:
            self._note("K102", f"key {_short(text)} ({word})")
        return text

    def _harmless(self, items: list[Any]) -> bool:
        """Whether items are all leaves that need no further look (a container judged at once)."""
        types = set(map(type, items))
        if not types <= _LEAVES:
            return False
        if float in types and not all(isfinite(i) for i in items if type(i) is float):
            return False
        if int in types:
            numbers = [i for i in items if type(i) is int]
            if max(numbers) > SAFE_INTEGER or min(numbers) < -SAFE_INTEGER:
                return False
        return str not in types or all(i.isascii() for i in items if type(i) is str)

    # -- words ------------------------------------------------------------------------------------

    def path(self, depth: int | None = None) -> str:
        """JSON path of where the walk stands, or of the open container at a depth."""
        labels = self._labels[:depth]
        if len(labels) <= 40:
            return self._root + "".join(map(_label, labels))
        return (
            f"{self._root}{''.join(map(_label, labels[:12]))}…{''.join(map(_label, labels[-4:]))}"
        )

    def _not_finite(self, value: float) -> PayloadError:
        return PayloadError(
            f"{self.path()} is {_not_finite_name(value)}, which is not JSON: send None or a number instead, "
            "e.g. value if math.isfinite(value) else None.",
            self.path(),
            code="nan",
        )

    def _foreign(self, value: object) -> PayloadError:
        return PayloadError(
            f"{self.path()} is {a_type(value)}, which JSON has no word for: {remedy_for(value)}.",
            self.path(),
        )

    def _note(self, code: str, detail: str) -> None:
        note = self._notes.get(code)
        if note is None:
            note = self._notes[code] = _Note(self.path(), detail)
        note.count += 1

    def findings(self) -> tuple[Finding, ...]:
        """What was noted, by code; each code once, with the first place."""
        return tuple(
            Finding(code, *self._sentences(code, note))
            for code, note in sorted(self._notes.items())
        )

    def _sentences(self, code: str, note: _Note) -> tuple[str, str, str]:
        what, more = note.detail, f" ({note.count} of them)" if note.count > 1 else ""
        same = "so that the notebook sees what a client will see."
        if code == "K101" and what:
            sentence = f"A named tuple becomes a list on the way and loses its names{more}."
            remedy = f"Send {what} to keep them."
        elif code == "K101":
            sentence, remedy = f"A tuple becomes a list on the way{more}.", f"Send a list, {same}"
        elif code == "K102":
            sentence = f"The {what} becomes a string on the way{more}."
            remedy = f"Use string keys, {same}"
        elif code == "K103":
            sentence = f"Two keys become the same string {what}; a client keeps the last{more}."
            remedy = "Use string keys that differ."
        elif code == "K104":
            sentence = f"The value is nested {self._deepest} levels deep; some JSON readers stop at {SAFE_DEPTH}."
            remedy = "Flatten it."
        else:
            sentence = f"The integer {what} is beyond 2**53, and JavaScript rounds it{more}."
            remedy = "Send it as a string."
        return sentence, note.place, remedy


def surrogate(path: str, what: str = "") -> PayloadError:
    """The error for half of a character, which UTF-8 cannot carry."""
    return PayloadError(
        f"{what}{path} holds half of a character (a lone surrogate), which UTF-8 cannot carry: "
        'replace it, text.encode("utf-8", "replace").decode().',
        path,
        code="surrogate",
    )


def refuse_explosion(value: object, root: str) -> None:
    """Raise PayloadError (``size``) if shared containers stand for more than MAX_TEXT characters."""
    lengths: dict[int, int] = {}
    stack: list[tuple[Any, list[Any] | None]] = [(value, None)]
    while stack:
        node, inner = stack.pop()
        if inner is not None:
            lengths[id(node)] += sum(lengths.get(id(item), 0) for item in inner)
        elif id(node) not in lengths:
            items = _raw(node)
            lengths[id(node)] = 2 * len(items) + sum(len(i) for i in items if type(i) is str)
            inner = [item for item in items if issubclass(type(item), (list, tuple, dict))]
            stack.append((node, inner))
            stack.extend((item, None) for item in inner)
    if lengths[id(value)] > MAX_TEXT:
        raise PayloadError(
            f"{root} holds the same lists or dicts so many times over that its text would pass "
            f"{MAX_TEXT // 10**9} GB: send each of them once.",
            root,
            code="size",
        )


def _raw(node: Any) -> list[Any]:
    kind = type(node)
    if issubclass(kind, dict):
        return list(dict.values(node))
    return list.copy(node) if issubclass(kind, list) else list(tuple.__iter__(node))


def _not_finite_name(value: float) -> str:
    plain = float.__float__(value)
    return "NaN" if plain != plain else "Infinity" if plain > 0 else "-Infinity"


def _label(label: str | int) -> str:
    if isinstance(label, int):
        return f"[{label}]"
    return f".{label}" if len(label) <= 40 and _NAME.fullmatch(label) else f"[{_short(label)}]"


def _short(text: str) -> str:
    """A key in double quotes: ASCII only, at most 40 characters of it."""
    return _quote_ascii(text if len(text) <= 40 else f"{text[:28]}...{text[-9:]}")
