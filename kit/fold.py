"""The state of a job is the fold of its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

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
    """What has been collected of one attempt; a view of it is made once, at the end."""

    begin: Event
    queued: Queued
    state: JobState = JobState.IN_QUEUE
    started_at: float | None = None
    slot: int | None = None
    delay_ms: float | None = None
    ended_at: float | None = None
    end: Ended | None = None
    done: str | None = None
    cancel_asked: bool = False
    stuck: str | None = None
    stream: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """One event after the QUEUED one of this attempt."""
        data, lost = event.data, self.state is JobState.LOST
        # a job that was given up may go on where nobody could see it, and be heard of again
        ended = self.state.final and not lost
        if isinstance(data, Started):
            if self.state is JobState.IN_QUEUE or (lost and self.started_at is None):
                if not lost:
                    self.state = JobState.IN_PROGRESS
                self.started_at, self.slot, self.delay_ms = event.time, data.slot, data.delay_ms
        elif isinstance(data, Ended):
            if not ended and not (lost and event.kind not in REAL_ENDS):
                self.state = STATE_OF_END[event.kind]
                self.ended_at, self.end, self.done = event.time, data, event.payload
        elif isinstance(data, (Chunk, Progress)):
            if not ended and event.payload is not None:
                (self.stream if isinstance(data, Chunk) else self.progress).append(event.payload)
        elif isinstance(data, Log):
            self.logs.append(data)
        elif isinstance(data, Found):
            self.findings.append(data.finding)
        elif isinstance(data, CancelAsked):
            self.cancel_asked = True
        elif isinstance(data, Stuck):
            self.stuck = data.reason

    def view(self, seq: int) -> JobView:
        end, queued = self.end or Ended(), self.queued
        return JobView(
            key=self.begin.job_key,
            id=queued.job_id,
            handler=queued.handler,
            version=queued.version,
            target=queued.target,
            state=self.state,
            attempt=self.begin.attempt,
            timeout_s=queued.timeout_s,
            request=self.begin.payload,
            submitted_at=self.begin.time,
            started_at=self.started_at,
            ended_at=self.ended_at,
            slot=self.slot,
            delay_ms=self.delay_ms,
            execution_ms=end.execution_ms,
            done=self.done,
            lost=end.lost,
            error=end.error,
            stream=tuple(self.stream),
            progress=tuple(self.progress),
            logs=tuple(self.logs),
            findings=tuple(self.findings),
            memory=end.memory,
            cancel_asked=self.cancel_asked,
            stuck=self.stuck,
            seq=seq,
        )


def fold(events: Iterable[Event]) -> JobView | None:
    """State of one job from its events in order of ``seq``.

    Returns None if there is no QUEUED event. A real end replaces LOST; LOST never replaces a real
    end; nothing after an end reopens the job (a late progress update, say, is ignored, as RunPod's
    platform should).
    """
    folding: _Folding | None = None
    seq = 0
    for event in events:
        seq = event.seq
        if isinstance(event.data, Queued):
            folding = _Folding(event, event.data)
        elif folding is not None and event.attempt == folding.begin.attempt:
            folding.take(event)
    return None if folding is None else folding.view(seq)
