"""``kit.load``: a worker's file becomes a notebook beside it."""

from __future__ import annotations

import contextlib
import html
import io
import json
import os
import secrets
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kit.errors import UsageError
from kit.source.cut import Cut, NoHandler, cut

_INPUT = "test_input.json"


@dataclass(frozen=True, slots=True, repr=False)
class Loaded:
    """A notebook that was written.

    Attributes
    ----------
    path : Path
        Of the notebook.
    source : Path
        The worker's file.
    cells : tuple of str
        What each code cell is about, in order: ``imports``, ``config``, ``helpers``, ``model``,
        ``handler``.
    """

    path: Path
    source: Path
    cells: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.path}: {self.source.name} as cells ({', '.join(self.cells)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        shown = html.escape(self.path.name)
        with contextlib.suppress(ValueError):  # outside the kernel's folder nothing can be linked
            inside = self.path.relative_to(Path.cwd())
            address = html.escape(quote(inside.as_posix()))
            shown = f'<a href="{address}" target="_blank">{shown}</a>'
        rest = f"{self.source.name} as cells ({', '.join(self.cells)})"
        return {"text/plain": repr(self), "text/html": f"<div>{shown}: {html.escape(rest)}</div>"}


def load_file(path: Path, notebook: Path | None = None, *, overwrite: bool = False) -> Loaded:
    """Write a worker's file as a notebook.

    Parameters
    ----------
    path : Path
        The file, or a folder with a ``handler.py``.
    notebook : Path or None
        None writes beside the file, under its name.
    overwrite : bool
        Whether a notebook that is there may be replaced.

    Raises
    ------
    UsageError
        Nothing to read, no Python, no handler in it, or a notebook in the way. Nothing was written.
    """
    path = path / "handler.py" if path.is_dir() else path
    target = path.with_suffix(".ipynb") if notebook is None else notebook
    if target.suffix != ".ipynb":
        raise UsageError(f"{target.name} is no notebook's name: let it end with .ipynb.")
    found = _cut(path)
    text = json.dumps(_notebook(path, found), indent=1, ensure_ascii=False) + "\n"
    _write(target, text, overwrite=overwrite)
    return Loaded(target.absolute(), path.absolute(), tuple(p.role for p in found.pieces))


def _cut(path: Path) -> Cut:
    try:
        raw = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}.") from None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        source = raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        return cut(source)
    except NoHandler:
        raise UsageError(
            f"{path.name} does not call runpod.serverless.start and defines no `handler`: give the "
            "file that starts the worker."
        ) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        where = f", line {exc.lineno}" if isinstance(exc, SyntaxError) and exc.lineno else ""
        said = exc.msg if isinstance(exc, SyntaxError) else str(exc)
        raise UsageError(f"{path.name} is no Python that could be loaded{where}: {said}.") from None


def _notebook(path: Path, found: Cut) -> dict[str, Any]:
    head = f"# {path.name}\n\n"
    if found.about:
        head += found.about.strip() + "\n\n"
    head += (
        f'Cut into cells by handler-kit. `kit.export("worker")` writes a `{path.name}` of it again.'
    )
    cells = [_cell("markdown", "about", head), _cell("code", "kit", "%load_ext kit")]
    if found.file:
        # the directive keeps it out of the export: a worker's file knows where it lies
        code = f'# kit: drop\n__file__ = __import__("os").path.abspath({json.dumps(path.name)})'
        cells.append(_cell("code", "file", code))
    counts: dict[str, int] = {}
    for piece in found.pieces:
        counts[piece.role] = counts.get(piece.role, 0) + 1
        text = piece.text
        if piece.role == "handler":
            words = [found.line, f"--input-file {_INPUT}" if _has_input(path.parent) else ""]
            text = " ".join(["%%handler", *filter(None, words)]) + "\n" + text
        number = counts[piece.role]
        cells.append(
            _cell("code", piece.role if number == 1 else f"{piece.role}-{number}", text, piece.role)
        )
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, id: str, text: str, tag: str = "") -> dict[str, Any]:
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": id,
        "metadata": {"tags": [tag]} if tag else {},
        "source": text.splitlines(keepends=True),
    }
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell


def _has_input(folder: Path) -> bool:
    try:
        given = json.loads((folder / _INPUT).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(given, dict) and "input" in given


def _write(target: Path, text: str, *, overwrite: bool) -> None:
    try:
        if not overwrite:
            with target.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
            return
        with _beside(target) as fresh:
            fresh.write_text(text, encoding="utf-8", newline="\n")
            fresh.replace(target)
    except FileExistsError:
        raise UsageError(
            f"{target} is there already: give another path, or overwrite=True (--overwrite)."
        ) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise UsageError(f"{target} cannot be written: {reason}.") from None


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new file's path in the same folder; nothing is left of it if it was not renamed."""
    fresh = target.with_name(f".{target.stem[:60]}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
