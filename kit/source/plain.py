"""Statements that do nothing but make a value: they may stand anywhere before it is read."""

from __future__ import annotations

import ast
from collections.abc import Collection

from kit.source.program import BUILTINS, Program
from kit.source.scopes import children

#: builtins that make a value of plain ones
_MAKES = {
    "abs", "bool", "bytes", "complex", "dict", "float", "frozenset", "int", "len", "list", "max",
    "min", "range", "round", "set", "sorted", "str", "sum", "tuple",
}  # fmt: skip
#: the same in the standard library
_LIBRARY_MAKES = {
    "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
    "collections.deque", "datetime.timedelta", "decimal.Decimal", "fractions.Fraction",
    "logging.getLogger", "os.path.basename", "os.path.dirname", "os.path.join", "pathlib.Path",
    "pathlib.PurePosixPath", "re.compile", "threading.Lock", "threading.RLock",
}  # fmt: skip
_ENVIRONMENT = ("os.environ", "os.getenv")
#: of these, what is made of them cannot change
_FROZEN = {"abs", "bool", "bytes", "complex", "float", "frozenset", "int", "len", "round", "str"}
_FROZEN_LIBRARY = ("datetime.", "decimal.", "fractions.", "os.path.", "os.environ", "os.getenv")
#: decorators that do nothing but wrap
_WRAPS = {
    "abc.abstractmethod", "classmethod", "contextlib.asynccontextmanager",
    "contextlib.contextmanager", "dataclasses.dataclass", "enum.unique", "functools.cache",
    "functools.cached_property", "functools.lru_cache", "functools.total_ordering",
    "functools.wraps", "property", "staticmethod", "torch.inference_mode", "torch.no_grad",
}  # fmt: skip
_CHANGES_DATA = {
    "add",
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "remove",
    "setdefault",
    "update",
}


#: expressions that are plain if their parts are
_PARTS = {
    ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare,
    ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.Starred,
}  # fmt: skip
_NOTHING: frozenset[str] = frozenset()


