"""Find the handler in a cell that has run, with its start() options, or say in one sentence why not."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit import torchstate
from kit.errors import RegistrationError
from kit.handler import Handler, HandlerVersion, Options, kind_of
from kit.inspection import example_input, line_of

#: what runpod 1.12.0 reads from the config; the last line only on a machine without a queue
START_KEYS = (
    "handler", "return_aggregate_stream", "concurrency_modifier", "refresh_worker", "rp_args",
    "jobs_fetcher", "jobs_fetcher_timeout", "jobs_handler", "stop_signals_fetcher",
    "stop_signals_fetcher_timeout", "reference_counter_start",
)  # fmt: skip
_KEPT = ("return_aggregate_stream", "concurrency_modifier", "refresh_worker")


@dataclass(frozen=True, slots=True)
class Line:
    """What the ``%%handler`` line says about the handler (not about running it)."""

    name: str | None = None
    aggregate: bool = False
    refresh: bool = False
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A handler cell as it ran.

    Attributes
    ----------
    source : str
        As typed, the ``%%handler`` line included.
    code : str
        The Python that IPython ran, line for line the same.
    number : int or None
        Execution count.
    """

    source: str
    code: str
    number: int | None = None


def register(
    cell: Cell,
    line: Line,
    namespace: Mapping[str, Any],
    config: Any = None,
    previous_of: Callable[[str], Handler | None] = lambda name: None,
) -> Handler:
    """Make the handler of a cell.

    Parameters
    ----------
    cell, line
        What was run and what its first line asked for.
    namespace : mapping
        Names after the cell ran.
    config : object
        What the cell gave to ``runpod.serverless.start``; None if it called no start().
    previous_of : callable
        The handler registered before under a name, for the version number.

    Raises
    ------
    RegistrationError
        With one sentence. Nothing is registered then.
    """
    tree = ast.parse(cell.code)
    started = None if config is None else _check_config(config)
    expression, function = _find(tree, line, namespace, started)
    _check_signature(expression, function)
    options, sources = _options(tree, line, started)
    name = expression
    before = previous_of(name)
    info = HandlerVersion(
        name=name,
        version=1 if before is None else before.version + 1,
        kind=kind_of(function),
        expression=expression,
        options=sources,
        source=cell.source,
        cell=cell.number,
        line=line_of(tree, function),
        lines_changed=None if before is None else _changed(before.info.source, cell.source),
        example=example_input(function, tree),
        registered_at=time.time(),
    )
    return Handler(info, function, options, torchstate.capture())


# -- which function --------------------------------------------------------------------------------


