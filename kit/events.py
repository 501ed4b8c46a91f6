"""What happens to jobs, as frozen values; ``fold`` turns a job's events into its state.

Events are the only thing that comes back from a place where jobs run, and the only thing the
store keeps. An :class:`Event` has typed ``data`` for its kind and, separately, ``payload``: the
JSON text of a request, chunk, progress value or final body, kept as text so that a payload is
encoded once and never again on its way to disk.

Times are UTC seconds since the epoch; durations are measured with a monotonic clock where the job
ran and carried in the data (``delay_ms``, ``execution_ms``).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NewType, Union

JobKey = NewType("JobKey", str)


class JobState(str, Enum):
    """States as RunPod spells them, and LOST, which is ours."""

    IN_QUEUE = "IN_QUEUE"
    #: taken by a worker slot; the handler is running
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    #: whoever ran it is gone; a real end that arrives later replaces it
    LOST = "LOST"

    __str__ = str.__str__
    __repr__ = str.__repr__

    @property
    def final(self) -> bool:
        """Whether nothing more is expected (LOST counts: it is provisional, but nobody is waiting)."""
        return self not in (JobState.IN_QUEUE, JobState.IN_PROGRESS)


class EventKind(str, Enum):
    """What happened. The values are what the store's ``kind`` column holds."""

    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    CHUNK = "chunk"
    LOG = "log"
    FINDING = "finding"
    #: somebody asked for the job to be cancelled; not an end
    CANCEL_ASKED = "cancel_asked"
    #: the handler could not be stopped and still runs in a retired thread; not an end
    STUCK = "stuck"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    __str__ = str.__str__


#: the four real ends: at most one of them per (job, attempt)
REAL_ENDS = frozenset(
    {EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED, EventKind.TIMED_OUT}
)
ENDS = REAL_ENDS | {EventKind.LOST}

