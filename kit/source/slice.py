"""The statements a handler needs, out of everything that was executed; each with its reason.

Demand runs backwards: what the handler reads keeps its definitions, a kept definition keeps what
it reads and, from then until the name means something else, what changes its object. A statement
that nothing asks for goes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kit.handler import HandlerVersion
from kit.source.commands import machine_of
from kit.source.demand import Demand
from kit.source.doubts import Doubts
from kit.source.facts import Facts
from kit.source.links import Link, links_of
from kit.source.order import arrange
from kit.source.pause import without_collector
from kit.source.program import Program
from kit.source.reasons import QUIET, notes_of, reason_to_drop
from kit.source.record import Cell
from kit.source.statements import Statement
from kit.source.vocabulary import registers


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a statement stays or goes.

    Attributes
    ----------
    statement : Statement
    kept : bool
    reason : str
        A phrase: ``defines `model`, which `handler` reads``.
    question : bool
        Whether the source alone could not settle it.
    quiet : bool
        Whether nobody needs to read it: the kit's own, a display line, a magic that changed nothing.
    """

    statement: Statement
    kept: bool
    reason: str
    question: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """What a handler needs.

    Attributes
    ----------
    decisions : tuple of Decision
        Every statement, in the order of execution.
    kept : tuple of Statement
        Those that stay, in the order in which a file must have them.
    barriers : tuple of bool
        For each kept statement whether an import must not move above it: it sets something for
        the process, or changes a module.
    missing : dict of str to str
        Names that were asked for and that no kept statement defines, each with the reason.
    notes : tuple of str
        What a person should know, one sentence each.
    env : tuple of (str, str)
        Variables that ``%env`` set: ENV of the image. Never one that looks like a key.
    pip_lines : tuple of str
        What stood behind each ``pip install`` of the notebook; ``shlex.split`` gives its arguments.
    constants : dict of str to str
        Names of values that the file makes and its jobs do not change, each with the place of the
        statement that binds it last.
    """

    decisions: tuple[Decision, ...]
    kept: tuple[Statement, ...]
    barriers: tuple[bool, ...]
    missing: dict[str, str]
    notes: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    pip_lines: tuple[str, ...] = ()
    constants: dict[str, str] = field(default_factory=dict)


def slice_cells(cells: Sequence[Cell], handler: HandlerVersion) -> Slice:
    """Slice executed cells down to what a handler needs.

    Parameters
    ----------
    cells : sequence of Cell
        The record, in order of execution.
    handler : HandlerVersion

    Returns
    -------
    Slice
        Compiles and computes what the notebook would, unless ``missing`` or a note says otherwise.
    """
    with without_collector():
        return _Slicer(Program(cells, handler)).slice()


def slice_with_links(
    cells: Sequence[Cell], handler: HandlerVersion
) -> tuple[Slice, tuple[Link, ...]]:
    """A slice, and what each of its statements stands on.

    For whoever runs the statements again one by one instead of writing them to a file.
    """
    with without_collector():
        slicer = _Slicer(Program(cells, handler))
        sliced = slicer.slice()
    order = [slicer.index_of[id(statement)] for statement in sliced.kept]
    return sliced, links_of(slicer.program, order)


