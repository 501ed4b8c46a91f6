"""Colours of states, and words for figures. Everything else is rcParams.

Each colour comes in two tones, for light and for dark surfaces; no state is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.colors import to_rgb, to_rgba

from kit.events import JobState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LIGHT = {
    JobState.COMPLETED: "#0a8560",
    JobState.IN_PROGRESS: "#3a8ee0",
    JobState.FAILED: "#d1491f",
    JobState.TIMED_OUT: "#d1491f",
    JobState.CANCELLED: "#6b3fa0",
    JobState.LOST: "#8d949c",
    JobState.IN_QUEUE: "#9aa3ad",
}
_DARK = {
    JobState.COMPLETED: "#2fbf8f",
    JobState.IN_PROGRESS: "#3a86d8",
    JobState.FAILED: "#f0764d",
    JobState.TIMED_OUT: "#f0764d",
    JobState.CANCELLED: "#c9aef0",
    JobState.LOST: "#8d949c",
    JobState.IN_QUEUE: "#6c7580",
}
#: signs that say the state without colour, drawn in or above the bar
SIGNS = {JobState.FAILED: "!", JobState.TIMED_OUT: "T", JobState.CANCELLED: "×"}
#: what lies over what in a picture, from the bottom up, and the order of a legend
WORDS = {
    JobState.IN_QUEUE: "queued",
    JobState.COMPLETED: "completed",
    JobState.IN_PROGRESS: "running",
    JobState.CANCELLED: "cancelled",
    JobState.LOST: "lost",
    JobState.TIMED_OUT: "timed out",
    JobState.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Look:
    """The tones for one axes."""

    states: dict[JobState, str]
    on_bar: str
    device: str
    torch: str
    finding: str
    setup: str
    surface: tuple[float, float, float, float]

    @classmethod
    def of(cls, ax: Axes) -> Look:
        """The set that stands out on what is behind the axes."""
        behind = to_rgba(ax.get_facecolor())
        if behind[3] < 0.5:  # transparent: the figure shows through
            behind = to_rgba(ax.figure.get_facecolor())
        if behind[3] < 0.5:  # so does the page; text is made to be read on it
            text = to_rgb(ax.xaxis.label.get_color())
            behind = (1 - text[0], 1 - text[1], 1 - text[2], 1.0)
        if _lightness(behind) < 0.3:
            return cls(_DARK, "#10141a", "#e0a63a", "#7fb4ff", "#e8c547", "#a3adb8", behind)
        return cls(_LIGHT, "#ffffff", "#c98a12", "#5b8def", "#b8860b", "#5f6b77", behind)


def _lightness(colour: Sequence[float]) -> float:
    """Relative luminance, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def duration(ms: float) -> str:
    """A duration with its unit: ``0.42 ms``, ``12 ms``, ``2.21 s``, ``3 min 5 s``."""
    for limit, text in (
        (0.995, f"{ms:.2f} ms"),
        (9.95, f"{ms:.1f} ms"),
        (999.5, f"{ms:.0f} ms"),
        (9_995.0, f"{ms / 1000:.2f} s"),
        (59_950.0, f"{ms / 1000:.1f} s"),
    ):
        if ms < limit:
            return text
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
