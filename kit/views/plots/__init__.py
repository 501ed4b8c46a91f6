"""matplotlib figures of jobs and memory, for notebooks, reports and papers.

They follow rcParams; only the colours of states are ours, in a light and a dark tone. Figures are
made without pyplot: nothing is added to its list of open figures, and a figure at the end of a cell
is shown once.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Union

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.errors import UsageError
from kit.events import Chunk, JobState
from kit.views.plots.device import Line, Peak, Place, draw_memory, lines_of, places_of
from kit.views.plots.lanes import Run, draw_lanes, lanes_of
from kit.views.plots.setup import Setup, lanes_in, setups_of
from kit.views.plots.timeaxis import TimeAxis, text_pt

if TYPE_CHECKING:
    from kit.events import Sample
    from kit.handler import HandlerVersion
    from kit.rows import JobRow
    from kit.store import Store

__all__ = ["memory", "timeline"]

#: memory is shown for so long before the first job and after the last one, in seconds
AROUND_S = 1.5
#: GPUs that get a row each; more share one
MAX_ROWS = 4
#: chunks of a job, and of all jobs, that are drawn as ticks
MAX_TICKS, MAX_ALL_TICKS = 400, 4000

Moment = Union[float, datetime]


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
    samples = store.samples(since=_seconds(since), until=_seconds(until), session=session)
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


# -- what is drawn ----------------------------------------------------------------------------------


def runs_of(
    store: Store,
    *,
    session: str | None,
    handler: str | None,
    since: Moment | None,
    limit: int | None,
) -> list[Run]:
    rows = store.rows(limit=limit, session=session, handler=handler)
    from_s = _seconds(since)
    rows = [row for row in rows if from_s is None or row.submitted_at >= from_s]
    rows.sort(key=lambda row: row.submitted_at)
    now = time.time()
    lost_at = _last_signs(store, rows)
    ticks = _chunk_times(store, rows)
    runs = []
    for row in rows:
        end = row.ended_at if row.ended_at is not None else now
        start = row.started_at if row.started_at is not None else row.submitted_at
        if row.state is JobState.LOST:
            # it was noticed when another kernel looked, perhaps a day later; it is drawn to the
            # last sign of its own kernel
            end = min(end, max(start, lost_at.get(row.session, start)))
        chunks = tuple(ticks.get(row.key, ()))
        runs.append(Run(row, row.submitted_at, row.started_at, max(end, start), chunks))
    return runs


def setups_beside(
    store: Store,
    runs: Sequence[Run],
    *,
    session: str | None,
    since: Moment | None,
    whole: bool,
) -> list[Setup]:
    """Loads and setups beside the jobs: all of them if all jobs are shown, else the later ones."""
    from_s = _seconds(since)
    if from_s is None and not whole and runs:
        from_s = runs[0].submitted
    spans = store.spans(since=from_s, session=session)
    ends = [run.end for run in runs] + [span.ended_at for span in spans if span.ended_at]
    # one without an end lasts, or its kernel died in it; then it is drawn to what came last
    last = time.time() if session is not None else max(ends, default=time.time())
    return setups_of(spans, last)


def _last_signs(store: Store, rows: Sequence[JobRow]) -> dict[str, float]:
    """When the sessions of lost jobs were last known to live."""
    lost = [row for row in rows if row.state is JobState.LOST]
    signs: dict[str, float] = {}
    for session in {row.session for row in lost}:
        since = min(row.submitted_at for row in lost if row.session == session)
        samples = store.samples(since=since, session=session)
        times = [samples[-1].time] if samples else []
        for row in rows:
            if row.session == session:
                moments = [row.submitted_at, row.started_at]
                if row.state is not JobState.LOST:
                    moments.append(row.ended_at)
                times += [moment for moment in moments if moment is not None]
        signs[session] = max(times)
    return signs


def _chunk_times(store: Store, rows: Sequence[JobRow]) -> dict[str, list[float]]:
    """Times of stream chunks by job key: all of a job's, or none where that would cost too much."""
    found: dict[str, list[float]] = {}
    left = MAX_ALL_TICKS
    for row in reversed(rows):
        if not 0 < row.n_chunks <= min(MAX_TICKS, left):
            continue
        left -= row.n_chunks
        # the store reads forwards by position; a job's chunks lie shortly before its last event
        back = 4 * row.n_chunks + 64
        events = store.after(max(0, row.seq - back), limit=back)
        times = [e.time for e in events if e.job_key == row.key and isinstance(e.data, Chunk)]
        if len(times) == row.n_chunks:
            found[row.key] = times
    return found


def samples_beside(samples: Sequence[Sample], axis: TimeAxis) -> list[Sample]:
    """Samples taken while something ran, or shortly before or after."""
    stretches = axis.stretches
    kept, index = [], 0
    for sample in samples:
        while index < len(stretches) - 1 and sample.time > stretches[index][1] + AROUND_S:
            index += 1
        start, end = stretches[index]
        if start - AROUND_S <= sample.time <= end + AROUND_S:
            kept.append(sample)
    return kept


def peaks_of(runs: Sequence[Run]) -> list[Peak]:
    return [
        Peak(Place(run.row.target, use.device), run.started, run.end, use.peak)
        for run in runs
        for use in run.row.memory
        # what is drawn of worker processes is their sum, and a job's peak that of its own process
        if use.own and run.started is not None and run.row.target != "process"
    ]


def samples_of(samples: Sequence[Sample], runs: Sequence[Run]) -> list[Sample]:
    """Those of this kernel, and of other targets where one of these jobs ran."""
    targets = {"local", *(run.row.target for run in runs)}
    return [sample for sample in samples if sample.target in targets]


def edits_of(store: Store, runs: Sequence[Run], session: str | None) -> list[HandlerVersion]:
    """New versions of the handlers that are shown, after their first, in order of time."""
    shown = {run.row.handler for run in runs}
    known = sorted(store.handlers(session), key=lambda version: version.registered_at)
    return [version for version in known if version.name in shown and version.version > 1]


def _seconds(moment: Moment | None) -> float | None:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise UsageError("give a datetime with a time zone, such as datetime.now(timezone.utc).")
    return moment.timestamp()


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
        # one legend for all GPUs: their lines are the same
        heading = ax is axes[0] or (place.device < 0) != (places[0].device < 0)
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
