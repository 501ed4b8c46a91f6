"""What grows: large payloads as files by hash, and the cap that drops the oldest payloads first.

Events are never dropped. When the cap is passed, payloads go first (those of unfinished jobs stay),
then memory samples, then the text of logs, each from the oldest on.
"""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from kit.errors import StoreError
from kit.schema import UNFINISHED

#: payloads of more bytes than this are files
INLINE_BYTES = 256 * 1024
#: what the store may take on disk unless told otherwise
CAP_BYTES = 5_000_000_000
#: characters read at a time
_PIECE = 1_000_000
#: dropped at a time: others wait to append meanwhile
_STEP_BYTES = 64_000_000
#: rows looked at in one transaction
_BATCH = 2000
_DROPPED_LOG = '{"stream":"%s","text":"[dropped to stay under the cap of the store]\\n"}'


class PayloadFiles:
    """Payloads as files, named by the sha256 of their UTF-8 text.

    Parameters
    ----------
    folder : Path
        Made when the first file is written.
    copies : Path or None
        Another folder of the same shape, read where a file is missing here.
    """

    def __init__(self, folder: Path, copies: Path | None = None) -> None:
        self.folder = folder
        self.copies = copies

    def write(self, payload: bytes) -> str:
        """Write a payload unless it is there already; returns its name."""
        name = hashlib.sha256(payload).hexdigest()
        path = self.path(name)
        try:
            if path.stat().st_size == len(payload):
                return name
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, payload)
        return name

    def read(self, name: str) -> str | None:
        """The payload's text; None if it was dropped."""
        folders = [self.folder] if self.copies is None else [self.folder, self.copies]
        for folder in folders:
            try:
                # piece by piece: decoding 20 MB at once would hold the interpreter for as long
                with _path(folder, name).open(encoding="utf-8", newline="") as file:
                    return "".join(iter(lambda: file.read(_PIECE), ""))
            except FileNotFoundError:
                continue
        return None

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        return _path(self.folder, name)

    def old(self, age_s: float) -> list[str]:
        """Names of files that were written so long ago; half written ones are removed."""
        before = time.time() - age_s
        names = []
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    if path.suffix == ".tmp":
                        path.unlink()
                    else:
                        names.append(path.name)
        return names

    def names(self) -> set[str]:
        """Names of the files that are here."""
        return {path.name for path in self.folder.glob("??/*") if len(path.name) == 64}


def _path(folder: Path, name: str) -> Path:
    return folder / name[:2] / name


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that its name never stands for half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unknown(
    connection: sqlite3.Connection, files: PayloadFiles, names: Iterable[str]
) -> None:
    """Remove payload files that the journal does not know of."""
    try:
        # as in _transaction: nobody can come to need one of them meanwhile
        connection.execute("BEGIN IMMEDIATE")
        for name in names:
            found = connection.execute("SELECT 1 FROM payload_files WHERE hash = ?", (name,))
            if found.fetchone() is None:
                files.remove(name)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes that the journal's rows and its payload files take."""
    used = connection.execute(
        "SELECT (SELECT page_count FROM pragma_page_count)"
        " - (SELECT freelist_count FROM pragma_freelist_count)"
    ).fetchone()[0]
    page = connection.execute("PRAGMA page_size").fetchone()[0]
    files = connection.execute("SELECT coalesce(sum(bytes), 0) FROM payload_files").fetchone()[0]
    return int(used * page + files)


