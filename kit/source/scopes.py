"""Which names code binds: scopes as the compiler sees them, without compiling."""

from __future__ import annotations

import ast
from collections.abc import Iterable

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: nodes that bind nothing, with all that is below them
_NEVER_BIND = frozenset({ast.Constant, ast.Pass, ast.Break, ast.Continue})
#: the same where no expression binds
_ONLY_EXPRESSIONS = frozenset({ast.Return, ast.Expr, ast.Raise, ast.Assert})
#: expressions that may stand for names to be bound
_TARGETS = frozenset({ast.Tuple, ast.List, ast.Starred})
#: fields without nodes, or whose nodes hold no names: operators and contexts
_NO_NAMES = frozenset({
    "arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs", "level",
    "module", "op", "ops", "rest", "simple", "tag", "type_comment", "type_ignores",
})  # fmt: skip
#: of each kind of node the other fields, looked up once
_fields: dict[type[ast.AST], tuple[str, ...]] = {ast.Constant: (), ast.MatchSingleton: ()}
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Scope:
    """A module, function, class or comprehension.

    Attributes
    ----------
    kind : str
        ``module``, ``function``, ``class`` or ``comprehension``.
    bound : set of str
        Names bound in it, its parameters included.
    declared : set of str
        Names it declares ``global``.
    aliases : dict
        Local name to the roots (global names, ``@parameter``) whose object it may be.
    """

    __slots__ = ("aliases", "bound", "declared", "kind")

    def __init__(self, kind: str, bound: Iterable[str] = (), declared: Iterable[str] = ()) -> None:
        self.kind = kind
        self.declared = set(declared)
        self.bound = set(bound) - self.declared
        self.aliases: dict[str, frozenset[str]] = {}


def bound_names(nodes: Iterable[ast.AST], *, walrus: bool = True) -> tuple[set[str], set[str]]:
    """Names bound by code in its own scope, and names it declares global.

    Nested functions and classes bind their name only; comprehensions only what ``:=`` assigns.

    Parameters
    ----------
    nodes : iterable of ast.AST
    walrus : bool
        Whether there may be a ``:=`` somewhere: without one, expressions need not be searched.
    """
    bound: set[str] = set()
    declared: set[str] = set()
    outer: set[str] = set()
    todo: list[tuple[ast.AST, bool]] = [(node, False) for node in nodes]
    while todo:
        node, inside = todo.pop()  # inside: of a comprehension, where targets are its own
        kind = type(node)
        if kind is ast.Name:
            if not inside and type(node.ctx) is not ast.Load:  # type: ignore[attr-defined]
                bound.add(node.id)  # type: ignore[attr-defined]
            continue
        if kind in _NEVER_BIND:
            continue
        if not walrus and kind in _ONLY_EXPRESSIONS:
            continue
        if not walrus and isinstance(node, ast.expr):
            if kind in _TARGETS and type(node.ctx) is not ast.Load:  # type: ignore[attr-defined]
                todo.extend((child, inside) for child in children(node))
            continue
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            bound.add(node.name)
            todo.extend((child, inside) for child in outer_parts(node))
            continue
        if isinstance(node, ast.Lambda):
            todo.extend((child, inside) for child in defaults(node.args))
            continue
        if isinstance(node, ast.NamedExpr):
            bound.add(node.target.id)
            todo.append((node.value, inside))
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update(imported(node))
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
        elif isinstance(node, ast.Global):
            declared.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            outer.update(node.names)
        inside = inside or kind in _COMPREHENSIONS
        for child in children(node):
            todo.append((child, inside))
    return bound - outer, declared


def children(node: ast.AST) -> list[ast.AST]:
    """Nodes right below a node, in order, as ``ast.iter_child_nodes``, but without what has no names.

    Written for speed: a history has hundreds of thousands of nodes.
    """
    found: list[ast.AST] = []
    kind = node.__class__
    names = _fields.get(kind)
    if names is None:
        names = _fields[kind] = tuple(name for name in kind._fields if name not in _NO_NAMES)
    for name in names:
        value = getattr(node, name, None)
        if value.__class__ is list:
            for item in value:
                if item.__class__ is not ast.Constant and isinstance(item, ast.AST):
                    found.append(item)
        elif value.__class__ is not ast.Constant and isinstance(value, ast.AST):
            found.append(value)
    return found


def imported(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """Names an import binds, each with the dotted origin of what it is bound to.

    A star import binds nothing that can be seen.
    """
    if isinstance(node, ast.Import):
        return {
            a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0]
            for a in node.names
        }
    base = "." * node.level + (node.module or "")
    return {a.asname or a.name: f"{base}.{a.name}" for a in node.names if a.name != "*"}


def outer_parts(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.AST]:
    """The parts of a definition that are evaluated in the scope around it."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    return [*node.decorator_list, *defaults(node.args)]


def defaults(args: ast.arguments) -> list[ast.AST]:
    """Default values of parameters, which are evaluated where the function is defined."""
    return [*args.defaults, *(d for d in args.kw_defaults if d is not None)]


def parameters(args: ast.arguments) -> list[ast.arg]:
    """Parameters in order: positional ones, ``*args``, keyword ones, ``**kwargs``."""
    result = [*args.posonlyargs, *args.args]
    if args.vararg:
        result.append(args.vararg)
    result.extend(args.kwonlyargs)
    if args.kwarg:
        result.append(args.kwarg)
    return result


def surely_bound(body: Iterable[ast.stmt]) -> set[str]:
    """Names that are bound whichever way a block is left at its end.

    A name outside of this set may keep its older value, so its older definition stays too.
    """
    sure: set[str] = set()
    for node in body:
        if isinstance(node, ast.If):
            sure |= bound_names([node.test])[0]
            sure |= _both(node.body, node.orelse)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            sure |= bound_names(node.items)[0] | surely_bound(node.body)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            sure |= _of_try(node)
        elif isinstance(node, ast.Match):
            continue
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            sure |= bound_names([node.iter] if not isinstance(node, ast.While) else [node.test])[0]
        else:
            sure |= bound_names([node])[0]
    return sure


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether a block never reaches the statement behind it: it raises or ends the process."""
    last = body[-1] if body else None
    if isinstance(last, (ast.Raise, ast.Return, ast.Continue, ast.Break)):
        return True
    call = last.value if isinstance(last, ast.Expr) else None
    name = call.func if isinstance(call, ast.Call) else None
    word = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
    return word in ("exit", "_exit", "quit")


def _both(first: list[ast.stmt], second: list[ast.stmt]) -> set[str]:
    if _leaves(first):
        return surely_bound(second)
    if _leaves(second):
        return surely_bound(first)
    return surely_bound(first) & surely_bound(second)


def _of_try(node: ast.AST) -> set[str]:
    body: list[ast.stmt] = [*node.body, *node.orelse]  # type: ignore[attr-defined]
    sure = surely_bound(body)
    for handler in node.handlers:  # type: ignore[attr-defined]
        if not _leaves(handler.body):
            sure &= surely_bound(handler.body)
    return sure | surely_bound(node.finalbody)  # type: ignore[attr-defined]
