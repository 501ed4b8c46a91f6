"""A payload for the browser, bounded however large it is: the tree a JSON widget draws.

The tree says of everything that is left out how much there is, and can be asked for it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from kit.errors import PayloadError
from kit.media import Media, media_of
from kit.payload import parse
from kit.sparkline import line_of
from kit.walk import SAFE_INTEGER

#: what a browser draws without a pause
LIMIT_BYTES = 200_000
#: entries of one container, characters of one string, characters of one key
ITEMS = 500
CHARACTERS = 10_000
KEY_CHARACTERS = 200
#: containers deeper than this are shown shut
DEPTH = 60

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
#: a shut container: {"t":"object","n":123456789,"k":[],"v":[]} and a comma
_SHUT_BYTES = 48
#: an array of more numbers than this brings the line of its values, if there is room for it
_LINE_FROM = 24
_LINE_BYTES = 1_200


class _Pairs(list[tuple[str, Any]]):
    """An object in which a key occurs twice, as it was written."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Pairs:
    # a dict wherever it will do: the collector walks a dict faster than a list of tuples
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else _Pairs(pairs)


def preview(
    text: str, *, limit_bytes: int = LIMIT_BYTES, at: Sequence[int] = (), start: int = 0
) -> str:
    r"""JSON text of a bounded tree of a payload.

    A node of the tree is one of

    ``null``, ``true``, ``false``, a number, a string
        The value itself: a number that JavaScript holds exactly, a string of at most 10,000
        characters.
    ``{"t": "object", "n": 3, "k": ["a", "b"], "v": [node, node]}``
        An object of ``n`` entries, of which the first ``len(v)`` are here, in the order of the
        text; a key may occur twice. A key is a string or, over 200 characters, a string node.
    ``{"t": "array", "n": 1000000, "v": [node, ...]}``
        An array of ``n`` items, of which the first ``len(v)`` are here. One of more than 24 numbers
        says also ``"line": {"low": 0.5, "high": 9, "mean": 3.1, "odd": 0, "points": [...]}``: see
        :mod:`kit.sparkline`.
    ``{"t": "string", "n": 25000000, "head": "...", "tail": "..."}``
        A string of ``n`` characters (code points) whose middle is left out.
    ``{"t": "number", "text": "9007199254740993"}``
        A number that JavaScript would change: an integer beyond 2**53, NaN, Infinity.
    ``{"t": "media", "at": [0, 3], "mime": "image/png", "bytes": 1200, "width": 64, "height": 48,
    "duration_s": null, "n": 1600, "hidden": null}``
        A string of ``n`` characters that is base64 of a picture, sound or film. ``hidden`` is null
        or the sentence to show instead. The bytes are not here: ``media_at(text, at)`` has them.
    ``{"t": "text", "n": 12, "head": "...", "tail": "", "why": "..."}``
        Only as the root: the payload is not JSON, for the reason given.

    Half characters (lone surrogates) are shown as ``\udXXX``.

    Parameters
    ----------
    text : str
        JSON text of any size.
    limit_bytes : int
        Size of the result in UTF-8, at least 1,000.
    at : sequence of int
        Root of the tree: the position of an entry in each container on the way, counted from 0 in
        the order of the text. Empty for the whole payload.
    start : int
        Entries (or characters of a string) of the root to skip; the root node then says
        ``"start": start``, and ``v`` begins there.

    Returns
    -------
    str
        JSON text of the root node.

    Raises
    ------
    PayloadError
        If nothing is at ``at``.
    """
    try:
        value = value_at(value_of(text), at)
    except PayloadError as error:
        if error.code == "at":
            raise
        return preview_of_text(text, str(error), limit_bytes=limit_bytes, start=start)
    return preview_of(value, limit_bytes=limit_bytes, at=at, start=start)


