"""All statements of a record as one program: which definition a name means at a place."""

from __future__ import annotations

import ast
import builtins
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from kit.handler import HandlerVersion
from kit.source.facts import Code, Facts
from kit.source.judge import Judge, Judgement
from kit.source.names import facts_of
from kit.source.reach import Reach
from kit.source.record import Cell
from kit.source.statements import Statement, Unreadable, split

#: position of "when a job runs": behind every statement
END = 1 << 60
#: settings that no import depends on
_SEEDS = ("seed", "seed_all", "seed_everything")
#: what IPython adds to the builtins of its kernels, and what it takes away while a cell runs
OF_IPYTHON = frozenset({"__IPYTHON__", "display", "get_ipython"})
_OF_PYTHON = {"__builtins__", "__doc__", "__file__", "__name__", "exit", "quit"}
#: names that need no definition in a file
BUILTINS = frozenset(dir(builtins)) - OF_IPYTHON | _OF_PYTHON
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name means at a place.

    Attributes
    ----------
    defs : tuple of int
        Statements that define it, oldest first; more than one if the later ones may not bind.
    moved : bool
        Whether it is only defined further down: its cell was run again later.
    deleted : int or None
        The ``del`` that ended it.
    """

    defs: tuple[int, ...] = ()
    moved: bool = False
    deleted: int | None = None


_NONE = Meaning()


class Program:
    """Statements in order of execution with the tables a slice looks things up in.

    Parameters
    ----------
    cells : sequence of Cell
        As :meth:`kit.source.record.Record.cells` gives them.
    handler : HandlerVersion
        Its cell is put where it ran if the record no longer has it (the cell was edited and
        raised, or a newer version was registered).
    """

    def __init__(self, cells: Sequence[Cell], handler: HandlerVersion) -> None:
        self.cells, self.home = _with_handler(cells, handler)
        self.statements: list[Statement] = []
        self.unreadable: list[Unreadable] = []
        self.failed: list[Statement] = []
        self.root_at = 0
        for position, cell in enumerate(self.cells):
            found = split(cell, position)
            if isinstance(found, Unreadable):
                self.unreadable.append(found)
            elif cell.ok:
                self.statements.extend(found)
            else:
                self.failed.extend(found)
            if position == self.home:
                self.root_at = len(self.statements)
        self.root = _root_facts(handler)
        self.handler_name = handler.expression if handler.expression.isidentifier() else ""

        self.defs: dict[str, list[int]] = {}
        self.imports: dict[str, str] = {}
        self.code: dict[str, list[Code]] = {}
        self.bases: dict[str, frozenset[str]] = {}
        self.stars: list[int] = []
        for index, statement in enumerate(self.statements):
            self._enter(index, statement)
        self.reach = Reach(self.defs, [s.facts for s in self.statements], BUILTINS)
        self._once: dict[str, Meaning] = {}
        self._firsts: dict[tuple[str, int], int] = {}
        self._code_reads: dict[int, int] = {}
        self._barriers: dict[int, bool] = {}
        self.own: set[int] = set()
        self.own = self._kits_own()
        self.served = self._served()
        subclasses = any("__subclasses__" in s.text for s in self.statements)
        self.judge = Judge(self.code, self.imports, self.served, self.bases, subclasses)
        self.judgements: list[Judgement] = [
            self.judge.judge(s.facts, shown=s.shown) for s in self.statements
        ]
        self._bound_by_calls()
        self.changes = self._changes()

    def _enter(self, index: int, statement: Statement) -> None:
        facts = statement.facts
        for name in (*facts.binds, *facts.unbinds):
            self.defs.setdefault(name, []).append(index)
        self.imports.update(facts.imports)
        for name in facts.binds:
            if name not in facts.imports:
                self.imports.pop(name, None)
        for name, body in facts.code.items():
            self.code.setdefault(name, []).append(body)
        for name, bases in facts.bases.items():
            self.bases[name] = self.bases.get(name, frozenset()) | bases
        node = statement.node
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            self.stars.append(index)

    def _bound_by_calls(self) -> None:
        """Take a call for the definition of a name that only a function's ``global`` binds."""
        only = {n for bodies in self.code.values() for b in bodies for n in b.writes}
        only -= self.defs.keys()
        for index, judgement in enumerate(self.judgements if only else ()):
            if index in self.own or judgement.starts:
                continue
            for name in only & judgement.changes.keys():
                self.defs.setdefault(name, []).append(index)

    # -- which definition -----------------------------------------------------------------------

    def _kills(self, name: str, index: int) -> bool:
        statement = self.statements[index]
        if isinstance(statement.node, ast.Import) and not statement.node.names[0].asname:
            # `import a.b` adds to `a`, it does not replace it
            return "." not in statement.node.names[0].name
        return name in statement.facts.unbinds or statement.facts.binds.get(name, False)

    def meaning(self, name: str, at: int) -> Meaning:
        """What a name means to statement ``at`` (``END``: when a job runs)."""
        places = self.defs.get(name)
        if places is None:
            return _NONE
        if len(places) == 1 and places[0] < at:  # most names, most of the time
            known = self._once.get(name)
            if known is not None:
                return known
        found: list[int] = []
        for number in range(bisect_left(places, at) - 1, -1, -1):
            index = places[number]
            if name in self.statements[index].facts.unbinds:
                return Meaning(tuple(reversed(found)), deleted=None if found else index)
            found.append(index)
            if self._kills(name, index):
                if name in self.statements[index].facts.imports:
                    found[-1] = self.first_import(name, index)
                break
        if found or name in BUILTINS:
            meaning = Meaning(tuple(reversed(found)))
            if len(places) == 1 and found:
                self._once[name] = meaning
            return meaning
        # only defined further down: that cell ran before too, and has been run again since
        later = [i for i in places if i > at and name in self.statements[i].facts.binds]
        return Meaning((later[-1],), moved=True) if later else Meaning()

    def first_import(self, name: str, index: int) -> int:
        """Where a module was imported first: the same import in a later cell does nothing."""
        known = self._firsts.get((name, index))
        if known is not None:
            return known
        origin = self.statements[index].facts.imports[name]
        places = self.defs[name]
        passed = [index]
        for number in range(bisect_left(places, index) - 1, -1, -1):
            place = places[number]
            same = self.statements[place].facts.imports.get(name) == origin
            if not same or not self._kills(name, place) or place in self.own:
                break
            index = place
            known = self._firsts.get((name, index))
            if known is not None:  # a notebook may import the same in every cell
                index = known
                break
            passed.append(index)
        self._firsts.update(((name, place), index) for place in passed)
        return index

    def next_definition(self, name: str, index: int) -> int:
        """The statement that replaces the definition at ``index``, ``END`` if none does."""
        places = self.defs.get(name, [])
        for number in range(bisect_right(places, index), len(places)):
            if self._kills(name, places[number]):
                return places[number]
        return END

    def end_of_cell(self, index: int) -> int:
        """The position just behind the cell of a statement."""
        position = self.statements[index].position
        while index < len(self.statements) and self.statements[index].position == position:
            index += 1
        return index

    # -- tables ---------------------------------------------------------------------------------

    def _kits_own(self) -> set[int]:
        """Statements that speak to the kit or to IPython, or to what those gave."""
        own: set[int] = set()
        foreign = any(
            "kit" in s.facts.binds and not s.facts.imports.get("kit", "").startswith("kit")
            for s in self.statements
        )
        tainted = set() if foreign else {"kit"}
        for index, statement in enumerate(self.statements):
            facts = statement.facts
            if (
                (facts.imports and _from_kit(facts))
                or statement.magic is not None
                or "get_ipython" in facts.reads
                or not (tainted.isdisjoint(facts.reads) or isinstance(statement.node, _DEFINES))
            ):
                own.add(index)
            for name in facts.binds:
                if index in own and not isinstance(statement.node, ast.AugAssign):
                    if statement.magic is None or statement.magic.name == "job":
                        tainted.add(name)
                    else:
                        tainted.discard(name)
                elif facts.binds[name]:
                    tainted.discard(name)
        return own

    def _served(self) -> set[str]:
        """The handler and the notebook functions it may call."""
        todo = set(self.root.later)
        for name in self.root.reads:  # `handler`, or what `partial(run, model)` is made of
            todo.add(name)
            for index in self.meaning(name, self.root_at).defs:
                facts = self.statements[index].facts
                todo |= facts.later | (facts.reads if name not in facts.code else frozenset())
        seen: set[str] = set()
        while todo:
            name = todo.pop()
            if name not in seen and name in self.code:
                seen.add(name)
                for index in self.meaning(name, END).defs:
                    todo |= self.statements[index].facts.later
        return seen

    def _changes(self) -> dict[tuple[str, int], list[int]]:
        """For each definition of a name the statements that change the object it made.

        The object, not the name: ``b = a; a = []; b.append(1)`` changes what ``a`` was at first.
        """
        table: dict[tuple[str, int], list[int]] = {}
        parts_of: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for index, judgement in enumerate(self.judgements):
            if not judgement.changes:
                continue
            todo = {(n, d) for n in judgement.changes for d in self._objects(n, index)}
            seen: set[tuple[str, int]] = set()
            while todo:
                item = todo.pop()
                if item in seen:
                    continue
                seen.add(item)
                table.setdefault(item, []).append(index)
                above = parts_of.get(item)
                if above is None:
                    name, place = item
                    shared = self.shares(name, place)
                    above = [(n, d) for n in shared for d in self._objects(n, place)]
                    parts_of[item] = above
                todo.update(above)
        return table

    def _objects(self, name: str, index: int) -> set[int]:
        """Definitions a name may mean to a statement, its own binding of it among them."""
        # the target of a loop is a part of what is looped over, in the same statement
        own = {index} if name in self.statements[index].facts.binds else set()
        return own.union(self.meaning(name, index).defs)

    def shares(self, name: str, index: int) -> frozenset[str]:
        """Names whose objects a definition makes ``name`` a part of, or the same as."""
        facts = self.statements[index].facts
        shared = facts.alias.get(name, _NO_NAMES)
        calls = facts.given.get(name)
        return shared.union(*map(self.judge.returned, calls)) if calls else shared

    def is_barrier(self, index: int) -> bool:
        """Whether an import below a statement may depend on it having run."""
        known = self._barriers.get(index)
        if known is None:
            known = self._barriers[index] = self._bars(index)
        return known

    def _bars(self, index: int) -> bool:
        facts, judgement = self.statements[index].facts, self.judgements[index]
        if judgement.settings and not judgement.settings.endswith(_SEEDS):
            return True
        if index in self.stars:
            return True
        modules = {path[0] for path in facts.sets}
        modules |= {call.path[0] for call in facts.calls if call.bare}
        return any(name in self.imports for name in modules) and not judgement.settings

    def code_reads(self, index: int) -> int:
        """Names read by code that may run when a statement does, as bits of ``reach``.

        ``model = load()`` reads what the body of ``load`` reads, and must see the same values.
        """
        known = self._code_reads.get(index)
        if known is None:
            facts = self.statements[index].facts
            names = facts.reads if facts.calls or facts.decorators else _NO_NAMES
            known = self._code_reads[index] = self.reach.mask(
                index, names, lambda name, at: self.meaning(name, at).defs
            )
        return known


def _with_handler(cells: Sequence[Cell], handler: HandlerVersion) -> tuple[list[Cell], int]:
    result = list(cells)
    same = [i for i, c in enumerate(result) if c.ok and c.source == handler.source]
    if same:
        exact = [i for i in same if result[i].number == handler.cell]
        return result, (exact or same)[-1]
    cell = Cell(handler.cell, None, handler.source, True, handler.registered_at)
    index = sum(c.time <= handler.registered_at for c in result)
    result.insert(index, cell)
    return result, index


def _from_kit(facts: Facts) -> bool:
    return any(origin == "kit" or origin.startswith("kit.") for origin in facts.imports.values())


def _root_facts(handler: HandlerVersion) -> Facts:
    """What ``start({"handler": ..., options})`` reads, now and later."""
    values = [handler.expression, *(source for _, source in handler.options)]
    return facts_of(ast.parse("(" + ", ".join(f"({v}\n)" for v in values) + ",)").body[0])
