"""A copy of the journal on the network volume, because the journal itself cannot live there.

The copy is made by SQLite's backup API under a temporary name and then renamed, so whoever reads
the volume finds the last whole copy. Each machine has its own; what was written since the last one
is lost with the machine's disk.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from kit.errors import StoreError
from kit.lock import SessionLock
from kit.schema import BUSY_S
from kit.spill import PayloadFiles

#: no append for this long is idle
IDLE_S = 2.0
#: a store that is never idle is copied after this long all the same
OVERDUE_S = 300.0
#: copying may take this part of the time at most
_SHARE = 0.05


class Mirror:
    """Keeps one copy of one journal. Not thread-safe: the store calls it from one thread at a time.

    Parameters
    ----------
    journal : Path
        The journal's file on the local disk.
    copy : Path
        Where the copy goes; payload files go beside it.
    files : PayloadFiles
        The payload files of the journal.

    Attributes
    ----------
    problem : str or None
        Why the last copy could not be made, as a sentence; None if it could.
    copied_at : float or None
        When the last copy of this process was made, UTC seconds.
    """

    def __init__(self, journal: Path, copy: Path, files: PayloadFiles) -> None:
        self.journal = journal
        self.copy = copy
        self.files = files
        self.problem: str | None = None
        self.copied_at: float | None = None
        self._took = 0.0
        self._done_at = time.monotonic()
        self._lock_path = journal.with_name(f"{journal.stem}.mirror.lock")
        self._stamp_path = journal.with_name(f"{journal.stem}.mirror.stamp")

    def due(self, quiet_s: float) -> bool:
        """Whether now is a time to copy, given how long nothing was appended."""
        since = time.monotonic() - self._done_at
        if since < self._took / _SHARE:
            return False
        return quiet_s >= IDLE_S or since >= OVERDUE_S

    def update(self) -> bool:
        """Copy what changed; blocks for as long as that takes. Returns whether a copy was made.

        Failing is not an error for the caller, whose journal is whole: ``problem`` says it.
        """
        began = time.monotonic()
        lock = None
        try:
            lock = SessionLock(self._lock_path)
            return self._update()
        except BlockingIOError:
            return False  # another session of this machine is at it
        except (OSError, sqlite3.Error) as error:
            self.problem = f"the copy {self.copy} could not be made: {error}"
            return False
        finally:
            if lock is not None:
                lock.release()
            self._done_at = time.monotonic()
            self._took = self._done_at - began

    def _update(self) -> bool:
        source = sqlite3.connect(self.journal, timeout=BUSY_S, isolation_level=None)
        try:
            stamp = _stamp(source)
            if self._last_stamp() == stamp and self.copy.exists():
                self.problem = None
                return False
            self.copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # left by a copy that was cut off; the lock says that it is not being made
            for half in self.copy.parent.glob(f"{self.copy.name}.*.tmp*"):
                half.unlink(missing_ok=True)
            # files first: a copy must not name one that is not there
            self._copy_files()
            temporary = self.copy.with_name(f"{self.copy.name}.{os.getpid()}.tmp")
            try:
                _backup(source, temporary)
                temporary.replace(self.copy)
            finally:
                temporary.unlink(missing_ok=True)
        finally:
            source.close()
        self._remove_dropped_files()
        self._stamp_path.write_text(stamp)
        self.copied_at = time.time()
        self.problem = None
        return True

    def _last_stamp(self) -> str | None:
        try:
            return self._stamp_path.read_text()
        except FileNotFoundError:
            return None

    def _copy_files(self) -> None:
        if self.files.copies is None:
            return
        there = PayloadFiles(self.files.copies).names()
        for name in self.files.names() - there:
            target = PayloadFiles(self.files.copies).path(name)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = target.with_name(f"{name}.{os.getpid()}.tmp")
            try:
                shutil.copyfile(self.files.path(name), temporary)
                temporary.replace(target)
            except FileNotFoundError:
                continue  # dropped a moment ago
            finally:
                temporary.unlink(missing_ok=True)

    def _remove_dropped_files(self) -> None:
        if self.files.copies is None:
            return
        copies = PayloadFiles(self.files.copies)
        with_rows = sqlite3.connect(self.journal, timeout=BUSY_S, isolation_level=None)
        try:
            known = {row[0] for row in with_rows.execute("SELECT hash FROM payload_files")}
        finally:
            with_rows.close()
        for name in copies.names() - known:
            copies.remove(name)


def restore(journal: Path, copy: Path) -> bool:
    """Bring the copy back if there is no journal here. Returns whether it was done.

    Raises
    ------
    StoreError
        The copy is there and cannot be read: better said than an empty history.
    """
    if journal.exists() or not copy.exists():
        return False
    temporary = journal.with_name(f"{journal.name}.{os.getpid()}.restore")
    try:
        shutil.copyfile(copy, temporary)
        _check(temporary)
        # held while it appears: of two sessions that open at once, the second finds it done
        lock = SessionLock(journal.with_name(f"{journal.stem}.restore.lock"))
        try:
            if journal.exists():
                return False
            for stale in ("-wal", "-shm"):  # of a journal that was deleted: not of this one
                Path(f"{journal}{stale}").unlink(missing_ok=True)
            temporary.replace(journal)
        finally:
            lock.release()
    except BlockingIOError:
        return _appears(journal)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"the journal's copy {copy} could not be brought back: {error}. "
            "Move it away to begin with an empty history."
        ) from error
    finally:
        for leftover in (temporary, Path(f"{temporary}-wal"), Path(f"{temporary}-shm")):
            leftover.unlink(missing_ok=True)
    return True


def _appears(journal: Path) -> bool:
    deadline = time.monotonic() + BUSY_S
    while not journal.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return False


def _check(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        connection.execute("SELECT count(*) FROM sessions").fetchone()
    finally:
        connection.close()


def _backup(source: sqlite3.Connection, target: Path) -> None:
    # no locks: nobody else knows the name, and network file systems often have none to give
    uri = f"file:{quote(str(target))}?nolock=1"
    copy = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous=OFF")
        source.backup(copy)
    finally:
        copy.close()
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _stamp(connection: sqlite3.Connection) -> str:
    """What tells one content from another: the ends of all that is only ever added to."""
    row = connection.execute(
        "SELECT (SELECT max(seq) FROM events), (SELECT max(id) FROM samples),"
        " (SELECT count(*) FROM handlers), (SELECT max(number) FROM sessions)"
    ).fetchone()
    return " ".join(map(str, row))
