"""Writing the journal: one connection, one statement for each append.

SQLite gives the GIL away at each step, and beside a handler that holds it, getting it back takes
5 ms. So an append is one statement of many rows, which is a transaction by itself; what the events
do to the state of their jobs is done by triggers inside that statement (``kit.schema``).
"""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit import lock, schema, spill
from kit.codec import encode
from kit.events import Ended, Event, EventKind, Sample, Started
from kit.handler import HandlerVersion
from kit.span import Span

#: rows in one statement; older SQLite takes 999 parameters only
ROWS = 2048 if sqlite3.sqlite_version_info >= (3, 32, 0) else 64
#: what a sample and its place in the index take on disk, about
_SAMPLE_BYTES = 80
_loads, _to_text = json.loads, json.dumps  # a handler may replace them
_EVENT_COLUMNS = "job_key, attempt, kind, time, ms, writer, data, payload, payload_file"
_SAMPLE_COLUMNS = "time, session, kind, device, used_bytes, total_bytes, utilization, target"
_KINDS = {kind: kind.value for kind in EventKind}
#: characters that take so little even at 4 bytes each are not counted
_SURELY_INLINE = spill.INLINE_BYTES // 4

_VERSION = tuple(field.name for field in dataclasses.fields(HandlerVersion))

#: the parameters of the INSERT, the payloads that were written as files, about how many bytes
Prepared = tuple[list[Any], list[tuple[str, bytes]], int]

_statements: dict[tuple[str, int], str] = {}


