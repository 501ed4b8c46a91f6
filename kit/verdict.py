"""What a run comes to once it is over: the end that is journaled, and what is worth saying of it."""

from __future__ import annotations

from collections.abc import Sequence

from kit import findings
from kit.events import Ended, ErrorInfo, EventKind, Finding, MemoryUse
from kit.growth import Growth
from kit.outcome import Outcome
from kit.queue import Entry

#: RunPod's execution timeout where an endpoint does not set its own
_DEFAULT_TIMEOUT_S = 600


def verdict(
    entry: Entry,
    outcome: Outcome,
    took_s: float | None,
    memory: tuple[MemoryUse, ...],
    growth: Growth,
) -> tuple[EventKind, str | None, Ended, Sequence[Finding]]:
    """Kind, final body, data and findings of a job's end.

    Parameters
    ----------
    entry : Entry
    outcome : Outcome
        Of the run; if the job was stopped, the platform had given its verdict before.
    took_s : float or None
        None if it never started.
    memory : tuple of MemoryUse
    growth : Growth
        What earlier jobs left behind.
    """
    kind, done, error, lost = outcome.kind, outcome.done, outcome.error, outcome.lost
    notes = list(outcome.findings)
    if entry.stopping is not None:
        kind, done, error, lost, notes = entry.stopping, None, expiry(entry), None, []
    if took_s is not None and took_s > _DEFAULT_TIMEOUT_S:
        notes.append(findings.over_default_timeout(took_s))
    if done is not None and done.endswith('"stopPod": true}'):
        notes.append(findings.refreshes(entry.handler.options.refresh_worker))
    name, version, failed = entry.handler.name, entry.handler.version, kind is EventKind.FAILED
    notes += growth.seen(name, version, memory, failed=failed, debugged=entry.echo)
    took_ms = None if took_s is None else round(took_s * 1e3, 3)
    return kind, done, Ended(took_ms, error, lost, memory), notes


def expiry(entry: Entry) -> ErrorInfo | None:
    """Why the platform would have deleted a job; None if it is not that."""
    if not entry.expired:
        return None
    return ErrorInfo("", f"its ttl of {entry.ttl_s:g} s was over; RunPod deletes such a job")
