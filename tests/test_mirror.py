"""The copy on a network volume: whole at any time, made when nothing runs, brought back when needed.

The volume is a folder that a given mountinfo calls NFS; everything else is real.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import home, mirror
from kit.errors import StoreError
from kit.events import Ended, Event, EventKind, JobKey, JobState, Queued, Sample
from kit.store import Store

ROOT = Path(__file__).resolve().parent.parent


class Machine:
    """A pod with a network volume: where its journal and its copy lie, and a wiped disk."""

    def __init__(self, base: Path) -> None:
        self.volume, self.disk = base / "volume", base / "disk"
        self.volume.mkdir()
        info = f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {self.volume} rw - nfs4 a:/b rw\n"
        env = {"KIT_HOME": str(self.volume / "kit"), "RUNPOD_POD_ID": "pod1"}
        env["XDG_STATE_HOME"] = str(self.disk)
        self.place = home.place(env=env, mountinfo=info)
        assert self.place.mirror is not None
        self.copy = self.place.mirror
        self.opened: list[Store] = []

    def open(self, cap_bytes: int = 10**9) -> Store:
        store = Store(self.place, cap_bytes)
        store.recover()
        self.opened.append(store)
        return store

    def wipe(self) -> None:
        """The container is gone: its processes and its disk."""
        for store in self.opened:
            store._reader.close()
            store._writer.connection.close()
            store._closed = True
            store._lock.release()
        shutil.rmtree(self.disk)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for store in made.opened:
        store.close()


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "IDLE_S", 0.0)
    monkeypatch.setattr(mirror, "_SHARE", 1e9)


def job(key: str, payload: str = '{"input":1}') -> list[Event]:
    return [
        Event(JobKey(key), 1, EventKind.QUEUED, 1.0, Queued(key, "h", 1, "local"), payload),
        Event(JobKey(key), 1, EventKind.COMPLETED, 2.0, Ended(execution_ms=1.0), '{"output":1}'),
    ]


def copied(path: Path) -> tuple[str, int]:
    """``integrity_check`` of a copy, and how many jobs it has. It is not touched."""
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        check = connection.execute("PRAGMA integrity_check").fetchone()[0]
        return check, connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    finally:
        connection.close()


def test_the_journal_is_local_and_the_copy_follows_when_it_is_quiet(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine.open()
    assert store.path.is_relative_to(machine.disk)
    store.append(job("a"))
    assert not store.mirror_if_idle(), "it was written to a moment ago"
    assert not machine.copy.exists()
    monkeypatch.setattr(mirror, "IDLE_S", 0.05)
    time.sleep(0.06)
    assert store.mirror_if_idle()
    assert copied(machine.copy) == ("ok", 1)
    assert store.copied_at is not None
    store.append_samples([Sample(1.0, "rss", -1, 1)])
    monkeypatch.setattr(mirror, "_SHARE", 1e9)
    assert store.mirror_if_idle()
    assert not store.mirror_if_idle(), "nothing is new"
    assert [path.name for path in machine.copy.parent.iterdir()] == ["journal.sqlite"]


def test_a_store_that_is_never_quiet_is_copied_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine.open()
    store.append(job("a"))
    assert not store.mirror_if_idle()
    monkeypatch.setattr(mirror, "OVERDUE_S", 0.0)
    assert store.mirror_if_idle()


def test_a_slow_volume_is_not_written_all_the_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "IDLE_S", 0.0)
    store = machine.open()
    assert store._mirror is not None
    store.append(job("a"))
    assert store.mirror_if_idle()
    store._mirror._took = 10.0  # as a large journal on a slow volume would
    store.append(job("b"))
    assert not store.mirror_if_idle()
    store._mirror._done_at -= 10.0 / 0.05 + 1
    assert store.mirror_if_idle()


def test_closing_makes_a_last_copy(machine: Machine) -> None:
    store = machine.open()
    store.append(job("a"))
    store.close()
    assert copied(machine.copy) == ("ok", 1)


@pytest.mark.usefixtures("eager")
def test_what_was_copied_comes_back_after_the_disk_was_wiped(machine: Machine) -> None:
    large = json.dumps("x" * 300_000)
    first = machine.open()
    first.append([*job("done", large), job("unfinished")[0]])
    assert first.mirror_if_idle()
    first.append(job("late"))  # after the last copy: lost with the disk, as is said
    machine.wipe()
    second = machine.open()
    assert second.states([JobKey("done"), JobKey("unfinished"), JobKey("late")]) == [
        JobState.COMPLETED,
        JobState.LOST,
    ]
    view = second.view(JobKey("done"))
    assert view is not None
    assert view.request == large, "payload files are read from the volume"
    assert second.session_id != first.session_id
    second.append(job("more"))
    assert second.mirror_if_idle()
    assert copied(machine.copy) == ("ok", 3)
    assert second.view(JobKey("done")) == view, "and stay there"


@pytest.mark.usefixtures("eager")
def test_a_journal_that_is_here_is_not_replaced_by_an_older_copy(machine: Machine) -> None:
    first = machine.open()
    first.append(job("a"))
    assert first.mirror_if_idle()
    first.append(job("b"))
    first._mirror = None  # the volume was away when it closed
    first.close()
    assert copied(machine.copy) == ("ok", 1)
    assert machine.open().count() == 2


@pytest.mark.usefixtures("eager")
def test_the_log_of_a_deleted_journal_does_not_get_into_the_restored_one(machine: Machine) -> None:
    first = machine.open()
    first.append(job("a"))
    assert first.mirror_if_idle()
    first.append([e for i in range(100) for e in job(f"later-{i}")])
    path = first.path
    log = Path(f"{path}-wal").read_bytes()
    assert len(log) > 10_000
    first._mirror = None
    first.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)  # as a kernel that was killed leaves it
    second = machine.open()
    assert second.count() == 1
    assert second._one("PRAGMA integrity_check", [])[0] == "ok"


def test_a_copy_that_cannot_be_read_is_said_and_kept(machine: Machine) -> None:
    machine.copy.parent.mkdir(parents=True)
    machine.copy.write_bytes(b"half of something")
    with pytest.raises(StoreError, match="could not be brought back"):
        machine.open()
    assert machine.copy.read_bytes() == b"half of something"
    assert not machine.place.journal.exists()


@pytest.mark.usefixtures("eager")
def test_a_volume_that_is_away_stops_nothing(machine: Machine) -> None:
    store = machine.open()
    (machine.volume / "kit").parent.mkdir(exist_ok=True)
    (machine.volume / "kit").write_text("where the folder should be")
    store.append(job("a"))
    assert not store.mirror_if_idle()
    (note,) = store.notes
    assert "could not be made" in note
    store.append(job("b"))
    (machine.volume / "kit").unlink()
    assert store.mirror_if_idle()
    assert store.notes == ()


@pytest.mark.usefixtures("eager")
def test_sessions_of_one_machine_share_the_copy(machine: Machine) -> None:
    first, second = machine.open(), machine.open()
    first.append(job("a"))
    second.append(job("b"))
    assert first.mirror_if_idle()
    assert not second.mirror_if_idle(), "the other one has just made it"
    second.append(job("c"))
    assert second.mirror_if_idle()
    assert not first.mirror_if_idle()
    assert copied(machine.copy) == ("ok", 3)


@pytest.mark.usefixtures("eager")
def test_dropped_payloads_leave_the_volume_too(machine: Machine) -> None:
    store = machine.open(cap_bytes=1_500_000)
    for i in range(8):
        store.append(job(f"k{i}", json.dumps(f"{i}" * 400_000)))
    assert store.mirror_if_idle()
    folder = machine.copy.with_name("journal.payloads")
    assert len(list(folder.glob("??/*"))) == 8
    store._writer.written = 10**9
    store.tend()
    store.append(job("last"))
    store.tend()
    kept = {row.key for row in store.rows(payloads=True) if row.request is not None}
    assert kept < {f"k{i}" for i in range(8)} | {"last"}
    assert len(list(folder.glob("??/*"))) == len(kept) - 1


@pytest.mark.usefixtures("eager")
def test_appends_go_on_while_a_copy_is_made(machine: Machine) -> None:
    store = machine.open()
    for n in range(10):
        store.append([e for i in range(1000) for e in job(f"k{n}-{i}", json.dumps("x" * 3000))])
    worst, during, copying = 0.0, 0, threading.Thread(target=store.mirror_if_idle)
    copying.start()
    while copying.is_alive():
        began = time.perf_counter()
        store.append(job(f"during-{during}"))
        worst = max(worst, time.perf_counter() - began)
        during += 1
    copying.join()
    assert during > 3
    assert worst < 0.5
    check, jobs = copied(machine.copy)
    assert check == "ok"
    assert 10_000 <= jobs <= 10_000 + during


COPYING = """
import sys
from pathlib import Path
from kit import home, mirror
from kit.events import *
from kit.store import Store

