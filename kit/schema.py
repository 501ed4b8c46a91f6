"""Tables of the journal, and the triggers that keep the state of jobs equal to the fold of events.

Everything an append does is one INSERT: the unique indexes refuse a second end, and the triggers
move the row of the job, so both happen in the transaction of the event whichever process wrote it.
"""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import StoreError
from kit.events import REAL_ENDS

#: raised with every change of the tables; a journal with a higher one is refused
VERSION = 3
#: seconds to wait for another process that writes
BUSY_S = 5.0
#: the oldest SQLite with everything used here; JSON functions are looked for separately
OLDEST = (3, 31, 0)

_REAL_ENDS = ",".join(f"'{kind}'" for kind in sorted(kind.value for kind in REAL_ENDS))
UNFINISHED = "state IN ('IN_QUEUE','IN_PROGRESS')"

_TABLES = f"""
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    opened_at REAL NOT NULL,
    closed_at REAL
);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    job_key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    kind TEXT NOT NULL,
    time REAL NOT NULL,
    ms REAL,                     -- delay_ms of started, execution_ms of an end
    writer INTEGER NOT NULL,     -- sessions.number
    data TEXT NOT NULL,
    payload TEXT,
    payload_file TEXT            -- sha256: the payload is a file of that name
);
CREATE INDEX events_of_job ON events(job_key);
CREATE INDEX events_with_file ON events(payload_file) WHERE payload_file IS NOT NULL;
CREATE UNIQUE INDEX one_real_end ON events(job_key, attempt) WHERE kind IN ({_REAL_ENDS});
CREATE UNIQUE INDEX one_lost ON events(job_key, attempt) WHERE kind = 'lost';

CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,  -- order of submission
    key TEXT NOT NULL UNIQUE,
    names TEXT NOT NULL,         -- [id, handler, target]
    session INTEGER NOT NULL,    -- the one that queued the latest attempt
    handler TEXT NOT NULL,       -- to search by; read from names, as target is
    version INTEGER NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    slot INTEGER,
    submitted_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    delay_ms REAL,
    execution_ms REAL,
    facts TEXT,                  -- [error message, lost, memory] of the end
    n_chunks INTEGER NOT NULL DEFAULT 0,
    n_findings INTEGER NOT NULL DEFAULT 0,
    cancel_asked INTEGER NOT NULL DEFAULT 0,
    stuck TEXT,                  -- [reason]
    seq INTEGER NOT NULL,        -- of its last event
    request_seq INTEGER NOT NULL,
    end_seq INTEGER
);
CREATE INDEX jobs_unfinished ON jobs(session) WHERE {UNFINISHED};
CREATE INDEX jobs_of_session ON jobs(session, number);
CREATE INDEX jobs_of_handler ON jobs(handler, request_seq);

CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    session INTEGER NOT NULL,
    kind TEXT NOT NULL,
    device INTEGER NOT NULL,
    used_bytes INTEGER NOT NULL,
    total_bytes INTEGER,
    utilization REAL,
    target TEXT NOT NULL DEFAULT 'local'
);
CREATE INDEX samples_by_time ON samples(time);
CREATE TABLE handlers (
    session INTEGER NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (session, name, version)
);
CREATE TABLE payload_files (hash TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

#: since tables 2: model loads and other stretches with a name that are no jobs
_SPANS = """
CREATE TABLE spans (
    session INTEGER NOT NULL,
    key TEXT NOT NULL,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,               -- NULL while it lasts, and for ever if its kernel died in it
    detail TEXT NOT NULL,
    PRIMARY KEY (session, key)
);
CREATE INDEX spans_by_time ON spans(started_at);
"""
#: since tables 3: samples say whose memory they are; older ones were mixed, and stay one line
_SAMPLES_OF = "ALTER TABLE samples ADD COLUMN target TEXT NOT NULL DEFAULT 'local';"
#: what brings the tables of an older journal to the next number
_CHANGES = {1: _SPANS, 2: _SAMPLES_OF}

_NAMES = re.compile(r"^CREATE TRIGGER (\w+)", re.MULTILINE)
_THIS_ATTEMPT = "key = new.job_key AND attempt = new.attempt"

# One for one the branches of kit.fold; tests/test_store.py holds them together.
# json_extract with several paths gives an array of them as they are written. With one it would give
# the text itself, and SQLite ends that at a NUL and makes no text at all of a lone surrogate.
_TRIGGERS = f"""
CREATE TRIGGER lost_never_replaces_an_end BEFORE INSERT ON events WHEN new.kind = 'lost'
BEGIN
    SELECT raise(IGNORE) WHERE EXISTS (SELECT 1 FROM events WHERE job_key = new.job_key
        AND attempt = new.attempt AND kind IN ({_REAL_ENDS}));
END;
CREATE TRIGGER an_attempt_is_queued_once BEFORE INSERT ON events WHEN new.kind = 'queued'
BEGIN
    SELECT raise(IGNORE) WHERE EXISTS (
        SELECT 1 FROM jobs WHERE key = new.job_key AND attempt >= new.attempt);
