"""Reads the facts off a statement: one pass over its tree, scopes kept as the compiler sees them."""

from __future__ import annotations

import ast

from kit.source.actions import Actions, Doing
from kit.source.facts import SUBCLASSING, Code, Facts
from kit.source.scopes import (
    Scope,
    bound_names,
    defaults,
    imported,
    outer_parts,
    parameters,
    surely_bound,
)

#: statements that hold others, and may so leave a name as it was; TryStar is of 3.11 and later
_BRANCHES = ("If", "For", "AsyncFor", "While", "With", "AsyncWith", "Try", "TryStar", "Match")
_MAKERS = ("__init__", "__post_init__", "__new__")
_HOOK = "__init_subclass__"
_NOTHING: frozenset[str] = frozenset()


def facts_of(node: ast.stmt, *, walrus: bool = True) -> Facts:
    """Facts of a module-level statement.

    Parameters
    ----------
    node : ast.stmt
    walrus : bool
        Whether there may be a ``:=`` in it; without one it takes less time.
    """
    known = _at_sight(node)
    if known is not None:
        return known
    walker = Walker(walrus=walrus)
    try:
        walker.visit(node)
        bound = walker.bound
        sure = surely_bound([node]) if type(node).__name__ in _BRANCHES else bound
    except RecursionError:
        # thousands of operators in one expression: every name in it counts as read
        bound, _ = bound_names([node])
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        return Facts(binds={n: True for n in bound}, reads=frozenset(n.id for n in names))
    if isinstance(node, ast.AnnAssign) and node.value is None:
        bound = set()  # `x: int` alone binds nothing
    deletes, augments = isinstance(node, ast.Delete), isinstance(node, ast.AugAssign)
    return Facts(
        # `x += y` may leave the object that `x` was
        binds={} if deletes else {n: n in sure and not augments for n in _in_order(node, bound)},
        unbinds=frozenset(bound) if deletes else _NOTHING,
        reads=frozenset(walker.now.reads),
        later=frozenset(walker.later),
        touches=frozenset(walker.now.touches),
        sets=frozenset(walker.now.sets),
        calls=tuple(walker.now.calls),
        code=walker.code,
        alias=walker.module.aliases,
        given=walker.given,
        holds=walker.holds,
        imports=walker.imports,
        decorators=tuple(walker.path(d) for d in getattr(node, "decorator_list", ())),
        bases=walker.bases,
        annotated=frozenset(walker.annotated),
        stores=frozenset(walker.stores),
        soft=frozenset(walker.soft - walker.now.reads - walker.later - walker.annotated),
        dynamic=frozenset(walker.dynamic),
        awaits=walker.awaits,
    )


def _at_sight(node: ast.stmt) -> Facts | None:
    """Facts of an import, ``x`` and ``x = 1``: most of what stands between definitions."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        origins = imported(node)
        return Facts(binds=dict.fromkeys(sorted(origins), True), imports=origins)
    if isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Name):
            return Facts(reads=frozenset((node.value.id,)))
        if isinstance(node.value, ast.Constant):
            return Facts()
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        target = node.targets[0]
        if isinstance(target, ast.Name) and len(node.targets) == 1:
            return Facts(binds={target.id: True})
    return None


def _in_order(node: ast.stmt, bound: set[str]) -> list[str]:
    """Names as they stand in the source: a set's own order changes from run to run."""
    if len(bound) < 2:
        return list(bound)
    found = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in bound]
    return list(dict.fromkeys([*found, *sorted(bound)]))


