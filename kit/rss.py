"""Resident memory of this process: what it is now, and exactly how high it went.

On Linux both come from ``/proc/self`` through descriptors that stay open: one ``pread`` of ``statm``
costs 1.6 us, psutil 17 us. Elsewhere psutil gives the current figure, and a peak can only be sampled.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from kit.absence import Absence


class Rss:
    """Reads the resident set of this process, from any thread.

    A descriptor of ``/proc/self/statm`` belongs to the process that opened it, so a forked child
    would go on reading its parent: each use compares the process id and opens anew.
    """

    __slots__ = ("_absent", "_files", "_psutil")

    def __init__(self) -> None:
        #: by process id, at most one; two threads that open at once agree on it by ``setdefault``
        self._files: dict[int, _Files] = {}
        self._psutil: Callable[[], Any] | None = None
        self._absent: dict[str, Absence] = {}

    @property
    def absences(self) -> tuple[Absence, ...]:
        """Why there is no figure, or no exact peak; empty if there are both."""
        self._opened()
        return tuple(self._absent.values())

    def read(self) -> int | None:
        """Bytes resident now; None where neither ``/proc`` nor psutil can tell."""
        files = self._files.get(os.getpid()) or self._opened()
        try:
            if files.statm >= 0:
                return int(os.pread(files.statm, 128, 0).split(b" ", 2)[1]) * _PAGE_BYTES
            if self._psutil is not None:
                return int(self._psutil().rss)
        except (OSError, ValueError, IndexError) as error:
            self._absent["rss"] = Absence(
                "rss", f"No memory figure: reading this process's memory failed ({error}).", "error"
            )
        return None

    def reset_peak(self) -> bool:
        """Set the kernel's high-water mark to what is resident now; False where that is not allowed.

        ``ru_maxrss`` of ``getrusage`` starts again too: it is the same mark.
        """
        files = self._opened()
        if files.clear < 0 or "rss_peak" in self._absent:
            return False
        try:
            os.write(files.clear, b"5")
        except OSError as error:
            self._absent["rss_peak"] = _no_exact_peak(error)
            return False
        return True

    def read_peak(self) -> int | None:
        """Highest resident bytes since ``reset_peak``; None if the mark cannot be read."""
        files = self._files.get(os.getpid())
        if files is None or files.status < 0:
            return None
        try:
            text = os.pread(files.status, 4096, 0)
            start = text.index(b"VmHWM:") + 6
            return int(text[start : text.index(b"kB", start)]) * 1024
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close the descriptors; the next use opens them again."""
        self._close()

    def _close(self, keep: int | None = None) -> None:
        for pid in list(self._files):
            if pid != keep and (files := self._files.pop(pid, None)) is not None:
                files.close()

    def _opened(self) -> _Files:
        pid = os.getpid()
        files = self._files.get(pid)
        if files is not None:
            return files
        self._close(keep=pid)  # a fork: what there is belongs to the parent
        self._absent, self._psutil = {}, None
        mine = _Files()
        if mine.fault is not None:
            self._absent["rss_peak"] = _no_exact_peak(mine.fault)
        if mine.statm < 0:
            self._open_psutil()
        kept = self._files.setdefault(pid, mine)
        if kept is not mine:  # another thread was first
            mine.close()
        return kept

    def _open_psutil(self) -> None:
        try:
            import psutil

            self._psutil = psutil.Process().memory_info
        except Exception as error:  # whatever is wrong there, a job must not feel it
            self._absent["rss"] = Absence(
                "rss",
                f"No memory figure: this system has no /proc, and psutil is not there ({error}).",
                "not_installed",
            )


class _Files:
    """Descriptors of ``/proc/self``; -1 for one that could not be opened, and why."""

    __slots__ = ("clear", "fault", "statm", "status")

    def __init__(self) -> None:
        self.statm = self.status = self.clear = -1
        self.fault: OSError | None = None
        try:
            self.statm = os.open("/proc/self/statm", os.O_RDONLY)
            self.status = os.open("/proc/self/status", os.O_RDONLY)
            self.clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError as error:
            self.fault = error

    def close(self) -> None:
        for descriptor in (self.statm, self.status, self.clear):
            if descriptor >= 0:
                os.close(descriptor)


def _no_exact_peak(error: OSError) -> Absence:
    return Absence(
        "rss_peak",
        "Peaks of process memory are sampled: the exact mark of /proc/self/clear_refs cannot be "
        f"reset here ({error.strerror}).",
        "no_permission" if isinstance(error, PermissionError) else "unsupported",
    )


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
