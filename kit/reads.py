"""What a handler reads of its input: names, types, defaults, and what must be there.

Read from the handler's source, and from the schema or the model that it checks its input with
(``rp_validator``, pydantic, the parameters of a function that gets ``**job["input"]``). A guess in
the sense that a handler may do as it likes; so nothing here forbids an input.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kit.fields import (
    MOST,
    Field,
    json_schema_of,
    json_text,
    kind_of,
    of_json_schema,
    of_signature,
    of_validator,
)

_HOPS = 3


@dataclass(frozen=True, slots=True)
class Reads:
    """What a handler reads.

    Attributes
    ----------
    fields : tuple of Field
        In the order of the source, at most 100.
    by : str
        Where this is from: ``"handler"``, or the name of the schema, model or function.
    closed : bool
        Whether other keys are refused.
    """

    fields: tuple[Field, ...] = ()
    by: str = "handler"
    closed: bool = False

    def example(self) -> dict[str, Any]:
        """An input to begin with: what is required, and what has a default that says something."""
        return {f.name: f.first for f in self.fields if f.required or f.first is not None}


@dataclass(frozen=True, slots=True)
class Prefill:
    """What an input editor begins with.

    Attributes
    ----------
    text : str
        JSON text of an input, or of a whole request if ``request``.
    source : str
        ``"last"``: the last input of the handler; ``"reads"``: what the handler reads; ``"job"``:
        the input of a job.
    withheld : bool
        Whether parts of that request are left out because they may hold secrets.
    reads : Reads
    """

    text: str
    source: str
    withheld: bool = False
    reads: Reads = field(default_factory=Reads)


def reads_of(function: Any, tree: ast.Module | None = None) -> Reads:
    """What a handler reads of its input; no fields if its source is not to be had.

    Parameters
    ----------
    function : object
        The handler: a function, a method, a partial, an object with ``__call__``.
    tree : ast.Module or None
        Where its definition stands; None looks it up.
    """
    plain, bound = _plain(function)
    if plain is None:
        return Reads()
    node = _definition(plain, tree)
    if node is None:
        return Reads()
    parameters = [*node.args.posonlyargs, *node.args.args][bound:]
    if not parameters:
        return Reads()
    names: Mapping[str, Any] = getattr(plain, "__globals__", {})
    return _Look(names, tree).function(node, job=parameters[0].arg)


def _plain(function: Any) -> tuple[Any, int]:
    """The function itself, and how many of its first parameters are bound."""
    bound = 0
    for _ in range(_HOPS):
        if isinstance(function, functools.partial):
            bound += len(function.args)
            function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    if inspect.ismethod(function):
        return function.__func__, bound + 1
    if inspect.isfunction(function):
        return function, bound
    call = inspect.getattr_static(type(function), "__call__", None)
    return (call, bound + 1) if inspect.isfunction(call) else (None, 0)


_Def = ast.FunctionDef, ast.AsyncFunctionDef


def _definition(
    function: Any, tree: ast.Module | None
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Where a function is defined; the last of its name."""
    if tree is None:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError, SyntaxError, ValueError):
            return None
    name = getattr(function, "__name__", None)
    found = [n for n in ast.walk(tree) if isinstance(n, _Def) and n.name == name]
    return found[-1] if found else None