def drop_oldest(connection: sqlite3.Connection, files: PayloadFiles, cap_bytes: int) -> int:
    """Drop the oldest content until the store is under its cap, or 64 MB of it.

    Parameters
    ----------
    connection : sqlite3.Connection
        Not in a transaction; the caller keeps other threads away from it.
    files : PayloadFiles
    cap_bytes : int

    Returns
    -------
    int
        Bytes dropped; 0 if the store was under its cap, or if nothing is left to drop.
    """
    used = used_bytes(connection)
    if used <= cap_bytes:
        return 0
    # a bit more than needed, so that the next append is not over it again
    need = min(used - cap_bytes + cap_bytes // 20, _STEP_BYTES)
    dropped = 0
    for stage in (_drop_payloads, _drop_samples, _drop_logs):
        while dropped < need:
            gone = _transaction(connection, stage, files, need - dropped)
            if gone is None:
                break
            dropped += gone
    return dropped


#: drops about so many bytes; gives how many (None: nothing left) and the files nobody needs now
_Stage = Callable[[sqlite3.Connection, int], "tuple[int | None, list[str]]"]


def _transaction(
    connection: sqlite3.Connection, stage: _Stage, files: PayloadFiles, need: int
) -> int | None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        gone, orphans = stage(connection, need)
        # while this process may write and nobody else: a payload that comes back is seen to be
        # missing by whoever appended it, and written again (Store.append)
        for name in orphans:
            files.remove(name)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return gone


def _drop_payloads(connection: sqlite3.Connection, need: int) -> tuple[int | None, list[str]]:
    mark = _mark(connection, "payloads_dropped_to")
    found = connection.execute(
        f"""
        SELECT e.seq, e.payload_file, j.key IS NOT NULL,
               coalesce(length(CAST(e.payload AS BLOB)), f.bytes, 0)
        FROM events e
        LEFT JOIN payload_files f ON f.hash = e.payload_file
        LEFT JOIN jobs j ON j.key = e.job_key AND j.{UNFINISHED}
        WHERE e.seq > ? AND coalesce(e.payload, e.payload_file) IS NOT NULL
        ORDER BY e.seq LIMIT {_BATCH}
        """,
        (mark,),
    ).fetchall()
    if not found:
        return None, []
    dropped: list[int] = []
    names: dict[str, int] = {}
    inline, kept_from = 0, None
    last = mark
    for seq, name, unfinished, size in found:
        if unfinished:
            kept_from = seq if kept_from is None else kept_from
            continue
        dropped.append(seq)
        last = seq
        if name is None:
            inline += size
        else:
            names[name] = size
        if inline + sum(names.values()) >= need:
            break
    connection.executemany(
        "UPDATE events SET payload = NULL, payload_file = NULL WHERE seq = ?",
        [(seq,) for seq in dropped],
    )
    # the same payload may still be that of a newer event
    orphans = [
        name
        for name in names
        if connection.execute(
            "DELETE FROM payload_files WHERE hash = ? AND NOT EXISTS "
            "(SELECT 1 FROM events WHERE payload_file = hash)",
            (name,),
        ).rowcount
    ]
    # what was kept for an unfinished job is looked at again next time
    _set_mark(connection, "payloads_dropped_to", last if kept_from is None else kept_from - 1)
    gone = inline + sum(names[name] for name in orphans)
    return (gone if dropped else None), orphans


def _drop_samples(
    connection: sqlite3.Connection,
    need: int,  # noqa: ARG001 - a batch is little
) -> tuple[int | None, list[str]]:
    gone = connection.execute(
        f"DELETE FROM samples WHERE id IN (SELECT id FROM samples ORDER BY time LIMIT {_BATCH})"
    ).rowcount
    # a row and its place in the index take about this much
    return (gone * 80 if gone else None), []


def _drop_logs(connection: sqlite3.Connection, need: int) -> tuple[int | None, list[str]]:
    mark = _mark(connection, "logs_dropped_to")
    found = connection.execute(
        "SELECT seq, length(CAST(data AS BLOB)), coalesce(json_extract(data, '$.stream'), '') "
        f"FROM events WHERE seq > ? AND kind = 'log' ORDER BY seq LIMIT {_BATCH}",
        (mark,),
    ).fetchall()
    if not found:
        return None, []
    gone = 0
    for seq, size, stream in found:
        short = _DROPPED_LOG % stream
        if size > len(short):
            connection.execute("UPDATE events SET data = ? WHERE seq = ?", (short, seq))
            gone += size - len(short)
        mark = seq
        if gone >= need:
            break
    _set_mark(connection, "logs_dropped_to", mark)
    return gone, []


def _mark(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else int(row[0])


def _set_mark(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))


def cap_bytes() -> int:
    """Disk that a store may take: ``KIT_CAP_GB``, or else 5 GB; StoreError if that is no number."""
    text = os.environ.get("KIT_CAP_GB")
    if not text:
        return CAP_BYTES
    try:
        return int(float(text) * 1e9)
    except ValueError:
        raise StoreError(f"KIT_CAP_GB is {text!r}, which is no number of gigabytes.") from None
