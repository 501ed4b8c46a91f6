"""Events of the journal as a table, with model loads and setups among them."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from kit.events import Chunk, Ended, Event, EventKind, Found, Log, Queued, Started, Stuck
from kit.views import columns

if TYPE_CHECKING:
    from kit.store import Store

#: in the column ``kind``; a span may bring another word
EVENT_KINDS = (*(kind.value for kind in EventKind), "load", "setup")


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
            "seq": columns.whole(line.seq for line in lines),
            "time": columns.times(line.time for line in lines),
            "key": columns.text(line.key for line in lines),
            "attempt": columns.whole(line.attempt for line in lines),
            "kind": columns.category((line.kind for line in lines), kinds),
            "slot": columns.whole(line.slot for line in lines),
            "chunk": columns.whole(line.chunk for line in lines),
            "delay_time_ms": columns.real(line.delay_ms for line in lines),
            "execution_time_ms": columns.real(line.took_ms for line in lines),
            "text": columns.text(line.text for line in lines),
            "payload": columns.text(line.payload for line in lines),
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
