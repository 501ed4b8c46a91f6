"""The statements a handler needs, out of everything that was executed; each with its reason.

Demand runs backwards: what the handler reads keeps its definitions, a kept definition keeps what
it reads and, from then until the name means something else, what changes its object. A statement
that nothing asks for goes.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from kit.handler import HandlerVersion
from kit.source.facts import Facts
from kit.source.order import Edges, arrange
from kit.source.program import END, Program
from kit.source.reasons import missing_reason, notes_of, reason_to_drop
from kit.source.record import Cell
from kit.source.statements import Statement


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
    """

    statement: Statement
    kept: bool
    reason: str
    question: bool = False


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
    """

    decisions: tuple[Decision, ...]
    kept: tuple[Statement, ...]
    barriers: tuple[bool, ...]
    missing: dict[str, str]
    notes: tuple[str, ...]


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
    return _Slicer(Program(cells, handler), handler).slice()


class _Slicer:
    def __init__(self, program: Program, handler: HandlerVersion) -> None:
        self.program = program
        self.handler = handler
        self.statements = program.statements
        self.kept: dict[int, str] = {}
        self.questions: set[int] = set()
        self.missing: dict[str, str] = {}
        self.edges = Edges()
        self.moved: dict[str, int] = {}  # name: its definition, which comes below a reader
        self.lazy = "__future__.annotations" in program.imports.values()
        self._todo: list[int] = []
        # how far down changes to the object of a definition matter, surely and perhaps
        self._windows: dict[tuple[str, int], int] = {}
        self._held: dict[tuple[str, int], int] = {}

    def slice(self) -> Slice:
        self._demand_root()
        for index, statement in enumerate(self.statements):
            judgement = self.program.judgements[index]
            if index in self.program.own or judgement.starts or statement.directive == "drop":
                continue
            if any(o.startswith("__future__.") for o in statement.facts.imports.values()):
                self.keep(index, "how the notebook's code is compiled")
            elif statement.directive == "keep":
                self.keep(index, "`# kit: keep`")
            elif judgement.settings and not judgement.library:
                self.keep(index, f"sets something for the whole process ({judgement.settings})")
            elif statement.position == self.program.home and self._acts(index):
                self.keep(index, "is a call in the handler's own cell")
        self._settle()
        while self._second_thoughts():
            self._settle()
        self._stars()
        self._settle()
        order, conflicts = arrange(self.program, self.kept, self.edges)
        return Slice(
            decisions=tuple(self._decision(i) for i in range(len(self.statements))),
            kept=tuple(self.statements[i] for i in order),
            barriers=tuple(self.program.is_barrier(i) for i in order),
            missing=self.missing,
            notes=(*self._notes(), *conflicts),
        )

    # -- demand ---------------------------------------------------------------------------------

    def _demand_root(self) -> None:
        root = self.program.root
        for name in sorted(root.reads):
            self.demand(name, self.program.root_at, END, "the handler")
        for name in sorted(root.later):
            self.demand(name, END, END, "the options of start()")

    def keep(self, index: int, reason: str, *, question: bool = False) -> None:
        """Keep a statement, and in due course what it needs."""
        if index in self.kept:
            return
        self.kept[index] = reason
        if question:
            self.questions.add(index)
        self._todo.append(index)

    def _settle(self) -> None:
        while self._todo:
            index = self._todo.pop()
            facts = self.statements[index].facts
            who = _who(self.statements[index])
            for name in sorted(facts.reads):
                self.demand(name, index, index, who, reader=index)
            for name in sorted(facts.later):
                self.demand(name, END, END, who)
            if facts.calls or facts.decorators:
                for name in sorted(self.program.code_reads(index, facts.reads) - facts.reads):
                    self.demand(name, index, index, who, through=True, reader=index)
            for name in sorted(facts.annotated - facts.reads - facts.binds.keys()):
                self.demand(name, index, index, who, soft=self.lazy, reader=index)
            for name in sorted(facts.soft):
                self.demand(name, END, END, who, soft=True)
            for name in sorted(facts.stores):
                self.demand(name, index, END, who, held=True, soft=True)

    def demand(
        self,
        name: str,
        at: int,
        until: int,
        who: str,
        *,
        soft: bool = False,
        through: bool = False,
        held: bool = False,
        reader: int = END,
    ) -> None:
        """Keep what ``name`` means to statement ``at``, as changed up to ``until``.

        Parameters
        ----------
        name : str
        at, until : int
        who : str
            Who reads it, for the reason.
        soft : bool
            The file runs without it (a quoted annotation, or what an object may be made of).
        through : bool
            It is read by code that the statement may call, not by the statement itself.
        held : bool
            What reads it may only hold it: what surely changes it stays, what perhaps does not.
        reader : int
            The statement that must come after its definitions; ``END`` if none must.
        """
        meaning = self.program.meaning(name, at)
        if soft and meaning.moved:
            return
        if (
            reader < END
            and name in self.statements[reader].facts.binds
            and (meaning.moved or not meaning.defs)
        ):
            return  # its own, such as the target of a loop; what is missing is checked in the file
        usable = [d for d in meaning.defs if d not in self.program.own]
        if len(usable) < len(meaning.defs) or not meaning.defs:
            if not soft and name not in self.missing:
                reason = missing_reason(self.program, name, meaning)
                if reason:
                    self.missing[name] = reason
        for index in usable:
            if self.statements[index].directive == "drop":
                self.missing.setdefault(name, f"{self.statements[index].place} has `# kit: drop`")
                continue
            self.keep(index, f"defines `{name}`, which {who} reads")
            self.edges.add(reader, index, through=through)
        if not usable:
            return
        if meaning.moved:
            until = self.program.end_of_cell(usable[0])
            if not through:
                self.moved[name] = usable[0]
        windows = self._held if held else self._windows
        for index in usable:
            if windows.get((name, index), -1) < until or meaning.moved:
                windows[name, index] = max(until, windows.get((name, index), -1))
                self._keep_changes(name, index, until, who, held=held)
                if meaning.moved:
                    for change in self.program.changes.get((name, index), ()):
                        if change in self.kept and change < until:
                            self.edges.add(reader, change, through=through)

    def _keep_changes(self, name: str, place: int, until: int, who: str, *, held: bool) -> None:
        """Keep what changes the object of a definition, by whatever name, up to ``until``."""
        facts = self.statements[place].facts
        # what else the object is known as, and what it was made with: changed there, it changes
        for other in sorted(self.program.shares(name, place)):
            self.demand(other, place, until, who, held=held, soft=True)
            if other in facts.binds:  # `a = b = []`
                self.demand(other, place + 1, until, who, held=held, soft=True)
        for other in sorted(facts.holds.get(name, ())):
            self.demand(other, place, until, who, held=True, soft=True)
        for index in self.program.changes.get((name, place), ()):
            if not place < index < until or not self._may_stay(index):
                continue
            judgement = self.program.judgements[index]
            question = bool(judgement.perhaps) and judgement.changes.keys() <= judgement.perhaps
            if question and held:
                continue
            if (
                question
                and self.statements[index].shown
                and not self._all_live(self.statements[index].facts.reads, index)
            ):
                continue  # it was made to look; looked at again once more is known
            why = judgement.changes.get(name, "changes what it stands for")
            self.keep(index, f"touches `{name}`: {why}", question=question)

    def _may_stay(self, index: int) -> bool:
        statement = self.statements[index]
        return (
            index not in self.program.own
            and not self.program.judgements[index].starts
            and statement.directive != "drop"
            and not (statement.facts.code and not statement.facts.decorators)
        )

    # -- what depends on what else stays --------------------------------------------------------

    def _live(self, name: str, index: int) -> bool:
        """Whether what ``name`` means at a statement stays."""
        if name in self.program.imports:
            return any(i in self.kept for i in self.program.defs[name])
        defs = self.program.meaning(name, index).defs
        return any(index <= self._windows.get((name, d), -1) for d in defs)

    def _all_live(self, names: frozenset[str] | set[str], index: int) -> bool:
        return all(self._live(n, index) for n in names if n in self.program.defs)

    def _second_thoughts(self) -> bool:
        """Keep calls that only matter because everything they need stays anyway."""
        before = len(self.kept)
        for index, judgement in enumerate(self.program.judgements):
            if index in self.kept or not self._may_stay(index):
                continue
            if self.statements[index].facts.unbinds:
                if self._deletes_kept(index):
                    self.keep(index, "deletes what the file has no more use for")
            elif judgement.library:
                if self._live(judgement.library, index):
                    self.keep(index, f"sets up `{judgement.library}` ({judgement.settings})")
            elif judgement.receives and isinstance(self.statements[index].node, ast.Expr):
                names = self.statements[index].facts.reads
                objects = judgement.receives - set(self.program.imports)
                if objects and self._all_live(names, index):
                    words = ", ".join(f"`{n}`" for n in sorted(objects))
                    self.keep(index, f"may change {words}", question=True)
        return len(self.kept) > before

    def _deletes_kept(self, index: int) -> bool:
        defs = [
            place
            for name in self.statements[index].facts.unbinds
            for place in self.program.meaning(name, index).defs or (-1,)
        ]
        return all(place in self.kept for place in defs)

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
        unknown = [n for n in self.missing if self.missing[n].startswith("no executed cell")]
        for index in self.program.stars if unknown else ():
            if index not in self.program.own:
                names = ", ".join(f"`{n}`" for n in sorted(unknown))
                self.keep(index, f"may define {names}", question=True)
                self.missing = {n: r for n, r in self.missing.items() if n not in unknown}

    # -- explanation ----------------------------------------------------------------------------

    def _decision(self, index: int) -> Decision:
        statement = self.statements[index]
        if index in self.kept:
            return Decision(statement, True, self.kept[index], index in self.questions)
        judgement = self.program.judgements[index]
        names = {*judgement.changes, *judgement.asks, *judgement.receives}
        live = {n for n in names if self._live(n, index)}
        reason, question = reason_to_drop(self.program, index, live, set(self.kept))
        return Decision(statement, False, reason, question)

    def _notes(self) -> list[str]:
        return notes_of(self.program, self.kept, self.moved)


def _who(statement: Statement) -> str:
    names = list(statement.facts.code) or list(statement.facts.binds)
    return f"`{names[0]}` ({statement.place})" if names else statement.place
