"""Memory over time: each GPU's, or the process's where there is none, with the reason."""

from __future__ import annotations

import math
import textwrap
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.ticker import FuncFormatter, MaxNLocator

from kit.events import Sample
from kit.views.plots.legend import legend_above
from kit.views.plots.look import Look
from kit.views.plots.timeaxis import TimeAxis, text_pt, width_pt
from kit.views.words import place_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIB, GIB = 2**20, 2**30
#: kinds of samples and what the legend calls them, in its order
KINDS = {
    "vram": "device used",
    "torch_reserved": "torch reserved",
    "torch_allocated": "torch allocated",
    "rss": "process memory (RSS)",
}
_PEAK = "a job's own peak"
#: the sampler rests when no job runs: no line is drawn across a hole longer than this
HOLE_S = 1.5


class Place(NamedTuple):
    """A device of a target: a GPU by its number there, -1 for the process."""

    target: str
    device: int

    def title(self, places: Sequence[Place]) -> str:
        """Its name among others: ``RSS``, ``GPU 1``; with whose it is where that is not plain."""
        name = "RSS" if self.device < 0 else f"GPU {self.device}"
        alone = all(place.target == "local" for place in places)
        return name if alone else f"{name}, {place_name(self.target)}"


@dataclass(frozen=True)
class Line:
    """The readings of one kind on one device of one target, in order of time."""

    kind: str
    device: int
    samples: tuple[Sample, ...]
    target: str = "local"

    @property
    def place(self) -> Place:
        """The device, and whose it is."""
        return Place(self.target, self.device)

    def clipped(self, axis: TimeAxis) -> list[list[tuple[float, float]]]:
        """Points to draw: each piece cut at the breaks of the axis, where there is no room for it."""
        drawn = []
        last = len(axis.stretches) - 1
        for i, (start, end) in enumerate(axis.stretches):
            low, high = start if i else -math.inf, end if i < last else math.inf
            for piece in self.pieces:
                if inside := _cut(piece, low, high):
                    drawn.append([(axis.x(time), used) for time, used in inside])
        return drawn

    @cached_property
    def pieces(self) -> list[list[Sample]]:
        """Runs of readings without a hole."""
        pieces: list[list[Sample]] = []
        for sample in self.samples:
            if not pieces or sample.time - pieces[-1][-1].time > HOLE_S:
                pieces.append([])
            pieces[-1].append(sample)
        return pieces


@dataclass(frozen=True, slots=True)
class Peak:
    """The highest use of one device by one job that ran alone."""

    place: Place
    start: float
    end: float
    used_bytes: int


def lines_of(samples: Sequence[Sample]) -> list[Line]:
    """Lines to draw: of each target those of its GPUs if there are any, else that of its process."""
    with_gpu = {sample.target for sample in samples if sample.device >= 0}
    lines: dict[tuple[str, int, str], list[Sample]] = {}
    for sample in samples:
        if sample.device >= 0 or sample.target not in with_gpu:
            lines.setdefault((sample.target, sample.device, sample.kind), []).append(sample)
    order = list(KINDS)
    # this kernel first, then the others by name
    ranked = sorted(lines, key=lambda at: (at[0] != "local", at[0], at[1], order.index(at[2])))
    return [
        Line(kind, device, tuple(sorted(lines[target, device, kind], key=_time_of)), target)
        for target, device, kind in ranked
    ]


def places_of(lines: Sequence[Line]) -> list[Place]:
    """The devices that have a line, in the order of the lines."""
    return list(dict.fromkeys(line.place for line in lines))


def draw_memory(
    ax: Axes,
    lines: Sequence[Line],
    axis: TimeAxis,
    *,
    reason: str | None,
    peaks: Sequence[Peak] = (),
    heading: bool = True,
    title: str | None = None,
) -> None:
    """Draw lines of one device, or of several into one axes; without any, say why.

    ``title`` is what the device is called; None: where one axes has them all.
    """
    look = Look.of(ax)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.margins(y=0)
    if not lines:
        ax.set_yticks([])
        ax.text(
            0.5,
            0.5,
            reason or "No memory was recorded.",
            transform=ax.transAxes,
            ha="center",
            va="center",
            fontsize="small",
            wrap=True,
        )
        return
    process = all(line.kind == "rss" for line in lines)
    places = places_of(lines)
    shown = [peak for peak in peaks if peak.place in places]
    highest = max(
        *(sample.used_bytes for line in lines for sample in line.samples),
        *(peak.used_bytes for peak in shown),
        0,
    )
    lowest = min(sample.used_bytes for line in lines for sample in line.samples)
    totals = {s.total_bytes for line in lines for s in line.samples if s.total_bytes}
    bottom, top = limits_of(lowest, highest, totals, process=process)
    unit, unit_name = (GIB, "GiB") if top - bottom >= 4 * GIB or top >= 8 * GIB else (MIB, "MiB")
    for line in lines:
        _draw_line(ax, line, axis, look, places, base=bottom)
    for total in sorted(totals):
        ax.axhline(
            total,
            linestyle="--",
            linewidth=0.9,
            color=look.device,
            alpha=0.8,
            label="size of the GPU" if total == max(totals) else "_nolegend_",
        )
    _draw_peaks(ax, shown, axis)
    ax.set_ylim(bottom, top)
    _scale(ax, unit, bottom, top)
    one = places[0] if len(places) == 1 else None
    name = f"GPU {one.device}" if one is not None and one.device >= 0 else "VRAM"
    if process or one is None:
        name = "RSS" if process else "memory" if any(p.device < 0 for p in places) else name
    ax.set_ylabel(f"{name} ({unit_name})")
    if heading:
        _head(ax, reason, places, process=process)
    if title is not None and "," in title and not process:
        if heading:  # the legend is above
            ax.text(0.01, 0.96, title, transform=ax.transAxes, va="top", fontsize="small")
        else:
            ax.set_title(title, loc="left", fontsize="small")


