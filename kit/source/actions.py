"""What a statement does: the names it reads, the objects it changes, the calls it makes."""

from __future__ import annotations

import ast
from typing import Any, ClassVar

from kit.source.facts import Call, Code
from kit.source.roots import Scoped
from kit.source.scopes import children, imported

#: builtins that change their first argument
_CHANGES_FIRST = ("setattr", "delattr")
#: builtins whose effect cannot be read off the source
_DYNAMIC = ("exec", "eval", "globals", "locals", "vars", "__import__")
#: methods that keep what they are given
_KEEPERS = {"append", "appendleft", "extend", "insert", "push", "register", "setdefault", "update"}
_KEEPS = ("add", "include_", "register_", "set_")
_NOTHING: frozenset[str] = frozenset()


class Doing:
    """What a stretch of code that runs together does."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.touches: set[str] = set()
        self.sets: set[tuple[str, ...]] = set()
        self.calls: list[Call] = []
        self.returns: set[str] = set()


class Actions(Scoped, ast.NodeVisitor):
    """Collects what code does; definitions in it are left to a subclass."""

    _visitors: ClassVar[dict[type[ast.AST], Any]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._visitors = {}

    def __init__(self, *, walrus: bool = True) -> None:
        super().__init__()
        self.walrus = walrus  # whether there may be one
        self.bound = self.module.bound  # what the statement binds, as far as it was seen
        self.now = Doing()
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
        self.bases: dict[str, frozenset[str]] = {}
        self._called = 0
        self._calls: dict[int, Call] = {}
        self._made: list[Code] = []
        self._hooks: list[Code] = []
        self._lambdas: dict[int, Code] = {}

    def visit(self, node: ast.AST) -> None:
        # as ast.NodeVisitor does, but each kind of node is looked up once
        kind = node.__class__
        visitor = self._visitors.get(kind)
        if visitor is None:
            named = getattr(self, "visit_" + kind.__name__, None)
            visitor = self._visitors[kind] = getattr(named, "__func__", type(self).generic_visit)
        visitor(self, node)

    def visit_Constant(self, node: ast.Constant) -> None:
        pass

    def generic_visit(self, node: ast.AST) -> None:
        visitors = self._visitors
        for child in children(node):
            visitor = visitors.get(child.__class__)
            if visitor is None:
                self.visit(child)
            else:
                visitor(self, child)

    # the kinds there are most of, which need not be searched for what is below them

    def visit_Attribute(self, node: ast.Attribute | ast.keyword | ast.Starred) -> None:
        self.visit(node.value)

    visit_keyword = visit_Starred = visit_Attribute  # noqa: N815

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.visit(node.left)
        self.visit(node.right)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        self.visit(node.slice)

    def visit_List(self, node: ast.List | ast.Tuple | ast.Set) -> None:
        for element in node.elts:
            self.visit(element)

    visit_Tuple = visit_Set = visit_List  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        name, outside = node.id, len(self.scopes) == 1
        if not outside and self.scope_of(name) is not self.module:
            return
        if self._annotating:
            self.annotated.add(name)
        elif node.ctx.__class__ is ast.Load:
            self.doing.reads.add(name)
            if not outside and self.doing is not self.now:
                self.later.add(name)
        elif self.doing is not self.now:
            self.doing.writes.add(name)
        elif outside:
            self.bound.add(name)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        if len(self.scopes) == 1:
            found = imported(node)
            self.imports.update(found)
            self.bound.update(found)

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        # binds in the scope around a comprehension
        if all(scope.kind == "comprehension" for scope in self.scopes[1:]):
            self.bound.add(node.target.id)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar) -> None:
        if node.name and len(self.scopes) == 1:
            self.bound.add(node.name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_ExceptHandler  # noqa: N815

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest and len(self.scopes) == 1:
            self.bound.add(node.rest)
        self.generic_visit(node)

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
        if not roots:
            return
        for node in (target,) if isinstance(target, ast.Name) else ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope = self.scope_of(node.id)
                # what a function assigns to a global is not known until it is called
                if scope is not self.module or self.doing is self.now:
                    scope.aliases[node.id] = scope.aliases.get(node.id, _NOTHING) | roots

    def visit_Assign(self, node: ast.Assign) -> None:
        discarded = all(isinstance(t, ast.Name) and t.id == "_" for t in node.targets)
        if discarded:
            self._mark(node.value)
        called = self._called
        self.visit(node.value)
        called = self._called - called
        roots = self.roots(node.value)
        if len(node.targets) > 1:  # `a = b = []` is one object
            roots |= _NOTHING.union(*(self.roots(t) for t in node.targets))
        for target in node.targets:
            self._change(target)
            if isinstance(target, (ast.Attribute, ast.Subscript)):
                self._store(roots)
            self._bind_alias(target, roots)
            self.visit(target)
        self._bind_value(node.targets, node.value, roots, called > 0)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        if node.value is not None:
            called = self._called
            self.visit(node.value)
            called = self._called - called
            roots = self.roots(node.value)
            self._change(node.target)
            self._bind_alias(node.target, roots)
            self._bind_value([node.target], node.value, roots, called > 0)
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
        call = self._calls[id(node)] = self._call(node)
        self._called += 1
        path, args = call.path, call.args
        given = self.receivers(node)
        if given is not None:
            assert isinstance(node.func, ast.Attribute)
            if node.func.attr == "__setattr__":
                self.doing.touches |= given
            for root in sorted(given):
                self.doing.calls.append(Call((root, node.func.attr), args, call.bare))
        elif path:
            self.doing.calls.append(call)
            if len(path) > 1 and (path[-1] in _KEEPERS or path[-1].startswith(_KEEPS)):
                self._store(_NOTHING.union(*(roots for _, roots in args)))
            if len(path) == 1 and path[0] in _CHANGES_FIRST and args:
                self.doing.touches |= args[0][1]
            if len(path) == 1 and self._is_dynamic(path[0], node):
                self.dynamic.add(path[0])
        elif id(node) in self._bare and isinstance(node.func, ast.Attribute):
            # a method of a local: of a parameter, or of a part of something global
            for root in sorted(self.roots(node.func.value, deep=True)):
                self.doing.calls.append(Call((root, node.func.attr), args, True))
        self.visit(node.func)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            self.visit(keyword.value)

    def _is_dynamic(self, name: str, node: ast.Call) -> bool:
        if name in ("locals", "vars"):  # `vars(args)` reads one object, `locals()` a function's own
            return not node.args and self.doing is self.now
        return name in _DYNAMIC

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.doing.returns |= self.roots(node.value)
            self.visit(node.value)

    def visit_Await(self, node: ast.Await) -> None:
        self.awaits |= self.doing is self.now
        self.generic_visit(node)

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

    def _bind_value(
        self, targets: list[ast.expr], value: ast.expr, roots: frozenset[str], called: bool
    ) -> None:
        """Note what a module-level name is the result of, and what that may hold.

        ``roots`` are those of the value; ``called`` says whether there is a call anywhere in it.
        """
        if len(self.scopes) > 1 or not (called or isinstance(value, ast.Lambda)):
            return
        names = [
            n.id
            for target in targets
            for n in ([target] if isinstance(target, ast.Name) else ast.walk(target))
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
                # as it was seen, unless the assignment itself has changed what its names stand for
                self.given[name] = (self._call(value) if roots else self._calls[id(value)],)
