"""A session's lock is held as long as its process lives, and no longer."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import lock

ROOT = Path(__file__).resolve().parent.parent

HOLD = """
import os, subprocess, sys, time
from pathlib import Path
from kit.lock import SessionLock
held = SessionLock(Path(sys.argv[1]))
if sys.argv[2] == "fork":
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
elif sys.argv[2] == "exec":
    print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False).pid, flush=True)
else:
    print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "s1234567"


@pytest.fixture
def holders() -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def hold(path: Path, how: str, holders: list[subprocess.Popen[str]]) -> tuple[Any, str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLD, str(path), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    holders.append(process)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_missing_file_is_a_free_lock(path: Path) -> None:
    assert lock.is_free(path)


def test_held_in_this_process_until_released(path: Path) -> None:
    held = lock.SessionLock(path)
    assert held.real
    assert held.note is None
    # looking must not open the file: closing it again would drop the lock
    assert not lock.is_free(path)
    assert not free_for_others(path)
    with pytest.raises(BlockingIOError):
        lock.SessionLock(path)
    assert not free_for_others(path)
    held.release()
    held.release()
    assert lock.is_free(path)
    assert not path.exists()
    again = lock.SessionLock(path)
    held.release()
    assert not free_for_others(path), "an old one must not release the new one"
    again.release()


def free_for_others(path: Path) -> bool:
    code = "import sys; from pathlib import Path; from kit.lock import is_free\n"
    code += "print(is_free(Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() == "True"


@pytest.mark.fault
def test_it_falls_with_its_process(path: Path, holders: list[subprocess.Popen[str]]) -> None:
    process, _ = hold(path, "alone", holders)
    assert not lock.is_free(path)
    with pytest.raises(BlockingIOError):
        lock.SessionLock(path)
    assert not lock.is_free(path), "an attempt must not disturb the holder"
    process.send_signal(signal.SIGSTOP)
    assert not lock.is_free(path), "a process that is stopped may go on"
    process.kill()
    process.wait()
    assert lock.is_free(path)


@pytest.mark.fault
@pytest.mark.parametrize("how", ["fork", "exec"])
def test_a_surviving_child_does_not_hold_it(
    path: Path, how: str, holders: list[subprocess.Popen[str]]
) -> None:
    process, child = hold(path, how, holders)
    try:
        assert not lock.is_free(path)
        process.kill()
        process.wait()
        os.kill(int(child), 0)  # it lives
        assert lock.is_free(path)
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_it_is_taken_again_after_the_user_copied_the_file(path: Path, tmp_path: Path) -> None:
    held = lock.SessionLock(path)
    shutil.copytree(path.parent, tmp_path / "copy")
    assert free_for_others(path), "if this fails, hold() is not needed any more"
    held.hold()
    assert not free_for_others(path)
    held.release()


@pytest.fixture
def lockless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, as an NFS mount with no lock server answers."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)


@pytest.mark.usefixtures("lockless")
def test_without_locks_the_process_id_decides(path: Path) -> None:
    held = lock.SessionLock(path)
    assert not held.real
    assert held.note is not None
    assert "no file locks" in held.note
    assert not lock.is_free(path)
    owner = json.loads(path.read_text())
    assert owner["pid"] == os.getpid()
    other = path.with_name("other")

    def free(**facts: Any) -> bool:
        other.write_text(json.dumps({**owner, **facts}))
        return lock.is_free(other)

    assert not free(), "this process, under another name: it runs"
    if owner["started"] is not None:
        assert free(started="1"), "the number was given to another process since"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert free(pid=gone.pid)
    assert not free(pid=gone.pid, host="another-machine"), "nobody can tell from here"
    assert not free(pid="nonsense")
    other.write_text("")
    assert not lock.is_free(other)
    for text in ("{half", "[]", "null", "\0"):
        other.write_text(text)
        assert not lock.is_free(other)
    held.release()


@pytest.mark.fault
def test_a_lock_that_is_not_real_is_not_believed_free(
    path: Path, holders: list[subprocess.Popen[str]]
) -> None:
    """The holder's mount had no locks; this process has, gets one, and still asks for the pid."""
    process, _ = hold(path, "alone", holders)
    other = path.with_name("other")
    other.write_text(json.dumps({**json.loads(path.read_text()), "real": False}))
    assert not lock.is_free(other)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while not lock.is_free(other) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.is_free(other)


def test_a_file_that_is_not_ours_is_not_called_dead(path: Path) -> None:
    path.mkdir(parents=True)
    assert not lock.is_free(path)