def _find(
    tree: ast.Module, line: Line, namespace: Mapping[str, Any], started: Mapping[str, Any] | None
) -> tuple[str, Callable[..., Any]]:
    if line.name is not None:
        function = _evaluate(line.name, namespace, _candidates(tree, namespace, started))
        if started is not None and not _same(function, started["handler"]):
            raise RegistrationError(
                f"%%handler names `{line.name}`, but start() in this cell is given "
                f"`{_shown(started['handler'])}`: make them agree, or leave the name out."
            )
        return line.name, function
    if started is not None:
        return _start_expression(tree, started["handler"], namespace), started["handler"]
    bound = _bound_names(tree)
    if "handler" in bound:
        value = namespace.get("handler")
        if not callable(value):
            raise RegistrationError(
                f"`handler` is {_article(value)}, not a function: define `def handler(job):`."
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
            f"%%handler names `{expression}`, which is {_article(value)}, not a function."
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
    call = _start_call(tree)
    if call is not None and isinstance(call, ast.Dict):
        for key, value in zip(call.keys, call.values):
            if isinstance(key, ast.Constant) and key.value == "handler":
                return ast.unparse(value)
    name = getattr(function, "__name__", "")
    if name and _same(namespace.get(name), function):
        return str(name)
    return "handler" if call is None else f'{ast.unparse(call)}["handler"]'


def _start_call(tree: ast.Module) -> ast.expr | None:
    """The argument of the last start() call in the cell, as an expression."""
    found: ast.expr | None = None
    best = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "start" or name.endswith(".start"):
            arguments = [*node.args, *(k.value for k in node.keywords if k.arg == "config")]
            if len(arguments) == 1 and not isinstance(arguments[0], ast.Starred):
                # the SDK may have any name, and so may other things that are started in a cell
                likely = 1 + name.endswith("serverless.start") + 2 * _has_handler(arguments[0])
                if likely >= best:
                    found, best = arguments[0], likely
    return found


def _has_handler(node: ast.expr) -> bool:
    return isinstance(node, ast.Dict) and any(
        isinstance(key, ast.Constant) and key.value == "handler" for key in node.keys
    )


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


def _check_signature(expression: str, function: Any) -> None:
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


# -- start() and the line --------------------------------------------------------------------------


def _check_config(config: Any) -> Mapping[str, Any]:
    if not isinstance(config, dict):
        raise RegistrationError(
            f"start() was given {_article(config)}, not a dict: "
            'write `runpod.serverless.start({"handler": handler})`.'
        )
    for key in config:
        if key not in START_KEYS:
            near = difflib.get_close_matches(str(key), START_KEYS[:4], 1, 0.5)
            hint = (
                f" Did you mean `{near[0]}`?" if near else f" It reads {', '.join(START_KEYS[:4])}."
            )
            shown = f"`{key}`" if isinstance(key, str) else repr(key)
            raise RegistrationError(
                f"start() was given the key {shown}, which RunPod's worker ignores.{hint}"
            )
    if not callable(config.get("handler")):
        raise RegistrationError(
            "start() was given no `handler` that can be called: "
            'write `runpod.serverless.start({"handler": handler})`.'
        )
    return config


def _options(
    tree: ast.Module, line: Line, started: Mapping[str, Any] | None
) -> tuple[Options, tuple[tuple[str, str], ...]]:
    values: dict[str, Any] = {k: started[k] for k in _KEPT if k in started} if started else {}
    sources = _sources(tree, values)
    for flag, key in (("aggregate", "return_aggregate_stream"), ("refresh", "refresh_worker")):
        if getattr(line, flag):
            if key in values and not values[key]:
                raise RegistrationError(
                    f"--{flag} is on the line, but start() says `{key}` is {values[key]!r}: "
                    "keep one of them."
                )
            values[key] = True
            sources.setdefault(key, "True")
    if line.concurrency is not None:
        key, wanted = "concurrency_modifier", line.concurrency
        if key in values:
            try:
                other: object = values[key](1)
            except Exception as exc:
                other = f"an error ({type(exc).__name__})"
            if other != wanted:
                raise RegistrationError(
                    f"--concurrency {wanted} is on the line, but start() has a "
                    f"concurrency_modifier that gives {other}: keep one of them."
                )
        else:
            values[key] = _constant(wanted)
            sources[key] = f"lambda current: {wanted}"
    modifier = values.get("concurrency_modifier")
    if modifier is not None and not callable(modifier):
        raise RegistrationError(
            f"`concurrency_modifier` is {_article(modifier)}, not a function: "
            "write `lambda current: 4`."
        )
    options = Options(
        return_aggregate_stream=bool(values.get("return_aggregate_stream", False)),
        concurrency_modifier=modifier,
        refresh_worker=bool(values.get("refresh_worker", False)),
    )
    return options, tuple((k, sources[k]) for k in _KEPT if k in sources)


def _constant(value: int) -> Callable[[int], int]:
    return lambda current: value


def _sources(tree: ast.Module, values: Mapping[str, Any]) -> dict[str, str]:
    call = _start_call(tree) if values else None
    sources: dict[str, str] = {}
    if isinstance(call, ast.Dict):
        for key, value in zip(call.keys, call.values):
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value in values:
                sources[key.value] = ast.unparse(value)
    for name, given in values.items():
        if name in sources:
            continue
        if isinstance(given, (bool, int)):
            sources[name] = repr(given)
        elif call is not None:
            sources[name] = f"{ast.unparse(call)}[{name!r}]"
        else:
            sources[name] = getattr(given, "__name__", repr(given))
    return sources


def _changed(before: str, now: str) -> int:
    matcher = difflib.SequenceMatcher(None, before.splitlines(), now.splitlines(), autojunk=False)
    return sum(
        max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"
    )


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _shown(function: Any) -> str:
    return str(getattr(function, "__qualname__", function))
