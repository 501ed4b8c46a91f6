"""Which function of a cell is its handler.

The one named on the line; else the one given to ``start()``; else ``handler``, if the cell binds it;
else the only function bound by the cell that takes one argument.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kit.errors import RegistrationError
from kit.startoptions import article, start_call


def find(
    tree: ast.Module,
    named: str | None,
    namespace: Mapping[str, Any],
    started: Mapping[str, Any] | None,
) -> tuple[str, Callable[..., Any]]:
    """The handler of a cell: the expression that names it, and the function.

    Parameters
    ----------
    tree : ast.Module
        The cell.
    named : str or None
        What the ``%%handler`` line names.
    namespace : mapping
        Names after the cell ran.
    started : mapping or None
        What start() was given.

    Raises
    ------
    RegistrationError
    """
    if named is not None:
        function = _evaluate(named, namespace, _candidates(tree, namespace, started))
        if started is not None and not _same(function, started["handler"]):
            raise RegistrationError(
                f"%%handler names `{named}`, but start() in this cell is given "
                f"`{_shown(started['handler'])}`: make them agree, or leave the name out."
            )
        return named, function
    if started is not None:
        return _start_expression(tree, started["handler"], namespace), started["handler"]
    bound = _bound_names(tree)
    if "handler" in bound:
        value = namespace.get("handler")
        if not callable(value):
            raise RegistrationError(
                f"`handler` is {article(value)}, not a function: define `def handler(job):`."
            )
        return "handler", value
    found = [n for n in bound if _takes_one(namespace.get(n))]
    if len(found) == 1:
        return found[0], namespace[found[0]]
    if not found:
        functions = [n for n in bound if inspect.isroutine(namespace.get(n))]
        if len(functions) == 1:  # let the signature check say what is wrong with it
            return functions[0], namespace[functions[0]]
        raise RegistrationError(
            "This cell defines no function that takes one argument: write `def handler(job):`, or "
            "name the handler on the line (`%%handler service.handle`)."
        )
    names = " and ".join([", ".join(f"`{n}`" for n in found[:-1]), f"`{found[-1]}`"])
    raise RegistrationError(
        f"This cell defines {names}, and any of them could be the handler: name it on the line, "
        f"`%%handler {found[-1]}`."
    )


def _candidates(
    tree: ast.Module, namespace: Mapping[str, Any], started: Mapping[str, Any] | None
) -> list[str]:
    """Names that this cell has for a handler, the likeliest first."""
    if started is not None:
        return [_start_expression(tree, started["handler"], namespace)]
    found = [name for name in _bound_names(tree) if _takes_one(namespace.get(name))]
    return sorted(found, key=lambda name: name != "handler")


def _evaluate(
    expression: str, namespace: Mapping[str, Any], candidates: Sequence[str] = ()
) -> Callable[..., Any]:
    try:
        value = eval(compile(expression, "<%%handler line>", "eval"), dict(namespace))
    except NameError as exc:
        near = difflib.get_close_matches(expression.split(".")[0].split("(")[0], namespace, 1)
        hint = f" Did you mean `{near[0]}`?" if near else " Define it in this cell."
        if candidates and (not near or candidates[0] != near[0]):
            alone = len(candidates) == 1 or candidates[0] == "handler"
            off = "Leave the name off, or write" if alone else "Write"
            hint = f" {off} `%%handler {candidates[0]}`."
        raise RegistrationError(f"%%handler names `{expression}`, but {exc}.{hint}") from None
    except Exception as exc:
        raise RegistrationError(
            f"%%handler names `{expression}`, which raised {type(exc).__name__}: {exc}."
        ) from None
    if not callable(value):
        raise RegistrationError(
            f"%%handler names `{expression}`, which is {article(value)}, not a function."
        )
    return value  # type: ignore[no-any-return]


def _same(one: Any, other: Any) -> bool:
    # never `is`: every access of a bound method makes a new object
    try:
        return bool(one == other)
    except Exception:
        return one is other


def _start_expression(tree: ast.Module, function: Any, namespace: Mapping[str, Any]) -> str:
    """How the notebook names the function that start() was given."""
    call = start_call(tree)
    if call is not None and isinstance(call, ast.Dict):
        for key, value in zip(call.keys, call.values):
            if isinstance(key, ast.Constant) and key.value == "handler":
                return ast.unparse(value)
    name = getattr(function, "__name__", "")
    if name and _same(namespace.get(name), function):
        return str(name)
    return "handler" if call is None else f'{ast.unparse(call)}["handler"]'


def _bound_names(tree: ast.Module) -> list[str]:
    """Names that the cell's own statements bind to something it made, in order, once each."""
    names: list[str] = []
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [t.id for t in node.targets if isinstance(t, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            # an imported helper is no candidate, but `from app import handler` names itself
            names += [a.asname or a.name for a in node.names if (a.asname or a.name) == "handler"]
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                pending += getattr(node, block, [])
        for handler in getattr(node, "handlers", []):
            pending += handler.body
    return list(dict.fromkeys(names))


def _is_function(value: Any) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools.partial)


def _required(function: Any) -> tuple[int, int] | None:
    """How many positional arguments a function needs and takes; None if it cannot tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    needs = takes = 0
    for p in parameters:
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            takes += 1
            needs += p.default is p.empty
        elif p.kind is p.VAR_POSITIONAL:
            takes += 99
        elif p.kind is p.KEYWORD_ONLY and p.default is p.empty:
            needs += 99
    return needs, takes


def _takes_one(value: Any) -> bool:
    if not _is_function(value):
        return False
    counts = _required(value)
    return counts is not None and counts[0] <= 1 <= counts[1]


def check_signature(expression: str, function: Any) -> None:
    """RegistrationError if a function cannot be called with one argument, the job."""
    if inspect.isclass(function):
        raise RegistrationError(
            f"`{expression}` is a class, and a class is no handler: name a function, or a method of an "
            f"object (`%%handler service.handle` with `service = {_plain(expression)}()` above it)."
        )
    counts = _required(function)
    if counts is None:
        return
    needs, takes = counts
    if takes < 1:
        raise RegistrationError(
            f"`{expression}` takes no argument; the worker calls it with the job: "
            f"write `def {_plain(expression)}(job):`."
        )
    if needs > 1:
        what = "keyword-only arguments" if needs >= 99 else f"{needs} arguments"
        raise RegistrationError(
            f"`{expression}` needs {what}; the worker calls it with one, the job: "
            "give the others defaults, or read them from job['input']."
        )


def _plain(expression: str) -> str:
    return expression if expression.isidentifier() else "handler"


def _shown(function: Any) -> str:
    return str(getattr(function, "__qualname__", function))
