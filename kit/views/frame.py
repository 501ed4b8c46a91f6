"""The journal as tables: one pandas row per job, event or memory sample, typed, times in UTC.

Missing values are ``<NA>``/``NaT``, never 0. Memory is in MiB, durations in milliseconds. The types
are the same under pandas 2 and 3: ``string``, ``category``, ``Int64``, ``Float64``, ``boolean`` and
``datetime64[us, UTC]``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from kit.events import ErrorInfo, JobKey, JobState, MemoryUse
from kit.job import reason_of
from kit.views import columns

if TYPE_CHECKING:
    from kit.podinfo import PodInfo
    from kit.rows import JobRow
    from kit.store import Store

MIB = 2**20
MEMORY_KINDS = ("vram", "rss")
#: as RunPod's contract spells them; others are added as they come
POD_STATES = ("PROVISIONING", "STARTING", "RUNNING", "EXITED", "ERROR", "TERMINATED")
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
            "id": columns.text(row.id for row in rows),
            "handler": columns.category(row.handler for row in rows),
            "version": columns.whole(row.version for row in rows),
            "target": columns.category(row.target for row in rows),
            "state": columns.category(
                (row.state.value for row in rows), [s.value for s in JobState]
            ),
            "submitted_at": columns.times(row.submitted_at for row in rows),
            "started_at": columns.times(row.started_at for row in rows),
            "ended_at": columns.times(row.ended_at for row in rows),
            "delay_time_ms": columns.real(row.delay_ms for row in rows),
            "execution_time_ms": columns.real(row.execution_ms for row in rows),
            "memory_kind": columns.category(
                (use.kind if use else None for use in memory), MEMORY_KINDS
            ),
            "memory_before_mib": columns.real(use.before / MIB if use else None for use in memory),
            "memory_peak_mib": columns.real(use.peak / MIB if use else None for use in memory),
            "memory_after_mib": columns.real(use.after / MIB if use else None for use in memory),
            "memory_own": columns.truth(use.own if use else None for use in memory),
            "input": columns.objects(_member(row.request, "input") for row in rows),
            "output": columns.objects(_member(row.done, "output") for row in rows),
            "error": columns.text(_error(row) for row in rows),
            "findings": columns.whole(row.n_findings for row in rows),
        }
    )
    return frame


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
            "time": columns.times(sample.time for sample in samples),
            "kind": columns.category((sample.kind for sample in samples), SAMPLE_KINDS),
            "target": columns.category(sample.target for sample in samples),
            "device": columns.whole(s.device if s.device >= 0 else None for s in samples),
            "used_mib": columns.real(sample.used_bytes / MIB for sample in samples),
            "total_mib": columns.real(s.total_bytes and s.total_bytes / MIB for s in samples),
            "utilization": columns.real(sample.utilization for sample in samples),
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
            "id": columns.text(pod.id for pod in pods),
            "name": columns.text(pod.name for pod in pods),
            "gpu": columns.text(pod.gpu for pod in pods),
            "gpu_count": columns.whole(pod.gpu_count for pod in pods),
            "state": columns.category((pod.status for pod in pods), POD_STATES),
            "cost_per_hour_usd": columns.real(pod.cost_per_hour_usd for pod in pods),
            "jupyter": columns.text(jupyter),
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
