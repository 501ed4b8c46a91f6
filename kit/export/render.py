"""The text of ``handler.py`` from kept statements, as a person would have written it."""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kit.export.headings import headings_of
from kit.handler import HandlerVersion
from kit.source.pause import without_collector
from kit.source.slice import Slice
from kit.source.statements import Statement

_WIDTH = 88
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Rendered:
    """``handler.py``.

    Attributes
    ----------
    text : str
    places : tuple of (int, int, Statement)
        First and last line of each statement that was copied as it is.
    """

    text: str
    places: tuple[tuple[int, int, Statement], ...]

    def statement_at(self, line: int) -> Statement | None:
        """The notebook's statement behind a line of the file; None for imports and our own."""
        for first, last, statement in self.places:
            if first <= line <= last:
                return statement
        return None


def render_handler(sliced: Slice, handler: HandlerVersion, header: str) -> Rendered:
    """``handler.py`` as a person would have written it.

    Imports come first as far as nothing above them must run before them, the handler last, and
    the start under a ``__main__`` guard.

    Parameters
    ----------
    sliced : Slice
    handler : HandlerVersion
    header : str
        Text of the module's docstring.
    """
    with without_collector():
        return _rendered(sliced, handler, header)


def _rendered(sliced: Slice, handler: HandlerVersion, header: str) -> Rendered:
    future, hoisted, body = _sort(sliced)
    lines = _docstring(header)
    if future:
        lines += ["", "from __future__ import " + ", ".join(future)]
    sdk = _sdk_name(sliced.kept)
    headings = headings_of(sliced.decisions, {id(statement) for statement in hoisted})
    block = _import_block(hoisted, needs_sdk=sdk == "runpod" and not _binds_sdk(sliced.kept))
    for above in dict.fromkeys(headings[id(s)] for s in hoisted if id(s) in headings):
        lines += ["", *above.split("\n")]
    if block:
        lines += ["", *block]
    places: list[tuple[int, int, Statement]] = []
    before: Statement | None = None
    for statement in body:
        heading = headings.get(id(statement))
        lines += [""] * max(_gap(before, statement), 1 if heading else 0)
        if heading:
            apart = 2 if isinstance(statement.node, _DEFINITIONS) else 1
            lines += [*heading.split("\n"), *([""] * apart)]
        text = statement.text.split("\n")
        places.append((len(lines) + 1, len(lines) + len(text), statement))
        lines += text
        before = statement
    lines += ["", "", 'if __name__ == "__main__":']
    if sdk != "runpod":
        lines += [f"    import runpod as {sdk}", ""]
    lines += textwrap.indent(_start(handler, sdk), "    ").split("\n")
    return Rendered("\n".join(lines) + "\n", tuple(places))


def _docstring(header: str) -> list[str]:
    # a notebook's name is anybody's text: nothing of it may end the string or start an escape
    safe = "".join(c if c.isprintable() or c == "\n" else "?" for c in header)
    safe = safe.encode(errors="replace").decode().replace("\\", "/").replace('"', "'")
    text = '"""' + safe.rstrip("\n") + ('\n"""' if "\n" in safe.strip() else '"""')
    return text.split("\n")


def _sort(sliced: Slice) -> tuple[list[str], list[Statement], list[Statement]]:
    """``__future__`` features, imports that may stand on top, and everything else in order."""
    future: list[str] = []
    hoisted: list[Statement] = []
    body: list[Statement] = []
    origins: dict[str, set[str]] = {}
    for statement in sliced.kept:
        for name in statement.facts.binds:
            origins.setdefault(name, set()).add(_origin(statement, name))
    free = True
    known: set[str] = set()
    for statement, barrier in zip(sliced.kept, sliced.barriers, strict=True):
        node = statement.node
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            future += [a.name for a in node.names if a.name not in future]
        elif isinstance(node, (ast.Import, ast.ImportFrom)) and not barrier:
            alone = all(len(origins[name]) == 1 for name in statement.facts.binds)
            what = ast.unparse(node)
            if what in known and alone:
                continue  # imported before, in another cell
            known.add(what)
            (hoisted if free and alone else body).append(statement)
        else:
            free &= not barrier
            body.append(statement)
    return future, hoisted, body


def _origin(statement: Statement, name: str) -> str:
    """What an import binds a name to; for anything else, the place itself."""
    return statement.facts.imports.get(name) or f"{id(statement)}"


def _import_block(statements: Sequence[Statement], *, needs_sdk: bool) -> list[str]:
    """Imports: the standard library sorted, then the others in the order they were first run."""
    standard: list[str] = []
    others: list[str] = []
    froms: dict[tuple[bool, str], list[str]] = {}
    for statement in statements:
        node = statement.node
        assert isinstance(node, (ast.Import, ast.ImportFrom))
        where = standard if _is_standard(node) else others
        if isinstance(node, ast.ImportFrom) and statement.text == ast.unparse(node):
            key = (where is standard, "." * node.level + (node.module or ""))
            if key not in froms:
                froms[key] = []
                where.append(f"from {key[1]} import ")  # filled in below
            froms[key].append(ast.unparse(node).partition(" import ")[2])
        else:
            where.append(statement.text)  # with its comments
    if needs_sdk:
        others.append("import runpod")
    groups = []
    for where, is_standard in ((standard, True), (others, False)):
        texts = [
            _from(text, froms[is_standard, text.split(" ")[1]])
            if text.endswith(" import ")
            else text
            for text in where
        ]
        if is_standard:
            texts.sort(key=lambda t: (t.lstrip().startswith("from"), t.lower()))
        if texts:
            groups.append("\n".join(texts))
    return "\n\n".join(groups).split("\n") if groups else []


def _from(head: str, names: list[str]) -> str:
    line = head + ", ".join(names)
    if len(line) <= _WIDTH:
        return line
    return head + "(\n" + "".join(f"    {name},\n" for name in names) + ")"


def _is_standard(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.ImportFrom) and node.level:
        return False
    name = node.names[0].name if isinstance(node, ast.Import) else node.module or ""
    return name.partition(".")[0] in sys.stdlib_module_names


def _binds_sdk(kept: Iterable[Statement]) -> bool:
    return any(s.facts.imports.get("runpod") == "runpod" for s in kept)


def _sdk_name(kept: Iterable[Statement]) -> str:
    """Under which name the SDK is imported for ``start``: the code may use ``runpod`` itself."""
    taken = {name for s in kept for name in s.facts.binds if s.facts.imports.get(name) != "runpod"}
    name = "runpod"
    while name in taken:
        name += "_sdk"
    return name


def _gap(before: Statement | None, statement: Statement) -> int:
    if isinstance(statement.node, _DEFINITIONS) or (
        before is not None and isinstance(before.node, _DEFINITIONS)
    ):
        return 2
    if before is None or before.position != statement.position:
        return 1
    return min(statement.gap, 1)


def _start(handler: HandlerVersion, sdk: str) -> str:
    items = [f'"handler": {_value(handler.expression)}']
    items += [f"{_quoted(key)}: {_value(source)}" for key, source in handler.options]
    line = f"{sdk}.serverless.start({{{', '.join(items)}}})"
    if len(line) + 4 <= _WIDTH and "\n" not in line:
        return line
    body = "".join(f"        {item},\n" for item in items)
    return f"{sdk}.serverless.start(\n    {{\n{body}    }}\n)"


def _quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(source: str) -> str:
    """Source of a value on one line, without a comment that would swallow what follows."""
    source = source.strip()
    return (
        ast.unparse(ast.parse(source, mode="eval")) if "\n" in source or "#" in source else source
    )
