"""``exit()`` and ``quit()`` in a handler: what they come to in production.

In a worker they raise SystemExit, and the job's result is never posted. IPython's own would end the
kernel with all that is loaded in it, or do nothing at all.
"""

from __future__ import annotations

import sys
from typing import Any

from kit.capture import JOB


class Exits:
    """Stands in for IPython's ``exit`` inside jobs while a session has a worker."""

    def __init__(self) -> None:
        self._exiter: Any = None

    def install(self) -> None:
        """Begin. Idempotent; nothing happens outside IPython."""
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        exiter: Any = getattr(shell, "exiter", None)
        if exiter is None or isinstance(exiter, _Exit):
            return
        base = type(exiter)
        # the object keeps its identity: cells may have bound it to other names
        exiter.__class__ = type(base.__name__, (_Exit, base), {})
        self._exiter = exiter

    def remove(self) -> None:
        """Give it its own class back."""
        exiter, self._exiter = self._exiter, None
        if exiter is not None:
            exiter.__class__ = type(exiter).__mro__[2]


class _Exit:
    def __call__(self, *args: Any, **options: Any) -> Any:
        if JOB.get() is not None:
            raise SystemExit(*args)
        return super().__call__(*args, **options)  # type: ignore[misc]
