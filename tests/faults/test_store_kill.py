"""What the journal acknowledged survives SIGKILL at any instant; what it cannot keep it refuses.

40 kills, 200 with KIT_NIGHTLY=1. The seed is printed where a test fails; KIT_SEED sets it.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kit.errors import StoreError
from kit.events import REAL_ENDS, Event, EventKind, JobKey, JobState, Queued
from kit.store import Store

pytestmark = pytest.mark.fault

ROOT = Path(__file__).resolve().parent.parent.parent
NIGHTLY = bool(os.environ.get("KIT_NIGHTLY"))
KILLS = 200 if NIGHTLY else 40
SEED = int(os.environ.get("KIT_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)

#: appends jobs in every way there is, and says what was acknowledged, one line each
WRITE = """
import json, random, sys
from pathlib import Path
from kit.events import *
from kit.store import Store

rng = random.Random(int(sys.argv[2]))
store = Store.open(Path(sys.argv[1]), cap_bytes=10**10)
sid = store.session_id
large = json.dumps("L" * 300_000)

def event(key, kind, data, payload=None):
    return Event(JobKey(key), 1, kind, 1.0, data, payload)

n = 0
while True:
    n += 1
    size = rng.choice([1, 1, 1, 1, 1, 1, 3, 40, 3000])
    keys = [f"{sid}-{n}-{i}" for i in range(size)]
    request = large if rng.random() < 0.02 else '"' + "x" * rng.randrange(400) + '"'
    stages = [
        [event(k, EventKind.QUEUED, Queued("id", "h", 1, "local"), request) for k in keys],
        [event(k, EventKind.STARTED, Started(0, 0.1)) for k in keys],
        [event(k, EventKind.LOG, Log("stdout", "y" * 50)) for k in keys],
        [event(k, EventKind.COMPLETED, Ended(1.0), request) for k in keys],
    ]
    if rng.random() < 0.3:
        stages = [sum(stages, [])]
    for batch in stages[: rng.choice([2, 4, 4, 4])]:
        accepted = store.append(batch)
        assert len(accepted) == len(batch)
        sys.stdout.write("".join(f"{e.seq} {e.job_key} {e.kind.value}\\n" for e in accepted))
        sys.stdout.flush()
    if rng.random() < 0.05:
        store.tend()
"""


def spawn(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def kill_at_random(path: Path, rng: random.Random) -> list[tuple[int, str, str]]:
    """Run the writer, kill it somewhere; what it had been told was kept."""
    process = spawn(WRITE, str(path), str(rng.randrange(10**9)))
    lines: list[str] = []
    assert process.stdout
    assert process.stderr
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    deadline = time.monotonic() + 20
    while not lines and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(rng.random() * 0.12)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reader.join()
    assert lines, process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    if not lines[-1].endswith("\n"):
        lines.pop()  # cut off while it was said
    return [(int(seq), key, kind) for seq, key, kind in map(str.split, lines)]


def test_nothing_acknowledged_is_lost_by_sigkill(tmp_path: Path) -> None:
    print("KIT_SEED", SEED)
    rng = random.Random(SEED)
    path = tmp_path / "journal.sqlite"
    acknowledged: dict[int, tuple[str, str]] = {}
    interrupted: set[str] = set()
    for _ in range(KILLS):
        said = kill_at_random(path, rng)
        began = time.monotonic()
        store = Store.open(path)
        opened_in = time.monotonic() - began
        assert store._one("PRAGMA integrity_check", [])[0] == "ok"
        assert opened_in < 2.0
        unfinished = [JobState.IN_QUEUE, JobState.IN_PROGRESS]
        assert store.count(unfinished) == 0
        for seq, key, kind in said:
            acknowledged[seq] = (key, kind)
        ended = {key for _, key, kind in said if kind in REAL_ENDS}
        cut_off = sorted({key for _, key, _ in said} - ended)
        states = store.states([JobKey(key) for key in cut_off])
        assert len(states) == len(cut_off)
        # an end that was committed but not yet acknowledged is an end
        assert set(states) <= {JobState.LOST, JobState.COMPLETED}
        interrupted |= {k for k, s in zip(cut_off, states, strict=True) if s is JobState.LOST}
        store.close()
    assert interrupted
    store = Store.open(path)
    kept = {e.seq: e for e in store.after(0)}
    missing = [seq for seq in acknowledged if seq not in kept]
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged events are gone"
    for seq, (key, kind) in acknowledged.items():
        assert (kept[seq].job_key, kept[seq].kind.value) == (key, kind)
    for e in kept.values():
        if e.kind is EventKind.QUEUED:
            assert e.payload is not None, "a payload file that its event names is there"
    # one end each: real, or LOST alone
    ends: dict[str, list[EventKind]] = {}
    for e in kept.values():
        if e.kind in REAL_ENDS or e.kind is EventKind.LOST:
            ends.setdefault(e.job_key, []).append(e.kind)
    assert all(len(kinds) == 1 for kinds in ends.values())
    assert len(ends) == store.count()
    print(f"{KILLS} kills, {len(acknowledged):,} acknowledged events, {len(interrupted):,} LOST")
    store.close()


WRITE_5000 = """
import sys
from pathlib import Path
from kit.events import *
from kit.store import Store

