"""Reads the facts off a statement: one pass over its tree, scopes kept as the compiler sees them."""

from __future__ import annotations

import ast

from kit.source.facts import Call, Code, Facts
from kit.source.roots import Scoped
from kit.source.scopes import (
    Scope,
    bound_names,
    defaults,
    imported,
    outer_parts,
    parameters,
    surely_bound,
)

#: builtins that change their first argument
_CHANGES_FIRST = ("setattr", "delattr")
#: builtins whose effect cannot be read off the source
_DYNAMIC = ("exec", "eval", "globals", "locals", "vars", "__import__")
#: methods that keep what they are given
_KEEPERS = {"append", "appendleft", "extend", "insert", "push", "register", "setdefault", "update"}
_KEEPS = ("add", "include_", "register_", "set_")
_MAKERS = ("__init__", "__post_init__", "__new__")
_NOTHING: frozenset[str] = frozenset()


def facts_of(node: ast.stmt) -> Facts:
    """Facts of a module-level statement."""
    bound, _ = bound_names([node])
    walker = Walker(bound)
    try:
        walker.visit(node)
        sure = surely_bound([node])
    except RecursionError:
        # thousands of operators in one expression: every name in it counts as read
        names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        return Facts(binds={n: True for n in bound}, reads=frozenset(n.id for n in names))
    deletes = isinstance(node, ast.Delete)
    return Facts(
        # `x += y` may leave the object that `x` was
        binds={}
        if deletes
        else {n: n in sure and not isinstance(node, ast.AugAssign) for n in bound},
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
        annotated=frozenset(walker.annotated),
        stores=frozenset(walker.stores),
        soft=frozenset(walker.soft - walker.now.reads - walker.later - walker.annotated),
        dynamic=frozenset(walker.dynamic),
        awaits=walker.awaits,
    )


