"""matplotlib figures of jobs and memory, for notebooks, reports and papers.

They follow rcParams; only the colours of states are ours, in a light and a dark tone. Figures are
made without pyplot: nothing is added to its list of open figures, and a figure at the end of a cell
is shown once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.errors import UsageError
from kit.views.plots.device import Line, Peak, draw_memory, lines_of, places_of
from kit.views.plots.drawn import (
    AROUND_S,
    Moment,
    edits_of,
    peaks_of,
    runs_of,
    samples_beside,
    samples_of,
    seconds,
    setups_beside,
)
from kit.views.plots.lanes import draw_lanes, lanes_of
from kit.views.plots.setup import lanes_in
from kit.views.plots.timeaxis import TimeAxis, text_pt

if TYPE_CHECKING:
    from kit.store import Store

__all__ = ["memory", "timeline"]

#: GPUs that get a row each; more share one
MAX_ROWS = 4


class JobFigure(Figure):
    """A figure that shows itself in a notebook whether or not pyplot was ever imported there."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi="figure", bbox_inches="tight")
        return data.getvalue()


def timeline(
    store: Store,
    *,
    session: str | None = None,
    handler: str | None = None,
    since: Moment | None = None,
    limit: int | None = 200,
    ax: Axes | Sequence[Axes] | None = None,
    reason: str | None = None,
) -> Figure:
    """Jobs by worker slot over time, with memory on the same axis.

    Idle time between runs is folded to a narrow break. Model loads (``%%kit_load``) and setups are
    hatched bars on top.

    Parameters
    ----------
    store : Store
    session, handler : str or None
        Keep only these jobs; None for any.
    since : float, datetime or None
        UTC seconds or an aware datetime: jobs submitted from then on; None for all.
    limit : int or None
        The newest so many; None for all.
    ax : Axes, pair of Axes or None
        Draw into these: one for jobs alone, two for jobs and memory. None makes a figure of
        ``rcParams["figure.figsize"]``, higher if there are many slots.
    reason : str or None
        Why there is no VRAM figure, one sentence; shown beside the memory of the process.

    Returns
    -------
    Figure
        The one made, or the one the axes belong to.

    Raises
    ------
    UsageError
        ``ax`` is neither one nor two axes, or ``since`` has no time zone.
    """
    runs = runs_of(store, session=session, handler=handler, since=since, limit=limit)
    setups = setups_beside(store, runs, session=session, since=since, whole=len(runs) != limit)
    if not runs and not setups:
        return _empty(ax, "No jobs yet. Run one: kit.run({...})")
    busy = [(run.submitted, run.end) for run in runs]
    busy += [(one.span.started_at, one.end) for one in setups]
    first, last = min(start for start, _ in busy), max(end for _, end in busy)
    axis = TimeAxis(busy)
    lanes = lanes_of(runs)
    lines: list[Line] = []
    if ax is None or not isinstance(ax, Axes):
        samples = store.samples(since=first - AROUND_S, until=last + AROUND_S, session=session)
        lines = lines_of(samples_beside(samples_of(samples, runs), axis))
    figure, jobs_ax, memory_axes = _axes(ax, len(lanes) + lanes_in(setups), lines)
    edits = edits_of(store, runs, session)
    several = len({run.row.handler for run in runs}) > 1
    for each in (jobs_ax, *memory_axes):
        axis.apply(each, labels=each is (jobs_ax, *memory_axes)[-1])
    draw_lanes(jobs_ax, lanes, axis, edits, several_handlers=several, setups=setups)
    _draw_devices(memory_axes, lines, axis, reason, peaks_of(runs))
    return figure


