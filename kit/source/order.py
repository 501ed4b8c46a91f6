"""The order in which a file must have the kept statements."""

from __future__ import annotations

from collections.abc import Iterable

from kit.source.program import END, Program
from kit.source.sections import by_sections


class Edges:
    """Which statements must come before which.

    An edge is hard where a statement reads what another defines; through code that it calls, or
    may only hand on, it is soft, and gives way to a hard one.
    """

    def __init__(self) -> None:
        self.hard: dict[int, set[int]] = {}
        self.soft: dict[int, set[int]] = {}
        self.natural = True  # the order of execution satisfies them all

    def add(self, reader: int, definition: int, *, through: bool) -> None:
        """Note that ``reader`` needs ``definition`` before it; ``END`` reads when all is there."""
        if through and definition < reader:
            return  # where it is already; looked up again if the reader must move
        if reader < END and reader != definition:
            table = self.soft if through else self.hard
            known = table.get(reader)
            if known is None:
                table[reader] = {definition}
            else:
                known.add(definition)
            self.natural &= definition < reader

    def before(self, index: int, through: set[int]) -> set[int]:
        """What must come before a statement, soft edges against a hard one left out.

        ``through`` are further definitions that code reads which the statement calls.
        """
        soft = self.soft.get(index, set()) | through
        return self.hard.get(index, set()) | {d for d in soft if not self._reaches(d, index)}

    def _reaches(self, start: int, goal: int) -> bool:
        seen, todo = {start}, [start]
        while todo:
            for index in self.hard.get(todo.pop(), ()):
                if index == goal:
                    return True
                if index not in seen:
                    seen.add(index)
                    todo.append(index)
        return False


def arrange(program: Program, kept: Iterable[int], edges: Edges) -> tuple[list[int], list[str]]:
    """Order statements so that the file runs, by sections where that changes nothing.

    Parameters
    ----------
    program : Program
    kept : iterable of int
    edges : Edges

    Returns
    -------
    order : list of int
    conflicts : list of str
        One sentence for each name that would not mean the same as in the notebook.
    """
    order = sorted(kept)
    conflicts: list[str] = []
    if not edges.natural:
        order = _sorted(program, order, edges)
        conflicts = _conflicts(program, order, edges)
    return by_sections(program, order), conflicts


def _read_through(program: Program, index: int, inside: set[int]) -> set[int]:
    """Kept definitions above a statement that code reads which it calls."""
    facts = program.statements[index].facts
    if not (facts.calls or facts.decorators):
        return set()
    names = program.reach.names(program.code_reads(index))
    found = {place for name in names for place in program.meaning(name, index).defs}
    return {place for place in found & inside if place < index}


def _sorted(program: Program, kept: list[int], edges: Edges) -> list[int]:
    order: list[int] = []
    done: set[int] = set()
    inside = set(kept)
    for start in kept:
        # depth first without recursion: a chain of definitions may be as long as the notebook
        stack, entered = [start], set[int]()
        while stack:
            index = stack[-1]
            if index in done:
                stack.pop()
                continue
            entered.add(index)
            # at its own turn all above it is done; moved up, it takes along what it needs
            through = _read_through(program, index, inside - done) if index > start else set()
            before = [
                i
                for i in edges.before(index, through)
                if i in inside and i not in done and i not in entered
            ]
            if before:
                stack.extend(sorted(before, reverse=True))
            else:
                stack.pop()
                done.add(index)
                order.append(index)
    return order


def _conflicts(program: Program, order: list[int], edges: Edges) -> list[str]:
    """Names whose meaning the order could not keep."""
    last: dict[str, int] = {}
    wrong: dict[str, int] = {}
    for index in order:
        facts = program.statements[index].facts
        for name in facts.reads:
            needs = edges.hard.get(index, ())
            wanted = [i for i in program.meaning(name, index).defs if i in needs]
            if wanted and last.get(name, -1) not in wanted:
                wrong.setdefault(name, index)
        for name in facts.binds:
            last[name] = index
    for name, index in last.items():
        final = program.meaning(name, END).defs
        if final and final[-1] in order and final[-1] != index:
            wrong.setdefault(name, index)
    return [
        f"The order in which `{name}` got its values cannot be told from the last run of each "
        f"cell ({program.statements[index].place}): restart the kernel, run the cells in order, "
        "and export again."
        for name, index in sorted(wrong.items())
    ]