class _Look:
    """Follows the input through a handler, and into functions that get it."""

    def __init__(self, names: Mapping[str, Any], tree: ast.Module | None) -> None:
        self.names, self.tree = names, tree
        self.found: dict[str, Field] = {}
        self.optional: set[str] = set()
        self.by, self.closed = "handler", False
        self._seen: set[ast.AST] = set()

    def function(self, node: ast.AST, *, job: str = "", input: str = "", hops: int = 0) -> Reads:
        """Look at one function, whose parameter is the job, or the input."""
        self._follow(node, job, input, hops)
        fields = tuple(
            replace(f, required=f.required and f.name not in self.optional)
            for f in self.found.values()
        )
        return Reads(fields[:MOST], self.by, self.closed)

    def _follow(self, node: ast.AST, job: str, input: str, hops: int) -> None:
        if node in self._seen or hops > _HOPS:
            return
        self._seen.add(node)
        inputs = {input} - {""}

        def is_input(one: ast.AST | None) -> bool:
            if isinstance(one, ast.Name):
                return one.id in inputs
            if isinstance(one, ast.BoolOp):  # job["input"] or {}
                return is_input(one.values[0])
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Name):
                return (
                    one.func.id in ("dict", "deepcopy") and bool(one.args) and is_input(one.args[0])
                )
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute):
                if one.func.attr == "copy" and not one.args:
                    return is_input(one.func.value)
            key = _key(one)
            return bool(
                key and key.name == "input" and isinstance(key.of, ast.Name) and key.of.id == job
            )

        inner = list(ast.walk(node))
        for _ in range(2):  # a name may be given on to another
            for one in inner:
                target = _assigned(one)
                if target is not None and is_input(target[1]):
                    inputs.add(target[0])
        for one in inner:
            if isinstance(one, ast.Call):
                self._call(one, is_input, job, hops)
            elif isinstance(one, ast.Compare) and isinstance(one.left, ast.Constant):
                if isinstance(one.ops[0], (ast.In, ast.NotIn)) and is_input(one.comparators[0]):
                    self.optional.add(str(one.left.value))
            key = _key(one)
            if key is not None and is_input(key.of):
                if isinstance(one, ast.Subscript) and not isinstance(one.ctx, ast.Load):
                    self.optional.add(key.name)  # the handler sets it, or deletes it, itself
                else:
                    self._add(_read(key))

    def _add(self, one: Field) -> None:
        before = self.found.get(one.name)
        if before is None:
            if len(self.found) < MOST:
                self.found[one.name] = one
        elif not before.kind and one.kind:
            self.found[one.name] = replace(one, required=before.required or one.required)
        elif one.required and not before.required:
            self.found[one.name] = replace(before, required=True)

    def _call(
        self, call: ast.Call, is_input: Callable[[ast.AST | None], bool], job: str, hops: int
    ) -> None:
        """A call that gets the whole input: a check against a schema, a model, another function."""
        spread = any(k.arg is None and is_input(k.value) for k in call.keywords)
        place = next((i for i, a in enumerate(call.args) if is_input(a)), None)
        given_job = next(
            (i for i, a in enumerate(call.args) if job and isinstance(a, ast.Name) and a.id == job),
            None,
        )
        if not spread and place is None and given_job is None:
            return
        name = ast.unparse(call.func)
        if place == 0 and name.split(".")[-1] == "validate" and len(call.args) > 1:
            schema = self._value(call.args[1])
            if isinstance(schema, Mapping):
                self._schema(schema, ast.unparse(call.args[1]))
                return
        called = self._value(call.func)
        owner = self._value(call.func.value) if isinstance(call.func, ast.Attribute) else None
        if place == 0 and name.split(".")[-1] in ("model_validate", "parse_obj"):
            self._model(owner)
        elif spread and isinstance(called, type) and json_schema_of(called) is not None:
            self._model(called)
        elif spread and callable(called):
            self._parameters(called, {k.arg for k in call.keywords})
        elif inspect.isfunction(called) and called.__globals__ is self.names:
            node = _definition(called, self.tree) or _definition(called, None)
            at = place if place is not None else given_job
            if node is None or at is None or at >= len(node.args.posonlyargs + node.args.args):
                return
            word = [*node.args.posonlyargs, *node.args.args][at].arg
            if place is not None:
                self._follow(node, "", word, hops + 1)
            else:
                self._follow(node, word, "", hops + 1)

    def _value(self, node: ast.expr) -> Any:
        """The kernel's value of a plain name, or of an attribute of a module or class; else None."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            # as it lies there: a property may do something, a lazy module may import for seconds
            if inspect.ismodule(owner) or inspect.isclass(owner):
                return inspect.getattr_static(owner, node.attr, None)
        return None

    # -- what declares the keys -----------------------------------------------------------------

    def _declared(self, fields: list[Field], by: str, *, closed: bool) -> None:
        self.by, self.closed = by, closed
        self.found.update((f.name, f) for f in fields)

    def _schema(self, schema: Mapping[Any, Any], name: str, *, turned: bool = False) -> None:
        if isinstance(schema.get("properties"), Mapping):
            closed = schema.get("additionalProperties") is False
            self._declared(of_json_schema(schema, turned=turned), name, closed=closed)
        else:
            self._declared(of_validator(schema), name, closed=True)

    def _model(self, model: Any) -> None:
        schema = json_schema_of(model)
        if schema is not None:
            self._schema(schema, getattr(model, "__name__", "model"), turned=True)

    def _parameters(self, called: Any, given: set[str | None]) -> None:
        try:
            signature = inspect.signature(called)
        except (TypeError, ValueError):
            return
        # what it does not take as a keyword is an error there
        open_ = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        name = getattr(called, "__name__", "function")
        self._declared(of_signature(signature, given), name, closed=not open_)


@dataclass(frozen=True, slots=True)
class _Key:
    """``x["k"]``, ``x.get("k", default)``, ``x.pop("k")``: what is read of what."""

    of: ast.expr
    name: str
    required: bool
    default: ast.expr | None = None


def _key(node: ast.AST | None) -> _Key | None:
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        if isinstance(node.slice.value, str):
            return _Key(node.value, node.slice.value, isinstance(node.ctx, ast.Load))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("get", "pop", "setdefault") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                default = node.args[1] if len(node.args) > 1 else None
                required = node.func.attr == "pop" and default is None
                return _Key(node.func.value, name.value, required, default)
    return None


def _assigned(node: ast.AST) -> tuple[str, ast.expr] | None:
    """``name = value``, also as an annotated assignment or with a walrus."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target: ast.expr = node.targets[0]
        value: ast.expr | None = node.value
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        target, value = node.target, node.value
    else:
        return None
    return (target.id, value) if isinstance(target, ast.Name) and value is not None else None


def _read(key: _Key) -> Field:
    default: str | None = None
    if key.default is not None:
        try:
            default = json_text(ast.literal_eval(key.default))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            default = None
    return Field(key.name, key.required, kind_of(default), (), default)
