"""Cells into statements, each with its text, comments and place; magics through IPython itself."""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kit.source.facts import Facts
from kit.source.names import facts_of
from kit.source.record import Cell, without_kit_lines

#: cell magics whose body runs in the notebook's namespace, and line magics whose argument does
_TRANSPARENT = ("time", "capture", "prun")
_SHELL = {"system", "getoutput"}
_MAIN = "__main__"
#: IPython takes these without their % sign if nothing else is in the cell
_AUTOMAGIC = {"cd", "conda", "mamba", "micromamba", "pip", "pushd", "run", "set_env", "uv"}
#: a longer cell is not read: as Python it would take seconds and gigabytes
MAX_CELL_CHARS = 10_000_000


@dataclass(frozen=True, slots=True)
class Magic:
    """A magic or shell line. ``kind`` is ``"line"``, ``"cell"`` or ``"shell"``."""

    kind: str
    name: str
    line: str
    body: str = ""


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
    source = "\n".join(without_kit_lines(cell.source.splitlines())) + "\n"
    try:
        return list(_split(cell, position, source, 0))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as exc:
        return Unreadable(cell, f"{type(exc).__name__}: {exc}")


def _split(cell: Cell, position: int, typed: str, offset: int) -> Iterator[Statement]:
    typed = _signed(typed)
    try:
        tree = ast.parse(typed)
        source, lines_of = typed, None
    except SyntaxError:
        # only what is not Python is transformed: IPython leaves valid Python as it is, and its
        # transformer tokenizes a cell once per magic it looks for
        source = _transform(typed)
        tree = ast.parse(source)
        lines_of = _line_map(typed, source)
    text = _Text(source)
    body = list(_flat(tree.body))
    for index, (node, guarded) in enumerate(body):
        line = _first_line(node)
        number = offset + (line if lines_of is None else lines_of[line - 1])
        magic = _magic(node)
        if magic is not None and _is_transparent(magic):
            yield from _inner(cell, position, magic, number)
            continue
        own, gap = text.of(node, body[index + 1][0] if index + 1 < len(body) else None)
        shown = index == len(body) - 1 and isinstance(node, ast.Expr) and not text.hushed(node)
        directive = text.directive(node)
        for part, part_text in _parts(node, own, text.around(node)):
            yield Statement(
                cell, position, number, part_text, part, facts_of(part), gap, shown, magic,
                directive, guarded,
            )  # fmt: skip


def _signed(typed: str) -> str:
    """A cell of one line such as ``pip install x`` with the % sign that IPython puts there."""
    lines = [line for line in typed.splitlines() if line.strip()]
    words = lines[0].split() if len(lines) == 1 else []
    if words[1:] and words[0] in _AUTOMAGIC and words[1][0] not in "=,":
        return typed.replace(lines[0].strip(), "%" + lines[0].strip(), 1)
    return typed