def preview_of_text(text: str, why: str, *, limit_bytes: int = LIMIT_BYTES, start: int = 0) -> str:
    """The preview of text that is not JSON, and why it is not."""
    limit = max(limit_bytes, 1_000)
    node = _string(text, "text", min(CHARACTERS, limit // 24), start)
    return _dumps({**node, "why": why})


def preview_of(
    value: Any, *, limit_bytes: int = LIMIT_BYTES, at: Sequence[int] = (), start: int = 0
) -> str:
    """``preview`` of what :func:`value_of` made, or of a part of it that lies at ``at``."""
    limit = budget = max(limit_bytes, 1_000)
    while True:
        tree = _dumps(_Tree(budget, tuple(at)).grow(value, start))
        if len(tree.encode()) <= limit:
            return tree
        budget = budget * 3 // 4


def media_at(text: str, at: Sequence[int]) -> tuple[Media, bytes] | None:
    """The media of a media node and its bytes.

    Parameters
    ----------
    text : str
        The payload's JSON text.
    at : sequence of int
        ``at`` of the media node.

    Returns
    -------
    (Media, bytes) or None
        None if the string there holds no media.

    Raises
    ------
    PayloadError
        If nothing is there, or the text is not JSON.
    """
    value = value_at(value_of(text), at)
    return media_of(value) if isinstance(value, str) else None


def value_of(text: str) -> Any:
    """The value of JSON text, made for looking at: an object in which a key occurs twice is a list.

    Raises
    ------
    PayloadError
    """
    return parse(text, object_pairs_hook=_object)


def entries_of(value: dict[str, Any] | list[Any]) -> Iterable[tuple[str | int, Any]]:
    """Keys (or positions) and items of a container of :func:`value_of`, in the order of the text."""
    if isinstance(value, dict):
        return value.items()
    return value if isinstance(value, _Pairs) else enumerate(value)


def is_object(value: Any) -> bool:
    """Whether a value of :func:`value_of` is an object, a key occurring twice or not."""
    return isinstance(value, (dict, _Pairs))


def value_at(value: Any, at: Sequence[int]) -> Any:
    """The part of a value of :func:`value_of` at a place.

    Raises
    ------
    PayloadError
        With code ``at`` if nothing is there.
    """
    for position in at:
        if not isinstance(value, (list, dict)) or not 0 <= position < len(value):
            raise PayloadError(
                f"There is nothing at {list(at)} in this payload: show it again.", code="at"
            )
        if isinstance(value, dict):
            value = next(islice(value.values(), position, None))
        else:
            value = value[position][1] if isinstance(value, _Pairs) else value[position]
    return value


class _Tree:
    """Grows a tree level by level, so that what is near the root is there before what is deep."""

    def __init__(self, budget: int, at: tuple[int, ...]) -> None:
        self._left = budget - 2 * _SHUT_BYTES
        self._root = len(at)
        self._at = at
        self._queue: deque[tuple[Any, dict[str, Any], tuple[int, ...], int]] = deque()

    def grow(self, value: Any, start: int) -> Any:
        if isinstance(value, str):
            if media := media_node(value, self._at):
                return media
            return _string(value, "string", min(CHARACTERS, self._left // 24), start)
        root, size = self._node(value, self._at, self._left, start)
        self._left -= size - _SHUT_BYTES if size > _SHUT_BYTES else 0
        while self._queue:
            items, node, at, first = self._queue.popleft()
            # what is not used goes to those that come after; some is kept for their children
            share = self._left * 6 // 10 // (len(self._queue) + 1)
            self._left -= self._fill(items, node, at, first, share)
        return root

    def _fill(
        self, items: Any, node: dict[str, Any], at: tuple[int, ...], first: int, share: int
    ) -> int:
        """Put as many items into a node as its share allows; returns the bytes used."""
        used = 0
        values = node["v"]
        keys = node.get("k")
        entries = items.items() if isinstance(items, dict) else items
        for position, item in enumerate(islice(entries, first, first + ITEMS), first):
            if share - used < _SHUT_BYTES:
                break
            used += 1
            if keys is not None:
                name, item = item
                keys.append(_string(name, "string", min(KEY_CHARACTERS, (share - used) // 24)))
                used += _cost(keys[-1]) + 1
            child, size = self._node(item, (*at, position), share - used)
            used += size
            values.append(child)
        return used

    def _node(self, value: Any, at: tuple[int, ...], room: int, start: int = 0) -> tuple[Any, int]:
        """A node and its size in bytes; a container comes shut and is queued."""
        if isinstance(value, (list, dict)):
            node: dict[str, Any] = {"t": "array", "n": len(value)}
            named = is_object(value)
            if named:
                node = {"t": "object", "n": len(value), "k": []}
            if start:
                node["start"] = start
            size = _SHUT_BYTES
            if (
                isinstance(value, list)
                and not named
                and len(value) > _LINE_FROM
                and room > _LINE_BYTES
            ):
                line = line_of(value)
                if line is not None:
                    node["line"] = line
                    size += _cost(line) + 8
            node["v"] = []
            if value and len(at) - self._root < DEPTH:
                self._queue.append((value, node, at, start))
            return node, size
        if isinstance(value, str):
            leaf: Any = media_node(value, at)
            if leaf is None:
                leaf = _string(value, "string", CHARACTERS)
                if _cost(leaf) > room:
                    leaf = _string(value, "string", max(24, room // 24))
        elif isinstance(value, float) and not isfinite(value):
            leaf = {"t": "number", "text": json.dumps(value)}
        elif isinstance(value, int) and not -SAFE_INTEGER <= value <= SAFE_INTEGER:
            digits = str(value)
            leaf = {"t": "number", "text": digits if len(digits) <= 60 else f"{digits[:57]}..."}
        else:
            leaf = value
        return leaf, _cost(leaf)


def media_node(value: str, at: Sequence[int]) -> dict[str, Any] | None:
    """The node of a string that is a picture, sound or film; None if it is none."""
    found = media_of(value)
    if found is None:
        return None
    media = found[0]
    return {
        "t": "media",
        "at": list(at),
        "mime": media.mime,
        "bytes": media.size_bytes,
        "width": media.width,
        "height": media.height,
        "duration_s": media.duration_s,
        "n": len(value),
        "hidden": media.hidden,
    }


def _string(value: str, kind: str, limit: int, start: int = 0) -> Any:
    """A string, or a node of its first and last characters if it is longer than the limit."""
    rest = len(value) - start
    if rest <= limit and not start and kind == "string":
        return _clean(value)
    tail = 0 if rest <= limit else limit // 4
    node: dict[str, Any] = {"t": kind, "n": len(value)}
    if start:
        node["start"] = start
    head = value[start:] if rest <= limit else value[start : start + limit - tail]
    return {**node, "head": _clean(head), "tail": _clean(value[len(value) - tail :])}


def _clean(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def _cost(leaf: Any) -> int:
    return len(_dumps(leaf).encode())
