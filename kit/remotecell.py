"""``%%kit_remote``: a cell that is recorded and not run here; a pod runs it when a job needs it.

The line becomes a mark on the same line, so that IPython parses the cell as any other (its own line
numbers, magics, completeness). What the mark stands on is taken out of the parsed cell before
anything of it can run, also in nested and silent runs.
"""

from __future__ import annotations

import ast

from kit.errors import UsageError
from kit.line import HelpAsked, parse_remote
from kit.source.record import handler_line, load_line, remote_line

MARK = "kit_remote: this cell runs on a pod only"
_LINE = f'"{MARK}"\n'
_MAGIC = "%%kit_remote"
SENTENCE = (
    "Not run here: it runs on the pod when a job there needs it, and is now part of what kit.export "
    "writes."
)
NO_POD = " No pod is in use yet: kit.use(kit.Pod(url, token=...))."


def check(line: str, body: str) -> None:
    """Look whether a cell can be kept from running here.

    Parameters
    ----------
    line : str
        What stands behind ``%%kit_remote``.
    body : str
        The rest of the cell.

    Raises
    ------
    HelpAsked
    UsageError
        It has an option, no code, or another of the kit's lines.
    """
    parse_remote(line)
    lines = body.splitlines()
    if handler_line(lines) is not None:
        raise UsageError(
            "%%kit_remote and %%handler do not go together: a handler is registered here and runs on "
            "the pod anyhow. Put %%kit_remote on the cells above that make what it uses."
        )
    if load_line(lines) is not None:
        raise UsageError(
            "%%kit_remote and %%kit_load do not go together: nothing is loaded here, and what the "
            "load on the pod costs is on the timeline by itself."
        )
    if not any(text.strip() and not text.lstrip().startswith("#") for text in lines):
        raise UsageError("%%kit_remote goes on the first line of the cell that only the pod runs.")


def is_remote(source: str) -> bool:
    """Whether a cell, as typed, is kept from running here."""
    lines = source.splitlines(keepends=True)
    index = remote_line(lines)
    if index is None:
        return False
    try:
        check(*_parts(lines, index))
    except (UsageError, HelpAsked):
        return False
    return True


def marked(lines: list[str]) -> list[str] | None:
    """The cell with the mark in the place of its line, or as the magic can speak of it.

    Returns
    -------
    list of str or None
        None if the cell has no such line.
    """
    index = remote_line(lines)
    if index is None:
        return None
    try:
        check(*_parts(lines, index))
    except (UsageError, HelpAsked):
        rest = [*lines[:index], *lines[index + 1 :]]
        # IPython refuses a cell magic without a body before it would run it
        return [lines[index].rstrip("\n") + "\n", *(rest or ["\n"])]
    return [*lines[:index], _LINE, *lines[index + 1 :]]


def _parts(lines: list[str], index: int) -> tuple[str, str]:
    return lines[index].strip()[len(_MAGIC) :], "".join([*lines[:index], *lines[index + 1 :]])


class Cut:
    """One of IPython's ``ast_transformers``: takes out what is not to run here."""

    def visit(self, node: ast.AST) -> ast.AST:
        """The same tree, or of a marked cell one that does nothing."""
        if not isinstance(node, ast.Module) or not _is_mark(node.body):
            return node
        wrong = next((part for part in node.body if not _compiles(part)), None)
        if wrong is None:
            return ast.Module([], [])
        # what parses and is no Python all the same, as `return` out here: IPython says it, with
        # the line, where it compiles the statement, which still cannot run
        never = ast.If(ast.copy_location(ast.Constant(False), wrong), [wrong], [])
        return ast.Module([ast.copy_location(never, wrong)], [])


def _is_mark(body: list[ast.stmt]) -> bool:
    first = body[0] if body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and first.value.value == MARK
    )


def _compiles(part: ast.stmt) -> bool:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        compile(ast.Module([part], []), "<cell>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True