class Walker(Actions, ast.NodeVisitor):
    """Collects the facts of a statement: what it does, and what the definitions in it would do."""

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Code:
        args = parameters(node.args)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        bound, declared = bound_names(body, walrus=self.walrus)
        types = {t.name for t in getattr(node, "type_params", ())}
        names = tuple(a.arg for a in args)
        scope = Scope("function", bound | set(names) | types, declared)
        scope.aliases = {n: frozenset({"@" + n}) for n in names}
        held = self._default_roots(node.args)
        for name, roots in held.items():
            scope.aliases[name] |= roots
        outside, self.doing = self.doing, Doing()
        self.scopes.append(scope)
        for child in body:
            self.visit(child)
        if isinstance(node, ast.Lambda):
            self.doing.returns |= self.roots(node.body)
        self.scopes.pop()
        inner, self.doing = self.doing, outside
        if outside is not self.now:
            # a function inside a function: what it does is done when the outer one runs
            outside.reads |= inner.reads
            outside.writes |= inner.writes
            outside.touches |= inner.touches
            outside.sets |= inner.sets
            outside.calls += inner.calls
        return Code(
            params=names,
            writes=frozenset(inner.writes),
            touches=frozenset(inner.touches),
            sets=frozenset(inner.sets),
            calls=tuple(inner.calls),
            returns=frozenset(inner.returns),
        )

    def _default_roots(self, args: ast.arguments) -> dict[str, frozenset[str]]:
        """Parameters whose default is an object that has a name of its own."""
        if not (args.defaults or args.kw_defaults):
            return {}
        plain = [*args.posonlyargs, *args.args]
        pairs: list[tuple[ast.arg, ast.expr | None]] = [
            *zip(plain[len(plain) - len(args.defaults) :], args.defaults, strict=True),
            *zip(args.kwonlyargs, args.kw_defaults, strict=True),
        ]
        found = {arg.arg: self.roots(value) for arg, value in pairs}
        return {name: roots for name, roots in found.items() if roots}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if len(self.scopes) == 1:
            self.bound.add(node.name)
        for part in (*outer_parts(node), *getattr(node, "type_params", ())):
            self.visit(part)
        for arg in parameters(node.args):
            if arg.annotation is not None:
                self._annotation(arg.annotation)
        self._annotation(node.returns)
        code = self._function(node)
        if len(self.scopes) == 1:
            self.code[node.name] = code
            held = _NOTHING.union(*self._default_roots(node.args).values())
            if held:  # a default is the same object at every call
                self.holds[node.name] = held
        elif self.scopes[-1].kind == "class" and node.name in _MAKERS:
            self._made.append(code)
        elif self.scopes[-1].kind == "class" and node.name == _HOOK:
            self._hooks.append(code)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in defaults(node.args):
            self.visit(part)
        self._lambdas[id(node)] = self._function(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if len(self.scopes) == 1:
            self.bound.add(node.name)
        for part in (*outer_parts(node), *getattr(node, "type_params", ())):
            self.visit(part)
        bound, declared = bound_names(node.body, walrus=self.walrus)
        bound |= {t.name for t in getattr(node, "type_params", ())}
        outer_made, self._made = self._made, []
        outer_hooks, self._hooks = self._hooks, []
        self.scopes.append(Scope("class", bound, declared))
        for child in node.body:
            self.visit(child)
        attributes = _NOTHING.union(*self.scopes.pop().aliases.values())
        made, self._made = self._made, outer_made
        hooks, self._hooks = self._hooks, outer_hooks
        if len(self.scopes) == 1:
            if attributes:
                self.module.aliases[node.name] = attributes
            self.code[node.name] = _together(made)
            bases = [self.path(b) for b in node.bases]
            bases += [self.path(k.value) for k in node.keywords if k.arg == "metaclass"]
            self.bases[node.name] = frozenset(p[0] for p in bases if len(p) == 1)
            if any(p and (p[-1] == "type" or p[-1].endswith("Meta")) for p in bases):
                hooks += made  # it is a metaclass: calling it makes a class
            if hooks:
                self.code[node.name + SUBCLASSING] = _together(hooks)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        bound = {
            n.id
            for g in node.generators
            for n in ast.walk(g.target)
            if isinstance(n, ast.Name)
        }  # fmt: skip
        self.visit(node.generators[0].iter)
        self.awaits |= self.doing is self.now and any(g.is_async for g in node.generators)
        scope = Scope("comprehension", bound)
        self.scopes.append(scope)
        for position, generator in enumerate(node.generators):
            self._bind_alias(generator.target, self.roots(generator.iter, deep=True))
            if position:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self.scopes.pop()

    visit_ListComp = visit_SetComp = _comprehension  # noqa: N815
    visit_DictComp = visit_GeneratorExp = _comprehension  # noqa: N815


def _together(codes: list[Code]) -> Code:
    """Methods that run together when an object is made; the parameters are those of the first."""
    return Code(
        params=codes[0].params[1:] if codes else (),
        writes=_NOTHING.union(*(c.writes for c in codes)),
        touches=_NOTHING.union(*(c.touches for c in codes)),
        sets=frozenset().union(*(c.sets for c in codes)),
        calls=tuple(call for c in codes for call in c.calls),
    )
