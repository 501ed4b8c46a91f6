"""Statements of a file by their role, gathered into the texts of cells."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["imports", "config", "helpers", "model", "handler"]

#: calls that only read or describe; everything else may load something
_LIGHT = (
    "os.environ.get", "os.getenv", "int", "float", "str", "bool", "dict", "list", "set", "tuple",
    "frozenset", "range", "len", "sorted", "Path", "pathlib.Path", "os.path.join", "re.compile",
    "logging.getLogger", "os.path.dirname", "os.path.abspath", "max", "min", "sum", "zip", "bytes",
)  # fmt: skip
_SETTINGS = (
    "logging.",
    "load_dotenv",
    "dotenv.",
    "warnings.",
    "os.environ",
    "sys.path",
    "random.seed",
)
#: a cell of definitions gets no longer than this by one more
_LONG_LINES = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """One cell's text and what it is about."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A statement with the lines above it that belong to it."""

    node: ast.stmt
    text: str
    gap: int = 0  # blank lines above it


def is_definition(node: ast.stmt) -> bool:
    """Whether a statement defines a function."""
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def grouped(items: Sequence[Item]) -> Iterator[Piece]:
    """Statements as cells: neighbours of one role, definitions up to a length."""
    group: list[Item] = []
    role: Role | None = None
    for item in items:
        own = _role(item.node, role)
        long = own == "helpers" and len(joined([*group, item]).split("\n")) > _LONG_LINES
        if group and (own != role or long):
            assert role is not None
            yield Piece(role, joined(group))
            group = []
        group.append(item)
        role = own
    if group:
        assert role is not None
        yield Piece(role, joined(group))


def joined(items: Sequence[Item]) -> str:
    """The text of a cell; as many blank lines between statements as a person would leave."""
    text = ""
    for index, item in enumerate(items):
        if index:
            large = isinstance(item.node, ast.ClassDef) or is_definition(item.node)
            before = items[index - 1].node
            large = large or isinstance(before, ast.ClassDef) or is_definition(before)
            text += "\n" * (1 + (2 if large else min(item.gap, 2)))
        text += item.text
    return text


def _role(node: ast.stmt, before: Role | None) -> Role:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "imports"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return "helpers"
    if isinstance(node, (ast.Try, ast.If)) and all(
        isinstance(n, (ast.Import, ast.ImportFrom)) for n in node.body
    ):
        return "imports"
    calls = [ast.unparse(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        light = all(call in _LIGHT or call.endswith(".copy") for call in calls)
        return "config" if light else "model"
    text = ast.unparse(node)
    if isinstance(node, ast.Expr) and text.startswith(_SETTINGS):
        return "config"
    return before if before in ("config", "model") and not calls else "model"
