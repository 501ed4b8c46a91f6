"""Timeline and memory as one inline SVG figure: no script, crisp in print, in the page's own colours.

Positions along the time axis are percentages, so it fits any width and its text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from kit.events import JobState
from kit.handler import HandlerVersion
from kit.views import codec
from kit.views.plots.device import KINDS, Line, Peak, Place, limits_of, places_of, whose
from kit.views.plots.lanes import Lane, Run
from kit.views.plots.setup import Setup, lanes_in
from kit.views.plots.timeaxis import TimeAxis, clock
from kit.views.report.markup import CLASSES, line
from kit.views.words import STATE_WORDS, duration, memory, place_name

_LANE_PX, _BAR_PX, _TOP_PX = 30, 18, 5
_MEMORY_PX, _AXIS_PX = 104, 22
_MARGIN = 0.012
#: characters of tick labels that fit on a page of 800 px
_ROOM = 84.0
#: share of the width (in percent) under which a sign has no room in its bar, and a bar no visible width
_SIGN_WIDE, _LEAST_WIDE = 1.6, 0.16
_SIGNS = {JobState.FAILED: "!", JobState.TIMED_OUT: "T", JobState.CANCELLED: "×"}
_MIB, _GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Scene:
    """What the figure shows; see ``kit.views.plots`` for the parts.

    Attributes
    ----------
    anchors : dict of str to str
        Where on the page a job's details are, by job key.
    reason : str or None
        Why there is no VRAM figure.
    """

    axis: TimeAxis
    lanes: Sequence[Lane]
    setups: Sequence[Setup]
    edits: Sequence[HandlerVersion]
    lines: Sequence[Line]
    peaks: Sequence[Peak]
    anchors: dict[str, str]
    reason: str | None


def figure_html(scene: Scene) -> str:
    """The legend, the lanes, the memory of each device, and the axis below them."""
    parts = [_legend(scene), '<div class="figure">', _lanes(scene)]
    places = places_of(scene.lines)
    for place in places:
        parts.append(_memory(scene, place))
    parts.append(_axis(scene))
    reason = scene.reason or ""
    said = [whose(place.target, reason) for place in places if place.device < 0]
    if not places:
        said = [f"No memory was recorded. {reason}"]
    if said:
        parts.append(f'<p class="why">{line(" ".join(said), 800)}</p>')
    parts.append("</div>")
    return "".join(parts)


class _Place:
    """Moments as percentages of the width."""

    def __init__(self, axis: TimeAxis) -> None:
        self._axis = axis
        self._whole = axis.end * (1 + 2 * _MARGIN) or 1.0

    def at(self, position: float) -> float:
        """Of a position on the axis."""
        return round(100 * (position + _MARGIN * self._axis.end) / self._whole, 3)

    def x(self, time: float) -> float:
        """Of a moment in UTC seconds."""
        return self.at(self._axis.x(time))


# -- lanes ------------------------------------------------------------------------------------------


def _lanes(scene: Scene) -> str:
    place = _Place(scene.axis)
    above = lanes_in(scene.setups)
    count = above + len(scene.lanes)
    high = count * _LANE_PX + (14 if scene.edits else 4)
    sessions = len({lane.session for lane in scene.lanes if lane.slot is not None})
    names = ["setup"] * min(1, above) + [""] * max(0, above - 1)
    names += [lane.name(several_sessions=sessions > 1) for lane in scene.lanes]
    labels = "".join(
        f'<span style="top:{i * _LANE_PX + _TOP_PX + _BAR_PX // 2}px">{escape(name)}</span>'
        for i, name in enumerate(names)
    )
    shapes = [_break(scene, place, high), *(_setup(one, place) for one in scene.setups)]
    for i, lane in enumerate(scene.lanes, above):
        shapes += [_run(run, i * _LANE_PX, place, scene.anchors) for run in lane.runs]
    for edit in scene.edits:
        x = place.x(edit.registered_at)
        if 0 <= x <= 100:
            shapes.append(
                f'<line class="edit" x1="{x}%" x2="{x}%" y1="0" y2="{high}"/>'
                f'<text class="soft" x="{x}%" dx="3" y="{high - 2}">v{int(edit.version)}</text>'
            )
    drawn = _svg(high, "".join(shapes), "Jobs by worker slot over time")
    return f'<div class="names" style="height:{high}px">{labels}</div>{drawn}'


def _svg(high: int, inner: str, title: str) -> str:
    return (
        f'<svg height="{high}" role="img" aria-label="{escape(title, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{inner}</svg>'
    )


def _setup(one: Setup, place: _Place) -> str:
    x0, x1 = place.x(one.span.started_at), place.x(one.end)
    y = one.lane * _LANE_PX + _TOP_PX
    took = duration((one.end - one.span.started_at) * 1e3)
    said = line(f"{one.span.label}, {took}", 70)
    full = line(f"{one.span.label}, {took}. {one.span.detail}", 400)
    wide = max(x1 - x0, _LEAST_WIDE)
    # beside the bar where its own width would cut the words
    inside = wide * 6.4 > 7 * len(said)
    where = f'x="{x0}%" dx="7"' if inside else f'x="{x0 + wide:.3f}%" dx="6"'
    return (
        f'<g><title>{full}</title><rect class="setup" x="{x0}%" y="{y}" width="{wide:.3f}%" '
        f'height="{_BAR_PX}" rx="3"/><text {where} y="{y + 13}">{said}</text></g>'
    )


def _run(run: Run, top: int, place: _Place, anchors: dict[str, str]) -> str:
    row, state = run.row, run.row.state
    kind = CLASSES[state]
    y = top + _TOP_PX
    submitted, end = place.x(run.submitted), place.x(run.end)
    parts = []
    if run.started is None:
        wide = max(end - submitted, _LEAST_WIDE)
        parts.append(
            f'<rect class="{kind}" x="{submitted}%" y="{y + 6}" width="{wide:.3f}%" height="6" rx="2"/>'
        )
        x0 = submitted
    else:
        x0 = place.x(run.started)
        wide = max(end - x0, _LEAST_WIDE)
        if x0 - submitted > 0.1:
            parts.append(
                f'<rect class="queued" x="{submitted}%" y="{y + _BAR_PX + 3}" '
                f'width="{x0 - submitted:.3f}%" height="2"/>'
            )
        parts.append(
            f'<rect class="{kind}" x="{x0}%" y="{y}" width="{wide:.3f}%" height="{_BAR_PX}" '
            'rx="2" stroke="var(--surface)" stroke-width="1"/>'
        )
        for at in run.chunks:
            x = place.x(at)
            if x0 < x < x0 + wide:
                parts.append(
                    f'<line class="tick" x1="{x}%" x2="{x}%" y1="{y + 4}" y2="{y + _BAR_PX - 4}"/>'
                )
    if state in _SIGNS:
        middle = f'x="{x0 + wide / 2:.3f}%" text-anchor="middle"'
        if wide >= _SIGN_WIDE:
            parts.append(f'<text class="on" {middle} y="{y + 13}">{_SIGNS[state]}</text>')
        else:
            parts.append(f'<text {middle} y="{y + 1}">{_SIGNS[state]}</text>')
    if row.n_findings:
        parts.append(f'<circle class="dot" cx="{x0 + wide:.3f}%" cy="{y}" r="3.5"/>')
    inner = f"<title>{_said(run)}</title>{''.join(parts)}"
    anchor = anchors.get(row.key)
    return f'<a href="#{anchor}">{inner}</a>' if anchor else f"<g>{inner}</g>"


def _said(run: Run) -> str:
    row = run.row
    words = [
        f"{row.handler} v{row.version}, {STATE_WORDS[row.state]}",
        f"ran {duration(row.execution_ms)}, queued {duration(row.delay_ms)}",
    ]
    peak, flags = codec.peak_of(row.memory)
    if peak == peak:
        whose = "its own" if flags & codec.MEMORY_OWN else "shared"
        words.append(f"peak {memory(peak)}, {whose}")
    if row.error_message:
        words.append(row.error_message)
    return line(". ".join(words), 300)


def _break(scene: Scene, place: _Place, high: int) -> str:
    """Hairs where idle time was folded."""
    axis = scene.axis
    parts = []
    for index in range(1, len(axis.stretches)):
        x = place.at(axis.positions[index] - axis.break_width / 2)
        parts.append(f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="{high}"/>')
    return "".join(parts)


def _axis(scene: Scene) -> str:
    axis, place = scene.axis, _Place(scene.axis)
    positions, labels = axis.ticks(_ROOM)
    parts = ['<line class="base" x1="0" x2="100%" y1="0.5" y2="0.5"/>']
    for position, label in zip(positions, labels, strict=True):
        x = place.at(position)
        parts.append(f'<line class="base" x1="{x}%" x2="{x}%" y1="0" y2="4"/>')
        if label:
            parts.append(
                f'<text class="soft" x="{x}%" y="17" text-anchor="middle">{escape(label)}</text>'
            )
    inner = _svg(_AXIS_PX, "".join(parts), f"Time, beginning {clock(axis.stretches[0][0])} UTC")
    return f'<div></div>{inner}<p class="why">{escape(axis.label())}</p>'


# -- memory -----------------------------------------------------------------------------------------


def _memory(scene: Scene, device: Place) -> str:
    place = _Place(scene.axis)
    lines = [one for one in scene.lines if one.place == device]
    peaks = [peak for peak in scene.peaks if peak.place == device]
    samples = [sample for one in lines for sample in one.samples]
    totals = {s.total_bytes for s in samples if s.total_bytes}
    highest = max(*(s.used_bytes for s in samples), *(peak.used_bytes for peak in peaks), 0)
    lowest = min(s.used_bytes for s in samples)
    bottom, top = limits_of(lowest, highest, totals, process=device.device < 0)
    high = _MEMORY_PX

    def y(used: float) -> float:
        return round(high - (used - bottom) / (top - bottom) * high, 2)

    unit, word = (_GIB, "GiB") if top >= 8 * _GIB or top - bottom >= 4 * _GIB else (_MIB, "MiB")
    shapes, labels = [], []
    for tick in _round_steps(bottom / unit, top / unit):
        shapes.append(
            f'<line class="grid" x1="0" x2="100%" y1="{y(tick * unit)}" y2="{y(tick * unit)}"/>'
        )
        labels.append(f'<span style="top:{y(tick * unit)}px">{tick:,g} {word}</span>')
    paths = []
    for one in lines:
        whole = one.kind in ("vram", "rss")
        for points in one.clipped(scene.axis):
            at = [(10 * place.at(x), y(used)) for x, used in points]
            if len(at) == 1:
                at.append((at[0][0] + 1, at[0][1]))
            path = "L".join(f"{px:g} {py:g}" for px, py in at)
            if whole:
                paths.append(
                    f'<path class="area" d="M{at[0][0]:g} {high}L{path}L{at[-1][0]:g} {high}Z"/>'
                )
            paths.append(f'<path class="{one.kind}" d="M{path}"/>')
    for total in sorted(totals):
        paths.append(f'<path class="size" d="M0 {y(total)}L1000 {y(total)}"/>')
    for peak in peaks:
        x0, x1 = 10 * place.x(peak.start), 10 * place.x(peak.end)
        paths.append(
            f'<path class="peak" d="M{x0:g} {y(peak.used_bytes)}'
            f'L{max(x1, x0 + 2):g} {y(peak.used_bytes)}"/>'
        )
    inner = (
        f'<svg class="memory" viewBox="0 0 1000 {high}" width="100%" height="{high}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )
    name = "Process" if device.device < 0 else f"GPU {device.device}"
    title = f"{name} memory"
    if any(one.target != "local" for one in scene.lines):
        title += f", {place_name(device.target)}"
    drawn = _svg(high, "".join(shapes) + inner, f"{title} over the same time")
    head = f'<div></div><h3 style="margin-top:16px">{escape(title)}</h3>'
    return f'{head}<div class="names" style="height:{high}px">{"".join(labels)}</div>{drawn}'


def _round_steps(bottom: float, top: float) -> list[float]:
    """Two to four round numbers between two others."""
    span = top - bottom
    power = 10.0 ** math.floor(math.log10(span / 3))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if span / (m * power) <= 4)
    first = math.ceil(bottom / step - 1e-9)
    return [round(n * step, 6) for n in range(first, int(top / step + 1e-9) + 1)]


# -- legend -----------------------------------------------------------------------------------------


def _legend(scene: Scene) -> str:
    runs = [run for lane in scene.lanes for run in lane.runs]
    entries = []
    for state, word in STATE_WORDS.items():
        count = sum(run.row.state is state for run in runs)
        if count:
            sign = f'<text class="on" x="7" y="11" text-anchor="middle" font-size="10">{_SIGNS[state]}</text>' if state in _SIGNS else ""  # fmt: skip
            entries.append((f'<rect class="{CLASSES[state]}" width="14" height="14" rx="2"/>{sign}', f"{count:,} {word}"))  # fmt: skip
    if any(run.started is not None and run.started - run.submitted > 0.001 for run in runs):
        entries.append(('<rect class="queued" y="6" width="14" height="2"/>', "time in the queue"))
    if any(run.chunks for run in runs):
        entries.append(('<rect class="completed" width="14" height="14" rx="2"/><line class="tick" x1="5" x2="5" y1="3" y2="11"/><line class="tick" x1="9" x2="9" y1="3" y2="11"/>', "stream chunks"))  # fmt: skip
    if any(run.row.n_findings for run in runs):
        entries.append(('<circle class="dot" cx="7" cy="7" r="4"/>', "with findings"))
    if scene.setups:
        entries.append(('<rect class="setup" x=".5" y=".5" width="13" height="13" rx="2"/>', "load or setup"))  # fmt: skip
    if scene.edits:
        entries.append(('<line class="edit" x1="7" x2="7" y1="0" y2="14"/>', "handler edited"))
    kinds = {one.kind for one in scene.lines}
    for kind, name in KINDS.items():
        if kind in kinds:
            entries.append((f'<line class="{kind}" x1="0" x2="14" y1="7" y2="7" stroke-width="2"/>', name))  # fmt: skip
    if scene.peaks:
        entries.append(('<line x1="0" x2="14" y1="7" y2="7" stroke="currentColor" stroke-width="1.6"/>', "a job's own peak"))  # fmt: skip
    if any(s.total_bytes for one in scene.lines for s in one.samples[:1]):
        entries.append(('<line class="vram" x1="0" x2="14" y1="7" y2="7" stroke-dasharray="4 3"/>', "size of the GPU"))  # fmt: skip
    spans = "".join(
        f'<span><svg width="14" height="14" aria-hidden="true">{shape}</svg>{escape(name)}</span>'
        for shape, name in entries
    )
    return f'<div class="legend">{spans}</div>'
