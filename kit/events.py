"""What happens to jobs, as frozen values; ``kit.fold`` turns a job's events into its state.

Events are the only thing that comes back from a place where jobs run, and the only thing the
store keeps. An :class:`Event` has typed ``data`` for its kind and, separately, ``payload``: the
JSON text of a request, chunk, progress value or final body, kept as text so that a payload is
encoded once and never again on its way to disk.

Times are UTC seconds since the epoch; durations are measured with a monotonic clock where the job
ran and carried in the data (``delay_ms``, ``execution_ms``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NewType, Union

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
        ``"vram"`` (a GPU, by NVML or torch) or ``"rss"`` (the process that ran it: this one, or on
        target ``process`` the worker with all it started).
    device : int
        GPU index on the machine of the job's target; -1 for RSS.
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
    target : str
        Whose memory it is, as jobs name their target: ``local`` (this kernel and its machine),
        ``process`` (the real workers together) or a pod. GPUs are numbered as they are there.
    """

    time: float
    kind: str
    device: int
    used_bytes: int
    total_bytes: int | None = None
    utilization: float | None = None
    target: str = "local"


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
