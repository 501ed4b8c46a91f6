"""Paths that source names literally: ``"data/labels.json"``, ``Path(__file__).parent / "x.bin"``."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 1000
#: functions and methods that write to the path they are given, or are called on
_WRITES = (
    "save", "to_", "write", "dump", "mkdir", "makedirs", "touch", "unlink", "remove", "rmtree",
    "imwrite", "imsave", "savefig", "download", "upload", "rename", "replace", "symlink",
)  # fmt: skip
_READS = (
    "read_text",
    "read_bytes",
    "read_csv",
    "read_json",
    "read_parquet",
    "read_excel",
    "imread",
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A path as written.

    Attributes
    ----------
    path : Path
        Absolute, not resolved: what it means here.
    line : int
    absolute : bool
        Whether the source itself spells it from the root of the disk.
    beside : bool
        Whether it is relative to the module's ``__file__``, not to the working directory.
    certain : bool
        Whether it is used as a path for sure; else it is a string that may be anything.
    writes, reads : bool
        Whether it is written to, and whether a file is read from it for sure.
    """

    path: Path
    line: int
    absolute: bool
    beside: bool
    certain: bool
    writes: bool
    reads: bool


def literals_of(tree: ast.Module, folder: Path, file: Path) -> Iterator[Literal]:
    """Every literal path of a module.

    Parameters
    ----------
    tree : ast.Module
    folder : Path
        The working directory, which relative paths are relative to.
    file : Path
        What ``__file__`` is.
    """
    yield from _Reader(tree, folder, file).read()


@dataclass(frozen=True, slots=True)
class _Text:
    """A folded expression: the text of a path, and whether it went through a path's function."""

    text: str
    certain: bool = False
    start: str = ""  # "file" or "folder" if it begins with __file__ or the working directory


