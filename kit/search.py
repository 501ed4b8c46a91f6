"""Looking for a text in a payload: in keys, strings and numbers, wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kit.media import media_of
from kit.preview import entries_of, is_object

#: hits told with their place; hits counted
MOST, COUNTED = 500, 100_000
#: characters shown before and after a hit
_AROUND = 40
#: a hit in a longer string is shown by what stands around it
_LONG = 240
#: places deeper than this are counted and not told
_DEEPEST = 1_000

_Trail = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where the text stands.

    Attributes
    ----------
    at : tuple of int
        Position of an entry in each container on the way, as ``preview`` counts them.
    in_key : bool
        Whether it stands in the key and not in the value.
    around : tuple of str or None
        What stands before it, itself, and after it, where the string is long.
    """

    at: tuple[int, ...]
    in_key: bool
    around: tuple[str, str, str] | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the first hits, how many there are, and whether counting stopped there."""

    hits: tuple[Hit, ...]
    n: int
    more: bool


def search(value: Any, needle: str) -> Found:
    """Where a text stands in a value of ``preview.value_of``, upper and lower case alike.

    A number is looked at as JSON writes it. Pictures, sounds and films in base64 are no text.

    Parameters
    ----------
    needle : str
        At least one character.
    """
    low = needle.lower()
    hits: list[Hit] = []
    n = 0
    for trail, key, item in _walk(value):
        for in_key, text in ((True, key), (False, _text(item))):
            start = -1 if text is None else text.lower().find(low)
            if start < 0 or text is None or (len(text) > 1_000 and media_of(text) is not None):
                continue
            n += 1
            if len(hits) < MOST and (at := _places(trail)) is not None:
                hits.append(Hit(at, in_key, _around(text, start, len(needle))))
            if n >= COUNTED:
                return Found(tuple(hits), n, True)
    return Found(tuple(hits), n, False)


def _walk(value: Any) -> Iterator[tuple[_Trail, str | None, Any]]:
    """Every key and value in the order of the text; a trail is (trail of the container, position)."""
    yield (), None, value
    stack = [_children(value, ())]
    while stack:
        for trail, key, item in stack[-1]:
            yield trail, key, item
            if isinstance(item, (dict, list)):
                stack.append(_children(item, trail))
                break
        else:
            stack.pop()


def _children(value: Any, trail: _Trail) -> Iterator[tuple[_Trail, str | None, Any]]:
    if isinstance(value, (dict, list)):
        named = is_object(value)
        for position, (key, item) in enumerate(entries_of(value)):
            yield (trail, position), str(key) if named else None, item


def _text(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    return None if isinstance(item, (dict, list)) else json.dumps(item)


def _places(trail: _Trail) -> tuple[int, ...] | None:
    at: list[int] = []
    while trail:
        at.append(trail[1])
        trail = trail[0]
        if len(at) > _DEEPEST:
            return None
    return tuple(reversed(at))


def _around(text: str, start: int, length: int) -> tuple[str, str, str] | None:
    if len(text) <= _LONG:
        return None
    end = start + length
    return text[max(0, start - _AROUND) : start], text[start:end], text[end : end + _AROUND]
