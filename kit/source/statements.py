"""Cells into statements, each with its text, comments and place; magics through IPython itself."""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.source.facts import Facts
from kit.source.magics import Magic, is_transparent, line_map, magic_of, signed, transformed
from kit.source.names import facts_of
from kit.source.record import Cell, without_kit_lines
from kit.source.texts import CellText, first_line

_MAIN = "__main__"
#: a longer cell is not read: as Python it would take seconds and gigabytes
MAX_CELL_CHARS = 10_000_000


@dataclass(frozen=True, slots=True)
class Statement:
    """One module-level statement; an import of several names is several of them.

    Attributes
    ----------
    cell : Cell
    position : int
        Rank of its cell in the record.
    line : int
        First line in the cell as typed, from 1, comments above it not counted.
    text : str
        Source without indentation, with the comment lines right above it and the comment behind.
    node : ast.stmt
    facts : Facts
    gap : int
        Blank lines above it in the cell, at most 2.
    shown : bool
        Whether its value would have been displayed (last expression of the cell, no semicolon).
    magic : Magic or None
        The magic it calls, if it is one or assigns the result of one.
    directive : str
        ``"keep"`` or ``"drop"`` from a ``# kit: keep`` comment, else ``""``.
    guarded : bool
        Whether it stood under ``if __name__ == "__main__":``.
    heading : str
        Comments above it that a blank line parts from it, ``""`` if none.
    headed : bool
        Whether those stand at the head of the cell, and so may be about all of it.
    """

    cell: Cell
    position: int
    line: int
    text: str
    node: ast.stmt
    facts: Facts
    gap: int = 0
    shown: bool = False
    magic: Magic | None = None
    directive: str = ""
    guarded: bool = False
    heading: str = ""
    headed: bool = False

    @property
    def place(self) -> str:
        """``In [3], line 7``."""
        return f"{self.cell.label}, line {self.line}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell that is not Python even after IPython's transformations, or is too long to be read."""

    cell: Cell
    reason: str
    too_long: bool = False


def split(cell: Cell, position: int) -> list[Statement] | Unreadable:
    """Statements of a cell in order.

    Parameters
    ----------
    cell : Cell
    position : int
        Rank of the cell in the record, copied into each statement.
    """
    if len(cell.source) > MAX_CELL_CHARS:
        return Unreadable(
            cell,
            f"it has {len(cell.source) / 1e6:,.0f} MB of source, and a cell is read up to "
            f"{MAX_CELL_CHARS / 1e6:.0f} MB: put its data into a file beside the notebook",
            too_long=True,
        )
    lines = cell.source.splitlines()
    source = "\n".join(without_kit_lines(lines) if "%%" in cell.source else lines) + "\n"
    try:
        return list(_split(cell, position, source, 0))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as exc:
        return Unreadable(cell, f"{type(exc).__name__}: {exc}")


def _split(cell: Cell, position: int, typed: str, offset: int) -> Iterator[Statement]:
    typed = signed(typed)
    try:
        tree = ast.parse(typed)
        source, lines_of = typed, None
    except SyntaxError:
        # only what is not Python is transformed: IPython leaves valid Python as it is, and its
        # transformer tokenizes a cell once per magic it looks for
        source = transformed(typed)
        tree = ast.parse(source)
        lines_of = line_map(typed, source)
    text = CellText(source)
    walrus, magical = ":=" in source, "get_ipython" in source
    body = list(_flat(tree.body))
    last = len(body) - 1
    for index, (node, guarded) in enumerate(body):
        line = first_line(node)
        number = offset + (line if lines_of is None else lines_of[line - 1])
        magic = magic_of(node) if magical else None
        if magic is not None and is_transparent(magic):
            yield from _inner(cell, position, magic, number)
            continue
        own, gap = text.of(node, body[index + 1][0] if index < last else None)
        shown = index == last and isinstance(node, ast.Expr) and not text.hushed(node)
        directive = text.directive(node)
        heading = text.heading(node, body[index - 1][0] if index else None)
        for part, part_text in _parts(node, own, text):
            yield Statement(
                cell, position, number, part_text, part, facts_of(part, walrus=walrus), gap,
                shown, magic, directive, guarded, heading, bool(heading) and not index,
            )  # fmt: skip
            heading = ""


def _inner(cell: Cell, position: int, magic: Magic, number: int) -> Iterator[Statement]:
    """Statements inside ``%%time`` and kin, or after ``%time``."""
    if magic.kind == "cell":
        yield from _split(cell, position, magic.body, number)
        return
    words = magic.line.lstrip()
    while words.startswith("-"):  # options of %prun come first
        words = words.partition(" ")[2].lstrip()
    yield from _split(cell, position, words + "\n", number - 1)


def _flat(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.stmt, bool]]:
    """Statements of a module, those under a ``__main__`` guard among them: in a kernel it is true."""
    for node in body:
        if isinstance(node, ast.If) and _is_main_guard(node.test):
            yield from ((inner, True) for inner, _ in _flat(node.body))
        else:
            yield node, False


def _is_main_guard(test: ast.expr) -> bool:
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return False
    sides = (test.left, test.comparators[0])
    return (
        isinstance(test.ops[0], ast.Eq)
        and any(isinstance(s, ast.Name) and s.id == "__name__" for s in sides)
        and any(isinstance(s, ast.Constant) and s.value == _MAIN for s in sides)
    )


def _parts(node: ast.stmt, own: str, text: CellText) -> Sequence[tuple[ast.stmt, str]]:
    """A statement, or one per name if it is an import of several names.

    The comments above and behind such an import go with its first name.
    """
    if not isinstance(node, (ast.Import, ast.ImportFrom)) or len(node.names) == 1:
        return ((node, own),)
    parts: list[tuple[ast.stmt, str]] = []
    above, behind = text.around(node)
    for alias in node.names:
        if isinstance(node, ast.Import):
            part: ast.stmt = ast.Import(names=[alias])
        else:
            part = ast.ImportFrom(module=node.module, names=[alias], level=node.level)
        parts.append((ast.copy_location(part, node), above + ast.unparse(part) + behind))
        above = behind = ""
    return parts