class Plain:
    """Knows which names of a program stand for values that nothing changes.

    Parameters
    ----------
    program : Program
    once : set of str
        Names that exactly one kept statement binds.
    """

    def __init__(self, program: Program, once: set[str]) -> None:
        self._imports = program.imports
        self._defs = program.defs
        self._code = program.code
        self._once = once
        self._uses_os = "os" in str(self._imports.values())
        self._frozen: set[str] = set()
        self._data: set[str] = set()
        self._hooks = any(
            "__init_subclass__" in s.text or "metaclass" in s.text for s in program.statements
        )

    def is_constant(self, node: ast.Assign | ast.AnnAssign) -> bool:
        """Whether an assignment binds names to plain values; it is then remembered as such."""
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is None:
            return False
        if not all(isinstance(t, ast.Name) or _all_names(t) for t in targets):
            return False
        plain = self._is_plain(node.value, _NOTHING)
        if not (plain or isinstance(node.value, ast.Call)):
            return False
        names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        if plain and self._is_frozen(node.value):
            self._frozen |= names
        elif plain or self._is_copy(node.value):
            self._data |= names
        return plain

    def is_data_change(self, node: ast.stmt) -> bool:
        """Whether a statement changes plain data with plain values, or copies it: ``d["a"] = 1``."""
        if isinstance(node, ast.Assign):
            value = self._is_plain(node.value, self._data) or self._is_copy(node.value)
            return value and all(
                isinstance(t, ast.Name) or self._is_data(t, ast.Subscript) for t in node.targets
            )
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func
            return (
                isinstance(func, ast.Attribute)
                and func.attr in _CHANGES_DATA
                and self._is_data(func.value, ast.Subscript)
                and all(self._is_plain(a, self._data) for a in node.value.args)
                and all(self._is_plain(k.value, self._data) for k in node.value.keywords)
            )
        return False

    def is_choice(self, node: ast.stmt) -> bool:
        """Whether a block only imports, or binds plain values: ``try: import x``."""
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr):
                continue
            body = part.body if isinstance(part, ast.ExceptHandler) else [part]
            for inner in body:
                if isinstance(inner, (ast.Import, ast.ImportFrom, ast.Pass)):
                    continue
                if isinstance(inner, ast.Assign) and all(
                    isinstance(t, ast.Name) for t in inner.targets
                ):
                    if self._is_plain(inner.value, self._data):
                        continue
                if isinstance(inner, (ast.If, ast.Try)) and self.is_choice(inner):
                    continue
                return False
        return True

    def is_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
        """Whether a definition runs nothing but plain expressions."""
        if not all(self._wraps(d) for d in node.decorator_list):
            return False
        if isinstance(node, ast.ClassDef):
            return self._is_class(node, set())
        args = node.args
        values = [*args.defaults, *(d for d in args.kw_defaults if d is not None)]
        return all(self._is_plain(v, set()) for v in values)

    def reads_environment(self, node: ast.stmt) -> bool:
        """Whether a statement reads the process's environment when it runs."""
        if self._uses_os and isinstance(node, (ast.Assign, ast.AnnAssign)):
            return any(
                self._origin(part).startswith(_ENVIRONMENT)
                for part in ast.walk(node)
                if isinstance(part, (ast.Attribute, ast.Name))
            )
        return False

    # -- expressions ----------------------------------------------------------------------------

    def _is_plain(self, node: ast.expr, local: Collection[str]) -> bool:
        """Whether an expression has no effect, and a value that depends on nothing that changes."""
        kind = node.__class__
        if kind is ast.Constant:
            return True
        if isinstance(node, ast.Name):
            return node.id in local or node.id in self._frozen or self._is_stable(node.id)
        if isinstance(node, ast.Lambda):
            values = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
            return all(self._is_plain(v, local) for v in values)
        if isinstance(node, ast.Attribute):
            return bool(self._origin(node))
        if isinstance(node, ast.Subscript):
            return self._origin(node.value) == "os.environ" and self._is_plain(node.slice, local)
        if isinstance(node, ast.Call):
            origin = self._origin(node.func)
            builtin = isinstance(node.func, ast.Name) and self._is_builtin(node.func.id)
            makes = origin in _LIBRARY_MAKES or origin.startswith(_ENVIRONMENT)
            if not (makes or (builtin and node.func.id in _MAKES)):  # type: ignore[attr-defined]
                return False
            values = [*node.args, *(k.value for k in node.keywords)]
            return all(self._is_plain(v, local) for v in values)
        if kind in _PARTS:
            parts = [c for c in children(node) if isinstance(c, ast.expr)]
            return all(self._is_plain(part, local) for part in parts)
        return False

    def _is_frozen(self, node: ast.expr) -> bool:
        """Whether the value of a plain expression cannot be changed in place."""
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.Compare)):
            return True
        if isinstance(node, ast.Name):
            return node.id in self._frozen
        if isinstance(node, ast.Tuple):
            return all(self._is_frozen(e) for e in node.elts)
        if isinstance(node, ast.Subscript):
            return True  # a variable of the environment
        if isinstance(node, (ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.IfExp)):
            parts = [c for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)]
            return all(self._is_frozen(part) for part in parts)
        if isinstance(node, ast.Call):
            origin = self._origin(node.func)
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            return name in _FROZEN or origin.startswith((*_FROZEN_LIBRARY, "pathlib.", "re."))
        return False

    def _is_copy(self, node: ast.expr) -> bool:
        """Whether an expression copies plain data: ``BASE.copy()``, ``dict(BASE, a=1)``."""
        if not isinstance(node, ast.Call):
            return False
        values = [*node.args, *(k.value for k in node.keywords)]
        if not all(self._is_plain(v, self._data) for v in values):
            return False
        if isinstance(node.func, ast.Attribute):
            return node.func.attr == "copy" and self._is_data(node.func.value, ast.Subscript)
        return isinstance(node.func, ast.Name) and node.func.id in _MAKES

    def _is_data(self, node: ast.expr, links: type[ast.Subscript]) -> bool:
        while isinstance(node, links):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self._data

    def _is_stable(self, name: str) -> bool:
        """Whether a name is a builtin, an import, or a definition that stands alone."""
        alone = name in self._code and name in self._once
        return self._is_builtin(name) or name in self._imports or alone

    def _is_builtin(self, name: str) -> bool:
        return name not in self._defs and name in BUILTINS

    def _origin(self, node: ast.expr) -> str:
        """Dotted origin of a part of a module; ``""`` for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._imports:
            return ""
        return ".".join((self._imports[node.id], *reversed(parts)))

    # -- definitions ----------------------------------------------------------------------------

    def _wraps(self, node: ast.expr) -> bool:
        call = node if isinstance(node, ast.Call) else None
        func = call.func if call else node
        name = self._origin(func) or (func.id if isinstance(func, ast.Name) else "")
        if name not in _WRAPS:
            return False
        values = [*call.args, *(k.value for k in call.keywords)] if call else []
        return all(self._is_plain(v, set()) for v in values)

    def _is_class(self, node: ast.ClassDef, outer: set[str]) -> bool:
        if node.keywords or self._hooks:
            return False
        local = set(outer)
        for part in node.body:
            if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef)):
                good = all(
                    self._wraps(d) or _is_setter(d, local) for d in part.decorator_list
                ) and all(
                    self._is_plain(v, local)
                    for v in (*part.args.defaults, *(d for d in part.args.kw_defaults if d))
                )
                local.add(part.name)
            elif isinstance(part, ast.ClassDef):
                good = self._is_class(part, local) and not part.decorator_list
                local.add(part.name)
            elif isinstance(part, (ast.Assign, ast.AnnAssign)):
                good = part.value is None or self._is_plain(part.value, local)
                targets = part.targets if isinstance(part, ast.Assign) else [part.target]
                good = good and all(isinstance(t, ast.Name) for t in targets)
                local |= {t.id for t in targets if isinstance(t, ast.Name)}
            else:
                good = isinstance(part, ast.Pass) or (
                    isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
                )
            if not good:
                return False
        return True


def _all_names(node: ast.expr) -> bool:
    return isinstance(node, (ast.Tuple, ast.List)) and all(
        isinstance(e, ast.Name) for e in node.elts
    )


def _is_setter(node: ast.expr, local: set[str]) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("deleter", "getter", "setter")
        and isinstance(node.value, ast.Name)
        and node.value.id in local
    )