class _Doing:
    """What a stretch of code that runs together does."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.touches: set[str] = set()
        self.sets: set[tuple[str, ...]] = set()
        self.calls: list[Call] = []
        self.returns: set[str] = set()


class Walker(Scoped, ast.NodeVisitor):
    """Collects the facts; one pass over the tree."""

    def __init__(self, bound: set[str]) -> None:
        super().__init__(bound)
        self.now = _Doing()
        self.doing = self.now  # of the function being walked, or of the statement itself
        self.later: set[str] = set()
        self.code: dict[str, Code] = {}
        self.imports: dict[str, str] = {}
        self.soft: set[str] = set()
        self.dynamic: set[str] = set()
        self.awaits = False
        self.given: dict[str, tuple[Call, ...]] = {}
        self.holds: dict[str, frozenset[str]] = {}
        self.annotated: set[str] = set()
        self.stores: set[str] = set()
        self._annotating = False
        self._bare: set[int] = set()
        self._made: list[Code] = []
        self._lambdas: dict[int, Code] = {}

    def visit_Name(self, node: ast.Name) -> None:
        if self.scope_of(node.id) is not self.module:
            return
        if self._annotating:
            self.annotated.add(node.id)
        elif isinstance(node.ctx, ast.Load):
            self.doing.reads.add(node.id)
            if len(self.scopes) > 1 and self.doing is not self.now:
                self.later.add(node.id)
        elif self.doing is not self.now:
            self.doing.writes.add(node.id)

    def visit_Import(self, node: ast.Import) -> None:
        if len(self.scopes) == 1:
            self.imports.update(imported(node))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if len(self.scopes) == 1:
            self.imports.update(imported(node))

    # -- changes --------------------------------------------------------------------------------

    def _change(self, target: ast.expr) -> None:
        """An assignment to (or deletion of) a part of something."""
        if isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self._change(element)
        elif isinstance(target, ast.Starred):
            self._change(target.value)
        elif isinstance(target, (ast.Attribute, ast.Subscript)):
            self.doing.touches |= self.roots(target, deep=True)
            if path := self.path(target):
                self.doing.sets.add(path)

    def _store(self, roots: frozenset[str]) -> None:
        if self.doing is self.now:
            self.stores.update(root for root in roots if not root.startswith("@"))

    def _bind_alias(self, target: ast.expr, roots: frozenset[str]) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope = self.scope_of(node.id)
                # what a function assigns to a global is not known until it is called
                if roots and (scope is not self.module or self.doing is self.now):
                    scope.aliases[node.id] = scope.aliases.get(node.id, _NOTHING) | roots

    def visit_Assign(self, node: ast.Assign) -> None:
        discarded = all(isinstance(t, ast.Name) and t.id == "_" for t in node.targets)
        if discarded:
            self._mark(node.value)
        self.visit(node.value)
        roots = self.roots(node.value)
        if len(node.targets) > 1:  # `a = b = []` is one object
            roots |= _NOTHING.union(*(self.roots(t) for t in node.targets))
        for target in node.targets:
            self._change(target)
            if isinstance(target, (ast.Attribute, ast.Subscript)):
                self._store(roots)
            self._bind_alias(target, roots)
            self.visit(target)
        self._bind_value(node.targets, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self._change(node.target)
            self._bind_alias(node.target, self.roots(node.value))
            self._bind_value([node.target], node.value)
        self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._change(node.target)
        if isinstance(node.target, ast.Name) and self.scope_of(node.target.id) is self.module:
            self.doing.reads.add(node.target.id)
            self.doing.touches.add(node.target.id)  # in place, if it is a list
            if self.doing is not self.now:
                self.later.add(node.target.id)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._change(target)
        self.generic_visit(node)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        # the items of what is looped over are parts of it
        self._bind_alias(node.target, self.roots(node.iter, deep=True))
        self.awaits |= isinstance(node, ast.AsyncFor) and self.doing is self.now
        self.generic_visit(node)

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self._bind_alias(item.optional_vars, self.roots(item.context_expr, deep=True))
        self.awaits |= isinstance(node, ast.AsyncWith) and self.doing is self.now
        self.generic_visit(node)

    visit_AsyncWith = visit_With  # noqa: N815

    # -- calls ----------------------------------------------------------------------------------

    def _mark(self, node: ast.expr) -> None:
        """Remember that the value of a call is thrown away."""
        while isinstance(node, ast.Await):
            node = node.value
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            node = node.elt
        self._bare.add(id(node))

    def visit_Expr(self, node: ast.Expr) -> None:
        self._mark(node.value)
        self.visit(node.value)

    def _call(self, node: ast.Call) -> Call:
        args: list[tuple[int | str, frozenset[str]]] = [
            (i, self.roots(a)) for i, a in enumerate(node.args)
        ]
        args += [(k.arg or "**", self.roots(k.value)) for k in node.keywords]
        return Call(self.path(node.func), tuple(args), id(node) in self._bare)

    def visit_Call(self, node: ast.Call) -> None:
        call = self._call(node)
        path, args = call.path, call.args
        if path:
            self.doing.calls.append(call)
            if len(path) > 1 and (path[-1] in _KEEPERS or path[-1].startswith(_KEEPS)):
                self._store(_NOTHING.union(*(roots for _, roots in args)))
            if len(path) == 1 and path[0] in _CHANGES_FIRST and args:
                self.doing.touches |= args[0][1]
            if len(path) == 1 and path[0] in _DYNAMIC:
                self.dynamic.add(path[0])
        elif id(node) in self._bare and isinstance(node.func, ast.Attribute):
            # a method of a local: of a parameter, or of a part of something global
            for root in self.roots(node.func.value, deep=True):
                self.doing.calls.append(Call((root, node.func.attr), args, True))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        self.doing.returns |= self.roots(node.value)
        self.generic_visit(node)

    def visit_Await(self, node: ast.Await) -> None:
        self.awaits |= self.doing is self.now
        self.generic_visit(node)

    # -- scopes ---------------------------------------------------------------------------------

    def _annotation(self, node: ast.expr | None) -> None:
        if node is None:
            return
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                try:
                    quoted = ast.parse(part.value, mode="eval")
                except (SyntaxError, ValueError):
                    continue
                names = (n.id for n in ast.walk(quoted) if isinstance(n, ast.Name))
                self.soft.update(n for n in names if self.scope_of(n) is self.module)
        before, self._annotating = self._annotating, True
        self.visit(node)
        self._annotating = before

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Code:
        args = parameters(node.args)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        bound, declared = bound_names(body)
        types = {t.name for t in getattr(node, "type_params", ())}
        names = tuple(a.arg for a in args)
        scope = Scope("function", bound | set(names) | types, declared)
        scope.aliases = {n: frozenset({"@" + n}) for n in names}
        held = self._default_roots(node.args)
        for name, roots in held.items():
            scope.aliases[name] |= roots
        outside, self.doing = self.doing, _Doing()
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
        plain = [*args.posonlyargs, *args.args]
        pairs: list[tuple[ast.arg, ast.expr | None]] = [
            *zip(plain[len(plain) - len(args.defaults) :], args.defaults, strict=True),
            *zip(args.kwonlyargs, args.kw_defaults, strict=True),
        ]
        found = {arg.arg: self.roots(value) for arg, value in pairs}
        return {name: roots for name, roots in found.items() if roots}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*outer_parts(node), *getattr(node, "type_params", ())):
            self.visit(part)
        for arg in parameters(node.args):
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

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in defaults(node.args):
            self.visit(part)
        self._lambdas[id(node)] = self._function(node)

    def _bind_value(self, targets: list[ast.expr], value: ast.expr) -> None:
        """Note what a module-level name is the result of, and what that may hold."""
        if len(self.scopes) > 1:
            return
        names = [
            n.id
            for target in targets
            for n in ast.walk(target)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        ]
        held = self.held(value)
        while isinstance(value, ast.Await):
            value = value.value
        for name in names:
            if isinstance(value, ast.Lambda):
                self.code[name] = self._lambdas[id(value)]
            if held:
                self.holds[name] = held
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                self.given[name] = (self._call(value),)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in (*outer_parts(node), *getattr(node, "type_params", ())):
            self.visit(part)
        bound, declared = bound_names(node.body)
        bound |= {t.name for t in getattr(node, "type_params", ())}
        outer_made, self._made = self._made, []
        self.scopes.append(Scope("class", bound, declared))
        for child in node.body:
            self.visit(child)
        attributes = _NOTHING.union(*self.scopes.pop().aliases.values())
        made, self._made = self._made, outer_made
        if len(self.scopes) == 1:
            if attributes:
                self.module.aliases[node.name] = attributes
            self.code[node.name] = Code(
                params=made[0].params[1:] if made else (),
                writes=frozenset().union(*(c.writes for c in made)),
                touches=frozenset().union(*(c.touches for c in made)),
                sets=frozenset().union(*(c.sets for c in made)),
                calls=tuple(call for c in made for call in c.calls),
            )

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
