"""What the source cannot settle is asked, and nothing else is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from kit.errors import ExportError
from kit.export import export
from kit.source.record import Cell
from kit.source.slice import Decision, slice_cells
from tests.executed import Notebook, notebook
from tests.exporting import request_of

HANDLER = "%%handler\ndef handler(job): return x"


def recorded(*sources: str) -> list[Decision]:
    """Decisions on cells that are only recorded, and a handler that reads ``x``."""
    book = notebook(HANDLER.replace("%%handler", "%%handler --no-run"))
    cells = [Cell(90 + n, f"p{n}", source, True, 0.1 + n / 10) for n, source in enumerate(sources)]
    return list(slice_cells([*cells, *book.record.cells()], book.version()).decisions)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = input('how many')", "asks a person (input())"),
        ("import getpass\nx = getpass.getpass()", "asks a person (getpass.getpass())"),
        ("from getpass import getpass\nx = getpass()", "asks a person (getpass.getpass())"),
        ("def x():\n    breakpoint()", "stops in the debugger (breakpoint())"),
        ("import pdb\ndef x(): pdb.set_trace()", "stops in the debugger (pdb.set_trace())"),
        (
            "from IPython.core.debugger import set_trace as stop\ndef x(): stop()",
            "stops in the debugger (IPython.core.debugger.set_trace())",
        ),
        ("import math\nname = 'p' + 'i'\nx = getattr(math, name)", "a part of `math` that cannot be"),
        ("class O: pass\nx = O()\nkey = 'a'\nsetattr(x, key, 1)", "a part of `x` that cannot be seen"),
        ("import math\nsetattr(math, 'two', 2)\nx = math.two", "setattr() changes `math`"),
        ("x = eval('1')", "uses eval()"),
        ("x = globals().get('y')", "uses globals()"),
        ("x = vars()", "uses vars()"),
        ("x = __import__('json')", "uses __import__()"),
        (
            "import ipywidgets as w\nbox = w.IntSlider()\nbox\nx = box.value",
            "takes what a person chose in a widget",
        ),
    ],
)  # fmt: skip
def test_what_is_asked_of_what_stays(source: str, told: str) -> None:
    asked = [d for d in recorded(source) if d.question]
    assert [told in d.reason for d in asked] == [True]
    assert asked[0].kept
    # the person has looked at it
    lines = source.split("\n")
    sure = "\n".join([*lines[:-1], f"# kit: keep\n{lines[-1]}"])
    if "\n    " not in source and "setattr(math" not in source:
        assert not any(d.question for d in recorded(sure))


@pytest.mark.parametrize(
    "source",
    [
        "import math\nx = getattr(math, 'pi')",
        "class O: pass\nx = O()\nsetattr(x, 'a', 1)\nname = getattr(x, 'a', None)",
        "import argparse\nargs = argparse.Namespace(a=1)\nx = vars(args)",
        "def x(): return locals()",
        "def x(input): return input('a')",
        "class M:\n    def breakpoint(self): pass\nx = M().breakpoint()",
        "def breakpoint(): return 1\nx = breakpoint()",
        "import re\nx = re.compile('a').pattern",
    ],
)
def test_what_is_plain_is_not_asked(source: str) -> None:
    assert [d.reason for d in recorded(source) if d.question] == []


def test_a_cell_that_is_no_longer_in_the_notebook_is_asked() -> None:
    book = notebook("x = 1", "y = 2", HANDLER)
    cells = [dataclasses.replace(c, gone=c.number in (1, 2)) for c in book.record.cells()]
    decisions = slice_cells(cells, book.version()).decisions
    assert [(d.kept, d.question) for d in decisions] == [
        (True, True),
        (False, False),
        (True, False),
    ]
    assert "its cell is no longer in the notebook" in decisions[0].reason


def edited(*runs: tuple[str, str]) -> list[Decision]:
    book = Notebook()
    for cell_id, source in runs:
        assert book.run(source, cell_id)
    return [d for d in book.slice().decisions if d.question]


def test_what_an_earlier_run_of_an_edited_cell_changed_is_asked() -> None:
    [asked] = edited(("a", "x = []"), ("b", "x.append(1)"), ("b", "y = 2"), ("h", HANDLER))
    assert asked.statement.text == "x = []"
    assert "an earlier run of In [3], edited since, changed `x`" in asked.reason
    # an older value that was replaced by name, too
    [asked] = edited(("a", "x = 1"), ("b", "x = 2"), ("b", "y = 2"), ("h", HANDLER))
    assert "changed `x`" in asked.reason


def test_what_was_made_anew_since_is_not_asked() -> None:
    again = edited(
        ("a", "x = []"), ("b", "x.append(1)"), ("b", "y = 2"), ("a", "x = []"), ("h", HANDLER)
    )  # fmt: skip
    assert again == []
    assert edited(("a", "x = 1"), ("a", "x = 2"), ("a", "x = 3"), ("h", HANDLER)) == []


def test_a_test_call_that_changed_what_the_worker_has_is_asked() -> None:
    asked = edited(
        ("a", "x = []\ndef add(n):\n    x.append(n)\n    return x"),
        ("h", "%%handler\ndef handler(job): return add(job['input'])"),
        ("b", "add(3)"),
    )
    assert ["it changed `x`" in d.reason for d in asked] == [True]
    # a job is what the handler is there for
    assert not edited(
        ("a", "x = []"), ("h", "%%handler\ndef handler(job): x.append(1)"), ("b", "handler(1)")
    )


def test_a_handler_made_by_exec_is_refused_with_its_cell(tmp_path: Path) -> None:
    book = Notebook()
    assert book.run("%%handler\nexec('def handler(job): return 1')")
    with pytest.raises(ExportError, match=r"`handler` .*In \[1\], line 2 uses exec\(\)"):
        export(request_of(book, tmp_path / "w", verify=False))
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = = 1", "may define it, but it is not valid Python"),
        ("library(ggplot2)\nx <- c(1, 2", "may define it, but it is not valid Python"),
        ("x = '" + "a" * 50_000_000 + "'", "has 50 MB of source"),
        ("%store -r x", "no executed cell defines it"),
        ("x = %sql select 1", "which only a notebook can run"),
        ("x = !ls", "takes it from `ls`, which only a notebook can run"),
    ],
    ids=["syntax", "R", "50 MB", "store", "sql", "shell"],
)
def test_a_cell_that_cannot_be_read_is_named_where_it_is_needed(
    tmp_path: Path, source: str, told: str
) -> None:
    book = notebook(HANDLER)
    book.record.add(Cell(7, "bad", source, "= = " not in source, 0.5))
    with pytest.raises(ExportError) as refused:
        export(request_of(book, tmp_path / "w", verify=False))
    assert told in str(refused.value)
    assert "`x` (used in In [1], line 2)" in str(refused.value)
    assert len(str(refused.value)) < 600
    assert not (tmp_path / "w").exists()
