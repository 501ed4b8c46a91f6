"""Jobs as lanes: one per worker slot, a bar for each run, a thin line for its wait in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matplotlib import rcParams
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from kit.events import JobState
from kit.views.plots.legend import legend_above
from kit.views.plots.look import SIGNS, WORDS, Look, duration
from kit.views.plots.setup import Setup, draw_setups, lanes_in
from kit.views.plots.timeaxis import TimeAxis, width_pt
from kit.views.words import percentile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kit.handler import HandlerVersion
    from kit.rows import JobRow

#: a lane is 1 high: the bar, and below it the line of the wait
BAR_TOP, BAR_BOTTOM, WAIT_AT = 0.86, 0.30, 0.14
#: a bar is at least so wide, in points
MIN_BAR_PT = 1.6
#: a sign goes into a bar that is at least so wide, else above it
SIGN_PT = 8.0
#: lanes that can carry a label each
MAX_LABELS = 24


@dataclass(frozen=True, slots=True)
class Run:
    """One job's times as they are drawn, in UTC seconds."""

    row: JobRow
    submitted: float
    started: float | None
    end: float
    chunks: tuple[float, ...] = ()


@dataclass(slots=True)
class Lane:
    """A worker slot of one session; ``slot`` is None for what never reached one."""

    session: str
    slot: int | None
    runs: list[Run] = field(default_factory=list)

    def name(self, *, several_sessions: bool) -> str:
        if self.slot is None:
            return "queue"
        name = f"slot {self.slot + 1}"
        return f"{self.session[:5]} {name}" if several_sessions else name


def lanes_of(runs: Sequence[Run]) -> list[Lane]:
    """Lanes from the top down: sessions in the order they began, their slots, at last the queue."""
    lanes: dict[tuple[str, int | None], Lane] = {}
    order: dict[str, int] = {}
    for run in runs:
        slot = None if run.started is None else run.row.slot
        session = "" if slot is None else run.row.session
        order.setdefault(session, len(order))
        lanes.setdefault((session, slot), Lane(session, slot)).runs.append(run)
    return sorted(
        lanes.values(),
        key=lambda lane: (lane.slot is None, order[lane.session], lane.slot or 0),
    )


