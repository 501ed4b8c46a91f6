"""The journal as tables: one pandas row per job, event or memory sample, typed, times in UTC.

Missing values are ``<NA>``/``NaT``, never 0. Memory is in MiB, durations in milliseconds. The types
are the same under pandas 2 and 3: ``string``, ``category``, ``Int64``, ``Float64``, ``boolean`` and
``datetime64[us, UTC]``.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from kit.events import (
    Chunk,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Found,
    JobKey,
    JobState,
    Log,
    MemoryUse,
    Queued,
    Started,
    Stuck,
)
from kit.job import reason_of

if TYPE_CHECKING:
    from kit.podinfo import PodInfo
    from kit.rows import JobRow
    from kit.store import Store

MIB = 2**20
MEMORY_KINDS = ("vram", "rss")
#: as RunPod's contract spells them; others are added as they come
POD_STATES = ("PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR", "TERMINATED")
#: in the column ``kind`` of events; a span may bring another word
EVENT_KINDS = (*(kind.value for kind in EventKind), "load", "setup")
SAMPLE_KINDS = ("vram", "torch_allocated", "torch_reserved", "rss")


def jobs_frame(
    store: Store,
    *,
    limit: int | None = None,
    session: str | None = None,
    handler: str | None = None,
    version: int | None = None,
    state: JobState | str | Collection[JobState] | None = None,
    target: str | None = None,
    keys: Sequence[JobKey] | None = None,
) -> pd.DataFrame:
    """Jobs as a table, newest first.

    Parameters
    ----------
    store : Store
    limit : int or None
        At most so many; None for all.
    session, handler, version, state, target
        Keep only these; None for any.
    keys : sequence of JobKey or None
        Just these jobs, in this order.

    Returns
    -------
    pandas.DataFrame
        ``id`` string; ``handler``, ``target``, ``state`` category; ``version`` Int64;
        ``submitted_at``, ``started_at``, ``ended_at`` datetime64[us, UTC]; ``delay_time_ms``,
        ``execution_time_ms`` Float64; ``memory_kind`` category (vram or rss);
        ``memory_before_mib``, ``memory_peak_mib``, ``memory_after_mib`` Float64, the sum over
        devices; ``memory_own`` boolean; ``input``, ``output`` Python values, None if there is none;
        ``error`` string; ``findings`` Int64, how many.
    """
    rows = store.rows(
        limit=limit,
        session=session,
        handler=handler,
        version=version,
        state=None if state is None else _states(state),
        target=target,
        keys=keys,
        payloads=True,
    )
    if keys is not None:
        place = {key: i for i, key in enumerate(keys)}
        rows.sort(key=lambda row: place[row.key])
    memory = [_total(row.memory) for row in rows]
    frame: pd.DataFrame = pd.DataFrame(
        {
            "id": _text(row.id for row in rows),
            "handler": _category(row.handler for row in rows),
            "version": _whole(row.version for row in rows),
            "target": _category(row.target for row in rows),
            "state": _category((row.state.value for row in rows), [s.value for s in JobState]),
            "submitted_at": _times(row.submitted_at for row in rows),
            "started_at": _times(row.started_at for row in rows),
            "ended_at": _times(row.ended_at for row in rows),
            "delay_time_ms": _real(row.delay_ms for row in rows),
            "execution_time_ms": _real(row.execution_ms for row in rows),
            "memory_kind": _category((use.kind if use else None for use in memory), MEMORY_KINDS),
            "memory_before_mib": _real(use.before / MIB if use else None for use in memory),
            "memory_peak_mib": _real(use.peak / MIB if use else None for use in memory),
            "memory_after_mib": _real(use.after / MIB if use else None for use in memory),
            "memory_own": _truth(use.own if use else None for use in memory),
            "input": _objects(_member(row.request, "input") for row in rows),
            "output": _objects(_member(row.done, "output") for row in rows),
            "error": _text(_error(row) for row in rows),
            "findings": _whole(row.n_findings for row in rows),
        }
    )
    return frame


def events_frame(
    store: Store, *, limit: int | None = None, session: str | None = None
) -> pd.DataFrame:
    """Events as a table, in the order they were stored.

    Parameters
    ----------
    store : Store
    limit : int or None
        The last so many; None for all.
    session : str or None
        Those of this session's jobs; None for all.

    Model loads and setups stand among them by their start: ``kind`` is ``load`` or ``setup``, ``seq``
    and ``attempt`` are <NA>, ``execution_time_ms`` is how long it took, and ``text`` what it was.

    Returns
    -------
    pandas.DataFrame
        ``seq`` Int64; ``time`` datetime64[us, UTC]; ``key`` string, the store's key of the job;
        ``attempt`` Int64; ``kind`` category; ``slot``, ``chunk`` Int64; ``delay_time_ms``,
        ``execution_time_ms`` Float64; ``text`` string: what was printed, the finding's sentence,
        the error's message, or why a job is stuck or lost; ``payload`` string: JSON text.
    """
    events = store.after(0, session=session) if limit is None else _last(store, limit, session)
    since = events[0].time if limit is not None and len(events) == limit and events else None
    lines = [_line_of(event) for event in events]
    for span in store.spans(since=since, session=session):
        took = None if span.ended_at is None else (span.ended_at - span.started_at) * 1e3
        said = ": ".join(part for part in (span.label, "; ".join(span.detail.split("\n"))) if part)
        line = _Line(None, span.started_at, span.key, None, span.kind, said, took_ms=took)
        # events are in the order of the journal, which is that of time within a hair
        lines.insert(bisect_right(lines, span.started_at, key=lambda one: one.time), line)
    if limit is not None:
        lines = lines[len(lines) - limit :] if limit > 0 else []
    kinds = list(dict.fromkeys([*EVENT_KINDS, *(line.kind for line in lines)]))
    frame: pd.DataFrame = pd.DataFrame(
        {
            "seq": _whole(line.seq for line in lines),
            "time": _times(line.time for line in lines),
            "key": _text(line.key for line in lines),
            "attempt": _whole(line.attempt for line in lines),
            "kind": _category((line.kind for line in lines), kinds),
            "slot": _whole(line.slot for line in lines),
            "chunk": _whole(line.chunk for line in lines),
            "delay_time_ms": _real(line.delay_ms for line in lines),
            "execution_time_ms": _real(line.took_ms for line in lines),
            "text": _text(line.text for line in lines),
            "payload": _text(line.payload for line in lines),
        }
    )
    return frame


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the table of events."""

    seq: int | None
    time: float
    key: str
    attempt: int | None
    kind: str
    text: str | None
    payload: str | None = None
    slot: int | None = None
    chunk: int | None = None
    delay_ms: float | None = None
    took_ms: float | None = None


