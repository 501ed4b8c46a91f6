"""Demand: from what the handler reads back to everything that makes it what it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from kit.source.order import Edges
from kit.source.program import END, Program
from kit.source.reasons import missing_reason
from kit.source.statements import Statement


class _Ask(NamedTuple):
    """What ``name`` means to statement ``at``, as changed up to ``until``.

    Attributes
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

    name: str
    at: int
    until: int
    who: str
    soft: bool = False
    through: bool = False
    held: bool = False
    reader: int = END


class Settled:
    """Names with the statement that defines each, asked for all those above a place.

    A binary indexed tree of bit sets: both take a few steps, however many names there are.
    """

    def __init__(self, count: int) -> None:
        self.all = 0
        self._tree = [0] * (count + 1)

    def add(self, bit: int, place: int) -> None:
        self.all |= bit
        at = place + 1
        while at < len(self._tree):
            self._tree[at] |= bit
            at += at & -at

    def above(self, index: int) -> int:
        """Names whose definition stands above a statement."""
        found, at = 0, index
        while at:
            found |= self._tree[at]
            at &= at - 1
        return found


class Demand:
    """Which statements are kept so far, and why.

    Attributes
    ----------
    kept : dict of int to str
        Statement to the reason it stays.
    questions : set of int
        Those of them that the source alone could not settle.
    missing : dict of str to str
        Names asked for that nothing kept defines, with the reason.
    moved : dict of str to int
        Names whose definition comes below a reader.
    edges : Edges
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.statements = program.statements
        self.kept: dict[int, str] = {}
        self.questions: set[int] = set()
        self.missing: dict[str, str] = {}
        self.moved: dict[str, int] = {}
        self.edges = Edges()
        self._lazy = "__future__.annotations" in program.imports.values()
        self._todo: deque[int] = deque()
        self._asked: deque[_Ask] = deque()
        # how far down changes to the object of a definition matter, surely and perhaps
        self._windows: dict[tuple[str, int], int] = {}
        self._held: dict[tuple[str, int], int] = {}
        # names that code reads on the way: asked about once, and who would have asked again
        self._settled = Settled(len(self.statements))
        # names that need no definition
        self._fine: set[tuple[str, int | None, bool]] = set()
        self._through: list[tuple[int, int]] = []
        self._who: dict[int, str] = {}
        # names that nothing defines: builtins, and what is missing; names asked for as jobs see them
        self._undefined: set[str] = set()
        self._in_jobs: set[str] = set()

    def start(self) -> None:
        """Ask for what ``start({"handler": ..., options})`` reads."""
        root = self.program.root
        for name in sorted(root.reads):
            self._asked.append(_Ask(name, self.program.root_at, END, "start()"))
        for name in sorted(root.later):
            self._asked.append(_Ask(name, END, END, "start()"))

    def keep(self, index: int, reason: str, *, question: bool = False) -> None:
        """Keep a statement, and in due course what it needs."""
        if index in self.kept:
            return
        self.kept[index] = reason
        if question:
            self.questions.add(index)
        # `t = Thread(target=f)` is nothing before `t.start()`
        if self.program.judgements[index].lends:
            for name in sorted(self.statements[index].facts.binds):
                self._asked.append(_Ask(name, index + 1, END, "what it was given", soft=True))
        self._todo.append(index)

    def settle(self) -> None:
        """Follow every demand to its end."""
        while self._todo or self._asked:
            if self._asked:  # first: reasons then name the nearest reader
                self._answer(self._asked.popleft())
            else:
                self._read(self._todo.popleft())

    def _read(self, index: int) -> None:
        facts = self.statements[index].facts
        who = self._who_reads(index)
        ask = self._asked.append
        for name in sorted(facts.reads - self._undefined):
            ask(_Ask(name, index, index, who, reader=index))
        for name in sorted(facts.later - self._undefined - self._in_jobs):
            ask(_Ask(name, END, END, who))
        self._in_jobs |= facts.later
        if facts.calls or facts.decorators:
            through = self.program.code_reads(index)
            through &= ~self.program.reach.bits(facts.reads)
            known = through & self._settled.above(index)
            if known:
                self._through.append((index, known))
            for name in sorted(self.program.reach.names(through & ~known)):
                ask(_Ask(name, index, index, who, through=True, reader=index))
                self._settle(name, index)
        if facts.annotated:
            for name in sorted(facts.annotated - facts.reads - facts.binds.keys()):
                ask(_Ask(name, index, index, who, soft=self._lazy, reader=index))
        for name in sorted(facts.soft) if facts.soft else ():
            ask(_Ask(name, END, END, who, soft=True))
        for name in sorted(facts.stores) if facts.stores else ():
            ask(_Ask(name, index, END, who, held=True, soft=True))

    def _settle(self, name: str, index: int) -> None:
        """Note a name about which a second question from below would not bring anything new."""
        place = self.program.reach.place(name)
        if place is None or not place < index or place in self.program.own:
            return
        facts = self.statements[place].facts
        if (
            self.statements[place].directive != "drop"
            and not self.program.changes.get((name, place))
            and not self.program.shares(name, place)
            and not facts.holds.get(name)
        ):
            self._settled.add(self.program.reach.bits([name]), place)

    def _answer(self, ask: _Ask) -> None:
        name, until = ask.name, ask.until
        meaning = self.program.meaning(name, ask.at)
        if ask.soft and (meaning.moved or not meaning.defs):
            return
        if not meaning.defs and (name, meaning.deleted, False) in self._fine:
            return
        windows = self._held if ask.held else self._windows
        if len(meaning.defs) == 1 and not meaning.moved:
            index = meaning.defs[0]
            if index in self.kept and windows.get((name, index), -1) >= until:
                self.edges.add(ask.reader, index, through=ask.through)
                return  # asked before, by one further down
        if (
            ask.reader < END
            and name in self.statements[ask.reader].facts.binds
            and (meaning.moved or not meaning.defs)
        ):
            return  # its own, such as the target of a loop; what is missing is checked in the file
        own = self.program.own
        usable = [d for d in meaning.defs if d not in own] if own else meaning.defs
        if (len(usable) < len(meaning.defs) or not meaning.defs) and not ask.soft:
            known = (name, meaning.deleted, bool(meaning.defs))
            if name not in self.missing and known not in self._fine:
                if reason := missing_reason(self.program, name, meaning):
                    self.missing[name] = reason
                else:
                    self._fine.add(known)
            if name not in self.program.defs:
                self._undefined.add(name)
        for index in usable:
            if self.statements[index].directive == "drop":
                self.missing.setdefault(name, f"{self.statements[index].place} has `# kit: drop`")
                continue
            if index not in self.kept:
                reason, question = self._defines(name, index)
                self.keep(index, f"{reason} `{name}`, which {ask.who} reads", question=question)
            self.edges.add(ask.reader, index, through=ask.through)
        if meaning.moved and usable:
            until = self.program.end_of_cell(usable[0])
            if not ask.through:
                self.moved[name] = usable[0]
        for index in usable:
            before = windows.get((name, index), -1)
            if before < until or meaning.moved:
                windows[name, index] = max(until, before)
                self._follow(ask, index, until)
                if meaning.moved:
                    for change in self.program.changes.get((name, index), ()):
                        if change in self.kept and change < until:
                            self.edges.add(ask.reader, change, through=ask.through)

    def _defines(self, name: str, index: int) -> tuple[str, bool]:
        """How a statement comes to define a name, and whether that is a question."""
        if name in self.statements[index].facts.binds:
            return "defines", False
        if name not in self.program.judgements[index].lends:
            return "calls what binds", False
        return "gives away what binds", True

    def _follow(self, ask: _Ask, place: int, until: int) -> None:
        """Keep what changes the object of a definition, by whatever name, up to ``until``."""
        name, held = ask.name, ask.held
        facts, shared = self.statements[place].facts, self.program.shares(name, place)
        held_by = facts.holds.get(name)
        who = self._who_reads(place) if shared or held_by else ""
        # what else the object is known as, and what it was made with: changed there, it changes
        for other in sorted(shared) if shared else ():
            self._asked.append(_Ask(other, place, until, who, held=held, soft=True))
            if other in facts.binds:  # `a = b = []`
                self._asked.append(_Ask(other, place + 1, until, who, held=held, soft=True))
        for other in sorted(held_by) if held_by else ():
            self._asked.append(_Ask(other, place, until, who, held=True, soft=True))
        for index in self.program.changes.get((name, place), ()):
            if not place < index < until or not self.may_stay(index):
                continue
            judgement = self.program.judgements[index]
            question = bool(judgement.perhaps) and judgement.changes.keys() <= judgement.perhaps
            if question and held:
                continue
            statement = self.statements[index]
            if question and statement.shown and not self.all_live(statement.facts.reads, index):
                continue  # it was made to look; looked at again once more is known
            why = judgement.changes.get(name, "changes what it stands for")
            self.keep(index, f"touches `{name}`: {why}", question=question)

    def _who_reads(self, index: int) -> str:
        known = self._who.get(index)
        if known is None:
            known = self._who[index] = who_reads(self.statements[index])
        return known

    def may_stay(self, index: int) -> bool:
        """Whether a statement may be kept for what it does, not for what it defines."""
        statement = self.statements[index]
        return (
            index not in self.program.own
            and not self.program.judgements[index].starts
            and statement.directive != "drop"
            and (
                not statement.facts.code
                or bool(statement.facts.decorators or self.program.judgements[index].changes)
            )
        )

    def live(self, name: str, index: int) -> bool:
        """Whether what ``name`` means at a statement stays."""
        if name in self.program.imports:
            return any(i in self.kept for i in self.program.defs[name])
        defs = self.program.meaning(name, index).defs
        if any(index <= self._windows.get((name, d), -1) for d in defs):
            return True
        bit = self.program.reach.bits([name])
        return bool(bit & self._settled.all) and any(
            index <= reader and known & bit for reader, known in self._through
        )

    def all_live(self, names: Iterable[str], index: int) -> bool:
        """Whether everything that has a definition among ``names`` stays."""
        return all(self.live(n, index) for n in names if n in self.program.defs)


def who_reads(statement: Statement) -> str:
    """How a reason names a statement: what it defines and where."""
    names = list(statement.facts.code) or list(statement.facts.binds)
    return f"`{names[0]}` ({statement.place})" if names else statement.place
