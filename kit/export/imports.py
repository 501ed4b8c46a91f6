"""What Python source imports, wherever it stands, by ``ast`` and without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

#: functions that import the module which their first argument names
_BY_NAME = ("import_module", "__import__")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name.

    Attributes
    ----------
    module : str
        Dotted, absolute; ``""`` for what only the running program knows.
    optional : bool
        Whether it stands inside a ``try``.
    """

    module: str
    optional: bool = False


def imports_of(tree: ast.Module, package: str = "") -> Iterator[Import]:
    """Every import of a module, those inside functions and ``import_module("...")`` among them.

    Parameters
    ----------
    tree : ast.Module
    package : str
        Dotted package that relative imports start from; ``""`` if there is none.

    Yields
    ------
    Import
        ``from a.b import c`` gives ``a.b.c``: the name may be a module of its own.
    """
    optional: set[int] = set()
    typing: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            optional |= {id(n) for child in (*node.body, *node.handlers) for n in ast.walk(child)}
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            typing |= {id(n) for child in node.body for n in ast.walk(child)}
    for node in ast.walk(tree):
        if id(node) in typing:
            continue  # no worker ever runs it
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, id(node) in optional)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module or "", node.level, package)
            for alias in node.names if base is not None else ():
                name = base if alias.name == "*" else f"{base}.{alias.name}".strip(".")
                yield Import(name or "", id(node) in optional)
        elif isinstance(node, ast.Call):
            named = _named(node, package)
            if named is not None:
                yield Import(named, id(node) in optional)


def _absolute(module: str, level: int, package: str) -> str | None:
    if not level:
        return module
    parts = package.split(".") if package else []
    if level - 1 > len(parts) or not parts:
        return None
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])


def _named(node: ast.Call, package: str) -> str | None:
    """The module that ``import_module`` and kin are given; ``""`` if it is no literal."""
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    if name not in _BY_NAME or not node.args:
        return None
    first = node.args[0]
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return ""
    text = first.value
    level = len(text) - len(text.lstrip("."))
    return _absolute(text.lstrip("."), level, package)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"
