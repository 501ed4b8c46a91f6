"""What each kept statement stands on: whose values it reads, and whose objects it changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.source.program import Program


@dataclass(frozen=True, slots=True)
class Link:
    """One kept statement among the others; numbers are positions in the order of the slice.

    Attributes
    ----------
    reads : tuple of (str, int)
        Names it reads while it runs, with the statement that defines each.
    after : tuple of int
        Every statement it depends on: those definitions, and what changed their objects before it.
    changes : tuple of int
        Definitions whose objects it changes, or may.
    binds : tuple of str
        Names it defines or deletes.
    touched : frozenset of str
        Texts of all statements of the notebook, kept or not, that change or may change its object.
    """

    reads: tuple[tuple[str, int], ...]
    after: tuple[int, ...]
    changes: tuple[int, ...]
    binds: tuple[str, ...]
    touched: frozenset[str]


def links_of(program: Program, order: Sequence[int]) -> tuple[Link, ...]:
    """Links of the kept statements of a program, in their order."""
    place = {index: at for at, index in enumerate(order)}
    changed: dict[int, set[int]] = {}
    touched: dict[int, set[str]] = {}
    for definition, index in _changes(program):
        if definition in place and index > definition:
            touched.setdefault(definition, set()).add(program.statements[index].text)
            if index in place:
                changed.setdefault(index, set()).add(definition)
    return tuple(
        _link(program, index, place, changed, frozenset(touched.get(index, ()))) for index in order
    )


def _changes(program: Program) -> Iterator[tuple[int, int]]:
    """Definitions with the statements that change their objects, or may."""
    for (_, definition), changers in program.changes.items():
        for index in changers:
            yield definition, index
    for index, judgement in enumerate(program.judgements):
        for name in judgement.receives:
            for definition in program.meaning(name, index).defs:
                yield definition, index


def _link(
    program: Program,
    index: int,
    place: dict[int, int],
    changed: dict[int, set[int]],
    touched: frozenset[str],
) -> Link:
    facts = program.statements[index].facts
    names = set(facts.reads) | set(facts.unbinds)
    if facts.calls or facts.decorators:
        names |= set(program.reach.names(program.code_reads(index)))
    if "__future__.annotations" not in program.imports.values():
        names |= facts.annotated - facts.binds.keys()
    reads: set[tuple[str, int]] = set()
    after: set[int] = set()
    for name in names:
        for definition in program.meaning(name, index).defs:
            if definition not in place or definition == index:
                continue
            reads.add((name, place[definition]))
            after.add(place[definition])
            for changer in program.changes.get((name, definition), ()):
                if changer in place and place[changer] < place[index]:
                    after.add(place[changer])
    return Link(
        tuple(sorted(reads)),
        tuple(sorted(after - {place[index]})),
        # an import is no object of the notebook's: to run it again would change nothing
        tuple(sorted(place[d] for d in changed.get(index, ()) if not _imports(program, d))),
        tuple(sorted({*facts.binds, *facts.unbinds})),
        touched,
    )


def _imports(program: Program, index: int) -> bool:
    return isinstance(program.statements[index].node, (ast.Import, ast.ImportFrom))
