"""Numbers as a line a few points wide: what an array looks like before anybody reads it."""

from __future__ import annotations

from itertools import islice
from math import isfinite
from typing import Any

#: points of a line; of more numbers, the lowest and highest of each stretch are kept
POINTS = 64
_NUMBERS = frozenset({int, float})


def line_of(items: list[Any]) -> dict[str, Any] | None:
    """An array of numbers in short; None if one of them is no number, or none is finite.

    Returns
    -------
    dict or None
        ``low``, ``high``, ``mean`` of the finite numbers, ``odd`` (how many are NaN or infinite) and
        ``points``: the numbers themselves, or, of more than 64, ``[lowest, highest]`` of each of at
        most 64 stretches. Points are rounded to four digits; a stretch without a finite number is
        null.
    """
    # most arrays are none: told by the first few
    if not all(type(item) in _NUMBERS for item in islice(items, 16)):
        return None
    if not set(map(type, items)) <= _NUMBERS:
        return None
    try:
        good = [item for item in items if isfinite(item)]
        if not good:
            return None
        mean = sum(good) / len(good)
        low, high = min(good), max(good)
        points = [_short(one) for one in items] if len(items) <= POINTS else _stretches(items)
        return {
            "low": float(low),
            "high": float(high),
            "mean": float(f"{mean:.4g}"),
            "odd": len(items) - len(good),
            "points": points,
        }
    except OverflowError:  # an integer beyond all floats
        return None


def _stretches(items: list[Any]) -> list[list[float] | None]:
    points: list[list[float] | None] = []
    for k in range(POINTS):
        some = [
            item
            for item in items[k * len(items) // POINTS : (k + 1) * len(items) // POINTS]
            if isfinite(item)
        ]
        points.append([_round(min(some)), _round(max(some))] if some else None)
    return points


def _short(value: float) -> float | None:
    return _round(value) if isfinite(value) else None


def _round(value: float) -> float:
    return float(f"{value:.4g}")
