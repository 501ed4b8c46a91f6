"""The order in which a file must have the kept statements."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from kit.source.program import END, Program


def arrange(
    program: Program,
    kept: Iterable[int],
    needs: Mapping[int, set[int]],
    moved: Mapping[str, tuple[int, int]],
) -> tuple[list[int], list[str]]:
    """Order statements so that the file runs; the order of execution wherever that is one.

    Parameters
    ----------
    program : Program
    kept : iterable of int
    needs : mapping of int to set of int
        Statement to those that must come before it.
    moved : mapping of str to tuple of int
        Names whose definition comes below a reader, as (reader, definition).

    Returns
    -------
    order : list of int
    conflicts : list of str
        One sentence for each name that would not mean the same as in the notebook.
    """
    order: list[int] = []
    done: set[int] = set()
    kept = sorted(kept)
    inside = set(kept)
    for start in kept:
        # depth first without recursion: a chain of definitions may be as long as the notebook
        stack = [start]
        entered: set[int] = set()
        while stack:
            index = stack[-1]
            if index in done:
                stack.pop()
                continue
            before = [
                i
                for i in sorted(needs.get(index, ()))
                if i in inside and i not in done and i not in entered and i != index
            ]
            entered.add(index)
            if before:
                stack.extend(reversed(before))
            else:
                stack.pop()
                done.add(index)
                order.append(index)
    _handler_last(program, order)
    return order, _conflicts(program, order, needs) if moved else []


def _handler_last(program: Program, order: list[int]) -> None:
    """Move the handler's ``def`` to the end, where nothing below it depends on it."""
    name = program.handler_name
    defs = [i for i in program.meaning(name, program.root_at).defs if i in order] if name else []
    if len(defs) != 1:
        return
    index = defs[0]
    statement = program.statements[index]
    if not isinstance(statement.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    below = order[order.index(index) + 1 :]
    for other in below:
        facts = program.statements[other].facts
        reads = facts.reads | (program.code_reads(other, facts.reads) if facts.calls else set())
        bound = set(facts.binds) | facts.unbinds
        if name in reads or name in bound or bound & statement.facts.reads:
            return
    order.remove(index)
    order.append(index)


def _conflicts(program: Program, order: list[int], needs: Mapping[int, set[int]]) -> list[str]:
    """Names whose meaning the order could not keep."""
    last: dict[str, int] = {}
    wrong: dict[str, int] = {}
    for index in order:
        facts = program.statements[index].facts
        for name in facts.reads:
            wanted = [i for i in program.meaning(name, index).defs if i in needs.get(index, ())]
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
