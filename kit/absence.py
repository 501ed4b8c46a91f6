"""Why a memory figure is missing: never a zero, always a reason that can be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Absence:
    """A memory figure that cannot be shown, and why.

    Attributes
    ----------
    source : str
        Which figure is missing: ``"vram"``, ``"torch"``, ``"utilization"``, ``"rss"``,
        ``"rss_peak"`` (there is a peak, but it is sampled) or ``"samples"`` (they were not stored).
    reason : str
        One sentence for the screen.
    name : str
        The same reason as one fixed word, such as ``no_driver`` or ``mig``.
    """

    source: str
    reason: str
    name: str

    def __str__(self) -> str:
        return self.reason
