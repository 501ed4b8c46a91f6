"""How a figure is taken, compared with its target, and printed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number beside what it should be.

    Attributes
    ----------
    name : str
    value : float
    unit : str
    target : float or None
        None if it is only told (a peer's own number).
    at_most : bool
        Whether the target is a ceiling; else it is a floor.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = True

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        if self.target is None:
            return f"{self.name:<64} {self.value:>10,.4g} {self.unit}"
        sign = "<=" if self.at_most else ">="
        verdict = "ok" if self.met else "MISSED"
        goal = f"({sign} {self.target:g})"
        return f"{self.name:<64} {self.value:>10,.4g} {self.unit:<7} {goal:<12} {verdict}"


def p50(seconds: Sequence[float]) -> float:
    return statistics.median(seconds)


def repeat(times: int, one: Callable[[], float], warm: int = 1) -> list[float]:
    """``one()`` is called ``warm`` times for nothing and then ``times`` times."""
    for _ in range(warm):
        one()
    return [one() for _ in range(times)]
