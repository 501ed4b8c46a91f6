"""A worker's file cut into the cells of a notebook: what a person would have typed into which cell.

Every line stays: the cells hold the file's own text, comments and blank lines included. The order
changes only where nothing can notice: the handler's ``def`` moves down to the start, so that the
cell that is run again and again holds the handler and not the model load between the two.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.source.pieces import Item, Piece, grouped, is_definition, joined
from kit.source.starts import Starts
from kit.source.texts import CellText


@dataclass(frozen=True, slots=True)
class Cut:
    """A file as cells.

    Attributes
    ----------
    about : str
        The module's docstring, ``""`` if there is none.
    pieces : tuple of Piece
        In order, the handler's last.
    line : str
        What belongs behind ``%%handler``.
    file : bool
        Whether the code reads ``__file__``, which a kernel does not have.
    """

    about: str
    pieces: tuple[Piece, ...]
    line: str
    file: bool


class NoHandler(Exception):
    """The file gives nothing to ``runpod.serverless.start`` and defines no ``handler``."""


def cut(source: str) -> Cut:
    """Cut a worker's source into cells.

    Raises
    ------
    SyntaxError, ValueError
        It is no Python.
    NoHandler
    """
    tree = ast.parse(source)
    items = list(_items(source, tree))
    about, items = _docstring(tree, items)
    starts = Starts(tree.body)
    items = _opened(source, tree, items, starts)
    start = next((i for i in reversed(range(len(items))) if starts.calls(items[i].node)), None)
    expression = starts.handler()
    if expression is None:
        raise NoHandler
    first, items = _handler_last(items, start, expression)
    pieces = list(grouped(items[:first]))
    pieces.append(Piece("handler", joined(items[first:])))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return Cut(about, tuple(pieces), _line(items, starts, expression), "__file__" in names)


# -- statements with everything around them --------------------------------------------------------


def _items(source: str, tree: ast.Module) -> Iterator[Item]:
    """Statements with the lines above them; those that share a line are one."""
    lines = source.split("\n")
    yield from _chunks(lines, tree.body, 0, len(lines))


def _chunks(lines: Sequence[str], body: Sequence[ast.stmt], begin: int, end: int) -> Iterator[Item]:
    """Cut ``lines[begin:end]`` behind each statement; the last gets what is left."""
    at = begin
    for index, node in enumerate(body):
        following = body[index + 1] if index + 1 < len(body) else None
        last = node.end_lineno or node.lineno
        if following is not None and following.lineno <= last:
            continue  # `a = 1; b = 2`: what is cut off with the last of the line
        stop = end if following is None else last
        chunk = list(lines[at:stop])
        while chunk and not chunk[-1].strip():
            chunk.pop()
        gap = next((i for i, line in enumerate(chunk) if line.strip()), 0)
        yield Item(node, "\n".join(chunk[gap:]), gap)
        at = last


def _docstring(tree: ast.Module, items: list[Item]) -> tuple[str, list[Item]]:
    """Its text, and the statements without it, or with it as ``__doc__`` where that is read."""
    text = ast.get_docstring(tree)
    if text is None or not items or items[0].node is not tree.body[0]:
        return "", items
    first = items[0]
    node = first.node
    above = first.text.split("\n")[: -((node.end_lineno or node.lineno) - node.lineno + 1) or None]
    if any(isinstance(n, ast.Name) and n.id == "__doc__" for n in ast.walk(tree)):
        code = f"__doc__ = {text!r}"
        return text, [Item(ast.parse(code).body[0], "\n".join([*above, code])), *items[1:]]
    rest = items[1:]
    comments = "\n".join(above).strip("\n")
    if comments and rest:
        rest[0] = Item(rest[0].node, f"{comments}\n\n{rest[0].text}", rest[0].gap)
    return text, rest


# -- what stands under a guard, and in main() ------------------------------------------------------


def _opened(source: str, tree: ast.Module, items: list[Item], starts: Starts) -> list[Item]:
    """The bodies of the ``__main__`` guard and of a ``main()`` around the start, as cells of a
    notebook: in a kernel the guard is true, and what the handler needs must be global.
    """
    inside = CellText(source).inside()
    lines = source.split("\n")
    found: list[Item] = []
    for item in items:
        guard = main_guard(item.node)
        if guard is not None and len(guard.body) > 1:
            found += _body(lines, inside, guard)
        else:
            found.append(item)
    main = _main_to_inline(source, tree, [item.node for item in found], starts)
    if main is None:
        return found
    result: list[Item] = []
    for item in found:
        if item.node is main:
            continue
        if _calls_main(item.node, main.name):
            result += _body(lines, inside, main)
        else:
            result.append(item)
    return result


def main_guard(node: ast.stmt) -> ast.If | None:
    """The statement, if it is ``if __name__ == "__main__":`` without an ``else``."""
    if not isinstance(node, ast.If) or node.orelse or not isinstance(node.test, ast.Compare):
        return None
    sides = {ast.unparse(node.test.left), *map(ast.unparse, node.test.comparators)}
    same = isinstance(node.test.ops[0], ast.Eq) and sides == {"__name__", "'__main__'"}
    return node if same else None


def _body(lines: Sequence[str], inside: set[int], node: ast.If | ast.FunctionDef) -> Iterator[Item]:
    body = node.body
    if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
        body = body[1:]
    width = body[0].col_offset
    header = node.body[0].lineno - 1 if body is node.body else node.body[0].end_lineno or 0
    while header > node.lineno and not lines[header - 1].strip():
        header -= 1
    while header > node.lineno and lines[header - 1].lstrip().startswith("#"):
        header -= 1
    if body[0].lineno == node.lineno:  # `if ...: a(); b()` on one line
        for statement in body:
            yield Item(statement, ast.unparse(statement))
        return
    flat = [
        line if number in inside or line[:width].strip() else line[width:]
        for number, line in enumerate(lines, 1)
    ]
    yield from _chunks(flat, body, header, node.end_lineno or node.lineno)


def _main_to_inline(
    source: str, tree: ast.Module, body: Sequence[ast.stmt], starts: Starts
) -> ast.FunctionDef | None:
    """The function around the start, if its body does the same at module level."""
    for node in body:
        if not isinstance(node, ast.FunctionDef) or not starts.calls(node):
            continue
        calls = sum(_calls_main(other, node.name) for other in body)
        uses = sum(isinstance(n, ast.Name) and n.id == node.name for n in ast.walk(tree))
        plain = not ast.unparse(node.args) and not node.decorator_list and calls == uses == 1
        odd = (ast.Return, ast.Yield, ast.YieldFrom, ast.Nonlocal, ast.Global)
        own = [n for n in ast.walk(node) if isinstance(n, odd) and not _nested(node, n)]
        if plain and not own and not _clashes(source, node.name):
            return node
    return None


def _clashes(source: str, main: str) -> set[str]:
    """Names that are local to a function and mean something else to the rest of the module."""
    module = symtable.symtable(source, "handler.py", "exec")
    taken = set(module.get_identifiers())
    local: set[str] = set()
    scopes = [(scope, scope.get_name() == main) for scope in module.get_children()]
    while scopes:
        scope, inside = scopes.pop()
        scopes += [(child, inside) for child in scope.get_children()]
        if inside and scope.get_name() == main:
            local |= {s.get_name() for s in scope.get_symbols() if s.is_local()}
        elif not inside:
            taken |= {s.get_name() for s in scope.get_symbols() if s.is_global()}
    return local & taken


def _nested(function: ast.FunctionDef, node: ast.AST) -> bool:
    """Whether a statement belongs to a function inside the function."""
    return any(
        node in ast.walk(inner)
        for inner in ast.walk(function)
        if inner is not function and isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def _calls_main(node: ast.stmt, name: str) -> bool:
    guard = main_guard(node)
    if guard is not None:
        return len(guard.body) == 1 and _calls_main(guard.body[0], name)
    return isinstance(node, ast.Expr) and ast.unparse(node) == f"{name}()"


# -- the handler's cell ----------------------------------------------------------------------------


def _handler_last(items: list[Item], start: int | None, expression: str) -> tuple[int, list[Item]]:
    """Where the handler's cell begins, and the statements with the handler's ``def`` in it."""
    end = len(items) if start is None else start
    # what reads the command line must not see the kernel's: only the handler's cell is kept from it
    argv = [i for i, item in enumerate(items[:end]) if _reads_argv(item.node)]
    first = min([end, *argv])
    bound = [i for i, item in enumerate(items[:end]) if expression in _binds(item.node)]
    if not bound:
        return first, items
    at = bound[-1]
    if at >= first:
        return first, items
    between = items[at + 1 : first]
    mentioned = {n.id for item in between for n in ast.walk(item.node) if isinstance(n, ast.Name)}
    if len(bound) == 1 and is_definition(items[at].node) and expression not in mentioned:
        moved = [*items[:at], *between, items[at], *items[first:]]
        needed = {n.id for n in _evaluated(items[at].node)}
        if not needed & {name for item in between for name in _binds(item.node)}:
            return first - 1, moved
    return at, items


def _evaluated(node: ast.stmt) -> Iterator[ast.Name]:
    """Names that a ``def`` reads when it runs: decorators, defaults, annotations."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        for part in (*node.decorator_list, node.args, *([node.returns] if node.returns else [])):
            yield from (n for n in ast.walk(part) if isinstance(n, ast.Name))


