"""Programs made by chance: what the file computes is what the notebook computes."""

from __future__ import annotations

import ast
import symtable

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, example, given, settings

from kit.source.names import facts_of
from tests.executed import Notebook, call, load

NAMES = ("a", "b", "c", "d")
CALLS = ("f", "g", "h")

name = st.sampled_from(NAMES)
function = st.sampled_from(CALLS)
number = st.integers(0, 9)


def fill(*lines: str) -> st.SearchStrategy[str]:
    """One of some lines with names, functions and numbers filled in. Every name is a list."""
    fields = {"x": name, "y": name, "z": name, "f": function, "g": function, "n": number}
    return st.sampled_from(lines).flatmap(
        lambda line: st.fixed_dictionaries(
            {k: v for k, v in fields.items() if "{" + k + "}" in line}
        ).map(lambda values: line.format(**values))
    )


#: no line fails, whatever ran before it: every name is a list from the first cell on
LINES = fill(
    "{x} = [{n}]",
    "{x} = {y} + {z}",
    "{x} = list({y})",
    "{x} = {y}",
    "{x} = [*{y}, {n}][-9:]",
    "{x}.append({n})",
    "{x} += [{n}]",
    "{x}[:1] = [{n}]",
    "{x} = [len({y})]; {z} = [{n}]",
    "_ = {x}.insert(0, {n})",
    "for v in ({x}, {y}): v.append({n})",
    "if len({x}) > {n}: {y} = [{n}]",
    "if {x}:\n    {y} = [1]\nelse:\n    {y} = {z}",
    "try:\n    {x} = [1 // {n}]\nexcept ZeroDivisionError:\n    {y} = [{n}]",
    "with open(__import__('os').devnull) as devnull: {x} = [{n}]",
    "[{x}.append(i) for i in range({n})]",
    "{x}, *{y} = [{z}, {n}]",
    "def {f}(): return {x} + {y}",
    "def {f}():\n    {x}.append({n})\n    return {y}",
    "def {f}():\n    global {x}\n    {x} = [*{y}, {n}]\n    return [{n}]",
    "def {f}(p=None):\n    p = {x} if p is None else p\n    p.append({n})\n    return list(p)",
    "def {f}(): return {x}",
    "{f} = lambda: {x} + [{n}]",
    "{f}()",
    "{x} = {f}()",
    "{x} = {f}() + {y}",
    "{f}().append({n})",
    "print(len({x}))",
    "len({x})",
    "assert {x} is not {y} or True",
    "class K: items = {x}\nK.items.append({n})",
    "{x} = {{'k': {y}}}['k']",
    "box = {{'k': {x}}}\nbox['k'].append({n})",
    "{x} = (w := [{n}])\nw.append(1)",
)
START = "\n".join(
    [*(f"{n} = [{i}]" for i, n in enumerate(NAMES)), *(f"def {n}(): return [7]" for n in CALLS)]
)
HANDLERS = fill(
    "def handler(job): return {x}",
    "def handler(job): return [{x}, {y}]",
    "def handler(job): return {f}()",
    "def handler(job):\n    {x}.append(job['input'])\n    return [{x}, {f}()]",
    "def handler(job, extra={x}): return [extra, {y}]",
)
CELLS = st.lists(LINES, min_size=1, max_size=3).map("\n".join)


def compare(book: Notebook) -> None:
    sliced = book.slice()
    assert sliced.missing == {}
    exported = load(book.render())
    for value in (1, 2):
        assert call(exported, "handler", value) == call(book.namespace, "handler", value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(CELLS, max_size=6), handler=HANDLERS, after=st.lists(CELLS, max_size=3))
def test_cells_that_ran_once(before: list[str], handler: str, after: list[str]) -> None:
    book = Notebook()
    for source in (START, *before, "%%handler\n" + handler, *after):
        # recursion among functions is the only way to fail; such a notebook proves nothing
        if not book.run(source):
            event("a cell raised")
            return
    compare(book)


