"""The binary records that travel to the page: one per job, memory sample and stream chunk.

``codec.js`` reads the same layout. A record has a fixed size, so a snapshot of any number of jobs
is one copy of one buffer and an update is a few dozen bytes per job that changed. Payloads, logs
and full ids never travel here; the page asks for those of the job a person looks at.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from kit.events import JobState, MemoryUse, Sample
from kit.secret import redact
from kit.span import Span

#: position of a state in this tuple is its code in a record; ``STATES`` in codec.js is the same
STATES = (
    JobState.IN_QUEUE,
    JobState.IN_PROGRESS,
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.TIMED_OUT,
    JobState.LOST,
)
STATE_CODE = {state: code for code, state in enumerate(STATES)}
IN_QUEUE, IN_PROGRESS, COMPLETED, FAILED, CANCELLED, TIMED_OUT, LOST = range(7)

#: bits of a record's flags
MEMORY_OWN, MEMORY_EXACT, MEMORY_VRAM, CANCEL_ASKED, STUCK = 1, 2, 4, 8, 16

#: number (the job's index), state, flags, version, slot, findings, chunks, submitted (UTC s), wait (ms),
#: execution (ms), end (ms after submitted), peak (MiB), handler, session, target, attempt, id
ROW = struct.Struct("<IBBHhHIdffffHHBB18s")
ROW_BYTES = ROW.size

# where the parts of a row lie that an event changes in place
STATE_AT = struct.Struct("<BB")  # state, flags
OFFSET_STATE, OFFSET_SLOT, OFFSET_FINDINGS, OFFSET_CHUNKS = 4, 8, 10, 12
OFFSET_SUBMITTED, OFFSET_WAIT, OFFSET_EXECUTION, OFFSET_ATTEMPT = 16, 24, 28, 45
NUMBER = struct.Struct("<I")
SLOT = struct.Struct("<h")
WAIT = struct.Struct("<f")
SUBMITTED = struct.Struct("<d")
END = struct.Struct("<fff")  # execution, end, peak

#: time (UTC s), kind, device, place (index of the target it was read at), used (MiB), total (MiB,
#: NaN: none), utilization (NaN: not known)
SAMPLE = struct.Struct("<dBbBxfff")
SAMPLE_BYTES = SAMPLE.size
SAMPLE_KINDS = ("vram", "torch_allocated", "torch_reserved", "rss")
_SAMPLE_CODE = {kind: code for code, kind in enumerate(SAMPLE_KINDS)}

#: job index, ms after the job was submitted
TICK = struct.Struct("<If")
TICK_BYTES = TICK.size

NAN = float("nan")
MIB = 1024 * 1024
_ID_BYTES = 18
# RunPod's ids, and ours: the first eight digits tell them apart on a screen
_UUID = re.compile(r"((?:sync-)?[0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Row(NamedTuple):
    """One job as it travels. Times: ``submitted`` in UTC seconds, the others in ms; NaN: not yet."""

    number: int
    state: int
    flags: int
    version: int
    slot: int
    findings: int
    chunks: int
    submitted: float
    wait: float
    execution: float
    end: float
    peak: float
    handler: int
    session: int
    target: int
    attempt: int
    id: bytes


def short_id(job_id: str) -> bytes:
    """An id as it fits a record: of a UUID the first part; others whole up to 18 bytes of UTF-8,
    else cut in the middle.

    Control and direction-changing characters are replaced: an id is whatever a client sent.
    """
    uuid = _UUID.match(job_id)
    if uuid is not None:
        return uuid[1].encode()
    if job_id.isascii() and job_id.isprintable() and len(job_id) <= _ID_BYTES:
        return job_id.encode()
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in job_id[:64])
    whole = text.encode("utf-8", "replace")
    if len(whole) <= _ID_BYTES and len(job_id) <= 64:
        return whole
    tail = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in job_id[-5:])
    end = tail.encode("utf-8", "replace")[-5:].decode("utf-8", "ignore").encode()
    head = whole[: _ID_BYTES - 3 - len(end)].decode("utf-8", "ignore").encode()
    return head + "…".encode() + end


def pack_row(row: Row) -> bytes:
    """The record of a job; numbers too large for their field are clipped, never an error."""
    return ROW.pack(
        row.number,
        row.state,
        row.flags,
        min(row.version, 0xFFFF),
        max(-1, min(row.slot, 0x7FFF)),
        min(row.findings, 0xFFFF),
        min(row.chunks, 0xFFFFFFFF),
        row.submitted,
        row.wait,
        row.execution,
        row.end,
        row.peak,
        min(row.handler, 0xFFFF),
        min(row.session, 0xFFFF),
        min(row.target, 0xFF),
        min(row.attempt, 0xFF),
        row.id,
    )


def unpack_rows(buffer: bytes | bytearray) -> list[Row]:
    """Records back as rows, for tests and for the static picture."""
    return [Row(*fields) for fields in ROW.iter_unpack(buffer)]


def pack_sample(sample: Sample, place: int = 0) -> bytes:
    """The record of a memory sample."""
    return SAMPLE.pack(
        sample.time,
        _SAMPLE_CODE[sample.kind],
        max(-1, min(sample.device, 127)),
        min(place, 0xFF),
        sample.used_bytes / MIB,
        NAN if sample.total_bytes is None else sample.total_bytes / MIB,
        NAN if sample.utilization is None else sample.utilization,
    )


#: characters of a span's label and of its detail that travel
_LABEL, _DETAIL = 80, 600


def pack_span(span: Span) -> list[Any]:
    """A span as JSON: key, label, kind, start, end (UTC s; None: it lasts), detail.

    There are a few of them, each with words of its own: binary would save nothing.
    """
    end = None if span.ended_at is None else round(max(span.ended_at, span.started_at), 3)
    words = _words(span.label, _LABEL), _words(span.kind, 20)
    return [span.key, *words, round(span.started_at, 3), end, _words(span.detail, _DETAIL)]


def _words(text: str, limit: int) -> str:
    """Text for a screen: keys masked, cut, no control or direction characters but the newline."""
    text = redact(text[: 4 * limit])
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def peak_of(memory: Sequence[MemoryUse]) -> tuple[float, int]:
    """Peak in MiB (summed over devices, VRAM before RSS) and its flags; (NaN, 0) if not measured."""
    if not memory:
        return NAN, 0
    uses = [m for m in memory if m.kind == "vram"] or memory
    flags, peak = MEMORY_OWN | MEMORY_EXACT, 0
    for use in uses:
        peak += use.peak
        if not use.own:
            flags &= ~MEMORY_OWN
        if not use.exact:
            flags &= ~MEMORY_EXACT
    return peak / MIB, flags | (MEMORY_VRAM if uses[0].kind == "vram" else 0)
