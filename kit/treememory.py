"""Resident memory of another process and of everything it started: the real workers of target ``process``.

On Linux from ``/proc``, elsewhere by psutil. Pages that a forked child shares with its parent count
for both, as in most tools, so differences say more than sums.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from kit.events import MemoryUse

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_MOST = 200


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of the process itself, and of all that came of it with it."""

    root: int
    all: int


class Tree:
    """One process and its descendants. No method raises; nothing is kept open."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._proc = Path(f"/proc/{pid}/statm").exists()

    def read(self) -> Size | None:
        """What is resident now; None if the process is gone or cannot be read."""
        if not self._proc:
            return self._by_psutil()
        root = _resident(self._pid)
        if root is None:
            return None
        return Size(root, root + sum(_resident(pid) or 0 for pid in _descendants(self._pid)))

    def reset_peak(self) -> bool:
        """Start the kernel's high-water mark of the process itself anew; False where that is refused."""
        try:
            Path(f"/proc/{self._pid}/clear_refs").write_bytes(b"5")
        except OSError:
            return False
        return True

    def read_peak(self) -> int | None:
        """Highest resident bytes of the process itself since ``reset_peak``; None if not known."""
        try:
            text = Path(f"/proc/{self._pid}/status").read_bytes()
            start = text.index(b"VmHWM:") + 6
            return int(text[start : text.index(b"kB", start)]) * 1024
        except (OSError, ValueError):
            return None

    def _by_psutil(self) -> Size | None:
        try:
            import psutil

            process = psutil.Process(self._pid)
            root = int(process.memory_info().rss)
            rest = 0
            for child in process.children(recursive=True)[:_MOST]:
                with contextlib.suppress(psutil.Error):
                    rest += int(child.memory_info().rss)
        except Exception:  # gone, or psutil is not there: no figure
            return None
        return Size(root, root + rest)


class WorkerJob:
    """Memory of a worker process around one of its jobs; always sampled, never called exact.

    The process's own high-water mark is read too, so that a short peak of it is not missed; what its
    children did between two samples is.
    """

    def __init__(self, pid: int, *, alone: bool) -> None:
        self._tree = Tree(pid)
        self.alone = alone
        self._marked = self._tree.reset_peak()
        self._before = self._last = self._tree.read()
        self._peak = 0 if self._before is None else self._before.all

    def sample(self) -> int:
        """Look once more; bytes, of the last look if the process is gone."""
        now = self._tree.read()
        if now is not None:
            self._last = now
            self._peak = max(self._peak, now.all)
        return 0 if self._last is None else self._last.all

    def end(self) -> tuple[MemoryUse, ...]:
        """One entry, or none if nothing could be read."""
        self.sample()
        before, after = self._before, self._last
        if before is None or after is None:
            return ()
        mark = self._tree.read_peak() if self._marked else None
        children = min(before.all - before.root, after.all - after.root)
        peak = max(self._peak, (mark or 0) + children)
        return (MemoryUse("rss", -1, before.all, peak, after.all, self.alone, False),)


def _resident(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split(b" ", 2)[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    pending = [pid]
    while pending and len(found) < _MOST:
        here = Path(f"/proc/{pending.pop()}/task")
        with contextlib.suppress(OSError, ValueError):
            for task in list(here.iterdir()):
                children = [int(one) for one in (task / "children").read_bytes().split()]
                found += children
                pending += children
    return found
