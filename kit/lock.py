"""Session locks: a file that is locked as long as its session's process lives.

``fcntl.lockf`` and not ``flock``: a lock of the process, which a surviving child does not inherit.
Such a lock falls when *any* descriptor of the file is closed in the process, so the file is opened
once and is never looked at again from the process that holds it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: locks held by this process, with the process they were taken in
_held: dict[str, int] = {}
_guard = threading.Lock()
#: Windows locks are mandatory: lock a byte that nobody reads
_FAR_BYTE = 1 << 30


def host() -> str:
    """Name of this machine and this boot of it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


class SessionLock:
    """The lock of one session, taken at once and held until ``release`` or the end of the process.

    Parameters
    ----------
    path : Path
        The file; its folder is made if missing.

    Attributes
    ----------
    real : bool
        False where the file system knows no locks: others then judge by the process id.

    Raises
    ------
    BlockingIOError
        Somebody has it, this process included.
    OSError
        The file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _guard:
            # before the file is touched: a second descriptor, once closed, would drop the lock
            if _held.get(_name(path)) == os.getpid():
                raise BlockingIOError(f"{path} is held by this process")
            self._take(path)
            self._pid = _held[_name(path)] = os.getpid()

    def _take(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            got = _lock(self._fd)
            if got is False:
                raise BlockingIOError(f"{path} is held by another process")
            self.real = got is True
            owner = {
                "pid": os.getpid(),
                "host": host(),
                "started": _started(os.getpid()),
                "real": self.real,
            }
            os.ftruncate(self._fd, 0)
            os.write(self._fd, json.dumps(owner).encode())
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def note(self) -> str | None:
        """A sentence for the person if the lock is not a real one."""
        if self.real:
            return None
        return (
            f"{self.path.parent} has no file locks, so whether another session still runs is told "
            "by its process id; jobs of sessions on other machines are never marked LOST."
        )

    def hold(self) -> None:
        """Take the lock again. It falls when the user's code copies the file, for one."""
        if self.real and self._pid == os.getpid():
            _lock(self._fd)

    def release(self) -> None:
        """Give the lock up and remove the file. Does nothing in a forked child or a second time."""
        if self._pid != os.getpid():
            return
        self._pid = 0
        _held.pop(_name(self.path), None)
        if sys.platform == "win32":
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
        else:
            # removed first: whoever opens the name after this finds no session
            self.path.unlink(missing_ok=True)
            os.close(self._fd)


def is_free(path: Path) -> bool:
    """Whether nobody can be running under this lock any more. A missing file is a free lock."""
    if _held.get(_name(path)) == os.getpid():
        return False
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return True
    except OSError:
        return False  # not ours to open: never guess that it is dead
    try:
        got = _lock(fd)
        if got is False:
            return False
        owner = _owner(os.read(fd, 4096))
        if got and owner.get("real", True):
            return True
        return _is_dead(owner)
    finally:
        os.close(fd)


def _owner(text: bytes) -> dict[str, Any]:
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _name(path: Path) -> str:
    return os.path.realpath(path)


def _lock(fd: int) -> bool | None:
    """True: taken. False: somebody has it. None: there are no locks here."""
    try:
        if sys.platform == "win32":
            os.lseek(fd, _FAR_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        else:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _is_dead(owner: dict[str, Any]) -> bool:
    """By process id, and only where that says something: on the same boot of the same machine."""
    pid = owner.get("pid")
    if owner.get("host") != host() or not isinstance(pid, int):
        return False
    if sys.platform == "win32":
        return False  # os.kill(pid, 0) would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return owner.get("started") != _started(pid)


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None where that cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the name in brackets may hold spaces and brackets
    return stat.rpartition(")")[2].split()[19]
