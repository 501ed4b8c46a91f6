"""Programs made by chance: what the file computes is what the notebook computes."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, event, given, settings

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


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=st.lists(CELLS, max_size=6), handler=HANDLERS, after=st.lists(CELLS, max_size=3))
def test_cells_that_ran_once(before: list[str], handler: str, after: list[str]) -> None:
    book = Notebook()
    for source in (START, *before, "%%handler\n" + handler, *after):
        # recursion among functions is the only way to fail; such a notebook proves nothing
        if not book.run(source):
            event("a cell raised")
            return
    compare(book)