def memory(
    store: Store,
    *,
    session: str | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    ax: Axes | None = None,
    reason: str | None = None,
) -> Figure:
    """Memory over time: VRAM of each GPU, or where there is none the process's own.

    Parameters
    ----------
    store : Store
    session : str or None
        The session whose memory it is; None for all.
    since, until : float, datetime or None
        UTC seconds or aware datetimes; None for no bound.
    ax : Axes or None
        Draw into this one, several GPUs told apart by their dashes. None makes a figure with a row
        for each GPU.
    reason : str or None
        Why there is no VRAM figure, one sentence.

    Returns
    -------
    Figure

    Raises
    ------
    UsageError
        ``ax`` is not one axes, or a time has no zone.
    """
    if ax is not None and not isinstance(ax, Axes):
        raise UsageError(f"ax must be one Axes, not {type(ax).__name__}.")
    samples = store.samples(since=seconds(since), until=seconds(until), session=session)
    lines = lines_of(samples)
    if not lines:
        return _empty(ax, reason or "No memory was recorded yet. It is, while jobs run.")
    pieces = [piece for line in lines for piece in line.pieces]
    axis = TimeAxis((piece[0].time, piece[-1].time) for piece in pieces)
    if ax is not None:
        figure, axes = _figure_of(ax), [ax]
    else:
        figure = JobFigure(layout="constrained")
        rows = _memory_rows(lines)
        axes = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for each in axes:
        axis.apply(each, labels=each is axes[-1])
    _draw_devices(axes, lines, axis, reason)
    return figure


# -- where it is drawn ------------------------------------------------------------------------------


def _axes(
    ax: Axes | Sequence[Axes] | None, lanes: int, lines: Sequence[Line]
) -> tuple[Figure, Axes, list[Axes]]:
    """The figure, the axes of the jobs, and those of memory."""
    if isinstance(ax, Axes):
        return _figure_of(ax), ax, []
    if ax is not None:
        pair = list(ax)
        if len(pair) != 2 or not all(isinstance(one, Axes) for one in pair):
            raise UsageError("ax takes one Axes (jobs), or two (jobs and memory).")
        return _figure_of(pair[0]), pair[0], [pair[1]]
    figure = JobFigure(layout="constrained")
    rows = _memory_rows(lines)
    # a lane wants two and a half lines of text, and memory as much as three or four lanes
    jobs_share, memory_share = 0.4 + lanes, max(2.5, 4.0 / rows)
    lane_in = 2.5 * text_pt("small") / 72
    wanted = 1.2 + (min(jobs_share, 40.0) + rows * memory_share) * lane_in
    figure.set_figheight(max(figure.get_figheight(), wanted))
    axes = figure.subplots(
        1 + rows, 1, sharex=True, height_ratios=[jobs_share] + [memory_share] * rows
    )
    return figure, axes[0], list(axes[1:])


def _memory_rows(lines: Sequence[Line]) -> int:
    devices = len(places_of(lines))
    return devices if 1 <= devices <= MAX_ROWS else 1


def _draw_devices(
    axes: Sequence[Axes],
    lines: Sequence[Line],
    axis: TimeAxis,
    reason: str | None,
    peaks: Sequence[Peak] = (),
) -> None:
    if len(axes) == 1:
        draw_memory(axes[0], lines, axis, reason=reason, peaks=peaks)
        return
    places = places_of(lines)
    for ax, place in zip(axes, places, strict=True):
        own = [line for line in lines if line.place == place]
        # one legend for all GPUs: their lines are the same. A process says whose it is
        first_gpu = next((other for other in places if other.device >= 0), None)
        heading = place.device < 0 or place == first_gpu
        title = place.title(places)
        draw_memory(ax, own, axis, reason=reason, peaks=peaks, heading=heading, title=title)


def _empty(ax: Axes | Sequence[Axes] | None, sentence: str) -> Figure:
    """Axes that say what to do instead of an empty frame."""
    figure: Figure
    if ax is None:
        figure = JobFigure(layout="constrained")
        chosen = [figure.subplots()]
    else:
        chosen = [ax] if isinstance(ax, Axes) else list(ax)
        figure = _figure_of(chosen[0])
    for i, each in enumerate(chosen):
        each.set_xticks([])
        each.set_yticks([])
        if i == 0:
            each.text(0.5, 0.5, sentence, transform=each.transAxes, ha="center", va="center")
    return figure


def _figure_of(ax: Axes) -> Figure:
    figure: Any = ax.figure
    while not isinstance(figure, Figure):  # a subfigure
        figure = figure.figure
    return figure