END;
CREATE TRIGGER fold_queued AFTER INSERT ON events WHEN new.kind = 'queued'
BEGIN
    INSERT INTO jobs (key, names, session, handler, version, target, state, attempt, submitted_at,
                      seq, request_seq)
    VALUES (new.job_key, json_extract(new.data, '$.job_id', '$.handler', '$.target'), new.writer,
            json_extract(new.data, '$.handler'), json_extract(new.data, '$.version'),
            json_extract(new.data, '$.target'), 'IN_QUEUE', new.attempt, new.time,
            new.seq, new.seq)
    ON CONFLICT (key) DO UPDATE SET
        names = excluded.names, session = excluded.session, handler = excluded.handler,
        version = excluded.version, target = excluded.target, state = excluded.state,
        attempt = excluded.attempt, submitted_at = excluded.submitted_at, seq = excluded.seq,
        request_seq = excluded.request_seq, slot = NULL, started_at = NULL, ended_at = NULL,
        delay_ms = NULL, execution_ms = NULL, facts = NULL, n_chunks = 0, n_findings = 0,
        cancel_asked = 0, stuck = NULL, end_seq = NULL;
END;
CREATE TRIGGER fold_seq AFTER INSERT ON events WHEN new.kind <> 'queued'
BEGIN
    UPDATE jobs SET seq = new.seq WHERE key = new.job_key;
END;
CREATE TRIGGER fold_started AFTER INSERT ON events WHEN new.kind = 'started'
BEGIN
    UPDATE jobs SET state = CASE state WHEN 'LOST' THEN 'LOST' ELSE 'IN_PROGRESS' END,
        started_at = new.time, delay_ms = new.ms, slot = json_extract(new.data, '$.slot')
    WHERE {_THIS_ATTEMPT} AND (state = 'IN_QUEUE' OR (state = 'LOST' AND started_at IS NULL));
END;
CREATE TRIGGER fold_chunk AFTER INSERT ON events
WHEN new.kind = 'chunk' AND coalesce(new.payload, new.payload_file) IS NOT NULL
BEGIN
    UPDATE jobs SET n_chunks = n_chunks + 1
    WHERE {_THIS_ATTEMPT} AND ({UNFINISHED} OR state = 'LOST');
END;
CREATE TRIGGER fold_finding AFTER INSERT ON events WHEN new.kind = 'finding'
BEGIN
    UPDATE jobs SET n_findings = n_findings + 1 WHERE {_THIS_ATTEMPT};
END;
CREATE TRIGGER fold_cancel_asked AFTER INSERT ON events WHEN new.kind = 'cancel_asked'
BEGIN
    UPDATE jobs SET cancel_asked = 1 WHERE {_THIS_ATTEMPT};
END;
CREATE TRIGGER fold_stuck AFTER INSERT ON events WHEN new.kind = 'stuck'
BEGIN
    UPDATE jobs SET stuck = json_extract(new.data, '$.reason', '$.reason') WHERE {_THIS_ATTEMPT};
END;
CREATE TRIGGER fold_end AFTER INSERT ON events WHEN new.kind IN ({_REAL_ENDS}, 'lost')
BEGIN
    -- the state of an end is its kind in capitals
    UPDATE jobs SET state = upper(new.kind), ended_at = new.time, execution_ms = new.ms,
        facts = json_extract(new.data, '$.error.message', '$.lost', '$.memory'),
        end_seq = new.seq
    WHERE {_THIS_ATTEMPT} AND ({UNFINISHED} OR (state = 'LOST' AND new.kind <> 'lost'));
END;
"""


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into StoreError with what to do next."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise store_error(path, error) from error


def store_error(path: Path, error: Exception) -> StoreError:
    """What to raise for an error of SQLite or the file system."""
    text = str(error)
    if "locked" in text or "busy" in text:
        why = f"another process has been writing to it for {BUSY_S:g} s. Try again."
    elif "full" in text or getattr(error, "errno", None) == 28:
        why = "its disk is full. Free some space, or set KIT_HOME to a folder elsewhere."
    elif "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        why = f"it cannot be written ({text}). Set KIT_HOME to a folder that you may write to."
    elif "malformed" in text or "not a database" in text:
        why = f"it is damaged ({text}). Move it away, or set KIT_HOME to another folder."
    else:
        why = (
            f"{text or type(error).__name__}. Look at its disk, or set KIT_HOME to another folder."
        )
    return StoreError(f"the journal {path} refused: {why}")


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the journal, its tables made if it is new. Waits up to 5 s for others.

    Raises
    ------
    StoreError
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old for the journal; "
            f"a Python with SQLite {'.'.join(map(str, OLDEST))} or newer is needed."
        )
    with store_errors(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # the change to WAL needs the file for itself for a moment, and does not wait its turn
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    # NORMAL survives the death of the process, not a power cut
    connection.execute("PRAGMA synchronous=NORMAL")
    # 16 MB between checkpoints: each one costs a sync of the disk
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA journal_size_limit=67108864")
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            for statement in _statements(_TABLES + _SPANS + _TRIGGERS):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
        elif found > VERSION:
            raise StoreError(
                f"the journal {path} was written by a newer kit (tables {found}, this one knows "
                f"{VERSION}). Update handler-kit, or set KIT_HOME to another folder."
            )
        elif found < VERSION:
            for step in range(found, VERSION):
                for statement in _statements(_CHANGES[step]):
                    connection.execute(statement)
            for name in _NAMES.findall(_TRIGGERS):
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            for statement in _statements(_TRIGGERS):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    # executescript would commit the transaction that keeps two first openings apart
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