def draw_lanes(
    ax: Axes,
    lanes: Sequence[Lane],
    axis: TimeAxis,
    edits: Sequence[HandlerVersion],
    *,
    several_handlers: bool,
    setups: Sequence[Setup] = (),
) -> None:
    """Draw jobs into an axes: bars, waits, signs, findings, edits, and the legend that explains them.

    Model loads and setups (``setups``) stand in lanes of their own on top.
    """
    look = Look.of(ax)
    count = len(lanes)
    above = lanes_in(setups)
    # below the lanes there is room for the names of versions
    ax.set_ylim(-0.4 if edits else 0, count + above + 0.1)
    sessions = len({lane.session for lane in lanes if lane.slot is not None})
    stride = max(1, -(-count // MAX_LABELS))
    names = [lane.name(several_sessions=sessions > 1) for lane in lanes[::stride]]
    ax.set_yticks(
        [count + above - 0.42] * bool(above) + [count - i - 0.42 for i in range(0, count, stride)],
        ["setup"] * bool(above) + names,
    )
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    per_point = axis.end / width_pt(ax)
    bars = _Bars(axis, look, per_point)
    for i, lane in enumerate(lanes):
        for run in lane.runs:
            bars.add(run, count - i - 1)
    bars.draw(ax)
    hatched = draw_setups(ax, setups, axis, count + above) if setups else None
    edited = _draw_edits(ax, edits, axis, several_handlers=several_handlers)
    # the legend lies between the axes and its title
    pad = rcParams["axes.titlepad"] + _legend(ax, look, bars, hatched, edited=edited)
    ax.set_title(summary_of(lanes), loc="left", fontsize="medium", pad=pad)


class _Bars:
    """Collects shapes by how they look, so that thousands of jobs are a handful of artists."""

    def __init__(self, axis: TimeAxis, look: Look, per_point: float) -> None:
        self._axis, self._look, self._per_point = axis, look, per_point
        self.by_state: dict[JobState, list[list[tuple[float, float]]]] = {}
        self.waits: list[list[tuple[float, float]]] = []
        self.queued = 0
        self._ticks: list[list[tuple[float, float]]] = []
        self._signs: list[tuple[float, float, str, JobState, bool]] = []
        self.findings: list[tuple[float, float]] = []

    def add(self, run: Run, y: float) -> None:
        state = run.row.state
        x_submitted, x_end = self._axis.x(run.submitted), self._axis.x(run.end)
        if run.started is None:
            self._add_waiting(run, x_submitted, x_end, y)
            return
        x0 = self._axis.x(run.started)
        # narrower than this it could not be seen
        x1 = max(x_end, x0 + MIN_BAR_PT * self._per_point)
        if x0 - x_submitted > 0.75 * self._per_point:
            self.waits.append([(x_submitted, y + WAIT_AT), (x0, y + WAIT_AT)])
        self.by_state.setdefault(state, []).append(self._outline(state, x0, x1, y))
        for at in run.chunks:
            x = self._axis.x(at)
            if x0 < x < x1:
                self._ticks.append([(x, y + BAR_BOTTOM + 0.1), (x, y + BAR_TOP - 0.1)])
        if state in SIGNS:
            inside = (x1 - x0) / self._per_point >= SIGN_PT
            middle = (BAR_TOP + BAR_BOTTOM) / 2
            at_y = y + (middle if inside else BAR_TOP)
            self._signs.append(((x0 + x1) / 2, at_y, SIGNS[state], state, inside))
        if run.row.n_findings:
            self.findings.append((x1, y + BAR_TOP))

    def _add_waiting(self, run: Run, x0: float, x1: float, y: float) -> None:
        state, at = run.row.state, y + (BAR_TOP + BAR_BOTTOM) / 2
        line = [(x0, at), (max(x1, x0 + MIN_BAR_PT * self._per_point), at)]
        if state is JobState.IN_QUEUE:
            self.queued += 1
            self.waits.append(line)
            return
        # it ended without having run: a low bar
        top, bottom = at + 0.12, at - 0.12
        (a, _), (b, _) = line
        self.by_state.setdefault(state, []).append([(a, bottom), (a, top), (b, top), (b, bottom)])
        if state in SIGNS:
            self._signs.append((b, top, SIGNS[state], state, False))

    def _outline(
        self, state: JobState, x0: float, x1: float, y: float
    ) -> list[tuple[float, float]]:
        bottom, top = y + BAR_BOTTOM, y + BAR_TOP
        if state is not JobState.IN_PROGRESS:
            return [(x0, bottom), (x0, top), (x1, top), (x1, bottom)]
        # a notch at the right end: still running
        notch = min(3.5 * self._per_point, (x1 - x0) / 2)
        return [
            (x0, bottom),
            (x0, top),
            (x1, top),
            (x1 - notch, (bottom + top) / 2),
            (x1, bottom),
        ]

    def draw(self, ax: Axes) -> None:
        look = self._look
        ax.add_collection(
            LineCollection(
                self.waits,
                colors=look.states[JobState.IN_QUEUE],
                linewidths=2.0,
                capstyle="butt",
                zorder=2,
            ),
            autolim=False,
        )
        for state, outlines in self.by_state.items():
            # what went wrong is never hidden by what did not
            filled = {**face(look, state), "zorder": 3 + 0.05 * list(WORDS).index(state)}
            # around a narrow bar the hair of surface would be all there is to see
            bare = filled if state is JobState.LOST else {**filled, "edgecolor": "none"}
            widths = [outline[2][0] - outline[0][0] for outline in outlines]
            limit = 5 * self._per_point
            for how, narrow in ((filled, False), (bare, True)):
                chosen = [
                    outline
                    for outline, width in zip(outlines, widths, strict=True)
                    if (width < limit) is narrow
                ]
                ax.add_collection(PolyCollection(chosen, **how), autolim=False)
        ax.add_collection(
            LineCollection(self._ticks, colors=look.on_bar, linewidths=0.7, alpha=0.6, zorder=3.6),
            autolim=False,
        )
        for x, y, sign, state, inside in self._signs:
            ax.text(
                x,
                y,
                sign,
                color=look.on_bar if inside else look.states[state],
                ha="center",
                va="center_baseline" if inside else "bottom",
                fontsize="small",
                fontweight="bold",
                zorder=4,
                clip_on=True,
            )
        if self.findings:
            # a little to the left of the end, so that it sits on its own bar
            shift = ScaledTranslation(-2.5 / 72, 0, ax.figure.dpi_scale_trans)
            ax.plot(
                *zip(*self.findings, strict=True),
                transform=ax.transData + shift,
                **_dot(look),
                zorder=4.5,
                clip_on=False,
            )


def face(look: Look, state: JobState) -> dict[str, Any]:
    """How a bar of this state is filled."""
    colour = look.states[state]
    if state is JobState.LOST:
        return {"facecolor": look.surface, "edgecolor": colour, "hatch": "//////", "linewidth": 0.8}
    # a hair of the surface keeps neighbours apart
    return {"facecolor": colour, "edgecolor": look.surface, "linewidth": 0.5}


def _dot(look: Look) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "marker": "o",
        "markersize": 5,
        "markerfacecolor": look.finding,
        "markeredgecolor": look.surface,
        "markeredgewidth": 0.9,
    }


def _draw_edits(
    ax: Axes, edits: Sequence[HandlerVersion], axis: TimeAxis, *, several_handlers: bool
) -> bool:
    """Dotted lines where a handler was registered anew; True if there is one."""
    drawn, free = False, float("-inf")
    for edit in edits:
        x = axis.x(edit.registered_at)
        if not 0 <= x <= axis.end:
            continue
        drawn = True
        ax.axvline(x, **_dotted(ax), zorder=1)
        name = f"{edit.name} v{edit.version}" if several_handlers else f"v{edit.version}"
        if x < free:  # the line says enough where labels would lie on each other
            continue
        free = x + (len(name) + 2) * 0.55 * 8 * axis.end / width_pt(ax)
        ax.annotate(
            name,
            (x, 0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(2, 1.5),
            textcoords="offset points",
            fontsize="x-small",
            color=ax.xaxis.label.get_color(),
            zorder=4,
        )
    return drawn


def _dotted(ax: Axes) -> dict[str, Any]:
    return {"color": ax.xaxis.label.get_color(), "linestyle": ":", "linewidth": 1.1}


def _legend(
    ax: Axes, look: Look, bars: _Bars, hatched: dict[str, Any] | None, *, edited: bool
) -> float:
    """Explain what is there, and only that, with how often; returns its height in points."""
    handles: list[Any] = []
    names: list[str] = []
    for state, word in WORDS.items():
        if state not in bars.by_state:
            continue
        patch: Any = Patch(**face(look, state))
        if state in SIGNS:
            sign = Line2D([], [], linestyle="none", marker=f"${SIGNS[state]}$", markersize=4.5)
            sign.set_color(look.on_bar)
            patch = (patch, sign)
        handles.append(patch)
        names.append(f"{len(bars.by_state[state]):,} {word}")
    if bars.waits or bars.queued:
        handles.append(Line2D([], [], color=look.states[JobState.IN_QUEUE], linewidth=2.0))
        names.append(f"{bars.queued:,} queued" if bars.queued else "time in the queue")
    if bars.findings:
        handles.append(Line2D([], [], **_dot(look)))
        names.append("with findings")
    if hatched is not None:
        handles.append(Patch(**hatched))
        names.append("load or setup")
    if edited:
        handles.append(Line2D([], [], **_dotted(ax)))
        names.append("handler edited")
    return legend_above(ax, handles, names)


def summary_of(lanes: Sequence[Lane]) -> str:
    """How many jobs of what, and how long they took."""
    rows = [run.row for lane in lanes for run in lane.runs]
    if not rows:
        return "no jobs yet"
    handlers = {row.handler for row in rows}
    of = next(iter(handlers)) if len(handlers) == 1 else f"{len(handlers)} handlers"
    parts = [f"{len(rows):,} job{'s' if len(rows) > 1 else ''} of {of}"]
    took = [
        row.execution_ms
        for row in rows
        if row.execution_ms is not None and row.state is JobState.COMPLETED
    ]
    if took:
        parts.append(f"p50 {duration(percentile(took, 0.5) or 0.0)}")
    if len(took) >= 20:
        parts.append(f"p95 {duration(percentile(took, 0.95) or 0.0)}")
    return ", ".join(parts)
