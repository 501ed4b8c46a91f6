"""What code may read that runs when a name is used, against a search that follows every step."""

from __future__ import annotations

import time

import hypothesis.strategies as st
from hypothesis import given, settings

from kit.source.program import Program
from kit.source.record import Cell
from tests.executed import notebook

NAMES = st.sampled_from("abcdef")
LINES = st.one_of(
    st.tuples(NAMES, NAMES, NAMES).map(lambda t: f"def {t[0]}(): return [{t[1]}, {t[2]}]"),
    st.tuples(NAMES, NAMES).map(lambda t: f"{t[0]} = lambda: {t[1]}"),
    st.tuples(NAMES, NAMES).map(lambda t: f"{t[0]} = [{t[1]}]"),
    st.tuples(NAMES, NAMES).map(lambda t: f"class {t[0]}:\n    def go(self): return {t[1]}"),
    NAMES.map(lambda n: f"import {n}"),
    NAMES.map(lambda n: f"{n} = 1"),
)


def program(lines: list[str]) -> Program:
    cells = [Cell(n, str(n), line, True, 1.0) for n, line in enumerate(lines)]
    return Program(cells, notebook("%%handler\ndef handler(job): return 1").version())


def mask(made: Program, index: int, names: frozenset[str]) -> int:
    return made.reach.mask(index, names, lambda name, at: made.meaning(name, at).defs)


def searched(made: Program, index: int, names: frozenset[str]) -> set[str]:
    result: set[str] = set()
    seen: set[int] = set()
    todo = list(names)
    while todo:
        for place in made.meaning(todo.pop(), index).defs:
            if place not in seen:
                seen.add(place)
                facts = made.statements[place].facts
                result |= facts.later
                todo += [*facts.later, *(() if facts.imports else facts.reads)]
    return result


@settings(max_examples=300, deadline=None)
@given(lines=st.lists(LINES, min_size=1, max_size=12))
def test_it_is_what_a_search_finds(lines: list[str]) -> None:
    made = program(lines)
    for index, statement in enumerate(made.statements):
        found = set(made.reach.names(mask(made, index, statement.facts.reads)))
        expected = searched(made, index, statement.facts.reads)
        assert expected <= found
        # what a statement itself makes is not there yet, but counts as if it were
        if expected.isdisjoint(statement.facts.binds):
            assert found == expected


def test_a_long_chain_is_answered_at_once() -> None:
    lines = ["d0 = []"]
    for n in range(1, 3000):
        lines += [f"def f{n}(): return f{n - 1}", f"d{n} = [f{n}, d{n - 1}]"]
    made = program(["\n".join(lines)])
    began = time.perf_counter()
    last = [mask(made, i, s.facts.reads) for i, s in enumerate(made.statements)][-2]
    assert len(made.reach.names(last)) > 2900
    assert time.perf_counter() - began < 20  # 0.1 s alone
