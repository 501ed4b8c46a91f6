"""The journal: every event of every job, in SQLite, by one short transaction each.

It survives the death of the process at any instant, not a power cut. Several kernels may write to
one journal. Nothing of a job stays in memory: a job's state is a row that SQLite's own triggers
keep equal to the fold of its events (``kit.schema``).
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from kit import home, lock, mirror, rows, schema, spill
from kit.errors import StoreError
from kit.events import Ended, Event, JobKey, JobState, JobView, Sample, Started, encode, fold
from kit.handler import HandlerKind, HandlerVersion
from kit.rows import JobRow

__all__ = ["JobRow", "Store"]

_log = logging.getLogger("kit.store")

#: rows in one statement; older SQLite takes 999 parameters only
_ROWS = 2048 if sqlite3.sqlite_version_info >= (3, 32, 0) else 64
_EVENT_COLUMNS = "job_key, attempt, kind, time, ms, writer, data, payload, payload_file"
_SAMPLE_COLUMNS = "time, session, kind, device, used_bytes, total_bytes, utilization"
#: the cap is looked at when this much was written: by ``tend``, or else by ``append`` itself
_TEND_BYTES, _APPEND_BYTES = 8_000_000, 64_000_000
#: seconds between two looks for sessions that died
_RECOVER_S = 30.0


class Store:
    """One session's door to the journal. Use ``Store.open``. All methods are thread-safe.

    Attributes
    ----------
    path : Path
        The journal's file.
    place : Place
        Why it is there, and where a copy goes if it is on a pod's network volume.
    session_id : str
        Short and unique, e.g. ``"s3f9a1c2"``.
    """

    def __init__(self, place: home.Place, cap_bytes: int) -> None:
        self.path = place.journal
        self.place = place
        self.cap_bytes = cap_bytes
        self.session_id = "s" + secrets.token_hex(4)[:7]
        self._pid = os.getpid()
        self._closed = False
        side = self.path.with_suffix("")
        self._locks = Path(f"{side}.locks")
        copies = Path(f"{place.mirror.with_suffix('')}.payloads") if place.mirror else None
        self._files = spill.PayloadFiles(Path(f"{side}.payloads"), copies)
        self._mirror = mirror.Mirror(self.path, place.mirror, self._files) if place.mirror else None
        self._write_lock, self._read_lock = threading.RLock(), threading.RLock()
        self._notify_lock, self._tend_lock = threading.Lock(), threading.Lock()
        self._outbox: deque[list[Event]] = deque()
        self._subscribers: tuple[Callable[[Sequence[Event]], None], ...] = ()
        self._sessions: dict[int, str] = {}
        self._written = 0
        self._appended_at = self._recovered_at = time.monotonic()
        self._over_cap = False
        with schema.store_errors(self.path):
            home.make_folder(self.path.parent)
            if place.mirror:
                mirror.restore(self.path, place.mirror)
            self._lock = lock.SessionLock(self._locks / self.session_id)
        try:
            self._writer = schema.connect(self.path)
            self._reader = schema.connect(self.path)
            with schema.store_errors(self.path):
                self._number = self._begin_session()
        except BaseException:
            self._lock.release()
            raise
        _open_stores.add(self)

    @classmethod
    def open(cls, path: Path | None = None, *, cap_bytes: int | None = None) -> Store:
        """Open or make a journal; jobs that nobody can be running any more become LOST.

        Parameters
        ----------
        path : Path or None
            The file, or a folder that exists; None for ``kit.home.default_path()``. On a network
            file system the journal itself lies elsewhere, see ``place``.
        cap_bytes : int or None
            Disk that the store may take; the oldest payloads go first, events are kept. None for
            the number of GB in ``KIT_CAP_GB``, or else 5 GB.

        Raises
        ------
        StoreError
            It cannot be read or written, or was written by a newer kit.
        """
        store = cls(home.place(path), _cap() if cap_bytes is None else cap_bytes)
        store.recover()
        return store

    def _begin_session(self) -> int:
        cursor = self._writer.execute(
            "INSERT INTO sessions (id, pid, host, opened_at) VALUES (?, ?, ?, ?)",
            (self.session_id, self._pid, lock.host(), time.time()),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    # -- write ----------------------------------------------------------------------------------

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Keep events: all that are accepted, in one transaction.

        Refused, without an error, are a second real end of an attempt, a second LOST, LOST after a
        real end, and QUEUED for an attempt that is not newer than the job's own.

        Returns
        -------
        list of Event
            The accepted ones in their order, with ``seq`` set. They are on disk.

        Raises
        ------
        StoreError
            Nothing was kept: disk full, not writable, busy for 5 s, closed, or a forked child.
        """
        if not events:
            return []
        self._may_write()
        with schema.store_errors(self.path):
            values, spilled = self._values(events)
            with self._write_lock:
                self._may_write()
                accepted = self._insert_events(events, values, spilled)
                self._outbox.append(accepted)
                self._appended_at = time.monotonic()
                if self._written > _APPEND_BYTES:
                    self._keep_cap()
        self._notify()
        return accepted

    def append_samples(self, samples: Sequence[Sample]) -> None:
        """Keep memory readings, in one transaction.

        Raises
        ------
        StoreError
        """
        if not samples:
            return
        self._may_write()
        values: list[Any] = []
        for s in samples:
            values += (s.time, self._number, s.kind, s.device)
            values += (s.used_bytes, s.total_bytes, s.utilization)
        with self._write_lock, schema.store_errors(self.path):
            self._may_write()
            with self._transaction(len(samples) > _ROWS):
                for _ in self._insert("samples", _SAMPLE_COLUMNS, values):
                    pass
            self._written += 80 * len(samples)

    def register(self, version: HandlerVersion) -> None:
        """Keep a handler version of this session.

        Raises
        ------
        StoreError
        """
        self._may_write()
        text = json.dumps(dataclasses.asdict(version), ensure_ascii=False)
        with self._write_lock, schema.store_errors(self.path):
            self._may_write()
            self._writer.execute(
                "INSERT OR REPLACE INTO handlers VALUES (?, ?, ?, ?)",
                (self._number, version.name, version.version, _storable(text)),
            )

    def recover(self) -> int:
        """Mark unfinished jobs of sessions that died LOST; returns how many. Called by ``open``.

        Raises
        ------
        StoreError
        """
        self._may_write()
        self._recovered_at = time.monotonic()
        lost = 0
        with self._write_lock, schema.store_errors(self.path):
            suspects = self._writer.execute(
                "SELECT number, id, pid FROM sessions WHERE number <> ? AND number IN "
                f"(SELECT session FROM jobs WHERE {schema.UNFINISHED})",
                (self._number,),
            ).fetchall()
            for number, session, pid in suspects:
                if lock.is_free(self._locks / session):
                    lost += self._mark_lost(number, session, pid)
        self._notify()
        return lost

    def _mark_lost(self, number: int, session: str, pid: int) -> int:
        data = encode(
            Ended(lost=f"its kernel (session {session}, process {pid}) ended before the job did")
        )
        # one statement however many jobs: the promise is 2 s
        cursor = self._writer.execute(
            f"""
            INSERT INTO events ({_EVENT_COLUMNS})
            SELECT key, attempt, 'lost', ?, NULL, ?, ?, NULL, NULL FROM jobs
            WHERE session = ? AND {schema.UNFINISHED} ORDER BY number
            ON CONFLICT DO NOTHING
            """,
            (time.time(), self._number, data, number),
        )
        count = cursor.rowcount
        if count and self._subscribers:
            assert cursor.lastrowid is not None
            self._outbox.append(self.after(cursor.lastrowid - count, limit=count))
        (self._locks / session).unlink(missing_ok=True)
        return count

    def _values(self, events: Sequence[Event]) -> tuple[list[Any], list[tuple[str, bytes]]]:
        """The parameters of the INSERT, and the payloads that were written as files."""
        number = self._number
        values: list[Any] = []
        spilled: list[tuple[str, bytes]] = []
        kinds = rows.NAMES
        for event in events:
            data, payload, file = event.data, event.payload, None
            if payload is not None and len(payload) * 4 > spill.INLINE_BYTES:
                whole = _storable(payload).encode()
                if len(whole) > spill.INLINE_BYTES:
                    file, payload = self._files.write(whole), None
                    spilled.append((file, whole))
            ms = None
            if type(data) is Started:
                ms = data.delay_ms
            elif type(data) is Ended:
                ms = data.execution_ms
            values += (
                event.job_key, event.attempt, kinds[event.kind], event.time, ms, number,
                encode(data), payload, file,
            )  # fmt: skip
        return values, spilled

    def _insert_events(
        self, events: Sequence[Event], values: list[Any], spilled: list[tuple[str, bytes]]
    ) -> list[Event]:
        accepted: list[Event] = []
        # one statement is a transaction by itself, and half as many steps as one with BEGIN
        with self._transaction(len(events) > _ROWS or bool(spilled)):
            for name, whole in spilled:
                self._writer.execute(
                    "INSERT OR IGNORE INTO payload_files VALUES (?, ?)", (name, len(whole))
                )
            at = 0
            for count, last in self._insert("events", _EVENT_COLUMNS, values):
                part = events[at : at + _ROWS]
                accepted += self._numbered(part, count, last)
                at += _ROWS
        for name, whole in spilled:
            self._files.write(whole)  # another session may have dropped the same one meanwhile
            self._written += len(whole)
        self._written += sum(len(text) for text in values if type(text) is str)
        return accepted

    def _numbered(self, events: Sequence[Event], count: int, last: int) -> Iterator[Event]:
        first = last - count + 1
        if count < len(events):
            events = list(self._accepted(events, first, last) if count else ())
        for seq, e in enumerate(events, first):
            yield Event(e.job_key, e.attempt, e.kind, e.time, e.data, e.payload, seq)

    def _accepted(self, events: Sequence[Event], first: int, last: int) -> Iterator[Event]:
        text = self._writer.execute(
            "SELECT json_group_array(json_array(job_key, attempt, kind)) FROM "
            "(SELECT * FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq)",
            (first, last),
        ).fetchone()[0]
        remaining = iter(events)
        for kept in json.loads(text):
            # same key, attempt and kind twice: the first is the one that was kept
            for event in remaining:
                if [event.job_key, event.attempt, event.kind.value] == kept:
                    yield event
                    break

    def _insert(self, table: str, columns: str, values: list[Any]) -> Iterator[tuple[int, int]]:
        """Insert rows, many to a statement; yields how many of each were kept and the last rowid.

        The number of rows is rounded up to a power of two, so that there are few statements and
        SQLite's cache has them; the rows that fill up are empty and left out.
        """
        width = columns.count(",") + 1
        for at in range(0, len(values), width * _ROWS):
            part = values[at : at + width * _ROWS]
            size = 1 << (len(part) // width - 1).bit_length()
            part += [None] * (size * width - len(part))
            sql = _insert_sql(table, columns, width, size)
            try:
                cursor = self._writer.execute(sql, part)
            except UnicodeEncodeError:
                part = [_storable(value) if type(value) is str else value for value in part]
                cursor = self._writer.execute(sql, part)
            assert cursor.lastrowid is not None
            yield cursor.rowcount, cursor.lastrowid

    @contextmanager
    def _transaction(self, needed: bool) -> Iterator[None]:
        if not needed:
            yield
            return
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself where the disk was full
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    def _may_write(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                "this process is a fork of the one that opened the journal and must not write to "
                "it. Do what makes or reads jobs in the kernel itself."
            )
        if self._closed:
            raise StoreError("the journal is closed. Load the kit again to open it.")

    # -- notice ---------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Have accepted events handed over after their commit; returns what ends it.

        The callback runs in a thread that appends, in order of ``seq``, and must not block. It may
        append. What it raises is logged.
        """
        with self._write_lock:
            self._subscribers += (callback,)

        def unsubscribe() -> None:
            with self._write_lock:
                self._subscribers = tuple(s for s in self._subscribers if s is not callback)

        return unsubscribe

    def _notify(self) -> None:
        # one thread at a time hands over, so that the order is that of the journal; whoever comes
        # meanwhile leaves its events to it
        while self._outbox and self._notify_lock.acquire(blocking=False):
            try:
                while self._outbox:
                    events = self._outbox.popleft()
                    for callback in self._subscribers if events else ():
                        try:
                            callback(events)
                        except Exception:
                            _log.exception("a subscriber of the journal failed")
            finally:
                self._notify_lock.release()

    def data_version(self) -> int:
        """A number that changes when another process has written. Blocks shortly."""
        with self._write_lock:
            self._may_write()
            return int(self._writer.execute("PRAGMA data_version").fetchone()[0])

    # -- read -----------------------------------------------------------------------------------

    def after(
        self, seq: int, *, limit: int | None = None, session: str | None = None
    ) -> list[Event]:
        """Events after a position, in order; those of one session's jobs if it is named."""
        where, parameters = "TRUE", []
        if session is not None:
            where = (
                "EXISTS (SELECT 1 FROM jobs WHERE key = job_key AND "
                "jobs.session = (SELECT number FROM sessions WHERE sessions.id = ?))"
            )
            parameters = [session]
        return list(self._events(where, parameters, after=seq, limit=limit))

    def view(self, key: JobKey) -> JobView | None:
        """Everything known of a job; None if there is no such job."""
        return fold(self._events("job_key = ?", [key]))

    def views(self, keys: Iterable[JobKey]) -> list[JobView]:
        """``view`` of many jobs, in the order of the keys; unknown ones are left out."""
        wanted, found = list(dict.fromkeys(keys)), {}
        for at in range(0, len(wanted), 500):
            some = json.dumps(wanted[at : at + 500])
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
        newest_first: bool = True,
        payloads: bool = False,
    ) -> list[JobRow]:
        """Jobs in order of submission, without their events.

        Parameters
        ----------
        limit : int or None
            None for all.
        session, handler, version, state, target
            Only those; None for any. ``state`` may be several.
        newest_first : bool
        payloads : bool
            Whether ``request`` and ``done`` are filled.
        """
        where, parameters = _filters(session, handler, version, state, target)
        with self._reading():
            return rows.read_rows(
                self._one,
                self._files.read,
                where,
                parameters,
                self._session_name,
                limit=limit,
                newest_first=newest_first,
                payloads=payloads,
            )

    def count(
        self, state: JobState | Collection[JobState] | None = None, session: str | None = None
    ) -> int:
        """Number of jobs, in these states and of this session if named."""
        where, parameters = _filters(session, None, None, state, None)
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
            ("time >= ?", since),
            ("time <= ?", until),
            ("session = (SELECT number FROM sessions WHERE sessions.id = ?)", session),
        ):
            if value is not None:
                where += f" AND {condition}"
                parameters.append(value)
        with self._reading():
            return rows.read_samples(self._one, where, parameters)

    def handlers(self, session: str | None = None) -> list[HandlerVersion]:
        """Handler versions in the order they were registered; of all sessions if none is named."""
        where = "TRUE" if session is None else "sessions.id = ?"
        with self._reading():
            text = self._one(
                "SELECT json_group_array(data) FROM (SELECT data FROM handlers JOIN sessions "
                f"ON sessions.number = handlers.session WHERE {where} ORDER BY handlers.rowid)",
                [] if session is None else [session],
            )[0]
        return [_handler_version(json.loads(data)) for data in json.loads(text)]

    def last_request(self, handler: str, session: str | None = None) -> str | None:
        """JSON text of the request that a handler was last given; None if there is none (left)."""
        where, parameters = _filters(session, handler, None, None, None)
        with self._reading():
            text, file = self._one(
                "SELECT max(payload), max(payload_file) FROM events WHERE seq = (SELECT request_seq "
                f"FROM jobs WHERE {where} ORDER BY request_seq DESC LIMIT 1)",
                parameters,
            )
            return text if file is None else self._files.read(file)

    def _events(
        self, where: str, parameters: list[Any], *, after: int = 0, limit: int | None = None
    ) -> Iterator[Event]:
        with self._reading():
            yield from rows.read_events(
                self._one, self._files.read, where, parameters, after=after, limit=limit
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._may_write()  # a fork must not even read: SQLite's locks are those of its parent
        with schema.store_errors(self.path):
            yield

    def _one(self, sql: str, parameters: Sequence[Any]) -> Sequence[Any]:
        with self._read_lock:
            self._may_write()
            row: Sequence[Any] = self._reader.execute(sql, parameters).fetchone()
            return row

    def _session_name(self, number: int) -> str:
        name = self._sessions.get(number)
        if name is None:
            name = str(self._one("SELECT id FROM sessions WHERE number = ?", [number])[0])
            self._sessions[number] = name
        return name

    # -- chores ---------------------------------------------------------------------------------

    def tend(self) -> None:
        """Chores: the cap, the copy on the network volume, sessions that died. Never raises.

        To be called about once a second by a thread that may block for as long as a copy takes.
        """
        if os.getpid() != self._pid or self._closed or not self._tend_lock.acquire(blocking=False):
            return
        try:
            self._lock.hold()
            if self._written > _TEND_BYTES:
                with self._write_lock, schema.store_errors(self.path):
                    self._keep_cap()
            if time.monotonic() - self._recovered_at > _RECOVER_S:
                self.recover()
            self.mirror_if_idle()
        except StoreError as error:
            _log.warning("%s", error)
        finally:
            self._tend_lock.release()

    def mirror_if_idle(self) -> bool:
        """Copy the journal to the network volume if it is time to; returns whether it was done.

        Blocks for as long as the copy takes, without keeping others from reading or appending.
        """
        if self._mirror is None or os.getpid() != self._pid or self._closed:
            return False
        if not self._mirror.due(time.monotonic() - self._appended_at):
            return False
        return self._mirror.update()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person should know: weak locks, a copy that failed, a cap passed."""
        over = (
            f"the journal is over its cap of {self.cap_bytes / 1e9:g} GB, and only events are "
            "left to drop. Raise KIT_CAP_GB, or begin a new KIT_HOME."
            if self._over_cap
            else None
        )
        problem = self._mirror.problem if self._mirror else None
        return tuple(note for note in (self._lock.note, problem, over) if note)

    @property
    def copied_at(self) -> float | None:
        """When this session last copied the journal to the network volume (UTC seconds)."""
        return self._mirror.copied_at if self._mirror else None

    def _keep_cap(self) -> None:
        self._written = 0
        dropped = spill.drop_oldest(self._writer, self._files, self.cap_bytes)
        self._over_cap = dropped == 0 and spill.used_bytes(self._writer) > self.cap_bytes

    def close(self) -> None:
        """Make a last copy if there is one to make, and give up the session's lock.

        Unfinished jobs of this session are LOST from now on. A second call does nothing.
        """
        if os.getpid() != self._pid:
            return
        with self._tend_lock:
            if self._closed:
                return
            with self._write_lock:
                self._closed = True
                try:
                    self._writer.execute(
                        "UPDATE sessions SET closed_at = ? WHERE number = ?",
                        (time.time(), self._number),
                    )
                except sqlite3.Error as error:  # a full disk must not keep the lock
                    _log.warning("the session's end was not noted: %s", error)
            if self._mirror is not None:
                self._mirror.update()
            with self._write_lock, self._read_lock:
                self._reader.close()
                self._writer.close()
            self._lock.release()
            _open_stores.discard(self)


def _cap() -> int:
    text = os.environ.get("KIT_CAP_GB")
    if not text:
        return spill.CAP_BYTES
    try:
        return int(float(text) * 1e9)
    except ValueError:
        raise StoreError(f"KIT_CAP_GB is {text!r}, which is no number of gigabytes.") from None


def _insert_sql(table: str, columns: str, width: int, size: int) -> str:
    key = (table, size)
    sql = _statements.get(key)
    if sql is None:
        row = "(" + ",".join("?" * width) + ")"
        sql = _statements[key] = (
            f"INSERT INTO {table} ({columns}) SELECT * FROM (VALUES {','.join([row] * size)}) "
            "WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING"
        )
    return sql


_statements: dict[tuple[str, int], str] = {}


def _storable(text: str) -> str:
    """JSON text that can be written as UTF-8: a lone surrogate becomes its own JSON escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def _filters(
    session: str | None,
    handler: str | None,
    version: int | None,
    state: JobState | Collection[JobState] | None,
    target: str | None,
) -> tuple[str, list[Any]]:
    where, parameters = "TRUE", []
    for condition, value in (
        ("jobs.session = (SELECT number FROM sessions WHERE sessions.id = ?)", session),
        ("handler = ?", handler),
        ("version = ?", version),
        ("target = ?", target),
    ):
        if value is not None:
            where += f" AND {condition}"
            parameters.append(value)
    if state is not None:
        states = [state] if isinstance(state, str) else list(state)
        where += f" AND state IN ({','.join('?' * len(states))})"
        parameters += [JobState(s).value for s in states]
    return where, parameters


def _handler_version(raw: dict[str, Any]) -> HandlerVersion:
    known = {field.name for field in dataclasses.fields(HandlerVersion)}
    raw = {name: value for name, value in raw.items() if name in known}
    raw["kind"] = HandlerKind(raw["kind"])
    raw["options"] = tuple((name, source) for name, source in raw["options"])
    return HandlerVersion(**raw)


_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _abandon() -> None:
    """In a forked child: keep SQLite's connections from ever being closed.

    A connection must not be used in a child, and closing counts as use: it would wait for a mutex
    that a thread of the parent held at the fork, and that nobody holds here.
    """
    import ctypes

    for store in list(_open_stores):
        for connection in (store._writer, store._reader):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon)
