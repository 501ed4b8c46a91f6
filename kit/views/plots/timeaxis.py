"""One time axis for lanes and memory. Long stretches in which nothing ran are folded to a break.

Runs minutes apart stand side by side then, and within a stretch the scale is the same everywhere.
Positions are seconds with the folded time taken out.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: idle time that is always folded when it is longer than this, in seconds...
FOLD_S = 1.0
#: ...and than this share of the busy time
FOLD_SHARE = 0.1
#: width of a break, and of all breaks together, as shares of the busy time
BREAK_SHARE, BREAKS_SHARE = 0.06, 0.35
#: room beside the first and after the last moment, as a share of everything
MARGIN_SHARE = 0.015

_CLOCK_STEPS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class TimeAxis:
    """Maps UTC seconds to positions.

    Parameters
    ----------
    busy : iterable of (float, float)
        From when to when something happened, in any order.
    """

    def __init__(self, busy: Iterable[tuple[float, float]]) -> None:
        self.stretches = _stretches(sorted(busy))
        total = sum(end - start for start, end in self.stretches)
        breaks = len(self.stretches) - 1
        self.break_width = min(BREAK_SHARE * total, BREAKS_SHARE * total / max(1, breaks))
        self.positions: list[float] = []
        at = 0.0
        for start, end in self.stretches:
            self.positions.append(at)
            at += end - start + self.break_width
        #: position of the last moment
        self.end = at - self.break_width

    def x(self, time: float) -> float:
        """Position of a moment; before the first and after the last the scale goes on."""
        index = max(0, bisect_right(self._starts, time) - 1)
        start, end = self.stretches[index]
        position = self.positions[index]
        if time <= end or index == len(self.stretches) - 1:
            return position + time - start
        gap = self.stretches[index + 1][0] - end
        return position + (end - start) + (time - end) / gap * self.break_width

    def apply(self, ax: Axes, *, labels: bool = True) -> None:
        """Set limits, ticks and the label of an x axis, and mark the breaks."""
        margin = MARGIN_SHARE * self.end
        ax.set_xlim(-margin, self.end + margin)
        ticks, texts = self.ticks(_room(ax))
        ax.set_xticks(ticks, texts if labels else [""] * len(ticks))
        if labels:
            ax.set_xlabel(self.label())
        for index in range(1, len(self.stretches)):
            self._mark_break(ax, self.positions[index] - self.break_width / 2)

    @property
    def _starts(self) -> list[float]:
        return [start for start, _ in self.stretches]

    def _mark_break(self, ax: Axes, x: float) -> None:
        # two strokes across the lower edge, the usual sign of a cut axis
        ax.plot(
            [x],
            [0],
            linestyle="none",
            marker="$//$",
            markersize=0.8 * text_pt("medium"),
            color=ax.spines["bottom"].get_edgecolor(),
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            zorder=5,
        )

    def ticks(self, room: float) -> tuple[list[float], list[str]]:
        """Positions and labels; ``room`` is how many characters fit along the axis."""
        per_character = self.end * (1 + 2 * MARGIN_SHARE) / room
        step = _step(9 * per_character)
        several = len(self.stretches) > 1
        begins: list[tuple[float, str]] = []
        others: list[tuple[float, str]] = []
        for (start, end), position in zip(self.stretches, self.positions, strict=True):
            begins.append((position, clock(start) if several else "0"))
            for n in range(1, int((end - start) / step + 1e-9) + 1):
                others.append((position + n * step, elapsed(n * step, step, plus=several)))
        # where a stretch begins matters most: those labels take their room first
        labels: dict[float, str] = {}
        taken: list[tuple[float, float]] = []
        for x, text in begins + others:
            half = (len(text) / 2 + 1) * per_character
            if all(x + half <= left or x - half >= right for left, right in taken):
                taken.append((x - half, x + half))
                labels[x] = text
        ticks = sorted(x for x, _ in begins + others)
        return ticks, [labels.get(x, "") for x in ticks]

    def label(self) -> str:
        first, last = self.stretches[0][0], self.stretches[-1][1]
        day = _utc(first).strftime("%Y-%m-%d")
        if len(self.stretches) == 1:
            return f"time since {day} {clock(first)} UTC"
        until = _utc(last).strftime("%Y-%m-%d")
        days = day if day == until else f"{day} to {until}"
        return f"UTC on {days}, idle time folded"


def _stretches(busy: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged = _merge(busy, FOLD_S)
    total = sum(end - start for start, end in merged)
    merged = _merge(merged, max(FOLD_S, FOLD_SHARE * total))
    # one of no length at all would have no place on the axis
    return [(start, max(end, start + max(1e-4, total / 50))) for start, end in merged]


def _merge(spans: list[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in spans:
        if merged and start - merged[-1][1] <= gap_s:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, max(start, end)))
    return merged


def _room(ax: Axes) -> float:
    """Characters that fit side by side below an axes, about."""
    return max(10.0, width_pt(ax) / (0.55 * text_pt(rcParams["xtick.labelsize"])))


def text_pt(size: str | float) -> float:
    """Points of a font size given as rcParams give it: a number, or a word such as ``small``."""
    return FontProperties(size=size).get_size_in_points()


def width_pt(ax: Axes) -> float:
    """Width of an axes in points, as it is now; a layout may still change it a little."""
    return max(50.0, float(ax.bbox.width) / float(ax.figure.dpi) * 72)


def _step(least: float) -> float:
    """The smallest round step that is at least so long, in seconds."""
    if least > 30:
        return next((s for s in _CLOCK_STEPS if s >= least), math.ceil(least / 86400) * 86400.0)
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def elapsed(seconds: float, step: float, *, plus: bool = False) -> str:
    """A duration as precise as its step: ``"250 ms"``, ``"4 s"``, ``"1:30"``, ``"2 h"``."""
    sign = "+" if plus else ""
    if step >= 3600:
        return f"{sign}{seconds / 3600:g} h"
    if step >= 60:
        minutes = round(seconds / 60)
        hours = f"{minutes // 60} h {minutes % 60}" if minutes >= 60 else str(minutes)
        return f"{sign}{hours} min" if minutes < 60 else f"{sign}{hours}"
    if step >= 0.1 or seconds >= 1:
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{sign}{seconds:.{digits}f} s"
    digits = max(0, -math.floor(math.log10(step * 1000) + 1e-9))
    return f"{sign}{seconds * 1000:.{digits}f} ms"


def clock(seconds: float) -> str:
    """Time of day in UTC, ``14:03:21``."""
    return _utc(seconds).strftime("%H:%M:%S")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