store = Store.open(Path(sys.argv[1]))
refused = 0
for i in range(5000):
    key = JobKey(f"{store.session_id}-{i}")
    for e in (
        Event(key, 1, EventKind.QUEUED, 1.0, Queued(str(i), "h", 1, "local"), '{"input":1}'),
        Event(key, 1, EventKind.STARTED, 1.0, Started(0, 0.1)),
        Event(key, 1, EventKind.COMPLETED, 1.0, Ended(1.0), '{"output":1}'),
    ):
        assert len(store.append([e])) == 1
    # a job both of them run: it ends once, whoever is first
    both = JobKey(f"both-{i}")
    store.append([Event(both, 1, EventKind.QUEUED, 1.0, Queued(str(i), "h", 1, "local"))])
    refused += not store.append([Event(both, 1, EventKind.FAILED, 1.0, Ended(1.0))])
print(store.session_id, refused)
store.close()
"""


def test_two_processes_write_to_one_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    processes = [spawn(WRITE_5000, str(path)) for _ in range(2)]
    said = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        said.append(out.split())
    store = Store.open(path)
    assert store.count() == 15_000
    assert store.count(JobState.COMPLETED) == 10_000
    for session, _ in said:
        own = store.rows(state=JobState.COMPLETED, session=session)
        assert len(own) == 5000
    assert sum(int(refused) for _, refused in said) == 5000
    assert store.count(JobState.FAILED) == 5000
    assert [e.seq for e in store.after(0)] == list(range(1, 2 * 15_000 + 5000 * 2 + 1))
    store.close()


# -- no room, no right ----------------------------------------------------------------------------

FILL = """
import json, resource, signal, sys
from pathlib import Path
from kit.errors import StoreError
from kit.events import *
from kit.store import Store

store = Store.open(Path(sys.argv[1]))
if sys.argv[2] == "rlimit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, resource.RLIM_INFINITY))
text = json.dumps("x" * int(sys.argv[3]))
kept = []
for i in range(100_000):
    key = JobKey(f"k{i}")
    try:
        store.append([
            Event(key, 1, EventKind.QUEUED, 1.0, Queued("id", "h", 1, "local"), text),
            Event(key, 1, EventKind.STARTED, 1.0, Started(0, 0.1)),
        ])
    except StoreError as error:
        print("refused:", error)
        break
    kept.append(key)
    print(key)
else:
    raise SystemExit("it was never full")
try:
    store.append([Event(JobKey("after"), 1, EventKind.QUEUED, 1.0,
                  Queued("id", "h", 1, "local"), text * 2)])
    print("after")
except StoreError:
    pass
assert len(store.states(kept)) == len(kept)
store.close()
print("closed")
"""


def can_mount() -> bool:
    """Whether this process may mount a small file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "none", folder], capture_output=True).returncode:
            return False
        return subprocess.run(["umount", folder], capture_output=True).returncode == 0


@pytest.mark.parametrize("payload", [3000, 400_000], ids=["rows", "files"])
@pytest.mark.parametrize("how", ["rlimit", "tmpfs"] if can_mount() else ["rlimit"])
def test_a_full_disk_refuses_and_keeps_what_it_had(tmp_path: Path, how: str, payload: int) -> None:
    if how == "rlimit" and payload > 3000:
        payload = 2_900_000  # a limit per file: the payload files fit, and one at last does not
    path = tmp_path / "home" / "journal.sqlite"
    path.parent.mkdir()
    if how == "tmpfs":
        size = ["-o", "size=4m"]
        subprocess.run(["mount", "-t", "tmpfs", *size, "none", str(path.parent)], check=True)
    try:
        out, err = spawn(FILL, str(path), how, str(payload)).communicate(timeout=60)
        lines = out.splitlines()
        assert lines[-1] == "closed", err
        (refusal,) = [line for line in lines if line.startswith("refused: ")]
        assert "Set KIT_HOME" in refusal or "set KIT_HOME" in refusal
        if how == "tmpfs":
            assert "its disk is full" in refusal
        accepted = [line for line in lines[:-1] if line[0] in "ka"]
        assert len(accepted) > 2
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        keys = {row[0] for row in connection.execute("SELECT key FROM jobs")}
        connection.close()
        assert keys == set(accepted), "accepted is what has a row, and nothing else"
    finally:
        if how == "tmpfs":
            subprocess.run(["umount", str(path.parent)], check=True)


