"""Setup cells that were edited after a handler was registered: its jobs then run on something else."""

from __future__ import annotations

import functools
import symtable
import types
from collections.abc import Callable, Mapping
from typing import Any

from kit import findings
from kit.events import Finding
from kit.source.record import Cell, Record, without_kit_lines

_DEPTH = 200


class Edited:
    """Compares the record with what it was when a handler was registered.

    Only a cell with the notebook's own id can be known again after an edit, and only one that binds
    a name the handler uses (itself, or through functions of the notebook) is worth a word.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._before: dict[tuple[str, int], dict[str, str]] = {}
        self._said: set[tuple[str, int, str, str]] = set()
        self._seen: dict[tuple[str, int], float] = {}

    def registered(self, name: str, version: int) -> None:
        """Remember the cells as they are now."""
        self._before[(name, version)] = {
            cell.cell_id: cell.source for cell in self._record.cells() if cell.cell_id and cell.ok
        }

    def since(
        self, name: str, version: int, function: Callable[..., Any], source: str
    ) -> tuple[Finding, ...]:
        """What was edited since, each edit said once; microseconds if no cell has run meanwhile."""
        at = (name, version)
        before = self._before.get(at)
        cells = self._record.cells()
        if before is None or not cells or self._seen.get(at) == cells[-1].time:
            return ()
        self._seen[at] = cells[-1].time
        notes: list[Finding] = []
        names: set[str] | None = None
        for cell in cells:
            old = before.get(cell.cell_id or "")
            if old is None or old in (cell.source, source) or not cell.ok:
                continue
            mark = (name, version, str(cell.cell_id), cell.source)
            if mark in self._said:
                continue
            self._said.add(mark)
            names = names_used(function) if names is None else names
            shared = sorted(names & bound_by(cell))
            if shared:
                notes.append(findings.setup_edited(cell.label, shared, f"{name} v{version}"))
        return tuple(notes)


def bound_by(cell: Cell) -> set[str]:
    """Names that a cell binds at its top level; empty for one that is not plain Python."""
    try:
        source = "\n".join(without_kit_lines(cell.source.splitlines()))
        table = symtable.symtable(source, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return set()
    return {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }


def names_used(function: Any) -> set[str]:
    """Global names that a function uses, and those of the notebook's functions among them."""
    plain = _plain(function)
    if plain is None:
        return set()
    namespace = plain.__globals__
    names: set[str] = set()
    todo: list[types.CodeType] = [plain.__code__]
    seen: set[types.CodeType] = set()
    while todo and len(seen) < _DEPTH:
        code = todo.pop()
        if code in seen:
            continue
        seen.add(code)
        todo += [const for const in code.co_consts if isinstance(const, types.CodeType)]
        for name in code.co_names:
            if name in names:
                continue
            names.add(name)
            value = namespace.get(name)
            if isinstance(value, types.FunctionType) and value.__globals__ is namespace:
                todo.append(value.__code__)
    return names


def namespace_of(function: Any) -> Mapping[str, Any]:
    """The global names that a function sees; empty if it is no function of Python."""
    plain = _plain(function)
    return {} if plain is None else plain.__globals__


def _plain(function: Any) -> types.FunctionType | None:
    """The function of Python behind a partial, a method or an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    if not isinstance(function, types.FunctionType):
        function = vars(type(function)).get("__call__")
    return function if isinstance(function, types.FunctionType) else None