STATE_OF_END = {
    EventKind.COMPLETED: JobState.COMPLETED,
    EventKind.FAILED: JobState.FAILED,
    EventKind.CANCELLED: JobState.CANCELLED,
    EventKind.TIMED_OUT: JobState.TIMED_OUT,
    EventKind.LOST: JobState.LOST,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact about production that a plain local test hides.

    Attributes
    ----------
    code : str
        Stable code such as ``K101``; the list is in the README.
    sentence : str
        What is so, in one sentence.
    place : str
        Where: a cell line (``In [3], line 7``), a JSON path (``$.output.image``) or ``""``.
    remedy : str
        What to do about it, in one sentence.
    """

    code: str
    sentence: str
    place: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a job failed, as text (never the exception object: its frames keep VRAM alive).

    Attributes
    ----------
    type : str
        ``str(type(exc))`` as the SDK writes it, e.g. ``<class 'ValueError'>``; ``""`` if the
        handler returned ``error`` instead of raising.
    message : str
    traceback : str
        Text of the traceback from the first frame in the handler's own code; ``""`` if none.
    """

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory of one device around one job, in bytes.

    Attributes
    ----------
    kind : str
        ``"vram"`` (a GPU, by NVML or torch) or ``"rss"`` (this process).
    device : int
        GPU index; -1 for RSS.
    before, peak, after : int
        Bytes at the start, at most during, and at the end of the run.
    own : bool
        True if the peak is this job's alone (nothing else ran beside it).
    exact : bool
        True if the peak was measured (VmHWM, torch's counter), False if it was sampled.
    """

    kind: str
    device: int
    before: int
    peak: int
    after: int
    own: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class Queued:
    """Data of QUEUED. The event's payload is the request as JSON text (``input`` and its kin)."""

    job_id: str
    handler: str
    version: int
    target: str
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """Data of STARTED: the worker slot (from 0) and the time spent in the queue."""

    slot: int
    delay_ms: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Data of PROGRESS. The payload is the value given to ``progress_update``."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Data of CHUNK: position in the stream, from 0. The payload is the yielded value."""

    index: int


@dataclass(frozen=True, slots=True)
class Log:
    """Data of LOG: what the handler wrote. ``stream`` is ``stdout``, ``stderr`` or ``process``."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """Data of FINDING."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Data of CANCEL_ASKED."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Data of STUCK: what was tried."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Data of every end. The payload is the final body the worker would post, None where it posts none.

    Attributes
    ----------
    execution_ms : float or None
        None if the job never started.
    error : ErrorInfo or None
    lost : str or None
        Why the real worker would post nothing; None if it posts the payload.
    memory : tuple of MemoryUse
        Empty if nothing was measured.
    """

    execution_ms: float | None = None
    error: ErrorInfo | None = None
    lost: str | None = None
    memory: tuple[MemoryUse, ...] = ()


Data = Union[Queued, Started, Progress, Chunk, Log, Found, CancelAsked, Stuck, Ended]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one attempt of one job.

    Attributes
    ----------
    job_key : JobKey
        The store's key (RunPod ids may repeat).
    attempt : int
        From 1; a retry is the next attempt of the same job.
    kind : EventKind
    time : float
        UTC seconds.
    data : Data
        Typed by ``kind``.
    payload : str or None
        JSON text, see the data classes.
    seq : int
        Position in the store, from 1; 0 until it is stored.
    """

    job_key: JobKey
    attempt: int
    kind: EventKind
    time: float
    data: Data
    payload: str | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One memory reading.

    Attributes
    ----------
    time : float
        UTC seconds.
    kind : str
        ``"vram"`` (device used, NVML), ``"torch_allocated"``, ``"torch_reserved"`` or ``"rss"``.
    device : int
        GPU index; -1 for RSS.
    used_bytes : int
    total_bytes : int or None
        The device's size; None where it has no meaning.
    utilization : float or None
        0..1 of the device over the last interval; None if not known.
    """

    time: float
    kind: str
    device: int
    used_bytes: int
    total_bytes: int | None = None
    utilization: float | None = None


@dataclass(frozen=True, slots=True)
class JobView:
    """Everything known of a job: ``fold`` of its events.

    Payloads are JSON text. ``attempt`` is the latest; stream, progress, logs, findings and the end
    are those of that attempt.
    """

    key: JobKey
    id: str
    handler: str
    version: int
    target: str
    state: JobState
    attempt: int
    timeout_s: float | None
    request: str | None
    submitted_at: float
    started_at: float | None = None
    ended_at: float | None = None
    slot: int | None = None
    delay_ms: float | None = None
    execution_ms: float | None = None
    done: str | None = None
    lost: str | None = None
    error: ErrorInfo | None = None
    stream: tuple[str, ...] = ()
    progress: tuple[str, ...] = ()
    logs: tuple[Log, ...] = ()
    findings: tuple[Finding, ...] = ()
    memory: tuple[MemoryUse, ...] = ()
    cancel_asked: bool = False
    stuck: str | None = None
    seq: int = 0


_TYPES: dict[EventKind, type[Any]] = {
    EventKind.QUEUED: Queued,
    EventKind.STARTED: Started,
    EventKind.PROGRESS: Progress,
    EventKind.CHUNK: Chunk,
    EventKind.LOG: Log,
    EventKind.FINDING: Found,
    EventKind.CANCEL_ASKED: CancelAsked,
    EventKind.STUCK: Stuck,
    **{kind: Ended for kind in ENDS},
}
_FIELDS = {t: tuple(f.name for f in dataclasses.fields(t)) for t in set(_TYPES.values())}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_loads = json.loads
_BOOL = {True: "true", False: "false"}


def encode(data: Data) -> str:
    """JSON text of an event's data. ``decode(kind, encode(data)) == data``."""
    # by hand for the three kinds every job has: dataclasses.asdict costs 20 times as much
    if type(data) is Started:
        return f'{{"slot":{data.slot},"delay_ms":{data.delay_ms!r}}}'
    if type(data) is Ended and data.error is None and data.lost is None:
        took = "null" if data.execution_ms is None else repr(data.execution_ms)
        if not data.memory:
            return f'{{"execution_ms":{took}}}'
        uses = ",".join(
            f'{{"kind":"{m.kind}","device":{m.device},"before":{m.before},"peak":{m.peak},'
            f'"after":{m.after},"own":{_BOOL[m.own]},"exact":{_BOOL[m.exact]}}}'
            for m in data.memory
        )
        return f'{{"execution_ms":{took},"memory":[{uses}]}}'
    if type(data) is Queued:
        return _dumps(
            {
                "job_id": data.job_id,
                "handler": data.handler,
                "version": data.version,
                "target": data.target,
                "timeout_s": data.timeout_s,
            }
        )
    return _dumps(dataclasses.asdict(data))


def decode(kind: EventKind, text: str) -> Data:
    """Data of an event from its JSON text.

    Unknown keys are ignored, so that an older kit can read a newer journal.
    """
    cls = _TYPES[kind]
    raw = _loads(text)
    known = {name: raw[name] for name in _FIELDS[cls] if name in raw}
    if cls is Found:
        known["finding"] = Finding(**known["finding"])
    elif cls is Ended:
        if known.get("error") is not None:
            known["error"] = ErrorInfo(**known["error"])
        known["memory"] = tuple(MemoryUse(**m) for m in known.get("memory", ()))
    data: Data = cls(**known)
    return data


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