def _draw_line(
    ax: Axes, line: Line, axis: TimeAxis, look: Look, places: Sequence[Place], *, base: float
) -> None:
    name, several = KINDS[line.kind], len(places) > 1
    if several:
        title = line.place.title(places)
        name = title.replace("RSS", name) if line.device < 0 else f"{title} {name}"
    whole = line.kind in ("vram", "rss")
    colour = look.device if whole else look.torch
    # devices in one axes differ by their dashes, so that colour goes on meaning the kind
    style: Any = "-" if line.kind != "torch_reserved" else (0, (2, 1.5))
    if several and (at := places.index(line.place)):
        style = (0, (6, 1.5) + (1, 1.5) * min(at, 3))
    for points in line.clipped(axis):
        xs, ys = [x for x, _ in points], [used for _, used in points]
        if whole and not several:
            ax.fill_between(xs, ys, base, color=colour, alpha=0.16, linewidth=0)
        ax.plot(
            xs,
            ys,
            color=colour,
            linestyle=style,
            linewidth=1.5 if whole else 1.1,
            marker="." if len(points) == 1 else "",
            label=name,
        )
        name = "_nolegend_"


def whose(target: str, reason: str) -> str:
    """The process whose memory is shown, and for this kernel why it is no GPU's."""
    if target == "local":
        return f"Memory of this process. {reason}"
    return (
        f"Memory of the process on {target}." if target != "process" else "Memory of the workers."
    )


def _draw_peaks(ax: Axes, peaks: Sequence[Peak], axis: TimeAxis) -> None:
    """A cap over each job that ran alone: its own peak, which the samples may have missed."""
    if not peaks:
        return
    least = 3.0 * axis.end / width_pt(ax)
    spans = [(axis.x(peak.start), axis.x(peak.end)) for peak in peaks]
    ax.hlines(
        [peak.used_bytes for peak in peaks],
        [start for start, _ in spans],
        [max(end, start + least) for start, end in spans],
        colors=ax.xaxis.label.get_color(),
        linewidth=1.3,
        zorder=3,
        label=_PEAK,
    )


def _cut(piece: list[Sample], low: float, high: float) -> list[tuple[float, float]]:
    """The part of a line between two moments, its ends interpolated as the line itself is."""
    first = bisect_left(piece, low, key=_time_of)
    end = bisect_right(piece, high, key=_time_of)
    points = [(sample.time, float(sample.used_bytes)) for sample in piece[first:end]]
    if 0 < first < len(piece):
        points.insert(0, (low, _between(piece[first - 1], piece[first], low)))
    if 0 < end < len(piece):
        points.append((high, _between(piece[end - 1], piece[end], high)))
    return points


def _time_of(sample: Sample) -> float:
    return sample.time


def _between(before: Sample, after: Sample, time: float) -> float:
    share = (time - before.time) / (after.time - before.time)
    return before.used_bytes + (after.used_bytes - before.used_bytes) * share


def limits_of(
    lowest: float, highest: float, totals: set[int], *, process: bool
) -> tuple[float, float]:
    """Lower and upper end of a memory axis, in bytes."""
    if totals:
        return 0.0, 1.06 * max(*totals, highest)
    if not process:
        return 0.0, 1.15 * max(highest, 64 * MIB)
    # a kernel of 300 MiB that grows by 5: from 0 nobody would see it. 16 MiB at least, so that
    # noise does not look like a leak
    span = max(16 * MIB, 1.35 * (highest - lowest))
    bottom = max(0.0, (highest + lowest) / 2 - span / 2)
    return bottom, bottom + span


def _scale(ax: Axes, unit: int, bottom: float, top: float) -> None:
    """Ticks at round numbers of the unit, though the data are bytes."""
    # sizes of GPUs are 8, 16, 24...
    steps = [1, 2, 4, 8, 10] if bottom == 0 else [1, 2, 2.5, 5, 10]
    locator = MaxNLocator(nbins=5, steps=steps)
    ticks = [
        tick * unit
        for tick in locator.tick_values(bottom / unit, top / unit)
        if bottom <= tick * unit <= top
    ]
    ax.set_yticks(ticks)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:g}"))


def _head(ax: Axes, reason: str | None, places: Sequence[Place], *, process: bool) -> None:
    """The legend; over the memory of the process, why it is not that of a GPU."""
    handles, names = ax.get_legend_handles_labels()
    if not process or len(places) > 1:
        legend_above(ax, handles, names)
        return
    sentence = whose(places[0].target, reason or "No VRAM was recorded.")
    room = int(width_pt(ax) / (0.5 * text_pt("small")))
    ax.set_title(textwrap.fill(sentence, max(20, room)), loc="left", fontsize="small")
    caps = [handle for handle, name in zip(handles, names, strict=True) if name == _PEAK]
    if caps:
        ax.legend(handles=caps, loc="upper left", frameon=False, fontsize="x-small")