def _reads_argv(node: ast.stmt) -> bool:
    if is_definition(node) or isinstance(node, ast.ClassDef):
        return False
    return any(
        (isinstance(n, ast.Attribute) and n.attr in ("argv", "parse_args", "parse_known_args"))
        for n in ast.walk(node)
    )


def _binds(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def _line(items: Sequence[Item], starts: Starts, expression: str) -> str:
    """Nothing where ``start()`` is called in any case; else what it would have been told."""
    if any(_always_starts(item.node, starts) for item in items):
        return ""
    words = [expression]
    for call in starts.calls()[-1:]:
        config = starts.config(call)
        for key, value in zip(config.keys, config.values) if config else ():
            name = key.value if isinstance(key, ast.Constant) else None
            truth = isinstance(value, ast.Constant) and value.value is True
            if name == "return_aggregate_stream" and truth:
                words.append("--aggregate")
            elif name == "refresh_worker" and truth:
                words.append("--refresh")
            elif name == "concurrency_modifier" and isinstance(value, ast.Lambda):
                number = value.body
                if isinstance(number, ast.Constant) and isinstance(number.value, int):
                    words.append(f"--concurrency {number.value}")
    return " ".join(words)


def _always_starts(node: ast.stmt, starts: Starts) -> bool:
    guard = main_guard(node)
    if guard is not None:
        return any(_always_starts(inner, starts) for inner in guard.body)
    return isinstance(node, (ast.Expr, ast.Assign, ast.With)) and bool(starts.calls(node))
