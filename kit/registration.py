"""Make the handler of a cell that has run, or say in one sentence why not."""

from __future__ import annotations

import ast
import difflib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kit import torchstate
from kit.handler import Handler, HandlerVersion, kind_of
from kit.inspection import example_input, line_of
from kit.startoptions import Line, check_config, options_of
from kit.whichhandler import check_signature, find


@dataclass(frozen=True, slots=True)
class Cell:
    """A handler cell as it ran.

    Attributes
    ----------
    source : str
        As typed, the ``%%handler`` line included.
    code : str
        The Python that IPython ran, line for line the same.
    number : int or None
        Execution count.
    """

    source: str
    code: str
    number: int | None = None


def register(
    cell: Cell,
    line: Line,
    namespace: Mapping[str, Any],
    config: Any = None,
    previous_of: Callable[[str], Handler | None] = lambda name: None,
) -> Handler:
    """Make the handler of a cell.

    Parameters
    ----------
    cell, line
        What was run and what its first line asked for.
    namespace : mapping
        Names after the cell ran.
    config : object
        What the cell gave to ``runpod.serverless.start``; None if it called no start().
    previous_of : callable
        The handler registered before under a name, for the version number.

    Raises
    ------
    RegistrationError
        With one sentence. Nothing is registered then.
    """
    tree = ast.parse(cell.code)
    started = None if config is None else check_config(config)
    expression, function = find(tree, line.name, namespace, started)
    check_signature(expression, function)
    options, sources = options_of(tree, line, started)
    name = expression
    before = previous_of(name)
    info = HandlerVersion(
        name=name,
        version=1 if before is None else before.version + 1,
        kind=kind_of(function),
        expression=expression,
        options=sources,
        source=cell.source,
        cell=cell.number,
        line=line_of(tree, function),
        lines_changed=None if before is None else _changed(before.info.source, cell.source),
        example=example_input(function, tree),
        registered_at=time.time(),
    )
    return Handler(info, function, options, torchstate.capture())


def _changed(before: str, now: str) -> int:
    matcher = difflib.SequenceMatcher(None, before.splitlines(), now.splitlines(), autojunk=False)
    return sum(
        max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"
    )
