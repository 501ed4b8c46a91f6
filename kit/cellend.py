"""What displays do before a cell ends: later, a notebook that nobody looks at takes nothing more."""

from __future__ import annotations

import sys
from collections.abc import Callable


class CellEnd:
    """Functions called before each cell ends, on its thread, until they return False."""

    def __init__(self) -> None:
        self._functions: list[Callable[[], bool]] = []

    def add(self, function: Callable[[], bool]) -> None:
        """Call from the end of the running cell on."""
        self._functions.append(function)

    def run(self) -> None:
        """Call them all. Never raises: what is shown is not worth a cell."""
        for function in self._functions[:]:
            try:
                again = function()
            except Exception as exc:
                again = False
                sys.stderr.write(f"The kit could not renew what it shows: {exc}\n")
            if not again:
                self._functions.remove(function)
