"""Where source calls ``runpod.serverless.start``, and what it serves, without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence


class Starts:
    """The calls of the SDK's ``start`` in a module.

    Parameters
    ----------
    body : sequence of ast.stmt
        All of it: its imports say under which name the SDK is called.
    """

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        self._body = body
        self._names = {"runpod.serverless.start"}
        for node in _walk(body):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname and alias.name in ("runpod", "runpod.serverless"):
                        rest = ".serverless" if alias.name == "runpod" else ""
                        self._names.add(f"{alias.asname}{rest}.start")
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    of = f"{node.module}.{alias.name}"
                    if of == "runpod.serverless":
                        self._names.add(f"{alias.asname or alias.name}.start")
                    elif of == "runpod.serverless.start":
                        self._names.add(alias.asname or alias.name)

    def calls(self, *parts: ast.AST) -> list[ast.Call]:
        """Calls in some nodes, or in all of the module; in order."""
        found = [n for n in _walk(parts or self._body) if isinstance(n, ast.Call)]
        return [call for call in found if ast.unparse(call.func) in self._names]

    def config(self, call: ast.Call) -> ast.Dict | None:
        """The dict that a call is given, also by the name of one assigned before."""
        value = _given(call)
        found = value if isinstance(value, ast.Dict) else None
        if isinstance(value, ast.Name):
            for node in _walk(self._body):
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                    if any(isinstance(t, ast.Name) and t.id == value.id for t in node.targets):
                        found = node.value
        return found

    def handler(self) -> str | None:
        """How the code names its handler: by the last call, else ``handler`` if it defines that."""
        for call in reversed(self.calls()):
            config, given = self.config(call), _given(call)
            for key, value in zip(config.keys, config.values) if config else ():
                if isinstance(key, ast.Constant) and key.value == "handler":
                    return ast.unparse(value)
            if given is not None:
                return f'{ast.unparse(given)}["handler"]'
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        named = [n for n in self._body if isinstance(n, functions) and n.name == "handler"]
        return "handler" if named else None


def _given(call: ast.Call) -> ast.expr | None:
    values = [*call.args, *(k.value for k in call.keywords if k.arg == "config")]
    return values[0] if values else None


def _walk(parts: Iterable[ast.AST]) -> Iterable[ast.AST]:
    return (node for part in parts for node in ast.walk(part))