RUNS = st.lists(st.tuples(st.sampled_from("pqrst"), CELLS), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(runs=RUNS, handler=HANDLERS, again=st.lists(st.sampled_from("pqrst"), max_size=4))
def test_cells_edited_and_run_again(
    runs: list[tuple[str, str]], handler: str, again: list[str]
) -> None:
    book = Notebook()
    assert book.run(START, "start")
    last: dict[str, str] = {}
    for cell_id, source in runs:
        book.run(source, cell_id)
        last[cell_id] = source
    assert book.run("%%handler\n" + handler, "handler")
    for cell_id in again:
        if cell_id in last:
            book.run(last[cell_id], cell_id)
    # only the last run of a cell counts: the file stands for those, in their order
    fresh = Notebook()
    if not all(fresh.run(cell.source) for cell in book.record.cells() if cell.ok):
        event("the last runs alone raise")
        compile(book.render(), "handler.py", "exec")
        return
    exported = load(book.render())
    for value in (1, 2):
        assert call(exported, "handler", value) == call(fresh.namespace, "handler", value)


def globals_of(source: str) -> tuple[set[str], set[str]]:
    """Global names a statement binds, and those it reads, by the compiler's own table."""
    bound: set[str] = set()
    read: set[str] = set()
    todo = [symtable.symtable(source, "statement", "exec")]
    while todo:
        table = todo.pop()
        todo += table.get_children()
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.get_name().startswith("."):
                continue  # the iterable of a comprehension
            if top or symbol.is_global():
                if symbol.is_assigned() or symbol.is_imported():
                    bound.add(symbol.get_name())
                if symbol.is_referenced():
                    read.add(symbol.get_name())
    return bound, read


SCOPES = st.recursive(
    fill(
        "{x} = {y}",
        "{x} += {y}",
        "del {x}",
        "({x} := {y})",
        "[{x} for {y} in {z} if {y}]",
        "[({x} := {y}) for {y}2 in {z}]",
        "lambda {x}, *, {y}={z}: {x} + {f}",
        "import {x}.{y}",
        "from {x} import {y} as {z}",
        "{x}.{y} = {z}",
        "{x}[{y}] = {z}",
        "global {x}; {x} = {y}",
        "for {x} in {y}: {z}",
        "with {x} as ({y}, *{z}): pass",
        "try: {x}\nexcept {y} as {z}: {z}",
        "match {x}:\n    case {y}.k: {z}\n    case [{z}, *{x}2]: {y}\n    case {{'k': {y}3, **{z}3}}: pass",
        "f'{{{x}!r:>{{{y}}}}}'",
        "{{{x}: {y} for {x}, {y} in {z}}}",
    ),
    lambda inner: st.builds(
        lambda head, body: (
            head + ":\n" + "\n".join("    " + line for part in body for line in part.split("\n"))
        ),
        fill(
            "def {f}({x}, {y}2={z}, *{z}2, **{y}3)",
            "@{z}\nasync def {f}({x}={y})",
            "class {f}({x}, metaclass={y})",
            "if {x} > {y}",
            "while {x}",
        ),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(source=SCOPES)
@example(
    "def f():\n    nonlocal_ = 1\n    def g():\n        nonlocal nonlocal_\n        nonlocal_ = a\n    return g"
)
@example("class f:\n    a = a\n    def b(self): return a")
@example("class f:\n    a = 1\n    b = [a for c in a]")
def test_scopes_are_the_compilers(source: str) -> None:
    try:
        compile(source, "statement", "exec")
    except SyntaxError:
        event("not Python")
        return
    bound, read = globals_of(source)
    nodes = ast.parse(source).body
    facts = [facts_of(node) for node in nodes]
    binds = {n for f in facts for n in (*f.binds, *f.unbinds)}
    writes = {n for f in facts for code in f.code.values() for n in code.writes}
    assert binds <= bound
    if "global" not in source:  # which the compiler counts wherever it stands
        assert bound <= binds | writes
    reads = {n for f in facts for n in f.reads | f.later}
    assert read <= reads
    # a name that a class body binds may be the global one before that; `x += 1` reads for us
    if "class" not in source and "+=" not in source:
        assert reads <= read