class _Slicer:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.statements = program.statements
        self.demand = Demand(program)
        self.doubts = Doubts(program, ())
        self.modules = self.program.imports.keys()
        self.candidates = [i for i in range(len(self.statements)) if self._may_matter(i)]
        self.index_of = {id(statement): i for i, statement in enumerate(self.statements)}

    def slice(self) -> Slice:
        self.demand.start()
        self._first_thoughts()
        self.demand.settle()
        while self._second_thoughts():
            self.demand.settle()
        self._stars()
        self.demand.settle()
        kept = self.demand.kept
        self.doubts = Doubts(self.program, kept)
        order, conflicts = arrange(self.program, kept, self.demand.edges)
        machine = machine_of(self.statements)
        return Slice(
            decisions=tuple(self._decision(i) for i in range(len(self.statements))),
            kept=tuple(self.statements[i] for i in order),
            barriers=tuple(self.program.is_barrier(i) for i in order),
            missing=self.demand.missing,
            notes=(*notes_of(self.program, kept, self.demand.moved), *conflicts),
            env=machine.env,
            pip_lines=machine.pip_lines,
            constants=self._constants(order),
        )

    def _constants(self, order: Iterable[int]) -> dict[str, str]:
        served = self.program.served
        changed = {n for name in served for n in self.program.judge.changed_by(name)}
        found: dict[str, str] = {}
        for index in order:
            facts = self.statements[index].facts
            for name in facts.binds:
                found.pop(name, None)
                if name not in facts.imports and name not in facts.code and name not in changed:
                    found[name] = self.statements[index].place
            for name in facts.unbinds:
                found.pop(name, None)
        return found

    def _first_thoughts(self) -> None:
        """Keep what stays whatever the handler reads."""
        for index, statement in enumerate(self.statements):
            judgement = self.program.judgements[index]
            if index in self.program.own or judgement.starts or statement.directive == "drop":
                continue
            if any(o.startswith("__future__.") for o in statement.facts.imports.values()):
                self.demand.keep(index, "how the notebook's code is compiled")
            elif statement.directive == "keep":
                self.demand.keep(index, "`# kit: keep`")
            elif judgement.settings and not judgement.library:
                reason = f"sets something for the whole process ({judgement.settings})"
                self.demand.keep(index, reason)
            elif registers(judgement.settings) and isinstance(statement.node, ast.Expr):
                self.demand.keep(
                    index, f"registers something ({judgement.settings})", question=True
                )
            elif statement.facts.imports and "noqa" in statement.text.partition("#")[2]:
                self.demand.keep(
                    index, "may be imported for what it does: it has `noqa`", question=True
                )
            elif statement.position == self.program.home and self._acts(index):
                self.demand.keep(index, "is a call in the handler's own cell")

    def _second_thoughts(self) -> bool:
        """Keep what only matters because everything it needs stays anyway."""
        before = len(self.demand.kept)
        for index in self.candidates:
            if index not in self.demand.kept and self.demand.may_stay(index):
                reason, question = self._because_of_others(index)
                if reason:
                    self.demand.keep(index, reason, question=question)
        return len(self.demand.kept) > before

    def _may_matter(self, index: int) -> bool:
        """Whether a statement may stay for what others do: all else is never looked at again."""
        statement, judgement = self.statements[index], self.program.judgements[index]
        return bool(
            statement.facts.unbinds
            or judgement.library
            or isinstance(statement.node, ast.While)
            or (judgement.receives and isinstance(statement.node, ast.Expr))
        )

    def _because_of_others(self, index: int) -> tuple[str, bool]:
        """Why a statement stays now that others do, and whether that is a question."""
        node, facts = self.statements[index].node, self.statements[index].facts
        judgement = self.program.judgements[index]
        if facts.unbinds:
            kept = self._deletes_kept(index)
            return ("deletes what the file has no more use for" if kept else ""), False
        if judgement.library:
            if self.demand.live(judgement.library, index):
                return f"sets up `{judgement.library}` ({judgement.settings})", False
        elif isinstance(node, ast.While):
            waited = {n for n in facts.reads if n in self.program.defs} - self.modules
            if waited and self.demand.all_live(waited, index):
                return "may wait for " + _quoted(waited), True
        elif judgement.receives and isinstance(node, ast.Expr):
            objects = judgement.receives - self.modules
            if judgement.does:
                needed = facts.reads - {c.path[0] for c in facts.calls if len(c.path) == 1}
                if self._library_kept(judgement.does) and self.demand.all_live(needed, index):
                    return f"may do what is needed: {judgement.does}", True
            elif objects and self.demand.all_live(facts.reads, index):
                return "may change " + _quoted(objects), True
        return "", False

    def _library_kept(self, origin: str) -> bool:
        """Whether the package of a library function is one that the file imports anyway."""
        package = origin.partition(".")[0]
        return any(
            other.partition(".")[0] == package
            for index in self.demand.kept
            for other in self.statements[index].facts.imports.values()
        )

    def _deletes_kept(self, index: int) -> bool:
        defs = [
            place
            for name in self.statements[index].facts.unbinds
            for place in self.program.meaning(name, index).defs or (-1,)
        ]
        return all(place in self.demand.kept for place in defs)

    def _acts(self, index: int) -> bool:
        """Whether a statement of the handler's own cell does something worth keeping."""
        statement, judgement = self.statements[index], self.program.judgements[index]
        node = statement.node
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, (ast.If, ast.Try, ast.While, ast.For, ast.With, ast.Expr)):
            return judgement.effect and not self._tests(statement.facts)
        return False

    def _tests(self, facts: Facts) -> bool:
        """Whether a statement calls what the worker serves, with arguments of its own."""
        served = self.program.served
        return any(
            len(call.path) == 1 and call.path[0] in served and call.args for call in facts.calls
        )

    def _stars(self) -> None:
        missing = self.demand.missing
        unknown = [n for n in missing if not self.program.defs.get(n)]
        for index in self.program.stars if unknown else ():
            if index not in self.program.own:
                self.demand.keep(index, "may define " + _quoted(unknown), question=True)
                self.demand.missing = {n: r for n, r in missing.items() if n not in unknown}

    def _decision(self, index: int) -> Decision:
        statement, kept = self.statements[index], self.demand.kept
        if index in kept:
            doubt = self.doubts.about(index)
            reason = f"{kept[index]}; {doubt}" if doubt else kept[index]
            question = bool(doubt) and statement.directive != "keep"
            return Decision(statement, True, reason, question or index in self.demand.questions)
        judgement = self.program.judgements[index]
        names = {*judgement.changes, *judgement.asks, *judgement.receives}
        for call in statement.facts.calls:
            if len(call.path) == 1 and call.path[0] in self.program.served:
                names |= self.program.judge.changed_by(call.path[0])
        live = {n for n in names if self.demand.live(n, index)} if names else set()
        reason, question = reason_to_drop(self.program, index, live, kept)
        return Decision(statement, False, reason, question, not question and reason in QUIET)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
