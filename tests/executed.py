"""Notebooks for the tests: cells that are really executed, as a kernel would, and their record."""

from __future__ import annotations

import ast
import asyncio
import copy
import inspect
import linecache
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.export.render import render_handler
from kit.handler import HandlerKind, HandlerVersion, kind_of
from kit.source.record import Cell, Record, handler_line, without_kit_lines
from kit.source.slice import Slice, slice_cells


@dataclass
class Notebook:
    """A namespace and the record of what ran in it. Cells are plain Python, no magics."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.record = Record()
        self.count = 0
        self.handler_cell: Cell | None = None

    def run(self, source: str, cell_id: str | None = None) -> bool:
        self.count += 1
        lines = source.splitlines()
        at = handler_line(lines)
        lines = without_kit_lines(lines)
        ok = True
        try:
            # as a kernel does: tracebacks name the cell and show its lines
            name, text = f"In [{self.count}]", "\n".join(lines)
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
            exec(compile(ast.parse(text), name, "exec"), self.namespace)
        except Exception:
            ok = False
        # time 0 of the record is not looked at; order is
        cell = Cell(self.count, cell_id or str(self.count), source, ok, float(self.count))
        self.record.add(cell)
        if at is not None and ok:
            self.handler_cell = cell
        return ok

    def version(
        self, expression: str = "handler", options: Sequence[tuple[str, str]] = ()
    ) -> HandlerVersion:
        cell = self.handler_cell
        assert cell is not None, "no cell with a %%handler line has run"
        function = eval(expression, self.namespace)
        kind = kind_of(function) if callable(function) else HandlerKind.SYNC
        return HandlerVersion(
            name=expression,
            version=1,
            kind=kind,
            expression=expression,
            options=tuple(options),
            source=cell.source,
            cell=cell.number,
            line=None,
            lines_changed=None,
            example="{}",
            registered_at=cell.time,
        )

    def slice(self, expression: str = "handler", **more: Any) -> Slice:
        return slice_cells(self.record.cells(), self.version(expression, **more))

    def render(self, expression: str = "handler", **more: Any) -> str:
        version = self.version(expression, **more)
        return render_handler(slice_cells(self.record.cells(), version), version, "test").text


def notebook(*sources: str) -> Notebook:
    """A notebook whose cells ran once, in order, and all well."""
    book = Notebook()
    for source in sources:
        assert book.run(source), f"this cell of the test itself fails:\n{source}"
    return book


def load(text: str) -> dict[str, Any]:
    """Namespace of an exported file, imported: its start() is under a guard."""
    module = sys.modules["exported"] = types.ModuleType("exported")  # dataclasses look there
    exec(compile(text, "handler.py", "exec"), module.__dict__)
    return module.__dict__


def call(namespace: dict[str, Any], expression: str, input: Any) -> Any:
    """What a handler gives, whatever its kind; exceptions as their repr."""
    handler = eval(expression, namespace)
    job = {"id": "test", "input": copy.deepcopy(input)}
    try:
        result = handler(job)
        if inspect.isasyncgen(result):

            async def drain() -> list[Any]:
                return [part async for part in result]

            return asyncio.run(drain())
        if inspect.isgenerator(result):
            return list(result)
        if inspect.isawaitable(result):

            async def wait() -> Any:
                return await result

            return asyncio.run(wait())
        return copy.deepcopy(result)
    except Exception as exc:
        return repr(exc)
