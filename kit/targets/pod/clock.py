"""How far a pod's clock is from this machine's, from messages that went there and back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offset:
    """The pod's clock less this one's.

    Attributes
    ----------
    offset_s : float
    error_s : float
        At most so much either way: half of the round trip it was read in.
    """

    offset_s: float = 0.0
    error_s: float = float("inf")


class Clock:
    """Keeps the readings of the last while; the one with the shortest round trip counts."""

    def __init__(self) -> None:
        self._readings: deque[Offset] = deque(maxlen=16)
        self.best = Offset()

    def read(self, sent: float, there: float, received: float) -> None:
        """One round trip: this clock, the pod's, this clock (UTC seconds)."""
        error = max(0.0, received - sent) / 2
        self._readings.append(Offset(there - (sent + received) / 2, error))
        self.best = min(self._readings, key=lambda one: one.error_s)