mirror.IDLE_S, mirror._SHARE = 0.0, 1e9
store = Store(home.Place(Path(sys.argv[1]), Path(sys.argv[2]), ""), 10**9)
n = 0
while True:
    n += 1
    store.append([
        Event(JobKey(f"{store.session_id}-{n}-{i}"), 1, EventKind.QUEUED, 1.0,
              Queued("id", "h", 1, "local"), '"' + "x" * 5000 + '"')
        for i in range(2000 if n == 1 else 10)])
    assert store.mirror_if_idle()
    print(store.count(), flush=True)
"""


@pytest.mark.fault
def test_killed_while_copying_the_last_whole_copy_stays(tmp_path: Path) -> None:
    journal, copy = tmp_path / "disk" / "journal.sqlite", tmp_path / "volume" / "journal.sqlite"
    for round_ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", COPYING, str(journal), str(copy)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        said = [int(process.stdout.readline()) for _ in range(2)]
        deadline = time.monotonic() + 20
        while not list(copy.parent.glob("*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.003 * round_)
        process.kill()
        said += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        process.stdout.close()
        check, jobs = copied(copy)
        assert check == "ok"
        assert jobs >= said[-1]
    store = Store(home.Place(journal, copy, ""), 10**9)
    store.close()
    assert [path.name for path in copy.parent.iterdir()] == ["journal.sqlite"]


OPENING = """
import sys, time
from pathlib import Path
from kit import home
from kit.events import *
from kit.store import Store

print("ready", flush=True)
sys.stdin.readline()
store = Store(home.Place(Path(sys.argv[1]), Path(sys.argv[2]), ""), 10**9)
store.append([Event(JobKey(store.session_id), 1, EventKind.QUEUED, 1.0,
                    Queued("id", "h", 1, "local"))])
store.close()
"""


def test_sessions_that_open_at_once_restore_once(machine: Machine) -> None:
    first = machine.open()
    first.append(job("a"))
    first.close()
    machine.wipe()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING, str(machine.place.journal), str(machine.copy)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    store = machine.open()
    assert store.count() == 1 + 4
    store.close()
    folder = machine.place.journal.parent
    left = {path.name for path in folder.iterdir()} - {"journal.locks"}
    assert left == {"journal.sqlite", "journal.mirror.stamp"}


def test_kit_mirror_does_the_same_for_a_local_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_MIRROR", str(tmp_path / "copies"))
    monkeypatch.setenv("KIT_HOME", str(tmp_path / "home"))
    store = Store.open()
    store.append(job("a"))
    store.close()
    assert store.place.mirror is not None
    assert copied(store.place.mirror) == ("ok", 1)
    shutil.rmtree(tmp_path / "home")
    again = Store.open()
    assert again.count() == 1
    again.close()
