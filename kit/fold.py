"""The state of a job is the fold of its events."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kit.events import (
    REAL_ENDS,
    STATE_OF_END,
    CancelAsked,
    Chunk,
    Ended,
    Event,
    Finding,
    Found,
    JobState,
    JobView,
    Log,
    Progress,
    Queued,
    Started,
    Stuck,
)


@dataclass(slots=True)
class _Folding:
    """The mutable half of ``fold``: what has been collected of the latest attempt."""

    stream: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def fold(events: Iterable[Event]) -> JobView | None:
    """State of one job from its events in order of ``seq``.

    Returns None if there is no QUEUED event. A real end replaces LOST; LOST never replaces a real
    end; nothing after an end reopens the job (a late progress update, say, is ignored, as RunPod's
    platform should).
    """
    view: JobView | None = None
    parts = _Folding()
    seq = 0
    for event in events:
        data, seq = event.data, event.seq
        if isinstance(data, Queued):
            parts = _Folding()
            view = JobView(
                key=event.job_key,
                id=data.job_id,
                handler=data.handler,
                version=data.version,
                target=data.target,
                state=JobState.IN_QUEUE,
                attempt=event.attempt,
                timeout_s=data.timeout_s,
                request=event.payload,
                submitted_at=event.time,
            )
            continue
        if view is None or event.attempt != view.attempt:
            continue
        view = _step(view, parts, event)
    if view is None:
        return None
    return dataclasses.replace(
        view,
        seq=seq,
        stream=tuple(parts.stream),
        progress=tuple(parts.progress),
        logs=tuple(parts.logs),
        findings=tuple(parts.findings),
    )


def _step(view: JobView, parts: _Folding, event: Event) -> JobView:
    data, ended = event.data, view.state.final
    changes: dict[str, Any] = {}
    if isinstance(data, Started):
        if view.state is JobState.IN_QUEUE:
            changes.update(
                state=JobState.IN_PROGRESS,
                started_at=event.time,
                slot=data.slot,
                delay_ms=data.delay_ms,
            )
    elif isinstance(data, Chunk):
        if not ended and event.payload is not None:
            parts.stream.append(event.payload)
    elif isinstance(data, Progress):
        if not ended and event.payload is not None:
            parts.progress.append(event.payload)
    elif isinstance(data, Log):
        parts.logs.append(data)
    elif isinstance(data, Found):
        parts.findings.append(data.finding)
    elif isinstance(data, CancelAsked):
        changes["cancel_asked"] = True
    elif isinstance(data, Stuck):
        changes["stuck"] = data.reason
    elif isinstance(data, Ended):
        if not ended or (view.state is JobState.LOST and event.kind in REAL_ENDS):
            changes.update(
                state=STATE_OF_END[event.kind],
                ended_at=event.time,
                execution_ms=data.execution_ms,
                done=event.payload,
                lost=data.lost,
                error=data.error,
                memory=data.memory,
            )
    # chunks come by the million: no new view for what only adds to a list
    return dataclasses.replace(view, **changes) if changes else view
