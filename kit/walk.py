"""The careful walk through a value on its way to JSON: paths, refusals, findings.

Follows the rules of CPython's C encoder (3.10 to 3.13), not those of ``isinstance``: what counts is
the real type, and of a str, int or float subclass only its raw content is read. The encoder runs a
value's own code in two places: ``items()`` of a dict subclass, ``__iter__()`` of a list or tuple one.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

from kit.changes import Changes, label_of, path_of, quoted
from kit.events import Finding
from kit.refusals import (
    bad_items,
    big_integer,
    class_has,
    cycle,
    explosion,
    foreign,
    foreign_key,
    not_finite,
    not_finite_name,
    surrogate,
    too_deep,
)

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

_quote = json.encoder.encode_basestring
_LEAVES = frozenset({str, int, float, bool, type(None)})
_CONSTANTS = {None: "null", True: "true", False: "false"}


@dataclass(slots=True)
class _Frame:
    """A container being walked; holds it, so that its id stays its own."""

    node: object
    items: Iterator[tuple[str | int, object, str]]
    close: str


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
        self._changes = Changes()
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
                self._seen += 1
                if self._seen == MANY:
                    refuse_explosion(value, self._root)
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
                raise not_finite(self.path(), value)
            text = float.__repr__(value)
        elif issubclass(kind, (list, tuple)):
            return self._array(value, kind)
        elif issubclass(kind, dict):
            return self._object(value, kind)
        else:
            raise foreign(self.path(), value)
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
            raise big_integer(self.path()) from None
        if not -SAFE_INTEGER <= value <= SAFE_INTEGER:
            self._note("K105", text)
        return text

    def _array(self, value: Any, kind: type) -> _Frame | None:
        self._enter(value)
        if issubclass(kind, tuple):
            self._note("K101", "._asdict()" if class_has(kind, "_fields") else "")
        items = self._items(value, kind)
        if self._out is None and self._harmless(items):
            del self._open[id(value)]
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
            self._note("K103", next(quoted(k) for k in keys if k in seen or seen.add(k)))  # type: ignore[func-returns-value]
        if self._out is None and self._harmless([item for _, item in pairs]):
            del self._open[id(value)]
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
            raise cycle(self.path(), self.path(ancestor))
        if depth >= MAX_DEPTH:
            raise too_deep(self.path(), MAX_DEPTH)
        if depth >= SAFE_DEPTH:
            self._changes.deepest = max(self._changes.deepest, depth + 1)
            self._note("K104")
        self._open[id(value)] = depth

    def _items(self, value: Any, kind: type) -> list[Any]:
        base: Any = list if issubclass(kind, list) else tuple
        if kind is base or class_has(kind, "__iter__") is base.__iter__:
            return list(base.__iter__(value))
        self.unusual = True
        try:
            return list(iter(value))
        except Exception as error:
            how = f"__iter__() raised {type(error).__name__}"
            raise bad_items(self.path(), value, how, "list") from error

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
            how = f"items() raised {type(error).__name__}"
            raise bad_items(self.path(), value, how, "dict") from error
        if not all(isinstance(pair, tuple) and tuple.__len__(pair) == 2 for pair in pairs):
            raise bad_items(self.path(), value, "items() are not pairs", "dict")
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
                text = not_finite_name(key)
                self.unusual = True
        elif key is None or kind is bool:
            text = _CONSTANTS[key]
            word = "bool" if kind is bool else "None"
        elif issubclass(kind, int):
            word = "int"
            try:
                text = int.__repr__(key)
            except ValueError:
                raise big_integer(self.path(), "has an integer key") from None
        else:
            raise foreign_key(self.path(), key)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise surrogate(f"{self.path()}{label_of(text)}", "The key at ") from None
        if word:
            self._note("K102", f"key {quoted(text)} ({word})")
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
        return path_of(self._root, self._labels[:depth])

    def _note(self, code: str, detail: str = "") -> None:
        self._changes.add(code, self.path, detail)

    def findings(self) -> tuple[Finding, ...]:
        """What was noted, each code once."""
        return self._changes.findings()


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
        raise explosion(root, MAX_TEXT)


def _raw(node: Any) -> list[Any]:
    kind = type(node)
    if issubclass(kind, dict):
        return list(dict.values(node))
    return list.copy(node) if issubclass(kind, list) else list(tuple.__iter__(node))