class _Reader:
    def __init__(self, tree: ast.Module, folder: Path, file: Path) -> None:
        self.tree, self.folder, self.file = tree, folder, file
        self.names: dict[str, _Text | None] = {}
        self.skip: set[int] = set()
        self.context: dict[int, str] = {}
        self.modes: dict[int, str] = {}

    def read(self) -> Iterator[Literal]:
        for node in ast.walk(self.tree):
            self._note(node)
        self._constants()
        yield from self._visit(self.tree)

    def _note(self, node: ast.AST) -> None:
        """What surrounds an expression: which strings are no paths, and which calls use one."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            self.skip.add(id(node.value))
        elif isinstance(node, ast.Dict):
            self.skip |= {id(key) for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Subscript):
            self.skip.add(id(node.slice))
        elif isinstance(node, ast.Compare):
            self.skip |= {id(part) for part in (node.left, *node.comparators)}
        elif isinstance(node, ast.Call):
            func = node.func
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if name == "get" and node.args:
                self.skip.add(id(node.args[0]))
            for value in (*node.args[:1], *(k.value for k in node.keywords)):
                self.context[id(value)] = name
            for value in node.args[1:]:
                self.context.setdefault(id(value), name)
            if isinstance(func, ast.Attribute):
                self.context.setdefault(id(func.value), name)
            if name == "open":
                self._mode(node, func)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            self.skip.add(id(node.returns))
        elif isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation is not None:
            self.skip |= {id(n) for n in ast.walk(node.annotation)}

    def _mode(self, node: ast.Call, func: ast.expr) -> None:
        method = isinstance(func, ast.Attribute) and not _is_module(func.value)
        given = node.args[:1] if method else node.args[1:2]
        given += [k.value for k in node.keywords if k.arg == "mode"]
        mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
        if isinstance(func, ast.Attribute) and method:
            self.modes[id(func.value)] = str(mode)
        elif node.args:
            self.modes[id(node.args[0])] = str(mode)

    def _constants(self) -> None:
        """Names that the module binds once, to a path: ``HERE = Path(__file__).parent``."""
        bound: dict[str, int] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                bound[node.id] = bound.get(node.id, 0) + 1
            elif isinstance(node, ast.arg):
                bound[node.arg] = bound.get(node.arg, 0) + 2
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                if isinstance(target, ast.Name) and bound[target.id] == 1:
                    self.names[target.id] = self._fold(node.value)

    def _visit(self, node: ast.AST, at: int = 0) -> Iterator[Literal]:
        line = getattr(node, "lineno", at)
        if isinstance(node, ast.expr) and id(node) not in self.skip:
            folded = self._fold(node)
            if folded is not None and not isinstance(node, ast.Name):
                found = self._literal(node, folded, line)
                if found is not None:
                    yield found
                return
            if isinstance(node, ast.Name) and folded is not None and self._used(node):
                found = self._literal(node, folded, line)
                if found is not None:
                    yield found
                return
            begun = self._beginning(node)
            if begun is not None:
                found = self._literal(node, begun, line)
                if found is not None:
                    yield found
        for child in ast.iter_child_nodes(node):
            if id(child) not in self.skip:
                yield from self._visit(child, line)

    def _used(self, node: ast.Name) -> bool:
        return id(node) in self.context

    def _beginning(self, node: ast.expr) -> _Text | None:
        """The folder of a path whose rest is not literal: ``Path("data") / name``, ``f"data/{x}"``."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left = self._fold(node.left)
            return _Text(left.text, True, left.start) if left else None
        if isinstance(node, ast.JoinedStr) and node.values:
            first = node.values[0]
            if isinstance(first, ast.Constant) and "/" in str(first.value):
                head = str(first.value).rpartition("/")[0]
                return _Text(head) if _may_be(head) else None
        if (
            isinstance(node, ast.Call)
            and _dotted(node.func) == "os.path.join"
            and len(node.args) > 1
        ):
            first_part = self._fold(node.args[0])
            if first_part is not None:
                return _Text(first_part.text, True, first_part.start)
        return None

    def _literal(self, node: ast.expr, folded: _Text, line: int) -> Literal | None:
        if not _may_be(folded.text):
            return None
        context = self.context.get(id(node), "")
        mode = self.modes.get(id(node))
        writes = mode is not None and bool(set(mode) & set("wax"))
        writes = writes or context.startswith(_WRITES)
        reads = not writes and (mode is not None or context in _READS)
        # not resolved: links are judged later
        path = Path(os.path.normpath(self.folder / folded.text))
        absolute = not folded.start and Path(folded.text).is_absolute()
        certain = folded.certain or reads or bool(context)
        beside = folded.start == "file"
        return Literal(path, line, absolute, beside, certain, writes, reads)

    def _fold(self, node: ast.expr) -> _Text | None:
        """The path an expression is, if every part of it is literal."""
        if isinstance(node, ast.Constant):
            return _Text(node.value) if isinstance(node.value, str) and node.value else None
        if isinstance(node, ast.Name):
            if node.id == "__file__":
                return _Text(str(self.file), True, "file")
            return self.names.get(node.id)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return self._join([node.left, node.right])
        if isinstance(node, ast.Attribute) and node.attr == "parent":
            inner = self._fold(node.value)
            if inner is None:
                return None
            return _Text(str((self.folder / inner.text).parent), True, inner.start)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
            return self._parents(node, node.value)
        if isinstance(node, ast.Call):
            return self._call(node)
        return None

    def _parents(self, node: ast.Subscript, owner: ast.Attribute) -> _Text | None:
        inner = self._fold(owner.value) if owner.attr == "parents" else None
        index = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if inner is None or not isinstance(index, int):
            return None
        above = (self.folder / inner.text).parents
        return _Text(str(above[index]), True, inner.start) if 0 <= index < len(above) else None

    def _call(self, node: ast.Call) -> _Text | None:
        name, func = _dotted(node.func), node.func
        if name in ("os.getcwd", "Path.cwd", "pathlib.Path.cwd") and not node.args:
            return _Text(str(self.folder), True, "folder")
        if name in ("Path", "pathlib.Path", "PurePath", "os.path.join", "join"):
            folded = self._join(node.args)
            return _Text(folded.text, True, folded.start) if folded else None
        if name in ("os.path.abspath", "os.path.realpath", "str", "os.fspath") and node.args:
            return self._fold(node.args[0])
        if name == "os.path.dirname" and len(node.args) == 1:
            inner = self._fold(node.args[0])
            if inner is None:
                return None
            return _Text(str((self.folder / inner.text).parent), True, inner.start)
        if isinstance(func, ast.Attribute):
            inner = self._fold(func.value) if not isinstance(func.value, ast.Constant) else None
            if inner is not None and func.attr in ("resolve", "absolute", "as_posix", "expanduser"):
                return inner
            if inner is not None and func.attr == "joinpath":
                return self._join([func.value, *node.args])
            if inner is not None and func.attr == "with_name" and len(node.args) == 1:
                last = self._fold(node.args[0])
                if last is not None and "/" not in last.text:
                    above = (self.folder / inner.text).parent
                    return _Text(str(above / last.text), True, inner.start)
        return None

    def _join(self, nodes: list[ast.expr]) -> _Text | None:
        parts = [self._fold(node) for node in nodes]
        texts = [part for part in parts if part is not None]
        if not texts or len(texts) != len(parts):
            return None
        joined = os.path.join(*(part.text for part in texts))  # noqa: PTH118 - text, as the source has it
        return _Text(joined, True, texts[0].start)


def _may_be(text: str) -> bool:
    """Whether a string may be a path at all."""
    return (
        0 < len(text) <= _LONGEST
        and text.isprintable()
        and "://" not in text
        and not text.startswith("~")
        and text.strip("./ ") != ""
    )


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return node.id if isinstance(node, ast.Name) else ""


def _is_module(node: ast.expr) -> bool:
    """Whether ``x.open(...)`` is a module's function and takes the path, as ``io.open`` does."""
    return isinstance(node, ast.Name) and node.id in (
        "io",
        "os",
        "gzip",
        "bz2",
        "lzma",
        "codecs",
        "Image",
        "wave",
    )
