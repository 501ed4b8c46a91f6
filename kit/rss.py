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

    __slots__ = ("_absent", "_clear", "_pid", "_psutil", "_statm", "_status")

    def __init__(self) -> None:
        self._pid = 0
        self._statm = self._status = self._clear = -1
        self._psutil: Callable[[], Any] | None = None
        self._absent: dict[str, Absence] = {}

    @property
    def absences(self) -> tuple[Absence, ...]:
        """Why there is no figure, or no exact peak; empty if there are both."""
        if self._pid != os.getpid():
            self._open()
        return tuple(self._absent.values())

    def read(self) -> int | None:
        """Bytes resident now; None where neither ``/proc`` nor psutil can tell."""
        if self._pid != os.getpid():
            self._open()
        try:
            if self._statm >= 0:
                return int(os.pread(self._statm, 128, 0).split(b" ", 2)[1]) * _PAGE_BYTES
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
        if self._pid != os.getpid():
            self._open()
        if self._clear < 0:
            return False
        try:
            os.write(self._clear, b"5")
        except OSError as error:
            os.close(self._clear)
            self._clear = -1
            self._absent["rss_peak"] = _no_exact_peak(error)
            return False
        return True

    def read_peak(self) -> int | None:
        """Highest resident bytes since ``reset_peak``; None if the mark cannot be read."""
        if self._status < 0 or self._pid != os.getpid():
            return None
        try:
            text = os.pread(self._status, 4096, 0)
            start = text.index(b"VmHWM:") + 6
            return int(text[start : text.index(b"kB", start)]) * 1024
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close the descriptors; the next use opens them again."""
        descriptors = (self._statm, self._status, self._clear)
        self._statm = self._status = self._clear = -1
        self._pid = 0
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)

    def _open(self) -> None:
        inherited = (self._statm, self._status, self._clear)
        self._absent = {}
        self._psutil = None
        self._statm = self._status = self._clear = -1
        for descriptor in inherited:
            if descriptor >= 0:
                os.close(descriptor)
        try:
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)
            self._status = os.open("/proc/self/status", os.O_RDONLY)
            self._clear = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError as error:
            self._absent["rss_peak"] = _no_exact_peak(error)
        if self._statm < 0:
            self._open_psutil()
        # last, so that another thread never sees this process's id with descriptors half open
        self._pid = os.getpid()

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


def _no_exact_peak(error: OSError) -> Absence:
    return Absence(
        "rss_peak",
        "Peaks of process memory are sampled: the exact mark of /proc/self/clear_refs cannot be "
        f"reset here ({error.strerror}).",
        "no_permission" if isinstance(error, PermissionError) else "unsupported",
    )


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
