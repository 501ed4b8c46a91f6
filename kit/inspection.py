"""What a handler's source tells without running a job: findings, the input it reads, where it stands."""

from __future__ import annotations

import ast
import inspect
import json
from typing import Any

from kit import findings
from kit.events import Finding
from kit.handler import Handler
from kit.reads import reads_of

_LOADERS = ("from_pretrained", "torch.load", "load_model", "snapshot_download", "pipeline")


def static_findings(code: str, handler: Handler) -> tuple[Finding, ...]:
    """Findings about a handler cell that can be seen without running a job."""
    tree = ast.parse(code)
    where = "the cell" if handler.info.cell is None else f"In [{handler.info.cell}]"
    notes: dict[tuple[str, str], Finding] = {}

    def add(finding: Finding, node: ast.AST) -> None:
        place = f"{where}, line {getattr(node, 'lineno', 1)}"
        notes.setdefault((finding.code, finding.sentence), findings.at(finding, place))

    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside.update(n for n in ast.walk(node) if n is not node)
            if node.name == getattr(handler.function, "__name__", None):
                for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
                    name = ast.unparse(call.func)
                    if name in _LOADERS or name.split(".")[-1] in _LOADERS[:1]:
                        add(findings.model_in_handler(name), call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value == "/workspace" or node.value.startswith("/workspace/"):
                add(findings.workspace_path(node.value), node)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Await, ast.AsyncFor, ast.AsyncWith)) and node not in inside:
            add(findings.top_level_await(), node)
    return tuple(notes.values())


def line_of(tree: ast.Module, function: Any) -> int | None:
    """Line of a function's last ``def`` in a cell, from 1; None if it is not there."""
    name = getattr(inspect.unwrap(function) if callable(function) else function, "__name__", None)
    line: int | None = None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
            line = node.lineno
    return line


def example_input(function: Any, tree: ast.Module) -> str:
    """An input with the keys that the handler reads, from its source; ``{}`` if none are seen."""
    return json.dumps(reads_of(function, tree).example(), ensure_ascii=False)
