"""The handlers of one session: what is registered, which is current, and the cells behind them."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from kit.errors import UsageError
from kit.events import Finding
from kit.handler import Handler, HandlerVersion
from kit.secret import redact
from kit.source.edited import Edited
from kit.source.elsewhere import Elsewhere
from kit.source.record import Record
from kit.store import Store


class Handlers(ABC):
    """The part of :class:`kit.session.Session` that knows handlers by name."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self._versions: list[HandlerVersion] = []
        self.current: Handler | None = None
        #: findings that need no run, by name and version
        self.static: dict[tuple[str, int], tuple[Finding, ...]] = {}
        self.record = Record()
        self.edited = Edited(self.record)
        self.elsewhere = Elsewhere(self.record)

    @property
    @abstractmethod
    def store(self) -> Store: ...

    def add(self, handler: Handler, static: tuple[Finding, ...] = ()) -> None:
        """Make a handler the current one. Jobs in flight keep theirs."""
        # the export reads the cell itself and refuses keys; what goes to disk has them masked
        info = handler.info
        masked = dataclasses.replace(info, source=redact(info.source))
        self.store.register(masked)
        self._versions.append(masked)
        self.handlers[handler.name] = handler
        self.static[(handler.name, handler.version)] = static
        self.edited.registered(handler.name, handler.version)
        self.current = handler

    def handler(self, which: str | Handler | Callable[..., Any] | None) -> Handler:
        """A handler by name, or by its function; None for the current one.

        Raises
        ------
        UsageError
            There is none, with the names that exist.
        """
        if isinstance(which, Handler):
            return which
        if which is None:
            if self.current is None:
                raise UsageError(
                    "there is no handler yet: put %%handler on the first line of a cell that "
                    "defines `def handler(job):` and run it."
                )
            return self.current
        if not isinstance(which, str):
            for known in (self.current, *reversed(self.handlers.values())):
                if known is not None and _same(known.function, which):
                    return known
            raise UsageError(
                f"handler= takes a name, not {type(which).__name__}: register the function with "
                "%%handler and pass its name."
            )
        if which not in self.handlers:
            names = ", ".join(sorted(self.handlers)) or "none yet"
            raise UsageError(f"there is no handler called {which!r}. Registered: {names}.")
        return self.handlers[which]

    def versions(self, handler: str | None) -> Sequence[HandlerVersion]:
        return [v for v in self._versions if handler in (None, v.name)]


def _same(one: Any, other: Any) -> bool:
    # every access of a bound method makes a new object; nothing else's == is asked
    return one is other or (inspect.ismethod(other) and inspect.ismethod(one) and one == other)
