"""Recorded jobs as examples: inputs that ran, what they gave, what they took."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kit.events import JobState, JobView

#: keys of a request that speak to the platform; a local test has no use for them
_OF_THE_PLATFORM = ("id", "webhook", "policy", "s3Config")
#: how many become tests, and how large each may be
MAX_TESTS = 5
MAX_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Example:
    """A job that completed.

    Attributes
    ----------
    request : dict
        What was sent, without what speaks to the platform.
    output : object
        What it gave; a list of the chunks for a handler that yields without aggregating.
    execution_ms : float
    certain : bool
        Whether it ran more than once and gave the same each time.
    """

    request: dict[str, Any]
    output: Any
    execution_ms: float
    certain: bool

    @property
    def input(self) -> Any:
        return self.request.get("input")


@dataclass(frozen=True, slots=True)
class Measured:
    """What jobs of this version took.

    Attributes
    ----------
    jobs : int
    median_ms, longest_ms : float
    memory : tuple of (str, int)
        Kind (``vram`` or ``rss``) and the highest peak in bytes, of all devices together.
    """

    jobs: int
    median_ms: float
    longest_ms: float
    memory: tuple[tuple[str, int], ...]


def input_file(jobs: Sequence[JobView], version: int) -> str | None:
    """``test_input.json`` from a job that ran: the latest that completed, else the latest at all.

    One whose input holds what looks like a key is passed over. None if there is none left.
    """
    ended = [job for job in jobs if job.request is not None and job.state.final]
    own = [job for job in ended if job.version == version]
    for job in sorted(own, key=_not_completed) + sorted(ended, key=_not_completed):
        text = json.dumps(_request(job), indent=2, ensure_ascii=False) + "\n"
        if not _secret(text):
            return text
    return None


def examples_of(jobs: Sequence[JobView], version: int) -> tuple[Example, ...]:
    """Jobs of one version that completed, different inputs only, the oldest first, a few.

    Parameters
    ----------
    jobs : sequence of JobView
        Newest first.
    version : int
    """
    found: dict[str, list[JobView]] = {}
    for job in jobs:
        if job.version != version or job.state is not JobState.COMPLETED or job.request is None:
            continue
        if job.done is None or len(job.request) > MAX_CHARS:
            continue
        key = json.dumps(_request(job), sort_keys=True)
        found.setdefault(key, []).append(job)
    kept = []
    for same in found.values():
        text = f"{same[0].request}\n{(same[0].done or '')[:MAX_CHARS]}"
        if not _secret(text):
            kept.append(same)
        if len(kept) == MAX_TESTS:
            break
    return tuple(_example(same) for same in reversed(kept))


def measured(jobs: Iterable[JobView], version: int) -> Measured | None:
    """What the jobs of one version took; None if none completed."""
    own = [
        job
        for job in jobs
        if job.version == version
        and job.state is JobState.COMPLETED
        and job.execution_ms is not None
    ]
    if not own:
        return None
    times = [job.execution_ms or 0.0 for job in own]
    peaks: dict[str, int] = {}
    for job in own:
        by_kind: dict[str, int] = {}
        for use in job.memory:
            by_kind[use.kind] = by_kind.get(use.kind, 0) + use.peak
        for kind, peak in by_kind.items():
            peaks[kind] = max(peaks.get(kind, 0), peak)
    return Measured(len(own), statistics.median(times), max(times), tuple(sorted(peaks.items())))


def _example(same: Sequence[JobView]) -> Example:
    job = same[0]
    body = json.loads(job.done or "{}")
    certain = len({job.done for job in same}) == 1 and len(same) > 1
    output = body.get("output") if isinstance(body, dict) else None
    if job.stream and not output:
        output = [json.loads(chunk) for chunk in job.stream]
    longest = max(job.execution_ms or 0.0 for job in same)
    return Example(_request(job), output, longest, certain)


def _request(job: JobView) -> dict[str, Any]:
    request = json.loads(job.request or "{}")
    return {key: value for key, value in request.items() if key not in _OF_THE_PLATFORM}


def _secret(text: str) -> bool:
    from kit.secret import find_secrets

    return bool(find_secrets(text))


def _not_completed(job: JobView) -> bool:
    return job.state is not JobState.COMPLETED
