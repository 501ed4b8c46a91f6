"""What ``start()`` and the ``%%handler`` line ask for a handler: its options, and whether they agree."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import RegistrationError
from kit.handler import Options

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


def check_config(config: Any) -> Mapping[str, Any]:
    """What was given to start(), if RunPod's worker can do something with it; RegistrationError else."""
    if not isinstance(config, dict):
        raise RegistrationError(
            f"start() was given {article(config)}, not a dict: "
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


def options_of(
    tree: ast.Module, line: Line, started: Mapping[str, Any] | None
) -> tuple[Options, tuple[tuple[str, str], ...]]:
    """Options of a handler, and how each is written in a file, by its name in start()."""
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
            f"`concurrency_modifier` is {article(modifier)}, not a function: "
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
    call = start_call(tree) if values else None
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


def start_call(tree: ast.Module) -> ast.expr | None:
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


def article(value: Any) -> str:
    """A value's type as words: ``an int``."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
