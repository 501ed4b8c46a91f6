"""Reading the journal: what ``Store`` can tell of jobs, handlers and memory."""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from kit import marks, rows, schema
from kit.conditions import HOLDS, OF_SESSION, WORDS, filters, like
from kit.errors import StoreError
from kit.events import Event, JobKey, JobState, JobView, Sample
from kit.fold import fold
from kit.handler import HandlerVersion
from kit.marks import Mark
from kit.rows import JobRow
from kit.span import Span

#: keys in one query
_KEYS = 500
_loads, _to_text = json.loads, json.dumps  # a handler may replace them


class Reader:
    """The reading half of a store, on a connection of its own. All methods are thread-safe.

    They raise StoreError if the journal cannot be read, if it is closed and in a forked child.

    Parameters
    ----------
    path : Path
        The journal's file; its tables are there.
    payload_of : callable
        Text of a payload file by its name; None if it was dropped.
    """

    def __init__(self, path: Path, payload_of: Callable[[str], str | None]) -> None:
        self.path = path
        self._pid = os.getpid()
        self._closed = False
        self._payload_of = payload_of
        self._read_lock = threading.RLock()
        self._sessions: dict[int, str] = {}
        self._reader: sqlite3.Connection = schema.connect(path)

    def after(
        self, seq: int, *, limit: int | None = None, session: str | None = None
    ) -> list[Event]:
        """Events after a position, in order.

        Parameters
        ----------
        seq : int
            0 for all.
        limit : int or None
            At most so many; None for all.
        session : str or None
            Those of jobs whose latest attempt was queued by this session; None for all.
        """
        where, parameters = "TRUE", []
        if session is not None:
            where = f"EXISTS (SELECT 1 FROM jobs WHERE key = job_key AND jobs.{OF_SESSION})"
            parameters = [session]
        return list(self._events(where, parameters, after=seq, limit=limit))

    def view(self, key: JobKey) -> JobView | None:
        """Everything known of a job; None if there is no such job."""
        return fold(self._events("job_key = ?", [key]))

    def views(self, keys: Iterable[JobKey]) -> list[JobView]:
        """``view`` of many jobs, in the order of the keys; unknown ones are left out."""
        wanted = list(dict.fromkeys(keys))
        found: dict[JobKey, JobView | None] = {}
        for at in range(0, len(wanted), _KEYS):
            some = _to_text(wanted[at : at + _KEYS])
            events = self._events("job_key IN (SELECT value FROM json_each(?))", [some])
            by_key = sorted(events, key=attrgetter("job_key"))  # stable: each stays in order of seq
            for key, own in groupby(by_key, attrgetter("job_key")):
                found[key] = fold(own)
        return [view for key in wanted if (view := found.get(key)) is not None]

    def rows(
        self,
        *,
        limit: int | None = None,
        session: str | None = None,
        handler: str | None = None,
        version: int | None = None,
        state: JobState | Collection[JobState] | None = None,
        target: str | None = None,
        keys: Collection[JobKey] | None = None,
        newest_first: bool = True,
        payloads: bool = False,
    ) -> list[JobRow]:
        """Jobs in order of submission, without their events.

        Parameters
        ----------
        limit : int or None
            None for all.
        session, handler, version, state, target, keys
            Only those; None for any. ``state`` may be several.
        newest_first : bool
        payloads : bool
            Whether ``request`` and ``done`` are filled.
        """
        where, parameters = filters(
            session=session, handler=handler, version=version, state=state, target=target, keys=keys
        )
        with self._reading():
            return rows.read_rows(
                self._one,
                self._payload_of,
                where,
                parameters,
                self._session_name,
                limit=limit,
                newest_first=newest_first,
                payloads=payloads,
            )

    def marks(
        self, limit: int, *, session: str | None = None, handler: str | None = None
    ) -> list[Mark]:
        """The latest jobs as a view draws them, newest first; None for any session or handler."""
        where, parameters = filters(session=session, handler=handler)
        with self._reading():
            return marks.read_marks(self._one, where, parameters, self._session_name, limit)

    def matching(
        self,
        text: str,
        *,
        session: str | None = None,
        handler: str | None = None,
        before: int | None = None,
        jobs: int = 100,
    ) -> tuple[list[JobKey], int | None]:
        """Jobs whose latest attempt holds a text, among some of them, newest first.

        Looked at are id, input, output, chunks, progress, logs, findings and errors; capitals of
        ASCII do not count, and payloads that lie in files of their own are left out.

        Parameters
        ----------
        text : str
        session, handler : str or None
            Only those; None for any.
        before : int or None
            Where the last call stopped; None to begin with the newest job.
        jobs : int
            How many are looked at.

        Returns
        -------
        keys : list of JobKey
        before : int or None
            Where to go on; None if there is nothing left.
        """
        where, parameters = filters(session=session, handler=handler)
        # a payload is JSON text, what is taken out of data is plain
        patterns = [like(_to_text(text, ensure_ascii=False)[1:-1]), *[like(text)] * len(WORDS)]
        with self._reading():
            found, last, looked = self._one(
                f"""
                WITH some AS (SELECT number, key, attempt FROM jobs
                              WHERE {where} AND number < ? ORDER BY number DESC LIMIT ?)
                SELECT (SELECT json_group_array(key) FROM some WHERE EXISTS (
                            SELECT 1 FROM events
                            WHERE job_key = key AND events.attempt = some.attempt
                              AND ({HOLDS}))),
                       (SELECT min(number) FROM some), (SELECT count(*) FROM some)
                """,
                [*parameters, (1 << 62) if before is None else before, jobs, *patterns],
            )
        return [JobKey(key) for key in _loads(found)], int(last) if looked == jobs else None

    def states(self, keys: Collection[JobKey]) -> list[JobState]:
        """States of jobs, in the order of the keys; unknown ones are left out."""
        wanted = list(keys)
        found: dict[str, str] = {}
        with self._reading():
            for at in range(0, len(wanted), 10 * _KEYS):
                text = self._one(
                    "SELECT json_group_object(key, state) FROM jobs "
                    "WHERE key IN (SELECT value FROM json_each(?))",
                    [_to_text(wanted[at : at + 10 * _KEYS])],
                )[0]
                found.update(_loads(text))
        return [JobState(found[key]) for key in wanted if key in found]

    def bodies(self, keys: Collection[JobKey]) -> dict[str, str]:
        """Final bodies of COMPLETED jobs as JSON text, by key; those kept in files are left out."""
        wanted = list(keys)
        found: dict[str, str | None] = {}
        if len(wanted) == 1:  # whoever waits for one job waits for this
            body = self._body(wanted[0])
            return {} if body is None else {wanted[0]: body}
        with self._reading():
            for at in range(0, len(wanted), _KEYS):
                text = self._one(
                    "SELECT json_group_object(key, (SELECT payload FROM events "
                    "WHERE events.seq = end_seq)) FROM jobs "
                    "WHERE state = 'COMPLETED' AND key IN (SELECT value FROM json_each(?))",
                    [_to_text(wanted[at : at + _KEYS])],
                )[0]
                found.update(_loads(text))
        return {key: body for key, body in found.items() if body is not None}

    def _body(self, key: JobKey) -> str | None:
        with self._reading():
            # max, so that there is a row in any case
            body: str | None = self._one(
                "SELECT max(payload) FROM events WHERE seq = "
                "(SELECT end_seq FROM jobs WHERE key = ? AND state = 'COMPLETED')",
                [key],
            )[0]
            return body

    def with_request_of(self, key: JobKey, others: Collection[JobKey]) -> set[JobKey]:
        """Which of the other jobs were given the same request, letter for letter."""
        given = "SELECT {} FROM events WHERE seq = (SELECT request_seq FROM jobs WHERE key = {})"
        same = " AND ".join(
            f"({given.format(column, 'value')}) IS ({given.format(column, '?')})"
            for column in ("payload", "payload_file")
        )
        found: set[JobKey] = set()
        wanted = list(others)
        with self._reading():
            for at in range(0, len(wanted), _KEYS):
                text = self._one(
                    f"SELECT json_group_array(value) FROM json_each(?) WHERE {same}",
                    [_to_text(wanted[at : at + _KEYS]), key, key],
                )[0]
                found.update(map(JobKey, _loads(text)))
        return found

    def count(
        self, state: JobState | Collection[JobState] | None = None, session: str | None = None
    ) -> int:
        """Number of jobs, in these states and of this session if named."""
        where, parameters = filters(session=session, state=state)
        with self._reading():
            return int(self._one(f"SELECT count(*) FROM jobs WHERE {where}", parameters)[0])

    def samples(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        session: str | None = None,
    ) -> list[Sample]:
        """Memory readings in order of time, from ``since`` to ``until`` (UTC seconds, inclusive)."""
        where, parameters = "TRUE", []
        for condition, value in (
            ("time <= ?", until),
            (OF_SESSION, session),
        ):
            if value is not None:
                where += f" AND {condition}"
                parameters.append(value)
        with self._reading():
            return rows.read_samples(self._one, where, parameters, since)

    def spans(self, *, since: float | None = None, session: str | None = None) -> list[Span]:
        """Model loads and setups that began from ``since`` (UTC seconds) on, the newest 1,000, by start.

        One without an end lasts, or its kernel died in it.
        """
        where, parameters = "TRUE", []
        for condition, value in (("started_at >= ?", since), (OF_SESSION, session)):
            if value is not None:
                where += f" AND {condition}"
                parameters.append(value)
        with self._reading():
            text = self._one(
                "SELECT json_group_array(json_array(key, label, kind, "
                f"{rows.real('started_at')}, {rows.real('ended_at')}, detail)) FROM (SELECT * FROM "
                f"spans WHERE {where} ORDER BY started_at DESC, key DESC LIMIT 1000)",
                parameters,
            )[0]
        return [
            Span(key, label, kind, float(start), None if end is None else float(end), detail)
            for key, label, kind, start, end, detail in reversed(_loads(text))
        ]

    def handlers(self, session: str | None = None) -> list[HandlerVersion]:
        """Handler versions in the order they were registered; of all sessions if none is named."""
        where = "TRUE" if session is None else OF_SESSION
        with self._reading():
            text = self._one(
                "SELECT json_group_array(data) FROM "
                f"(SELECT data FROM handlers WHERE {where} ORDER BY rowid)",
                [] if session is None else [session],
            )[0]
        return [rows.handler_version(_loads(data)) for data in _loads(text)]

    def last_request(self, handler: str, session: str | None = None) -> str | None:
        """JSON text of the request that a handler was last given; None if there is none (left)."""
        where, parameters = filters(session=session, handler=handler)
        with self._reading():
            # max, so that there is a row in any case
            text, file = self._one(
                "SELECT max(payload), max(payload_file) FROM events WHERE seq = (SELECT "
                f"request_seq FROM jobs WHERE {where} ORDER BY request_seq DESC LIMIT 1)",
                parameters,
            )
            return text if file is None else self._payload_of(file)

    def _events(
        self, where: str, parameters: list[Any], *, after: int = 0, limit: int | None = None
    ) -> Iterator[Event]:
        with self._reading():
            yield from rows.read_events(
                self._one, self._payload_of, where, parameters, after=after, limit=limit
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._check()
        with schema.store_errors(self.path):
            yield

    def _check(self) -> None:
        if os.getpid() != self._pid:
            # not even reading: SQLite's locks and mutexes are those of the parent
            raise StoreError(
                "this process is a fork of the one that opened the journal and must not use it. "
                "Make and read jobs in the kernel itself."
            )
        if self._closed:
            raise StoreError("the journal is closed. Load the kit again to open it.")

    def _one(self, sql: str, parameters: Sequence[Any]) -> Sequence[Any]:
        """The only row of a query."""
        with self._read_lock:
            self._check()
            row: Sequence[Any] = self._reader.execute(sql, parameters).fetchone()
            return row

    def _session_name(self, number: int) -> str:
        name = self._sessions.get(number)
        if name is None:
            name = str(self._one("SELECT id FROM sessions WHERE number = ?", [number])[0])
            self._sessions[number] = name
        return name
