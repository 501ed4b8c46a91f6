"""``breakpoint()`` in a handler that ``kit.run`` started: what it comes to in production.

There is nobody to ask in a worker: pdb reads the end of its input and raises ``bdb.BdbQuit``. In a
kernel it would do nothing at all, or stop a thread that nobody sees.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from kit import findings, trace
from kit.capture import JOB
from kit.events import Finding
from kit.findings import at
from kit.queue import Entry


class Breakpoints:
    """Stands in for ``sys.breakpointhook`` while a session has a worker."""

    def __init__(self) -> None:
        self._found: Callable[..., Any] | None = None

    def install(self, note: Callable[[Entry, Finding], None]) -> None:
        """Begin; ``note`` takes the entry whose handler called it, and the finding. Idempotent."""
        self._note = note
        if self._found is None:
            self._found, sys.breakpointhook = sys.breakpointhook, self._called

    def remove(self) -> None:
        """Put the hook that was found back, unless somebody has set another since."""
        found, self._found = self._found, None
        if found is not None and sys.breakpointhook == self._called:
            sys.breakpointhook = found

    def _called(self, *args: Any, **kwargs: Any) -> Any:
        entry = JOB.get()
        if not isinstance(entry, Entry) or entry.echo or _somebody_is_there():
            return (self._found or sys.__breakpointhook__)(*args, **kwargs)
        if os.environ.get("PYTHONBREAKPOINT") == "0":  # switched off, there as here
            return None
        self._note(entry, at(findings.forgotten_breakpoint(), _place(sys._getframe(1))))
        from bdb import BdbQuit

        raise BdbQuit


def _somebody_is_there() -> bool:
    """Whether a front end's debugger is attached: it can stop in any thread."""
    debugpy: Any = sys.modules.get("debugpy")
    try:
        return debugpy is not None and bool(debugpy.is_client_connected())
    except Exception:
        return False


def _place(frame: FrameType) -> str:
    number = trace.cell_number(frame.f_code.co_filename)
    return "" if number is None else f"In [{number}], line {frame.f_lineno}"
