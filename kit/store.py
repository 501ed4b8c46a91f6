"""The journal: every event of every job, in SQLite, by one short transaction each.

It survives the death of the process at any instant, not a power cut. Several kernels may write to
one journal. Nothing of a job stays in memory: a job's state is a row that SQLite's own triggers
keep equal to the fold of its events (``kit.schema``).
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kit import forks, home, lock, mirror, schema, spill
from kit.delivery import Delivery, Subscriber
from kit.errors import StoreError
from kit.events import Event, Sample
from kit.handler import HandlerVersion
from kit.reader import Reader
from kit.rows import JobRow
from kit.span import Span
from kit.writer import Writer

__all__ = ["JobRow", "Store"]

_log = logging.getLogger("kit.store")

#: the cap is looked at when this much was written: by ``tend``, or else by ``append`` itself
_TEND_BYTES, _APPEND_BYTES = 8_000_000, 64_000_000
#: seconds between two looks for sessions that died
_RECOVER_S = 30.0
_OLD_LOCK_S = 86400.0
_ORPHAN_S = 3600.0


class Store(Reader):
    """One session's door to the journal. Use ``Store.open``. All methods are thread-safe.

    Attributes
    ----------
    path : Path
        The journal's file.
    place : Place
        Why it is there, and where a copy goes if it is on a pod's network volume.
    session_id : str
        Short and unique, e.g. ``"s3f9a1c2"``.
    cap_bytes : int
        Disk that the store may take.
    """

    def __init__(self, place: home.Place, cap_bytes: int) -> None:
        path = place.journal
        self.place = place
        self.cap_bytes = cap_bytes
        self.session_id = "s" + secrets.token_hex(4)[:7]
        self._delivery = Delivery()
        self._tend_lock = threading.Lock()
        self._swept = False
        self._appended_at = self._recovered_at = time.monotonic()
        self._over_cap = False
        #: how often memory readings were appended: who has seen as many need not look
        self.sampled = 0
        self._locks = path.with_name(f"{path.stem}.locks")
        copies = place.mirror and place.mirror.with_name(f"{place.mirror.stem}.payloads")
        self._files = spill.PayloadFiles(path.with_name(f"{path.stem}.payloads"), copies)
        self._mirror = mirror.Mirror(path, place.mirror, self._files) if place.mirror else None
        with schema.store_errors(path):
            home.make_folder(path.parent)
            if place.mirror:
                mirror.restore(path, place.mirror)
            home.make_private(path)
            # before the session is in the journal: nobody must find it there without its lock
            self._lock = lock.SessionLock(self._locks / self.session_id)
        try:
            super().__init__(path, self._files.read)
            try:
                self._writer = Writer(path, self.session_id, self._files)
            except BaseException:
                self._reader.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._wal = self._one("PRAGMA journal_mode", [])[0] == "wal"
        # the cap may be another one than last time
        self._writer.written = _TEND_BYTES + 1
        forks.keep(self, self._writer.connection, self._reader)

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
        store = cls(home.place(path), spill.cap_bytes() if cap_bytes is None else cap_bytes)
        try:
            store.recover()
        except BaseException:
            store.close()
            raise
        return store

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
        self._check()
        try:
            prepared = self._writer.prepare(events)
            with self._writer.lock:
                self._check()
                accepted = self._writer.insert(events, prepared)
                self._delivery.put(accepted)
                self._appended_at = time.monotonic()
                if self._writer.written > _APPEND_BYTES:
                    self._keep_cap()
        except (sqlite3.Error, OSError) as error:
            raise schema.store_error(self.path, error) from error
        self._delivery.deliver()
        return accepted

    def append_samples(self, samples: Sequence[Sample]) -> None:
        """Keep memory readings, in one transaction.

        Raises
        ------
        StoreError
        """
        if not samples:
            return
        with self._writing() as writer:
            writer.insert_samples(samples)
        self.sampled += 1

    def register(self, version: HandlerVersion) -> None:
        """Keep a handler version of this session; the same version again replaces it.

        Raises
        ------
        StoreError
        """
        with self._writing() as writer:
            writer.insert_handler(version)

    def put_span(self, span: Span) -> None:
        """Keep a model load or setup of this session; one with the same key is replaced.

        Raises
        ------
        StoreError
        """
        with self._writing() as writer:
            writer.insert_span(span)

    @contextmanager
    def _writing(self) -> Iterator[Writer]:
        self._check()
        with self._writer.lock, schema.store_errors(self.path):
            self._check()
            yield self._writer

    def recover(self) -> int:
        """Mark unfinished jobs of sessions that died LOST; returns how many. Called by ``open``.

        Raises
        ------
        StoreError
        """
        self._check()
        self._recovered_at = time.monotonic()
        lost = 0
        with self._writing() as writer:
            for number, session, pid in writer.suspects():
                path = self._locks / session
                if not lock.is_free(path):
                    continue
                reason = f"its kernel (session {session}, process {pid}) ended before the job did"
                first, count = writer.mark_lost(number, reason)
                if count and self._delivery.wanted:
                    self._delivery.put(self.after(first - 1, limit=count))
                path.unlink(missing_ok=True)
                lost += count
            self._remove_old_locks()
        self._delivery.deliver()
        return lost

    def _remove_old_locks(self) -> None:
        # of sessions that died and left no job; a young file may be about to be locked
        for path in self._locks.iterdir():
            if time.time() - path.stat().st_mtime > _OLD_LOCK_S and lock.is_free(path):
                path.unlink(missing_ok=True)

    # -- notice ---------------------------------------------------------------------------------

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Have accepted events handed over after their commit; returns what ends it.

        The callback runs in a thread that appends, in order of ``seq``, and must not block. It may
        append. What it raises is logged.
        """
        return self._delivery.subscribe(callback)

    def data_version(self) -> int:
        """A number that changes when another process has written.

        Raises
        ------
        StoreError
        """
        with self._writing() as writer:
            return writer.data_version()

    # -- chores ---------------------------------------------------------------------------------

    def tend(self) -> None:
        """Chores: the cap, the copy on the network volume, sessions that died. Never raises.

        To be called about once a second from a thread that may block for as long as a copy takes.
        """
        if os.getpid() != self._pid or self._closed:
            return
        self._lock.hold()
        try:
            with self._writing() as writer:
                if writer.written > _TEND_BYTES:
                    self._keep_cap()
                if not self._swept:
                    self._swept = True
                    # left by a kernel that was killed before their events were kept
                    old = self._files.old(_ORPHAN_S)
                    spill.remove_unknown(writer.connection, self._files, old)
            if time.monotonic() - self._recovered_at > _RECOVER_S:
                self.recover()
        except StoreError as error:
            if not self._closed:
                _log.warning("%s", error)
        self.mirror_if_idle()

    def mirror_if_idle(self) -> bool:
        """Copy the journal to the network volume if it is time to; returns whether it was done.

        Blocks for as long as the copy takes, without keeping others from reading or appending.
        Never raises: ``notes`` says what went wrong.
        """
        if self._mirror is None or os.getpid() != self._pid:
            return False
        if not self._tend_lock.acquire(blocking=False):
            return False  # a copy is being made
        try:
            quiet_s = time.monotonic() - self._appended_at
            return not self._closed and self._mirror.due(quiet_s) and self._mirror.update()
        finally:
            self._tend_lock.release()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person should know: weak locks, a copy that failed, a cap passed."""
        over = (
            f"the journal is over its cap of {self.cap_bytes / 1e9:g} GB, and only events are "
            "left. Raise KIT_CAP_GB, or begin a new KIT_HOME."
            if self._over_cap
            else None
        )
        slow = (
            None
            if self._wal
            else f"{self.path.parent} cannot hold a write-ahead log, so the journal is slow there. "
            "Set KIT_HOME to a folder on a local disk."
        )
        problem = self._mirror.problem if self._mirror else None
        return tuple(note for note in (self._lock.note, slow, problem, over) if note)

    @property
    def copied_at(self) -> float | None:
        """When this session last copied the journal to the network volume (UTC seconds)."""
        return self._mirror.copied_at if self._mirror else None

    def _keep_cap(self) -> None:
        connection = self._writer.connection
        self._writer.written = 0
        try:
            dropped = spill.drop_oldest(connection, self._files, self.cap_bytes)
        except (sqlite3.Error, OSError) as error:
            # tried again later; what was appended is kept, so no append may fail for it
            _log.warning("nothing was dropped to stay under the cap: %s", error)
            return
        over = spill.used_bytes(connection) > self.cap_bytes
        self._over_cap = over and dropped == 0
        # a little at a time: others wait to append meanwhile
        if over and dropped:
            self._writer.written = _TEND_BYTES + 1

    def close(self) -> None:
        """Make a last copy if there is one to make, and give up the session's lock.

        Unfinished jobs of this session are LOST from now on. A second call does nothing, and so
        does a forked child's.
        """
        if os.getpid() != self._pid:
            return
        with self._tend_lock:
            with self._writer.lock:
                if self._closed:
                    return
                self._closed = True
                try:
                    self._writer.end_session()
                except sqlite3.Error as error:  # a full disk must not keep the lock
                    _log.warning("the session's end was not noted: %s", error)
            if self._mirror is not None:
                self._mirror.update()
            with self._writer.lock, self._read_lock:
                self._reader.close()
                self._writer.connection.close()
            self._lock.release()
            forks.forget(self)
