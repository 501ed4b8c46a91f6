"""What a figure draws, read from the journal: runs, setups, edits, and the memory beside them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Union

from kit.errors import UsageError
from kit.events import Chunk, JobState
from kit.views.plots.device import Peak, Place
from kit.views.plots.lanes import Run
from kit.views.plots.setup import Setup, setups_of
from kit.views.plots.timeaxis import TimeAxis

if TYPE_CHECKING:
    from kit.events import Sample
    from kit.handler import HandlerVersion
    from kit.rows import JobRow
    from kit.store import Store

#: memory is shown for so long before the first job and after the last one, in seconds
AROUND_S = 1.5
#: chunks of a job, and of all jobs, that are drawn as ticks
MAX_TICKS, MAX_ALL_TICKS = 400, 4000

Moment = Union[float, datetime]


def runs_of(
    store: Store,
    *,
    session: str | None,
    handler: str | None,
    since: Moment | None,
    limit: int | None,
) -> list[Run]:
    """Jobs as bars, in order of submission."""
    rows = store.rows(limit=limit, session=session, handler=handler)
    from_s = seconds(since)
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
    from_s = seconds(since)
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
    """Peaks that are a job's own."""
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


def seconds(moment: Moment | None) -> float | None:
    """UTC seconds of a moment; UsageError for a datetime without a zone."""
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise UsageError("give a datetime with a time zone, such as datetime.now(timezone.utc).")
    return moment.timestamp()
