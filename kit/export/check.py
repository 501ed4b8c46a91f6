"""What must be true of a file before it is written: it compiles, names are defined, no secrets."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable
from typing import Any

from kit.errors import ExportError
from kit.export.render import Rendered
from kit.source.program import OF_IPYTHON
from kit.source.reasons import NOWHERE
from kit.source.slice import Slice

#: the comment that lets through what looks like a key
NOT_A_SECRET = "kit: not-a-secret"  # noqa: S105


def check_handler(rendered: Rendered, sliced: Slice, *, executed: bool = True) -> None:
    """Refuse a file that could not run.

    ``executed`` says whether the cells ran in a kernel, which is what a person can do about a name.

    Raises
    ------
    ExportError
        A top-level ``await``, a syntax error, or a name that nothing defines, with its cell.
    """
    for statement in sliced.kept:
        if statement.facts.awaits:
            raise ExportError(
                f"{statement.place} awaits at the top level of a cell, which a file cannot: "
                "put it into the handler, into a function run by asyncio.run(), or mark it `# kit: drop`."
            )
    try:
        compile(rendered.text, "handler.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None) or 0
        statement_there = rendered.statement_at(line)
        where = f" ({statement_there.place})" if statement_there else ""
        reason = getattr(exc, "msg", None) or str(exc)
        raise ExportError(f"handler.py would not compile: {reason}, line {line}{where}.") from None
    _check_names(rendered, sliced, executed)


def _check_names(rendered: Rendered, sliced: Slice, executed: bool) -> None:
    from pyflakes import checker, messages

    tree = ast.parse(rendered.text)
    found: dict[str, str] = {}
    soft = {name for s in sliced.kept for name in s.facts.soft}
    if any("__future__.annotations" in s.facts.imports.values() for s in sliced.kept):
        soft |= {name for s in sliced.kept for name in s.facts.annotated}
    hard = {name for s in sliced.kept for name in s.facts.reads | s.facts.later}

    class Names(checker.Checker):  # type: ignore[misc]  # untyped
        def addBinding(self, node: Any, value: Any) -> None:  # noqa: N802
            if node is not None or value.name not in OF_IPYTHON:  # builtins of a kernel only
                super().addBinding(node, value)

    for message in Names(tree, filename="handler.py").messages:
        if isinstance(message, (messages.UndefinedName, messages.UndefinedLocal)):
            name = str(message.message_args[0])
            if isinstance(message, messages.UndefinedLocal):
                continue  # true in the notebook as well: the handler's own affair
            if name in soft and name not in hard:
                continue  # only in an annotation that nothing evaluates
            statement = rendered.statement_at(message.lineno)
            used = statement.place if statement else "the start() options"
            found.setdefault(name, used)
    if not found:
        return
    parts = []
    for name, used in sorted(found.items()):
        reason = sliced.missing.get(name) or NOWHERE
        if not executed and reason == NOWHERE:
            reason = "no cell of the notebook defines it"
        parts.append(f"`{name}` (used in {used}): {reason}")
    raise ExportError(
        "the file would not have every name it uses. "
        + "; ".join(parts)
        + (
            ". Run the cell that defines it, or define it in plain code, and export again."
            if executed
            else ". Define it in plain code in a cell, save, and export again."
        )
    )


def check_secrets(rendered: Rendered, others: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Refuse to write what looks like a key. No message ever holds it.

    ``# kit: not-a-secret`` behind a value, or alone on the line above it, says that what looks like
    a key is none. It cannot say so of a value that a variable of this environment holds.

    Parameters
    ----------
    rendered : Rendered
    others : iterable of tuple of str
        Name and text of the other files.

    Returns
    -------
    tuple of str
        A sentence for everything that was let through.

    Raises
    ------
    ExportError
        With the kind of secret, the file's line and the cell it is from.
    """
    from kit.secret import find_secrets

    parts = []
    name = "NAME"
    waived = []
    harmless = _said_harmless(rendered.text)
    for hit in find_secrets(rendered.text):
        statement = rendered.statement_at(hit.line)
        where = statement.place if statement else f"line {hit.line} of handler.py"
        if statement is not None and len(statement.facts.binds) == 1:
            name = next(iter(statement.facts.binds)).upper()
        if hit.line in harmless and not hit.known:
            waived.append(f"{hit.kind} in {where} is written: `# {NOT_A_SECRET}` stands beside it.")
        else:
            parts.append(f"{hit.kind} in {where}")
    for file, text in others:
        harmless = _said_harmless(text) if file.endswith(".py") else set()
        for hit in find_secrets(text):
            where = f"line {hit.line} of {file}"
            if hit.line in harmless and not hit.known:
                waived.append(
                    f"{hit.kind} in {where} is written: `# {NOT_A_SECRET}` stands beside it."
                )
            else:
                parts.append(f"{hit.kind} in {where}")
    if parts:
        raise ExportError(
            "the export would hold a secret: "
            + "; ".join(dict.fromkeys(parts))
            + f'. Read it from the environment instead: os.environ["{name}"], and set {name} on the '
            f"endpoint. If it is none, write `# {NOT_A_SECRET}` behind it."
        )
    return tuple(dict.fromkeys(waived))


def secret_in(data: bytes) -> str:
    """What looks like a key in a file of any kind, and in which line; ``""`` if nothing does.

    What is not text is only searched for the values of keys that this environment has.
    """
    from kit.secret import find_secrets

    try:
        hits = find_secrets(data.decode())
    except UnicodeDecodeError:
        hits = [hit for hit in find_secrets(data.decode("latin-1")) if hit.known]
        return hits[0].kind if hits else ""
    return f"{hits[0].kind}, line {hits[0].line}" if hits else ""


def _said_harmless(text: str) -> set[int]:
    """Lines of which a comment says that they hold no secret."""
    if NOT_A_SECRET not in text:
        return set()
    lines: set[int] = set()
    begun: dict[int, int] = {}  # last line of a string of several lines, and its first
    starts: list[int] = []  # f-strings are several tokens from 3.12 on
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name == "STRING":
            begun[token.end[0]] = token.start[0]
        elif name == "FSTRING_START":
            starts.append(token.start[0])
        elif name == "FSTRING_END":
            begun[token.end[0]] = starts.pop()
        elif token.type == tokenize.COMMENT and token.string.lstrip("# ").strip() == NOT_A_SECRET:
            last = token.start[0]
            alone = not token.line[: token.start[1]].strip()
            lines |= {last + 1} if alone else set(range(begun.get(last, last), last + 1))
    return lines


def workspace_notes(text: str) -> list[str]:
    """A sentence for every path under ``/workspace`` in a file's strings."""
    notes = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            path = node.value
            if path == "/workspace" or path.startswith("/workspace/"):
                notes.append(
                    f"{path[:80]!r} exists on a pod; an endpoint mounts the network volume at "
                    "/runpod-volume."
                )
    return list(dict.fromkeys(notes))
