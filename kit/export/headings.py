"""Comments that stand apart: which statement of the file each of them goes with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kit.source.slice import Decision


def headings_of(decisions: Sequence[Decision], hoisted: Collection[int]) -> dict[int, str]:
    """Headings of the kept statements, by ``id`` of the statement.

    A comment goes with the statement below it, and with that one out of the file. One at the head
    of a cell is about the cell: it goes with the first statement of it that stays. As imports
    leave for the top of the file, what stands above them goes with what they were imported for,
    if anything of that stays.

    Parameters
    ----------
    decisions : sequence of Decision
        In the order of execution.
    hoisted : collection of int
        The ``id`` of each import that goes to the top of the file.
    """
    found: dict[int, str] = {}
    for place, decision in enumerate(decisions):
        statement = decision.statement
        if not statement.heading:
            continue
        if decision.kept and id(statement) not in hoisted:
            found[id(statement)] = statement.heading
        elif statement.facts.imports or statement.headed:
            goal = _below(decisions, place, hoisted)
            if goal is not None:
                found[goal] = statement.heading
    return found


def _below(decisions: Sequence[Decision], place: int, hoisted: Collection[int]) -> int | None:
    """The first statement in the cell that stays where it is, as far as to the next heading; else
    the first import that stays.
    """
    position = decisions[place].statement.position
    imports: list[int] = []
    for number, decision in enumerate(decisions[place:]):
        statement = decision.statement
        if statement.position != position or (statement.heading and number):
            break
        if decision.kept and id(statement) not in hoisted:
            return id(statement)
        if decision.kept:
            imports.append(id(statement))
    return imports[0] if imports else None