def _line_of(event: Event) -> _Line:
    data = event.data
    return _Line(
        event.seq,
        event.time,
        event.job_key,
        event.attempt,
        event.kind.value,
        _said(event),
        event.payload,
        slot=data.slot if isinstance(data, Started) else None,
        chunk=data.index if isinstance(data, Chunk) else None,
        delay_ms=data.delay_ms if isinstance(data, Started) else None,
        took_ms=data.execution_ms if isinstance(data, Ended) else None,
    )


def samples_frame(
    store: Store,
    *,
    since: float | None = None,
    until: float | None = None,
    session: str | None = None,
) -> pd.DataFrame:
    """Memory samples as a table, in order of time.

    Parameters
    ----------
    store : Store
    since, until : float or None
        UTC seconds; None for no bound.
    session : str or None
        Those of this session; None for all.

    Returns
    -------
    pandas.DataFrame
        ``time`` datetime64[us, UTC]; ``kind`` category: ``vram`` (the whole device, by NVML),
        ``torch_allocated``, ``torch_reserved`` or ``rss`` (the process that runs the jobs); ``target``
        category as in ``kit.jobs()``: whose memory it is; ``device`` Int64 as it is numbered there,
        <NA> for rss; ``used_mib``, ``total_mib`` Float64; ``utilization`` Float64, 0 to 1.
    """
    samples = store.samples(since=since, until=until, session=session)
    frame: pd.DataFrame = pd.DataFrame(
        {
            "time": _times(sample.time for sample in samples),
            "kind": _category((sample.kind for sample in samples), SAMPLE_KINDS),
            "target": _category(sample.target for sample in samples),
            "device": _whole(s.device if s.device >= 0 else None for s in samples),
            "used_mib": _real(sample.used_bytes / MIB for sample in samples),
            "total_mib": _real(s.total_bytes and s.total_bytes / MIB for s in samples),
            "utilization": _real(sample.utilization for sample in samples),
        }
    )
    return frame


def _states(state: JobState | str | Collection[JobState]) -> Collection[JobState]:
    return [JobState(state)] if isinstance(state, str) else [JobState(one) for one in state]


