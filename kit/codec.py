"""Data of events as JSON text and back: what the journal's ``data`` column holds."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from kit.events import (
    ENDS,
    CancelAsked,
    Chunk,
    Data,
    Ended,
    ErrorInfo,
    EventKind,
    Finding,
    Found,
    Log,
    MemoryUse,
    Progress,
    Queued,
    Started,
    Stuck,
)

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
_quote = json.encoder.encode_basestring
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
        limit = "null" if data.timeout_s is None else _dumps(data.timeout_s)
        return (
            f'{{"job_id":{_quote(data.job_id)},"handler":{_quote(data.handler)},'
            f'"version":{data.version},"target":{_quote(data.target)},"timeout_s":{limit}}}'
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