class Writer:
    """The writing half of a store; the rows it writes carry one session's number.

    Not thread-safe: ``lock`` is to be held around each call but that of ``prepare``.

    Parameters
    ----------
    path : Path
        The journal's file.
    session_id : str
        Entered into the journal at once.
    files : PayloadFiles
        For payloads that are too large for a row.

    Attributes
    ----------
    lock : threading.RLock
    written : int
        Bytes since the cap was last looked at.
    """

    def __init__(self, path: Path, session_id: str, files: spill.PayloadFiles) -> None:
        self.lock = threading.RLock()
        self.written = 0
        self._files = files
        self.connection = schema.connect(path)
        try:
            with schema.store_errors(path):
                self._session = self._begin(session_id)
        except BaseException:
            self.connection.close()
            raise

    def _begin(self, session_id: str) -> int:
        cursor = self.connection.execute(
            "INSERT INTO sessions (id, pid, host, opened_at) VALUES (?, ?, ?, ?)",
            (session_id, os.getpid(), lock.host(), time.time()),
        )
        return _last_row(cursor)

    def end_session(self) -> None:
        """Note that the session ended, and close the connection."""
        self.connection.execute(
            "UPDATE sessions SET closed_at = ? WHERE number = ?", (time.time(), self._session)
        )

    # -- events ---------------------------------------------------------------------------------

    def insert(self, events: Sequence[Event], prepared: Prepared) -> list[Event]:
        """Insert events in one transaction; returns the accepted ones, numbered."""
        values, spilled, size = prepared
        self.written += size
        if len(events) <= ROWS and not spilled:
            cursor = self._execute("events", _EVENT_COLUMNS, 9, values)
            accepted = self._numbered(events, cursor)
        else:
            try:
                accepted = self._in_transaction(lambda: self._insert_many(events, values, spilled))
            except BaseException:
                self._take_back(spilled)
                raise
            for _, whole in spilled:
                # Another session may have dropped the same payload after it was found to be there.
                # The events are kept already, so what fails now only costs the payload.
                with suppress(OSError):
                    self._files.write(whole)
        return accepted

    def _take_back(self, spilled: list[tuple[str, bytes]]) -> None:
        """Remove payload files that no event came to use: the disk may be full."""
        with suppress(sqlite3.Error, OSError):
            for name, _ in spilled:
                spill.remove_unknown(self.connection, self._files, [name])

    def _insert_many(
        self, events: Sequence[Event], values: list[Any], spilled: list[tuple[str, bytes]]
    ) -> list[Event]:
        for name, whole in spilled:
            self.connection.execute(
                "INSERT OR IGNORE INTO payload_files VALUES (?, ?)", (name, len(whole))
            )
        accepted: list[Event] = []
        for at in range(0, len(events), ROWS):
            part = values[at * 9 : (at + ROWS) * 9]
            cursor = self._execute("events", _EVENT_COLUMNS, 9, part)
            accepted += self._numbered(events[at : at + ROWS], cursor)
        return accepted

    def prepare(self, events: Sequence[Event]) -> Prepared:
        """Encode events and write large payloads as files: all that needs no lock."""
        session, size = self._session, 0
        values: list[Any] = []
        spilled: list[tuple[str, bytes]] = []
        for event in events:
            data, payload, file = event.data, event.payload, None
            if payload is not None:
                size += len(payload)
                if len(payload) > _SURELY_INLINE:
                    whole = _storable(payload).encode()
                    if len(whole) > spill.INLINE_BYTES:
                        file, payload = self._files.write(whole), None
                        spilled.append((file, whole))
            ms = None
            if type(data) is Started:
                ms = data.delay_ms
            elif type(data) is Ended:
                ms = data.execution_ms
            text = encode(data)
            size += len(text) + 100
            values += (
                event.job_key, event.attempt, _KINDS[event.kind], event.time, ms, session,
                text, payload, file,
            )  # fmt: skip
        return values, spilled, size

    def _numbered(self, events: Sequence[Event], cursor: sqlite3.Cursor) -> list[Event]:
        # the rows of one statement follow each other
        count = cursor.rowcount
        first = _last_row(cursor) - count + 1
        if count < len(events):
            events = list(self._accepted(events, first, count)) if count else ()
        return [
            Event(e.job_key, e.attempt, e.kind, e.time, e.data, e.payload, seq)
            for seq, e in enumerate(events, first)
        ]

    def _accepted(self, events: Sequence[Event], first: int, count: int) -> Iterator[Event]:
        text = self.connection.execute(
            "SELECT json_group_array(json_array(job_key, attempt, kind)) FROM "
            "(SELECT * FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq)",
            (first, first + count - 1),
        ).fetchone()[0]
        remaining = iter(events)
        for kept in _loads(text):
            # same key, attempt and kind twice: the first is the one that was kept
            for event in remaining:
                if [event.job_key, event.attempt, event.kind.value] == kept:
                    yield event
                    break

    def mark_lost(self, number: int, reason: str) -> tuple[int, int]:
        """End the unfinished jobs of a session as LOST; returns the first ``seq`` and how many."""
        away = Ended(
            lost=f"{reason}; kit.use() of the same pod hears of it again if it is there still"
        )
        # one statement however many jobs there are
        cursor = self.connection.execute(
            f"""
            INSERT INTO events ({_EVENT_COLUMNS})
            SELECT key, attempt, 'lost', ?, NULL, ?, CASE WHEN target LIKE 'pod:%' THEN ? ELSE ? END,
                   NULL, NULL FROM jobs
            WHERE session = ? AND {schema.UNFINISHED} ORDER BY number
            ON CONFLICT DO NOTHING
            """,
            (time.time(), self._session, encode(away), encode(Ended(lost=reason)), number),
        )
        return _last_row(cursor) - cursor.rowcount + 1, cursor.rowcount

    def suspects(self) -> list[tuple[int, str, int]]:
        """Other sessions with unfinished jobs: number, id and process id."""
        return self.connection.execute(
            "SELECT number, id, pid FROM sessions WHERE number <> ? AND number IN "
            f"(SELECT session FROM jobs WHERE {schema.UNFINISHED})",
            (self._session,),
        ).fetchall()

    # -- the rest -------------------------------------------------------------------------------

    def insert_samples(self, samples: Sequence[Sample]) -> None:
        """Insert memory readings in one transaction."""
        values: list[Any] = []
        for s in samples:
            values += (s.time, self._session, s.kind, s.device)
            values += (s.used_bytes, s.total_bytes, s.utilization, s.target)
        if len(samples) <= ROWS:
            self._execute("samples", _SAMPLE_COLUMNS, 8, values)
        else:
            self._in_transaction(lambda: self._insert_many_samples(values))
        self.written += _SAMPLE_BYTES * len(samples)

    def _insert_many_samples(self, values: list[Any]) -> None:
        for at in range(0, len(values), 8 * ROWS):
            self._execute("samples", _SAMPLE_COLUMNS, 8, values[at : at + 8 * ROWS])

    def insert_handler(self, version: HandlerVersion) -> None:
        """Insert a handler version of this session, or replace it."""
        # not asdict: it copies what it finds, and a cell that was edited waits for this
        text = _to_text({name: getattr(version, name) for name in _VERSION}, ensure_ascii=False)
        self.connection.execute(
            "INSERT OR REPLACE INTO handlers VALUES (?, ?, ?, ?)",
            (self._session, version.name, version.version, _storable(text)),
        )

    def insert_span(self, span: Span) -> None:
        """Insert a span of this session, or replace the one with its key."""
        self.connection.execute(
            "INSERT OR REPLACE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._session,
                *(_storable(text) for text in (span.key, span.label, span.kind)),
                span.started_at,
                span.ended_at,
                _storable(span.detail),
            ),
        )

    def data_version(self) -> int:
        """A number that changes when another connection has written."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    # -- statements -----------------------------------------------------------------------------

    def _execute(self, table: str, columns: str, width: int, values: list[Any]) -> sqlite3.Cursor:
        """Insert rows by one statement.

        Their number is rounded up to a power of two, so that there are few statements and SQLite's
        cache has them; the rows that fill up are empty and left out.
        """
        count = len(values) // width
        size = 1 << (count - 1).bit_length()
        sql = _statements.get((table, size)) or _statement(table, columns, width, size)
        if size != count:
            values += [None] * ((size - count) * width)
        try:
            return self.connection.execute(sql, values)
        except UnicodeEncodeError:
            values = [_storable(value) if type(value) is str else value for value in values]
            return self.connection.execute(sql, values)

    def _in_transaction(self, work: Callable[[], Any]) -> Any:
        # BEGIN inside: the stop button may interrupt after any call
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            result = work()
            self.connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself where the disk was full
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return result


def _statement(table: str, columns: str, width: int, size: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    sql = _statements[table, size] = (
        f"INSERT INTO {table} ({columns}) SELECT * FROM (VALUES {','.join([row] * size)}) "
        "WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING"
    )
    return sql


def _storable(text: str) -> str:
    """JSON text that can be written as UTF-8: a lone surrogate becomes its own JSON escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def _last_row(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