def pods_frame(pods: Sequence[PodInfo], jupyter: Sequence[str | None]) -> pd.DataFrame:
    """Pods as a table, in the order given.

    Parameters
    ----------
    pods : sequence of PodInfo
    jupyter : sequence of str or None
        For each, what its Jupyter server said; None if it was not asked.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``name``, ``gpu`` (missing for a CPU pod), ``jupyter`` string; ``gpu_count`` Int64;
        ``state`` category; ``cost_per_hour_usd`` Float64.
    """
    frame: pd.DataFrame = pd.DataFrame(
        {
            "id": _text(pod.id for pod in pods),
            "name": _text(pod.name for pod in pods),
            "gpu": _text(pod.gpu for pod in pods),
            "gpu_count": _whole(pod.gpu_count for pod in pods),
            "state": _category((pod.status for pod in pods), POD_STATES),
            "cost_per_hour_usd": _real(pod.cost_per_hour_usd for pod in pods),
            "jupyter": _text(jupyter),
        }
    )
    return frame


def _total(memory: tuple[MemoryUse, ...]) -> MemoryUse | None:
    """One use over all devices of the first one's kind; None if nothing was measured."""
    uses = [use for use in memory if use.kind == memory[0].kind]
    if len(uses) < 2:
        return uses[0] if uses else None
    return MemoryUse(
        kind=uses[0].kind,
        device=-1,
        before=sum(use.before for use in uses),
        peak=sum(use.peak for use in uses),
        after=sum(use.after for use in uses),
        own=all(use.own for use in uses),
        exact=all(use.exact for use in uses),
    )


def _member(text: str | None, name: str) -> Any:
    value = None if text is None else json.loads(text)
    return value.get(name) if isinstance(value, dict) else None


def _error(row: JobRow) -> str | None:
    message = row.error_message if row.error_message is not None else row.lost
    if message is None or (message and message[0] not in "'\"0123456789("):
        return message
    # str() of a KeyError is the key alone, and of some there is nothing: the type says what it is
    try:
        kind = json.loads(json.loads(row.done or "")["error"])["error_type"]
    except (ValueError, KeyError, TypeError):  # not one that was raised
        return message
    return reason_of(ErrorInfo(str(kind), message))


def _said(event: Event) -> str | None:
    data = event.data
    if isinstance(data, Log):
        return data.text
    if isinstance(data, Found):
        return f"{data.finding.code} {data.finding.sentence}"
    if isinstance(data, Stuck):
        return data.reason
    if isinstance(data, Queued):
        return f"{data.handler} v{data.version} on {data.target}"
    if isinstance(data, Ended):
        return data.error.message if data.error is not None else data.lost
    return None


def _last(store: Store, limit: int, session: str | None) -> list[Event]:
    """The newest events. The store reads forwards only, so this steps back until there are enough."""
    newest = max((row.seq for row in store.rows(limit=64, session=session)), default=0)
    back = 2 * max(limit, 0)
    while True:
        start = max(0, newest - back)
        events = store.after(start, session=session)
        if len(events) >= limit or start == 0:
            return (
                events[len(events) - limit :]
                if 0 < limit < len(events)
                else events[: max(limit, 0)]
            )
        back *= 4


# -- typed columns: the same under pandas 2 and 3 ---------------------------------------------------


def _text(values: Iterable[str | None]) -> Any:
    return pd.array(list(values), dtype="string")


def _whole(values: Iterable[int | None]) -> Any:
    return pd.array(list(values), dtype="Int64")


def _real(values: Iterable[float | None]) -> Any:
    return pd.array(list(values), dtype="Float64")


def _category(values: Iterable[str | None], known: Sequence[str] | None = None) -> Any:
    return pd.Categorical(list(values), categories=known)


def _truth(values: Iterable[bool | None]) -> Any:
    return pd.array(list(values), dtype="boolean")


def _objects(values: Iterable[Any]) -> Any:
    """Python values as they are: a list in a cell stays a list."""
    return pd.Series(list(values), dtype=object)


def _times(values: Iterable[float | None]) -> Any:
    # as whole microseconds, which is what seconds in a float hold; to_datetime would give another
    # unit under pandas 2 than under 3
    ticks = [_NOT_A_TIME if value is None else round(value * 1e6) for value in values]
    return pd.Series(ticks, dtype="int64").astype("datetime64[us]").dt.tz_localize("UTC")


#: the number that pandas and numpy read as NaT
_NOT_A_TIME = -(2**63)
