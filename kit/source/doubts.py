"""What the source of a kept statement cannot settle: asked, never guessed."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from kit.source.judge import Judge
from kit.source.program import Program
from kit.source.record import Cell
from kit.source.statements import Statement, Unreadable, split

#: libraries whose objects hold what a person typed, moved or chose
_WIDGETS = {"ipyfilechooser", "ipywidgets", "panel", "solara"}
#: calls that wait for a person
_ASKS = {"getpass.getpass", "input"}
_STOPS = {
    "IPython.core.debugger.set_trace", "IPython.embed", "breakpoint", "code.interact",
    "debugpy.breakpoint", "ipdb.set_trace", "pdb.set_trace", "pudb.set_trace",
}  # fmt: skip
_REFLECTS = ("delattr", "getattr", "setattr")
_WORDS = (
    *(call.rpartition(".")[2] for call in (*_ASKS, *_STOPS)),
    *_REFLECTS,
)


@dataclass
class Doubts:
    """Knows a program and what of it stays; asks about single statements.

    Parameters
    ----------
    program : Program
    kept : collection of int
    """

    program: Program
    kept: Collection[int]
    _words: tuple[str, ...] = _WORDS
    _widgets: set[int] = field(default_factory=set)
    _changed_before: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        imports = self.program.imports.items()
        self._words = (*_WORDS, *(name for name, origin in imports if origin in _STOPS | _ASKS))
        self._find_widgets()
        for index, told in self._earlier_runs():
            self._changed_before.setdefault(index, told)

    def about(self, index: int) -> str:
        """What is in doubt of a kept statement, as a phrase; ``""`` if nothing is."""
        statement = self.program.statements[index]
        parts = list(self._calls(statement))
        parts += [
            f"uses {word}(): names it reads or defines cannot be seen"
            for word in sorted(statement.facts.dynamic)
        ]
        if index in self._widgets:
            parts.append("takes what a person chose in a widget, which the file does not have")
        if statement.cell.gone:
            parts.append("its cell is no longer in the notebook")
        if index in self._changed_before:
            parts.append(self._changed_before[index])
        return "; ".join(dict.fromkeys(parts))

    def _calls(self, statement: Statement) -> Iterator[str]:
        text = statement.text
        for word in self._words:
            if word in text:
                break
        else:
            return
        local = {a.arg for a in ast.walk(statement.node) if isinstance(a, ast.arg)}
        for node in ast.walk(statement.node):
            if not isinstance(node, ast.Call):
                continue
            path = _path(node.func)
            if (
                not path
                or path[0] in local
                or (path[0] in self.program.defs and not self._is(path))
            ):
                continue
            origin = ".".join((self.program.imports.get(path[0], path[0]), *path[1:]))
            if origin in _ASKS:
                yield f"asks a person ({origin}()), and a worker has nobody to ask"
            elif origin in _STOPS:
                yield f"stops in the debugger ({origin}()), and a worker has nobody there: take it out"
            elif origin in _REFLECTS and len(node.args) > 1:
                name = _path(node.args[0])
                known = isinstance(node.args[1], ast.Constant)
                module = bool(name) and name[0] in self.program.imports
                if (module or origin == "setattr") and not known:
                    what = ".".join(name) or "an object"
                    yield f"{origin}() names a part of `{what}` that cannot be seen"
                elif module and origin != "getattr":
                    yield f"{origin}() changes `{'.'.join(name)}` for everything that uses it"

    def _is(self, path: tuple[str, ...]) -> bool:
        return path[0] in self.program.imports

    def _find_widgets(self) -> None:
        made = {n for n, o in self.program.imports.items() if o.partition(".")[0] in _WIDGETS}
        if not made:
            return
        held: set[str] = set()
        for index in sorted(self.kept):
            facts = self.program.statements[index].facts
            if facts.imports:
                continue
            if facts.reads & held:
                self._widgets.add(index)
            elif facts.reads & made:
                held.update(facts.binds)

    def _earlier_runs(self) -> Iterator[tuple[int, str]]:
        """Kept definitions whose object an earlier source of an edited cell changed afterwards."""
        places: dict[str, list[int]] = {}
        for index in sorted(self.kept):
            facts = self.program.statements[index].facts
            for name in facts.binds:
                if name not in facts.imports:
                    places.setdefault(name, []).append(index)
        for cell in self.program.cells:
            for source, time in cell.earlier:
                for name in _changed(self.program.judge, cell, source):
                    defs = places.get(name, [])
                    times = [self.program.statements[i].cell.time for i in defs]
                    if defs and max(times) < time:
                        told = (
                            f"an earlier run of {cell.label}, edited since, changed `{name}`: "
                            "the kernel may still have that, the file does not"
                        )
                        yield defs[-1], told


def _changed(judge: Judge, cell: Cell, source: str) -> set[str]:
    """Names that a source binds, or whose objects it changes."""
    found = split(Cell(cell.number, cell.cell_id, source, True, cell.time), 0)
    if isinstance(found, Unreadable):
        return set()
    names: set[str] = set()
    for statement in found:
        judged = judge.judge(statement.facts, shown=statement.shown)
        names |= {*statement.facts.binds, *(judged.changes.keys() - judged.perhaps)}
    return names


def _path(node: ast.expr) -> tuple[str, ...]:
    """``a.b.c`` as ``("a", "b", "c")``; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()
