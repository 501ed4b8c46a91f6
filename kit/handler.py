"""Handler: a function, what kind it is, its start() options, its version. Findings that need no run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

#: JSON's own words, and strings, in which they are left alone
_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b')
_PYTHON = {"true": "True", "false": "False", "null": "None"}


class HandlerKind(str, Enum):
    """Kinds as RunPod's worker tells them apart (``inspect`` on the very object given to start())."""

    SYNC = "sync"
    ASYNC = "async"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"

    __str__ = str.__str__

    @property
    def streams(self) -> bool:
        """Whether RunPod's worker streams what it yields."""
        return self in (HandlerKind.GENERATOR, HandlerKind.ASYNC_GENERATOR)

    @property
    def blocks(self) -> bool:
        """Whether it holds the worker's loop until it returns or yields."""
        return self in (HandlerKind.SYNC, HandlerKind.GENERATOR)


def kind_of(function: Callable[..., Any]) -> HandlerKind:
    """Kind of a handler, by the SDK's own rule (runpod 1.12.0, ``rp_handler.is_generator``).

    A callable object with a generator ``__call__`` or a function that *returns* a generator is not
    a streaming handler there, and so not here; a ``functools.partial`` of a generator is.
    """
    if inspect.isasyncgenfunction(function):
        return HandlerKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return HandlerKind.GENERATOR
    if inspect.iscoroutinefunction(function):
        return HandlerKind.ASYNC
    return HandlerKind.SYNC


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of ``runpod.serverless.start`` that the worker reads (runpod 1.12.0)."""

    return_aggregate_stream: bool = False
    concurrency_modifier: Callable[[int], int] | None = None
    refresh_worker: bool = False


@dataclass(frozen=True, slots=True)
class HandlerVersion:
    """What is worth keeping of a registered handler: text only, fit for the store, views and export.

    Attributes
    ----------
    name : str
    version : int
        From 1, per name and session.
    kind : HandlerKind
    expression : str
        How the notebook names the function: ``handler``, ``service.handle``, ``make(cfg)``.
    options : tuple of (str, str)
        start() keys other than ``handler`` with the source of their value, in order, e.g.
        ``(("return_aggregate_stream", "True"),)``.
    source : str
        The cell as typed, the ``%%handler`` line included.
    cell : int or None
        Execution count, ``In [12]``; None outside a notebook.
    line : int or None
        Line of the function's ``def`` in the cell, from 1.
    lines_changed : int or None
        Lines added or replaced since the version before; None for the first.
    example : str
        JSON text of an input with the keys that the handler reads, ``{}`` if none were seen.
    registered_at : float
        UTC seconds.
    """

    name: str
    version: int
    kind: HandlerKind
    expression: str
    options: tuple[tuple[str, str], ...]
    source: str
    cell: int | None
    line: int | None
    lines_changed: int | None
    example: str
    registered_at: float

    @property
    def call(self) -> str:
        """The example as a person types it into a cell: ``kit.run({"prompt": "", "fast": False})``."""
        return f"kit.run({_WORDS.sub(lambda found: _PYTHON.get(found[0], found[0]), self.example)})"


@dataclass(frozen=True, slots=True)
class Handler:
    """A version together with the live function and options it stands for."""

    info: HandlerVersion
    function: Callable[..., Any]
    options: Options
    #: torch's thread-local settings when the cell had run (``torchstate``); None without torch
    torch: Any = None

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def version(self) -> int:
        return self.info.version

    @property
    def kind(self) -> HandlerKind:
        return self.info.kind
