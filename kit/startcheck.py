"""Whether a file can become a worker at all, said before a process is started for it."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from kit.errors import UsageError
from kit.source.starts import Starts

#: code that is made while the file runs may start a worker where no source shows it
_UNSEEN = {"exec", "eval", "__import__", "run_path", "run_module", "import_module", "execfile"}
_MOST_FILES = 200


def check_start(path: Path) -> None:
    """Refuse a file that no worker process could be made of.

    It must be Python, and it or a module of its own folder that it imports must call
    ``runpod.serverless.start``. Reads source and runs nothing.

    Raises
    ------
    UsageError
        With the line, or with what is missing.
    """
    seen: set[Path] = set()
    pending = [path]
    while pending and len(seen) < _MOST_FILES:
        file = pending.pop()
        if file in seen:
            continue
        seen.add(file)
        tree = _parsed(file, path)
        if tree is None or _may_start(tree):
            return
        pending += _imported(tree, path.parent, file.parent)
    raise UsageError(
        f"{path.name} never calls runpod.serverless.start, so no worker would take a job: end it with "
        '`runpod.serverless.start({"handler": handler})`.'
    )


def _parsed(file: Path, asked: Path) -> ast.Module | None:
    """The tree; None for a module of the project that cannot be read: Python will say so itself."""
    try:
        raw = file.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return ast.parse(raw.decode(encoding))
    except OSError as exc:
        if file == asked:
            raise UsageError(f"{file} cannot be read: {exc.strerror or exc}.") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        if file == asked:
            where = f", line {exc.lineno}" if isinstance(exc, SyntaxError) and exc.lineno else ""
            said = exc.msg if isinstance(exc, SyntaxError) else str(exc)
            raise UsageError(f"{file.name} is no Python{where}: {said}.") from None
    return None


def _may_start(tree: ast.Module) -> bool:
    if Starts(tree.body).calls():
        return True
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            # `getattr(runpod, "serverless").start(...)`, or a start that was given another name
            if name in _UNSEEN or name == "start":
                return True
    return False


def _imported(tree: ast.Module, root: Path, here: Path) -> list[Path]:
    """Files of the project that a module imports."""
    names: list[tuple[Path, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(root, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here if node.level else root
            for _ in range(node.level - 1):
                base = base.parent
            head = node.module or ""
            names.append((base, head))
            names += [(base, f"{head}.{alias.name}".strip(".")) for alias in node.names]
    found = []
    for base, name in names:
        place = base.joinpath(*filter(None, name.split(".")))
        found += [f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()]
    return found
