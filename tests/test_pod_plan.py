"""Which statements run again: those whose text or inputs changed. Checked by running them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.handler import HandlerKind, HandlerVersion
from kit.source.record import Cell, Record
from kit.source.slice import slice_with_links
from kit.targets.pod.plan import Ledger, items_of, plan


class There:
    """A namespace on the other side with its ledger, and the notebook that feeds it."""

    def __init__(self) -> None:
        self.record, self.ledger = Record(), Ledger()
        self.names: dict[str, Any] = {}
        self.number = 0

    def cell(self, id: str, source: str) -> There:
        self.number += 1
        self.record.add(Cell(self.number, id, source, True, time.time()))
        return self

    def go(self, expression: str = "handler") -> list[str]:
        """Run what a plan says; the first lines of it."""
        info = HandlerVersion(
            expression, 1, HandlerKind.SYNC, expression, (), self.source_of(expression), None, None,
            None, "{}", time.time(),
        )  # fmt: skip
        sliced, links = slice_with_links(self.record.cells(), info)
        assert not sliced.missing, sliced.missing
        items = items_of(sliced.kept, links)
        ran = []
        for step in plan(items, self.ledger):
            if step.runs:
                try:
                    exec(step.item.statement.text, self.names)
                except ZeroDivisionError:
                    self.ledger.note(step.item.key, step.item.about(items), ok=False)
                    ran.append("failed: " + step.item.statement.text)
                    break
                self.ledger.note(step.item.key, step.item.about(items), ok=True)
                ran.append(step.item.statement.text.split("\n")[0])
        return ran

    def source_of(self, name: str) -> str:
        return next(c.source for c in reversed(self.record.cells()) if f"def {name}(" in c.source)

    def answer(self) -> Any:
        return self.names["handler"](1)


HANDLER = "def handler(job):\n    return model[0] + job"


def test_the_first_time_all_and_then_nothing() -> None:
    there = There().cell("m", "model = [1]").cell("h", HANDLER)
    assert there.go() == ["model = [1]", "def handler(job):"]
    assert there.go() == []
    assert there.answer() == 2


def test_a_mutation_that_changed_makes_its_object_anew() -> None:
    there = There().cell("m", "model = [1]").cell("c", "model[0] = 5").cell("h", HANDLER)
    assert there.go()[:2] == ["model = [1]", "model[0] = 5"]
    there.cell("c", "model.append(7)")
    assert there.go() == ["model = [1]", "model.append(7)"]
    assert there.answer() == 2


def test_a_mutation_that_is_gone_is_undone() -> None:
    there = There().cell("m", "model = [1]").cell("c", "model[0] = 5").cell("h", HANDLER)
    there.go()
    there.cell("c", "unrelated = 3")
    assert there.go() == ["model = [1]"]
    assert there.answer() == 2


def test_a_new_mutation_is_put_on_top() -> None:
    there = There().cell("m", "model = [1]").cell("h", HANDLER)
    there.go()
    there.cell("c", "model[0] = 9")
    assert there.go() == ["model[0] = 9"]
    assert there.answer() == 10


def test_a_function_that_the_load_calls_costs_the_load() -> None:
    there = There().cell("f", "def load():\n    return [1]").cell("m", "model = load()")
    there.cell("h", HANDLER)
    there.go()
    there.cell("f", "def load():\n    return [2]")
    there.cell("m", "model = load()")
    assert there.go() == ["def load():", "model = load()"]
    assert there.answer() == 3


def test_a_helper_that_only_the_handler_calls_costs_only_itself() -> None:
    there = There().cell("m", "model = [1]").cell("f", "def plus(x):\n    return x + 1")
    there.cell("h", "def handler(job):\n    return plus(model[0]) + job")
    there.go()
    there.cell("f", "def plus(x):\n    return x + 2")
    assert there.go() == ["def plus(x):"]
    assert there.answer() == 4


def test_a_value_that_comes_back_is_set_again() -> None:
    there = There().cell("m", "model = [1]").cell("h", HANDLER)
    there.go()
    there.cell("m", "model = [2]")
    there.go()
    there.cell("m", "model = [1]")
    assert there.go() == ["model = [1]"]
    assert there.answer() == 2


def test_a_name_that_two_handlers_use_apart_does_not_load_a_model_twice() -> None:
    there = There().cell("m", "model = [1]").cell("h", HANDLER)
    there.cell("o", "def other(job):\n    return -model[0]")
    there.go()
    assert there.go("other") == ["def other(job):"]
    assert there.go() == []
    assert there.go("other") == []


def test_what_failed_runs_again_and_so_does_what_it_may_have_changed() -> None:
    there = There().cell("m", "model = [1]").cell("c", "model.append(1 / 0)").cell("h", HANDLER)
    assert there.go()[-1].startswith("failed")
    there.cell("c", "model.append(1)")
    assert there.go() == ["model = [1]", "model.append(1)", "def handler(job):"]
    assert there.names["model"] == [1, 1]


def test_a_setting_of_a_library_imports_nothing_again() -> None:
    there = There().cell("i", "import json, decimal").cell("s", "decimal.getcontext().prec = 5")
    there.cell("m", "model = json.loads('[1]')").cell("h", HANDLER)
    there.go()
    there.cell("s", "decimal.getcontext().prec = 9")
    assert "import json" not in there.go()


VALUES = st.integers(0, 3)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "h"]),
        VALUES,
    ),
    min_size=1,
    max_size=12,
)
SOURCES = {
    "a": ["a = [0]", "a = [1]", "a = [0]  # again", "a = list((2,))"],
    "b": ["def f(x):\n    return x + a[0]", "def f(x):\n    return x * 2", "f = abs", "f = len([]).__add__"],
    "c": ["b = [f(10)]", "b = [f(a[0])]", "b = a", "b = [5]"],
    "d": ["b.append(1)", "b[0] = 7", "a[0] = 3", "x = 1"],
    "h": [f"def handler(job):\n    return (a, b, f(1), {n})" for n in range(4)],
}  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(EDITS)
def test_after_any_edits_the_pod_stands_as_if_all_had_run_anew(
    edits: list[tuple[str, int]],
) -> None:
    there = There()
    now = dict.fromkeys("abcdh", 0)
    for id, number in [("a", 0), *edits]:
        now[id] = number
        # an edited cell and those below it are run: in another order no file can say what was meant
        for other in "abcdh"["abcdh".index(id) :]:
            there.cell(other, SOURCES[other][now[other]])
        there.go()
    fresh = There()
    fresh.record = there.record
    fresh.go()
    assert there.answer() == fresh.answer()
    assert there.go() == []


def test_what_was_changed_since_it_was_read_is_made_anew() -> None:
    there = There().cell("m", "model = [1]").cell("f", "def plus(x):\n    return x + model[0]")
    there.cell("s", "total = [plus(1)]").cell("c", "model[0] = 5")
    there.cell("h", "def handler(job):\n    return model[0], total[0]")
    there.go()
    assert there.answer() == (5, 2)
    there.cell("f", "def plus(x):\n    return x + model[0] + 10")
    there.go()
    assert there.answer() == (5, 12)


def test_keys_of_equal_statements_differ_by_their_place() -> None:
    there = There().cell("m", "model = [1]").cell("c", "model[0] += 1").cell("d", "model[0] += 1")
    there.cell("h", HANDLER)
    assert there.go().count("model[0] += 1") == 2
    assert there.answer() == 4
    assert there.go() == []


@pytest.mark.parametrize("name", ["known", "last"])
def test_a_ledger_is_read_back_from_what_the_pod_remembers(name: str) -> None:
    there = There().cell("m", "model = [1]").cell("h", HANDLER)
    info = HandlerVersion(
        "handler", 1, HandlerKind.SYNC, "handler", (), HANDLER, None, None, None, "{}", time.time()
    )
    sliced, links = slice_with_links(there.record.cells(), info)
    items = items_of(sliced.kept, links)
    one, other = Ledger(), Ledger()
    notes = [(item.key, item.about(items)) for item in items]
    for ledger in (one, other):
        for key, about in notes:
            ledger.note(key, about, ok=True)
    assert getattr(one, name) == getattr(other, name)
    assert not [step for step in plan(items, other) if step.runs]
