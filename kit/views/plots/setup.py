"""Model loads and setups as hatched bars in lanes of their own, above those of the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.collections import PolyCollection

from kit.secret import redact
from kit.views.plots.look import Look, duration
from kit.views.plots.timeaxis import TimeAxis, text_pt, width_pt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kit.span import Span

#: more beside each other share the last lane
MAX_LANES = 3
_TOP, _BOTTOM = 0.86, 0.30
_LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Setup:
    """One span as it is drawn: when it ended or was last heard of (UTC s), and its lane from the top."""

    span: Span
    end: float
    lane: int


def setups_of(spans: Sequence[Span], last: float) -> list[Setup]:
    """Spans with their lanes. One without an end goes to ``last`` (UTC s)."""
    found: list[Setup] = []
    ends: list[float] = []
    for span in sorted(spans, key=lambda one: one.started_at):
        end = max(span.started_at, last if span.ended_at is None else span.ended_at)
        free = next((i for i, until in enumerate(ends) if until <= span.started_at), len(ends))
        lane = min(free, MAX_LANES - 1)
        if lane == len(ends):
            ends.append(end)
        ends[lane] = max(ends[lane], end)
        found.append(Setup(span, end, lane))
    return found


def lanes_in(setups: Sequence[Setup]) -> int:
    """How many lanes they take."""
    return max((one.lane + 1 for one in setups), default=0)


def draw_setups(ax: Axes, setups: Sequence[Setup], axis: TimeAxis, top: float) -> dict[str, Any]:
    """Draw them, the highest lane ending at ``top``; returns how their bars look, for a legend."""
    look = Look.of(ax)
    how: dict[str, Any] = {
        "facecolor": look.surface,
        "edgecolor": look.setup,
        "hatch": "////",
        "linewidth": 0.9,
    }
    per_point = axis.end / width_pt(ax)
    outlines, places = [], []
    for one in setups:
        x0 = axis.x(one.span.started_at)
        x1 = max(axis.x(one.end), x0 + 2.0 * per_point)
        y = top - one.lane - 1
        outlines.append([(x0, y + _BOTTOM), (x0, y + _TOP), (x1, y + _TOP), (x1, y + _BOTTOM)])
        places.append((one, x0, x1, y + (_TOP + _BOTTOM) / 2))
    ax.add_collection(PolyCollection(outlines, **how, zorder=2.5), autolim=False)
    for one, x0, x1, y in places:
        _label(ax, look, one, (x0, x1, y), _room(places, one.lane, x1, axis.end), per_point)
    return how


def _room(
    places: Sequence[tuple[Setup, float, float, float]], lane: int, x: float, end: float
) -> float:
    """How far it is from a position to the next bar of a lane, or to the end of the axis."""
    return (
        min([start for one, start, _, _ in places if one.lane == lane and start > x], default=end)
        - x
    )


def _label(
    ax: Axes, look: Look, one: Setup, bar: tuple[float, float, float], room: float, per_point: float
) -> None:
    x0, x1, y = bar
    name = redact(one.span.label)[:_LABEL_CHARS]
    name = "".join(c if c.isprintable() else " " for c in name)
    text = f"{name}, {duration((one.end - one.span.started_at) * 1e3)}"
    wide = (0.55 * len(text) + 1.5) * text_pt("x-small") * per_point
    colour = ax.xaxis.label.get_color()
    if wide <= x1 - x0:
        ground = {"facecolor": look.surface, "edgecolor": "none", "pad": 1.2, "alpha": 0.88}
        where, side, box = (x0 + x1) / 2, "center", ground
    elif wide <= room:
        where, side, box = x1 + 3 * per_point, "left", {"facecolor": "none", "edgecolor": "none"}
    else:
        return
    ax.text(
        where, y, text, color=colour, ha=side, va="center", fontsize="x-small", zorder=4,
        bbox=box, parse_math=False, clip_on=True,
    )  # fmt: skip
