"""A notebook as it was saved: its cells in document order, and the handler they register.

Nothing is run, so nothing is known but the source: which function is the handler is read from the
``%%handler`` line, from ``start()``, or from what the cell defines.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from kit.errors import ExportError, UsageError
from kit.handler import HandlerKind, HandlerVersion
from kit.line import HandlerLine, HelpAsked, parse
from kit.source.record import Cell, handler_line
from kit.source.starts import Starts
from kit.source.statements import Unreadable, split

_KEPT = ("return_aggregate_stream", "concurrency_modifier", "refresh_worker")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class SavedCell(Cell):
    """A cell of a file: it has a place in it, and no ``In [3]`` that could be trusted."""

    __slots__ = ()

    @property
    def label(self) -> str:
        """How a person finds it: the code cells counted from the top."""
        return f"code cell {self.number}"


@dataclass(frozen=True, slots=True)
class SavedBook:
    """A saved notebook with one handler.

    Attributes
    ----------
    cells : tuple of Cell
    handler : HandlerVersion
    input : str or None
        JSON text of the input on its ``%%handler`` line.
    """

    cells: tuple[Cell, ...]
    handler: HandlerVersion
    input: str | None


def read_book(sources: Sequence[str]) -> SavedBook:
    """Find the handler among the code cells of a notebook, the last one if there are several.

    Parameters
    ----------
    sources : sequence of str
        Of the code cells, in document order.

    Raises
    ------
    ExportError
        There is none, or it cannot be told which function it is; with the cell.
    """
    cells = [SavedCell(n, f"saved-{n}", text, True, float(n)) for n, text in enumerate(sources, 1)]
    bodies = [_body(cell) for cell in cells]
    starts = Starts([node for body in bodies for node in body])
    marked = [cell for cell in cells if handler_line(cell.source.splitlines()) is not None]
    started = [c for c, body in zip(cells, bodies) if body and starts.calls(*body)]
    if not marked and not started:
        raise ExportError(
            "no cell of this notebook registers a handler: put %%handler on the first line of the cell "
            "that defines `def handler(job):`, and save."
        )
    cell = (marked or started)[-1]
    body = bodies[(cell.number or 1) - 1]
    line = _line(cell)
    call = next(iter(starts.calls(*body)[-1:]), None) if body else None
    config = starts.config(call) if call is not None else None
    expression = _expression(cell, body, line, config)
    version = HandlerVersion(
        name=expression,
        version=1,
        kind=_kind(expression, [node for part in bodies for node in part]),
        expression=expression,
        options=_options(line, config),
        source=cell.source,
        cell=cell.number,
        line=None,
        lines_changed=None,
        example="{}",
        registered_at=0.0,
    )
    return SavedBook(tuple(cells), version, line.input)


def _body(cell: Cell) -> list[ast.stmt]:
    found = split(cell, 0)
    return [] if isinstance(found, Unreadable) else [statement.node for statement in found]


def _line(cell: Cell) -> HandlerLine:
    lines = cell.source.splitlines()
    at = handler_line(lines)
    if at is None:
        return parse("")
    try:
        return parse(lines[at].strip().removeprefix("%%handler"))
    except UsageError as exc:
        raise ExportError(f"{cell.label}: {exc}") from None
    except HelpAsked:
        raise ExportError(
            f"{cell.label} asks for the help of %%handler; it registers none."
        ) from None


def _expression(
    cell: Cell, body: Sequence[ast.stmt], line: HandlerLine, config: ast.Dict | None
) -> str:
    if line.handler.name:
        return line.handler.name
    for key, value in zip(config.keys, config.values) if config else ():
        if isinstance(key, ast.Constant) and key.value == "handler":
            return ast.unparse(value)
    functions = [node for node in body if isinstance(node, _FUNCTIONS)]
    names = [node.name for node in functions]
    for node in body:
        if isinstance(node, ast.Assign):
            names += [t.id for t in node.targets if isinstance(t, ast.Name) and t.id == "handler"]
    if "handler" in names:
        return "handler"
    fitting = list(dict.fromkeys(node.name for node in functions if _takes_one(node)))
    if len(fitting) == 1:
        return fitting[0]
    which = f"any of {', '.join(fitting)} could be it" if fitting else "it defines none"
    raise ExportError(
        f"{cell.label} does not say which function is the handler ({which}): name it on the line, "
        "`%%handler NAME`, and save."
    )


def _takes_one(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = [*node.args.posonlyargs, *node.args.args]
    needs = len(given) - len(node.args.defaults)
    takes = len(given) + (99 if node.args.vararg else 0)
    return needs <= 1 <= takes and not [d for d in node.args.kw_defaults if d is None]


def _kind(expression: str, nodes: Sequence[ast.stmt]) -> HandlerKind:
    """As far as the source shows it: what a decorator makes of a function is not known."""
    kind = HandlerKind.SYNC
    for node in nodes:
        if isinstance(node, _FUNCTIONS) and node.name == expression:
            inner = [n for part in node.body for n in _own(part)]
            yields = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in inner)
            if isinstance(node, ast.AsyncFunctionDef):
                kind = HandlerKind.ASYNC_GENERATOR if yields else HandlerKind.ASYNC
            else:
                kind = HandlerKind.GENERATOR if yields else HandlerKind.SYNC
    return kind


def _own(node: ast.AST) -> list[ast.AST]:
    """A node and what is below it, the bodies of functions inside left out."""
    if isinstance(node, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
        return []
    return [node, *(n for child in ast.iter_child_nodes(node) for n in _own(child))]


def _options(line: HandlerLine, config: ast.Dict | None) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for key, value in zip(config.keys, config.values) if config else ():
        if isinstance(key, ast.Constant) and key.value in _KEPT:
            found[str(key.value)] = ast.unparse(value)
    if line.handler.aggregate:
        found.setdefault("return_aggregate_stream", "True")
    if line.handler.refresh:
        found.setdefault("refresh_worker", "True")
    if line.handler.concurrency is not None:
        found.setdefault("concurrency_modifier", f"lambda current: {line.handler.concurrency}")
    return tuple((key, found[key]) for key in _KEPT if key in found)
