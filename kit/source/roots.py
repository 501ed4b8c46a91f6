"""What an expression stands for: the names at its root, and whose objects it may share."""

from __future__ import annotations

import ast

from kit.source.scopes import Scope, children

#: calls whose result shares objects with what they were given, or with their receiver
_SHARES = {
    "dict", "enumerate", "filter", "getattr", "iter", "list", "map", "max", "min", "next",
    "reversed", "set", "sorted", "tuple", "vars", "zip",
}  # fmt: skip
#: builtins whose methods are also called with the object in front: ``dict.update(config, a=1)``
_TYPES = {"bytearray", "dict", "list", "object", "set"}
_ACCESSORS = {
    "bfloat16", "buffers", "children", "compile", "cpu", "cuda", "eval", "float", "get", "half",
    "items", "layers", "modules", "named_buffers", "named_children", "named_modules",
    "named_parameters", "parameters", "requires_grad_", "setdefault", "to", "train", "values",
}  # fmt: skip
_LINKS = (ast.Attribute, ast.Subscript, ast.Await, ast.Starred)
_NOTHING: frozenset[str] = frozenset()


class Scoped:
    """Knows its scopes, and what names stand for in them; the base of a visitor."""

    def __init__(self) -> None:
        self.module = Scope("module")
        self.scopes = [self.module]

    def scope_of(self, name: str) -> Scope:
        """The scope a name belongs to; the module's for globals and builtins."""
        if len(self.scopes) == 1:
            return self.module
        for scope in reversed(self.scopes[1:]):
            if name in scope.declared:
                return self.module
            # a class's names are not seen by the functions in it
            if name in scope.bound and (scope.kind != "class" or scope is self.scopes[-1]):
                return scope
        return self.module

    def roots(self, node: ast.AST | None, *, deep: bool = False) -> frozenset[str]:
        """Global names and ``@parameters`` whose object, or a part of it, an expression may be.

        What a method returns counts as new unless the method is known to give a part of its
        object, or ``deep`` is set: ``x = model.generate(y)`` does not make ``x`` a part of
        ``model``, but ``for p in model.anything()`` changes ``model`` when it changes ``p``.
        """
        while True:
            if node is None or node.__class__ is ast.Constant:
                return _NOTHING
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name):
                    shares = node.func.id in _SHARES
                    given = [self.roots(a, deep=deep) for a in node.args] if shares else []
                    return _NOTHING.union(*given)
                method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if not (deep or method in _ACCESSORS or method.startswith("get_")):
                    return _NOTHING
                node = node.func
            elif isinstance(node, ast.NamedExpr):
                return self.roots(node.value, deep=deep) | self.roots(node.target, deep=deep)
            elif isinstance(node, _LINKS):
                node = node.value
            elif isinstance(node, (ast.IfExp, ast.BoolOp, ast.Tuple, ast.List, ast.Set, ast.Dict)):
                return _NOTHING.union(*(self.roots(e, deep=deep) for e in _members(node)))
            elif isinstance(node, ast.Name):
                scope = self.scope_of(node.id)
                known = scope.aliases.get(node.id, _NOTHING)
                return known | {node.id} if scope is self.module else known
            else:
                return _NOTHING

    def path(self, node: ast.AST) -> tuple[str, ...]:
        """``a.b(c).d`` as ``("a", "b", "d")``; empty if it does not begin with a global name."""
        parts: list[str] = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            elif isinstance(node, ast.Call):
                node = node.func
            elif isinstance(node, (ast.Subscript, ast.Await)):
                node = node.value
            else:
                return ()
        if self.scope_of(node.id) is not self.module:
            return ()
        return (node.id, *reversed(parts))

    def receivers(self, node: ast.Call) -> frozenset[str] | None:
        """Roots of what a method is called of, where a builtin gives it: ``next(iter(x)).go()``.

        None for any other call.
        """
        if not isinstance(node.func, ast.Attribute):
            return None
        path = self.path(node.func)
        if not path or path[0] in self.module.bound or len(path) < 2:
            return None
        if path[0] in _TYPES and len(path) == 2 and isinstance(node.func.value, ast.Name):
            return self.roots(node.args[0], deep=True) if node.args else _NOTHING
        return self.roots(node.func.value, deep=True) if path[0] in _SHARES else None

    def held(self, value: ast.expr) -> frozenset[str]:
        """Roots of everything that calls in an expression are given: their results may hold it."""
        given: list[ast.expr] = []
        if isinstance(value, (ast.Constant, ast.Name)):
            return _NOTHING
        todo: list[ast.AST] = [value]
        while todo:
            node = todo.pop()
            if isinstance(node, ast.Call):
                given += [*node.args, *(k.value for k in node.keywords)]
            todo += children(node)
        return _NOTHING.union(*(self.roots(a, deep=True) for a in given))


def _members(
    node: ast.IfExp | ast.BoolOp | ast.Tuple | ast.List | ast.Set | ast.Dict,
) -> list[ast.expr]:
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, (ast.BoolOp, ast.Dict)):
        return list(node.values)
    return list(node.elts)