def _transform(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    manager: Any = TransformerManager  # untyped
    return str(manager().transform_cell(source))


def _line_map(typed: str, source: str) -> list[int]:
    """For each line of the transformed source its line as typed, from 1."""
    a, b = typed.splitlines(), source.splitlines()
    # IPython takes blank lines off the top
    lead = next((i for i, line in enumerate(a) if line.strip()), 0)
    a = a[lead:]
    result = [lead + 1] * len(b)
    for _tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for k in range(b1, b2):
            result[k] = lead + min(a1 + (k - b1), max(a2 - 1, a1)) + 1
    return result


def _inner(cell: Cell, position: int, magic: Magic, number: int) -> Iterator[Statement]:
    """Statements inside ``%%time`` and kin, or after ``%time``."""
    if magic.kind == "cell":
        yield from _split(cell, position, magic.body, number)
        return
    words = magic.line.lstrip()
    while words.startswith("-"):  # options of %prun come first
        words = words.partition(" ")[2].lstrip()
    yield from _split(cell, position, words + "\n", number - 1)


def _is_transparent(magic: Magic) -> bool:
    return magic.name in _TRANSPARENT and (magic.kind == "cell" or bool(magic.line.strip()))


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


def _magic(node: ast.stmt) -> Magic | None:
    """The magic that IPython's transformer made of a line, if it is one."""
    value = getattr(node, "value", None)
    if not isinstance(node, (ast.Expr, ast.Assign)) or not isinstance(value, ast.Call):
        return None
    func = value.func
    if not (
        isinstance(func, ast.Attribute)
        and isinstance(func.value, ast.Call)
        and isinstance(func.value.func, ast.Name)
        and func.value.func.id == "get_ipython"
    ):
        return None
    texts = [a.value for a in value.args if isinstance(a, ast.Constant) and type(a.value) is str]
    if func.attr in _SHELL and texts:
        return Magic("shell", func.attr, texts[0])
    if func.attr == "run_line_magic" and len(texts) == 2:
        return Magic("line", texts[0], texts[1])
    if func.attr == "run_cell_magic" and len(texts) == 3:
        return Magic("cell", texts[0], texts[1], texts[2])
    return None


def _parts(node: ast.stmt, text: str, comments: tuple[str, str]) -> Iterator[tuple[ast.stmt, str]]:
    """A statement, or one per name if it is an import of several names.

    The comments above and behind such an import go with its first name.
    """
    if isinstance(node, (ast.Import, ast.ImportFrom)) and len(node.names) > 1:
        above, behind = comments
        for alias in node.names:
            if isinstance(node, ast.Import):
                part: ast.stmt = ast.Import(names=[alias])
            else:
                part = ast.ImportFrom(module=node.module, names=[alias], level=node.level)
            yield ast.copy_location(part, node), above + ast.unparse(part) + behind
            above = behind = ""
    else:
        yield node, text


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    if not decorators:
        return node.lineno
    return min([node.lineno, *(d.lineno for d in decorators)])


class _Text:
    """A cell's source and where its comments are."""

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self._comments: dict[int, str] = {}
        self._inside: set[int] = set()  # lines that begin within a string
        if '"""' in source or "'''" in source or not self._see():
            self._scan(source)
        self._directed = any("kit" in comment for comment in self._comments.values())

    def _see(self) -> bool:
        """Find comments by looking, which is enough for lines without a string in front of them."""
        found: dict[int, str] = {}
        for number, line in enumerate(self.lines, start=1):
            head, sign, _ = line.partition("#")
            if not sign:
                if line.endswith("\\"):  # a string may go on
                    return False
                continue
            if "'" in head or '"' in head:
                return False
            found[number] = line[len(head) :]
        self._comments = found
        return True

    def _scan(self, source: str) -> None:
        starts: list[int] = []  # f-strings nest
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            name = tokenize.tok_name[token.type]
            if token.type == tokenize.COMMENT:
                self._comments[token.start[0]] = token.string
            elif token.type == tokenize.STRING:
                self._inside.update(range(token.start[0] + 1, token.end[0] + 1))
            elif name in ("FSTRING_START", "TSTRING_START"):  # 3.12 and later
                starts.append(token.start[0])
            elif name in ("FSTRING_END", "TSTRING_END"):
                self._inside.update(range(starts.pop() + 1, token.end[0] + 1))

    def _is_comment_line(self, number: int) -> bool:
        return number in self._comments and self.lines[number - 1].lstrip().startswith("#")

    def _comment_start(self, node: ast.stmt) -> int:
        first = _first_line(node)
        while first > 1 and self._is_comment_line(first - 1):
            above = self.lines[first - 2]
            if len(above) - len(above.lstrip()) > node.col_offset:
                break  # at the end of the block above
            first -= 1
        return first

    def _last_line(self, node: ast.stmt, following: ast.stmt | None) -> int:
        """Last line of a statement, with comments below it that are indented as its body is."""
        last = number = node.end_lineno or node.lineno
        if not self._comments or not hasattr(node, "body"):
            return last
        until = len(self.lines) if following is None else self._comment_start(following) - 1
        while number < until:
            line = self.lines[number]
            number += 1
            if line.strip():
                indent = len(line) - len(line.lstrip())
                if number not in self._comments or indent <= node.col_offset:
                    break
                last = number
        return last

    def of(self, node: ast.stmt, following: ast.stmt | None) -> tuple[str, int]:
        """Source of a statement without indentation, and the blank lines above it."""
        first, last = self._comment_start(node), self._last_line(node, following)
        gap = 0
        while gap < 2 and first - gap > 1 and not self.lines[first - gap - 2].strip():
            gap += 1
        code, end = _first_line(node), node.end_lineno or node.lineno
        head = _chars(self.lines[code - 1], node.col_offset)
        tail = _chars(self.lines[end - 1], node.end_col_offset or 0)
        alone = not head.strip() and not (following is not None and following.lineno <= last)
        rest = self.lines[end - 1][len(tail) :]
        if not alone or rest.lstrip().startswith(";"):
            # shares its lines with another statement: only its own characters, no comments
            chunk = self.lines[code - 1 : end]
            chunk[-1] = tail
            chunk[0] = chunk[0][len(head) :]
            return "\n".join(chunk), gap
        width = len(head)
        chunk = [
            line if number in self._inside or line[:width].strip() else line[width:]
            for number, line in enumerate(self.lines[first - 1 : last], start=first)
        ]
        return "\n".join(chunk), gap

    def around(self, node: ast.stmt) -> tuple[str, str]:
        """Comment lines right above a statement, and the comment behind its last line."""
        if not self._comments:
            return "", ""
        first, last = self._comment_start(node), node.end_lineno or node.lineno
        above = [line.strip() + "\n" for line in self.lines[first - 1 : _first_line(node) - 1]]
        behind = self._comments.get(last, "")
        return "".join(above), f"  {behind}" if behind else ""

    def hushed(self, node: ast.stmt) -> bool:
        """Whether a semicolon keeps the value from being displayed."""
        last = self.lines[(node.end_lineno or node.lineno) - 1]
        return last[len(_chars(last, node.end_col_offset or 0)) :].lstrip().startswith(";")

    def directive(self, node: ast.stmt) -> str:
        """``keep`` or ``drop`` from a ``# kit: ...`` comment right above or behind."""
        if not self._directed:
            return ""
        for number in range(self._comment_start(node), (node.end_lineno or node.lineno) + 1):
            words = self._comments.get(number, "").lstrip("# ").partition(":")
            if words[0].strip() == "kit" and words[2].strip() in ("keep", "drop"):
                return words[2].strip()
        return ""


def _chars(line: str, utf8_offset: int) -> str:
    """The part of a line before an ``ast`` column, which counts UTF-8 bytes."""
    return line.encode()[:utf8_offset].decode(errors="ignore")