READ_ONLY = """
import os, sys
from pathlib import Path
from kit.errors import StoreError
from kit.events import *
from kit.store import Store

if os.geteuid() == 0:  # to root nothing is read-only
    os.setgroups([])
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        Store.open(Path(path))
    except StoreError as error:
        print(error)
    else:
        print("opened", path)
"""


def test_a_folder_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        closed, used = folder / "closed", folder / "used"
        closed.mkdir()
        store = Store.open(used / "journal.sqlite")
        store.append([Event(JobKey("a"), 1, EventKind.QUEUED, 1.0, Queued("id", "h", 1, "local"))])
        store.close()
        for path in (closed, used):
            path.chmod(0o555)
        before = (used / "journal.sqlite").read_bytes()
        paths = [closed / "journal.sqlite", closed / "deeper" / "journal.sqlite"]
        paths.append(used / "journal.sqlite")
        try:
            out, err = spawn(READ_ONLY, *map(str, paths)).communicate(timeout=60)
            lines = out.splitlines()
            assert len(lines) == 3, err
            for path, line in zip(paths, lines, strict=True):
                assert line.startswith(f"the journal {path} refused: it cannot be written"), line
                assert "KIT_HOME" in line
            assert (used / "journal.sqlite").read_bytes() == before
            assert list(closed.iterdir()) == []
        finally:
            for path in (closed, used):
                path.chmod(0o755)


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from kit.events import *
from kit.store import Store

store = Store.open(Path(sys.argv[1]), cap_bytes=2_000_000)
heard = []
store.subscribe(lambda events: heard.extend(e.seq for e in events))
armed, done = False, False

def stop(signal_number, frame):
    if armed:  # only while the journal is at work: the loop around it is not what is tried
        raise KeyboardInterrupt

def interrupt():
    while not done:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.0007)

def jobs(n, size):
    text = '"' + "x" * 300 + '"'
    return [e for i in range(size) for e in (
        Event(JobKey(f"{n}-{i}"), 1, EventKind.QUEUED, 1.0, Queued("id", "h", 1, "local"), text),
        Event(JobKey(f"{n}-{i}"), 1, EventKind.COMPLETED, 1.0, Ended(1.0), text))]

known, unknown, interrupts, n = set(), set(), 0, 0
signal.signal(signal.SIGINT, stop)
thread = threading.Thread(target=interrupt, daemon=True)
until = time.monotonic() + float(sys.argv[2])
thread.start()
while time.monotonic() < until:
    n += 1
    events = jobs(n, 3000 if n % 50 == 0 else 1 + n % 3)
    if n % 10 == 0:
        store._writer.written = 10**9  # time to look at the cap
    keys = {e.job_key for e in events}
    unknown |= keys
    try:
        armed = True
        store.append(events)
        armed = False
        known |= keys
    except KeyboardInterrupt:
        armed = False
        interrupts += 1
done = True
thread.join()
unknown -= known
accepted = store.append(jobs("last", 1))
assert heard[-1] == accepted[-1].seq and heard == sorted(set(heard)), "handed over, in order"
store.close()
again = Store.open(Path(sys.argv[1]), cap_bytes=10**9)
kept = {row.key for row in again.rows()}
assert known <= kept, "what append returned is on disk"
assert kept - known <= unknown | {"last-0"}
batches = {}
for key in unknown:
    batches.setdefault(key.split("-")[0], set()).add(key)
for batch in batches.values():
    assert batch <= kept or not batch & kept, "whole batches, or nothing of them"
again.close()
print(interrupts, len(known), len(kept & unknown))
"""


def test_the_stop_button_may_come_at_any_instant(tmp_path: Path) -> None:
    code = spawn(INTERRUPTED, str(tmp_path / "journal.sqlite"), "30" if NIGHTLY else "4")
    out, err = code.communicate(timeout=120)
    assert code.returncode == 0, err
    interrupts, known, unknown = map(int, out.split())
    print(f"{interrupts} interrupts, {known} batches acknowledged, {unknown} only kept")
    assert interrupts > 100
    assert known > 100


def test_somebody_who_writes_for_long_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    store = Store.open(path)
    hog = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    e = Event(JobKey("a"), 1, EventKind.QUEUED, 1.0, Queued("id", "h", 1, "local"))
    hog.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(0.5, hog.execute, ("ROLLBACK",))
    letting_go.start()
    assert len(store.append([e])) == 1
    letting_go.join()
    hog.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StoreError, match="another process has been writing to it for 5 s"):
        store.append([e])
    assert 4.5 < time.monotonic() - began < 8
    hog.execute("ROLLBACK")
    hog.close()
    assert store.count() == 1
    store.close()
