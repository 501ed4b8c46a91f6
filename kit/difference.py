"""What differs between two payloads: values added, removed and changed, with their paths."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from kit.changes import path_of
from kit.preview import entries_of, is_object, media_node, preview_of

#: differences told; pairs of values looked at
MOST, LOOKED_AT = 300, 3_000_000
#: bytes of one side of a difference
_SIDE_BYTES = 1_000
#: characters shown of what two strings share before and after their difference, and of that
_SHARED, _APART = 48, 400
_NUMBERS = frozenset({int, float})
_Labels = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes
    ----------
    path : str
        Such as ``$.images[3].url``.
    kind : str
        ``added``, ``removed`` or ``changed``.
    old, new : Any
        Nodes of ``preview``; of two strings, ``[shared before, apart, shared after]``. None where
        there is nothing.
    delta : float or None
        New minus old, of two numbers.
    """

    path: str
    kind: str
    old: Any = None
    new: Any = None
    delta: float | None = None


@dataclass(slots=True)
class Difference:
    """What differs, counted in full and told as far as it may be.

    Attributes
    ----------
    changes : list of Change
        The first 300, in the order of the text.
    added, removed, changed, equal : int
        Values, counted where they stand; a container that is new as a whole counts once.
    cut : bool
        Whether looking stopped early (after 3 million values).
    """

    changes: list[Change] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    changed: int = 0
    equal: int = 0
    cut: bool = False


def difference(old: Any, new: Any) -> Difference:
    """What differs between two values of ``preview.value_of``.

    Objects are compared by key, their order does not count; lists by position, after what they
    share at the beginning and at the end. 1 and 1.0 are equal, 1 and true are not.
    """
    told = Difference()
    # pairs still to be looked at; the place of a side is needed to fetch a picture from it
    stack: list[tuple[_Labels, Any, Any, _Labels, _Labels]] = [((), old, new, (), ())]
    looked = 0
    while stack:
        labels, a, b, at_a, at_b = stack.pop()
        looked += 1
        if looked > LOOKED_AT:
            told.cut = True
            break
        if is_object(a) and is_object(b):
            stack += reversed(_objects(told, labels, a, b, at_a, at_b))
        elif isinstance(a, list) and isinstance(b, list) and not (is_object(a) or is_object(b)):
            stack += reversed(_lists(told, labels, a, b, at_a, at_b))
        elif _same(a, b):
            told.equal += 1
        else:
            told.changed += 1
            if len(told.changes) < MOST:
                told.changes.append(_changed(_path(labels), a, b, _flat(at_a), _flat(at_b)))
    return told


_Pair = tuple[_Labels, Any, Any, _Labels, _Labels]


def _objects(
    told: Difference, labels: _Labels, a: Any, b: Any, at_a: _Labels, at_b: _Labels
) -> list[_Pair]:
    mine = {key: (k, item) for k, (key, item) in enumerate(entries_of(a))}
    theirs = {key: (k, item) for k, (key, item) in enumerate(entries_of(b))}
    pairs: list[_Pair] = []
    for key, (k, item) in mine.items():
        if key in theirs:
            there, other = theirs[key]
            pairs.append(((labels, key), item, other, (at_a, k), (at_b, there)))
        else:
            _one_sided(told, "removed", (labels, key), item, (at_a, k))
    for key, (k, item) in theirs.items():
        if key not in mine:
            _one_sided(told, "added", (labels, key), item, (at_b, k))
    return pairs


def _lists(
    told: Difference, labels: _Labels, a: Any, b: Any, at_a: _Labels, at_b: _Labels
) -> list[_Pair]:
    first = tail = 0
    if len(a) != len(b):
        least = min(len(a), len(b))
        while first < least and _alike(a[first], b[first]):
            first += 1
        while tail < least - first and _alike(a[-1 - tail], b[-1 - tail]):
            tail += 1
    both = min(len(a), len(b)) - tail
    pairs = [((labels, k), a[k], b[k], (at_a, k), (at_b, k)) for k in range(both)]
    for k in range(both, len(a) - tail):
        _one_sided(told, "removed", (labels, k), a[k], (at_a, k))
    for k in range(both, len(b) - tail):
        _one_sided(told, "added", (labels, k), b[k], (at_b, k))
    told.equal += tail
    return pairs


def _alike(a: Any, b: Any) -> bool:
    """Equal as a whole; said of leaves and flat containers exactly, of very deep ones not."""
    try:
        return bool(a == b) and type(a) is type(b)
    except RecursionError:
        return False


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b) and not (type(a) in _NUMBERS and type(b) in _NUMBERS):
        return False
    return bool(a == b) or (isinstance(a, float) and isnan(a) and isinstance(b, float) and isnan(b))


def _one_sided(told: Difference, kind: str, labels: _Labels, item: Any, at: _Labels) -> None:
    setattr(told, kind, getattr(told, kind) + 1)
    if len(told.changes) < MOST:
        node = _node(item, _flat(at))
        sides = {"new": node} if kind == "added" else {"old": node}
        told.changes.append(Change(_path(labels), kind, **sides))


def _changed(path: str, a: Any, b: Any, at_a: tuple[Any, ...], at_b: tuple[Any, ...]) -> Change:
    if type(a) in _NUMBERS and type(b) in _NUMBERS:
        try:
            delta = float(b) - float(a)
        except OverflowError:
            delta = float("nan")
        shown = None if isnan(delta) or abs(delta) == float("inf") else delta
        return Change(path, "changed", _node(a, at_a), _node(b, at_b), shown)
    if isinstance(a, str) and isinstance(b, str):
        old, new = media_node(a, at_a), media_node(b, at_b)
        if old is None and new is None:
            before = _shared(a, b)
            after = _shared(a[before:][::-1], b[before:][::-1])
            return Change(path, "changed", _apart(a, before, after), _apart(b, before, after))
        return Change(path, "changed", old or _node(a, at_a), new or _node(b, at_b))
    return Change(path, "changed", _node(a, at_a), _node(b, at_b))


def _shared(a: str, b: str) -> int:
    """Characters that two strings share from the beginning; by halves, not one by one."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _apart(text: str, before: int, after: int) -> list[str]:
    end = len(text) - after
    own = text[before:end]
    if len(own) > _APART:
        own = f"{own[: _APART // 2]}… {len(own) - _APART:,} characters …{own[-_APART // 2 :]}"
    start = max(0, before - _SHARED)
    stop = min(len(text), end + _SHARED)
    lead, rest = "…" if start else "", "…" if stop < len(text) else ""
    parts = [lead + text[start:before], own, text[end:stop] + rest]
    # half characters are no text
    return [part.encode("utf-8", "backslashreplace").decode() for part in parts]


def _node(item: Any, at: tuple[Any, ...]) -> Any:
    return json.loads(preview_of(item, limit_bytes=_SIDE_BYTES, at=at))


def _flat(trail: _Labels) -> tuple[Any, ...]:
    parts: list[Any] = []
    while trail:
        parts.append(trail[1])
        trail = trail[0]
    return tuple(reversed(parts))


def _path(labels: _Labels) -> str:
    return path_of("$", _flat(labels))
