"""Reading the journal: events, jobs as rows of the projection, samples.

Each page is one row of one SQLite step, put together by SQLite's own JSON functions: a step gives
the GIL away, and beside a handler that holds it, getting it back takes 5 ms. Row by row a thousand
events take 0.8 s then; so, 20 ms.
"""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kit.codec import decode
from kit.errors import UsageError
from kit.events import Event, EventKind, JobKey, JobState, MemoryUse, Sample
from kit.handler import HandlerKind, HandlerVersion

#: a page is made shorter or longer until its text is about this big
_PAGE_CHARS = 2_000_000
_MAX_ROWS = 8192
_loads = json.loads  # a handler may replace it
_KINDS = {kind.value: kind for kind in EventKind}
_STATES = {state.value: state for state in JobState}

#: runs a query that gives one row and returns that row
One = Callable[[str, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as the tables and lists show it: every scalar fact, no payload unless asked for.

    Equal, field by field, to what ``fold`` makes of the job's events. Times are UTC seconds,
    durations milliseconds; None means that it has not happened or was not measured.

    Attributes
    ----------
    key, id : str
        The store's key and RunPod's id.
    session : str
        The session that queued the latest attempt.
    memory : tuple of MemoryUse
        Empty if nothing was measured.
    n_chunks, n_findings : int
        Of the latest attempt.
    seq : int
        Position of the job's last event.
    request, done : str or None
        JSON text of the request and the final body; None unless asked for, or if there is none, or
        if it was dropped to stay under the cap.
    """

    key: JobKey
    id: str
    session: str
    handler: str
    version: int
    target: str
    state: JobState
    attempt: int
    slot: int | None
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    delay_ms: float | None
    execution_ms: float | None
    memory: tuple[MemoryUse, ...]
    n_chunks: int
    n_findings: int
    error_message: str | None
    lost: str | None
    cancel_asked: bool
    stuck: str | None
    seq: int
    request: str | None = None
    done: str | None = None


def real(column: str) -> str:
    """An expression for a number that loses none of its digits on the way through JSON."""
    # SQLite's JSON writes 15 digits; a time in seconds needs 17
    return f"CASE WHEN {column} IS NOT NULL THEN printf('%!.17g', {column}) END"


_EVENT = (
    f"json_array(seq, job_key, attempt, kind, {real('time')}, data, payload, payload_file)",
    "seq, job_key, attempt, kind, time, data, payload, payload_file",
)
_ROW_COLUMNS = (
    "number, key, names, session, version, state, attempt, slot, submitted_at, started_at, "
    "ended_at, delay_ms, execution_ms, facts, n_chunks, n_findings, cancel_asked, stuck, seq"
)
_REALS = ("submitted_at", "started_at", "ended_at", "delay_ms", "execution_ms")
_ROW_VALUES = ", ".join(real(c) if c in _REALS else c for c in _ROW_COLUMNS.split(", "))


def pages(one: One, page: Callable[[int, int | None], tuple[str, list[Any]]]) -> Iterator[Any]:
    """Rows of a query, page by page; a row is a list whose first element is the paging key.

    ``page(rows, last)`` gives the query for at most so many rows after the last key seen.
    """
    rows, last = 256, None
    while True:
        sql, parameters = page(rows, last)
        try:
            text = one(sql, parameters)[0]
        except (sqlite3.DataError, sqlite3.OperationalError) as error:
            if "too big" not in str(error) or rows == 1:
                raise
            rows = max(1, rows // 8)  # logs of a megabyte each: a text may not pass 1 GB
            continue
        found = _loads(text)
        yield from found
        if len(found) < rows:
            return
        last = found[-1][0]
        if len(text) < _PAGE_CHARS // 2:
            rows = min(rows * 2, _MAX_ROWS)
        elif len(text) > _PAGE_CHARS * 2:
            rows = max(rows // 2, 1)


def read_events(
    one: One,
    payload_of: Callable[[str], str | None],
    where: str,
    parameters: Sequence[Any],
    *,
    after: int = 0,
    limit: int | None = None,
) -> Iterator[Event]:
    """Events that match ``where``, in order of ``seq``."""
    value, columns = _EVENT
    left = limit

    def page(rows: int, last: int | None) -> tuple[str, list[Any]]:
        count = rows if left is None else min(rows, left)
        sql = (
            f"SELECT json_group_array({value}) FROM (SELECT {columns} FROM events "
            f"WHERE seq > ? AND {where} ORDER BY seq LIMIT ?)"
        )
        return sql, [after if last is None else last, *parameters, count]

    if left is not None and left <= 0:
        return
    for seq, key, attempt, name, time, text, payload, file in pages(one, page):
        kind = _KINDS[name]
        if file is not None:
            payload = payload_of(file)
        yield Event(key, attempt, kind, float(time), decode(kind, text), payload, seq)
        if left is not None:
            left -= 1
            if left == 0:
                return


def read_rows(
    one: One,
    payload_of: Callable[[str], str | None],
    where: str,
    parameters: Sequence[Any],
    sessions: Callable[[int], str],
    *,
    limit: int | None,
    newest_first: bool,
    payloads: bool,
) -> list[JobRow]:
    """Rows of the projection that match ``where``, in order of submission."""
    sign, order = ("<", "DESC") if newest_first else (">", "ASC")
    texts = "".join(
        f", (SELECT {text} FROM events WHERE events.seq = {seq})"
        for seq in ("request_seq", "end_seq")
        for text in ("payload", "payload_file")
    )
    values, columns = _ROW_VALUES, _ROW_COLUMNS
    if payloads:
        values, columns = values + texts, columns + ", request_seq, end_seq"
    rows: list[JobRow] = []

    def page(count: int, last: int | None) -> tuple[str, list[Any]]:
        if limit is not None:
            count = min(count, limit - len(rows))
        beyond = "TRUE" if last is None else f"number {sign} {last}"
        sql = (
            f"SELECT json_group_array(json_array({values})) FROM (SELECT {columns} FROM jobs "
            f"WHERE {beyond} AND {where} ORDER BY number {order} LIMIT ?)"
        )
        return sql, [*parameters, count]

    if limit is not None and not hasattr(limit, "__index__"):
        raise UsageError(f"limit is {limit!r}; give a whole number, or None for all.")
    if limit is not None and limit <= 0:
        return rows
    for raw in pages(one, page):
        rows.append(_row(raw, payload_of, sessions))
        if limit is not None and len(rows) >= limit:
            break
    return rows


def _row(
    raw: list[Any], payload_of: Callable[[str], str | None], sessions: Callable[[int], str]
) -> JobRow:
    _number, key, names, session, version, state, attempt, slot, submitted = raw[:9]
    started, ended, delay, execution = (
        None if value is None else float(value) for value in raw[9:13]
    )
    facts, chunks, findings, cancel_asked, stuck, seq = raw[13:19]
    request, request_file, done, done_file = raw[19:] or (None, None, None, None)
    id_, handler, target = _loads(names)
    message, lost, memory = (None, None, None) if facts is None else _loads(facts)
    return JobRow(
        key=key,
        id=id_,
        session=sessions(session),
        handler=handler,
        version=version,
        target=target,
        state=_STATES[state],
        attempt=attempt,
        slot=slot,
        submitted_at=float(submitted),
        started_at=started,
        ended_at=ended,
        delay_ms=delay,
        execution_ms=execution,
        memory=tuple(MemoryUse(**use) for use in memory or ()),
        n_chunks=chunks,
        n_findings=findings,
        error_message=message,
        lost=lost,
        cancel_asked=bool(cancel_asked),
        stuck=None if stuck is None else _loads(stuck)[0],
        seq=seq,
        request=request if request_file is None else payload_of(request_file),
        done=done if done_file is None else payload_of(done_file),
    )


def read_samples(
    one: One, where: str, parameters: Sequence[Any], since: float | None = None
) -> list[Sample]:
    """Samples from ``since`` (None: the first) on that match ``where``, in order of time."""
    samples: list[Sample] = []
    # as where the pages begin, and not as a condition: SQLite would walk the index from its start
    at, last = -1e300 if since is None else since, -1
    while True:
        # the last time comes back as a number, not as text: the next page starts exactly there
        text, at, _ = one(
            f"""
            SELECT json_group_array(json_array(id, {real("time")}, kind, device, used_bytes,
                                               total_bytes, {real("utilization")}, target)), max(time), 0
            FROM (SELECT * FROM samples WHERE (time, id) > (?, ?) AND {where}
                  ORDER BY time, id LIMIT {_MAX_ROWS})
            """,
            [at, last, *parameters],
        )
        found = _loads(text)
        for _id, time, kind, device, used, total, utilization, target in found:
            share = None if utilization is None else float(utilization)
            samples.append(Sample(float(time), kind, device, used, total, share, target))
        if len(found) < _MAX_ROWS:
            return samples
        last = found[-1][0]


def handler_version(raw: dict[str, Any]) -> HandlerVersion:
    """A handler as it was noted, by whatever version of the kit: what it knows of no more is left out."""
    known = {field.name for field in dataclasses.fields(HandlerVersion)}
    raw = {name: value for name, value in raw.items() if name in known}
    raw["kind"] = HandlerKind(raw["kind"])
    raw["options"] = tuple((name, source) for name, source in raw["options"])
    return HandlerVersion(**raw)
