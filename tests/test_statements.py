"""Cells into statements: text, lines, comments, and magics through IPython's own transformer."""

from __future__ import annotations

import argparse
import inspect
import io
import shlex
import textwrap
import tokenize

import pytest

from kit.source.record import Cell
from kit.source.statements import Statement, Unreadable, split
from kit.source.texts import CellText


def statements(source: str) -> list[Statement]:
    found = split(Cell(1, None, textwrap.dedent(source), True, 0.0), 0)
    assert not isinstance(found, Unreadable), found
    return found


def lines_and_texts(source: str) -> list[tuple[int, str]]:
    return [(s.line, s.text) for s in statements(source)]


def test_the_handler_line_is_blank_and_keeps_line_numbers() -> None:
    assert lines_and_texts("\n# about\n%%handler --wait 3\n\nx = 1\n") == [(5, "x = 1")]


def test_a_load_line_is_blank_too_and_its_cell_keeps_its_statements() -> None:
    source = "%%kit_load sdxl\n# about\n%%handler\n\nmodel = load()\n%time y = 2\n"
    assert lines_and_texts(source) == [(5, "model = load()"), (6, "y = 2")]


def test_comments_right_above_and_behind_belong_to_a_statement() -> None:
    source = """\
    # first

    # why
    # and how
    x = 1  # here
    y = [  # there
        1,  # one
    ]
    # last
    """
    assert lines_and_texts(source) == [
        (5, "# why\n# and how\nx = 1  # here"),
        (6, "y = [  # there\n    1,  # one\n]"),
    ]


def test_comments_at_the_end_of_a_block_belong_to_it() -> None:
    source = "def f(x):\n    return x\n\n    # not yet:\n    # return 2 * x\n# about y\ny = 1\n"
    assert lines_and_texts(source) == [
        (1, "def f(x):\n    return x\n\n    # not yet:\n    # return 2 * x"),
        (7, "# about y\ny = 1"),
    ]
    assert lines_and_texts("if x: y = 1\n  # odd\nz = 2")[0] == (1, "if x: y = 1\n  # odd")
    assert lines_and_texts("def f(): pass\n# about nothing\n") == [(1, "def f(): pass")]


def test_comments_of_an_import_of_several_names_go_with_the_first() -> None:
    assert lines_and_texts("# both\nimport os, sys  # used\nx = 1") == [
        (2, "# both\nimport os  # used"),
        (2, "import sys"),
        (3, "x = 1"),
    ]


def test_statements_that_share_a_line() -> None:
    assert lines_and_texts("é = 'ü'; y = 2  # both\nz = 3") == [
        (1, "é = 'ü'"),
        (1, "y = 2  # both"),
        (3 - 1, "z = 3"),
    ]
    # what stands above goes with the first, what stands behind with the last; so does the gap
    source = "x = 0\n\n# about\na = 1; b = [\n  2]; c = 3;  # end\n# hush\nd = 4;  # d\n"
    found = [(s.text, s.gap) for s in statements(source)[1:]]
    assert found == [
        ("# about\na = 1", 1), ("b = [\n  2]", 0), ("c = 3  # end", 0), ("# hush\nd = 4  # d", 0),
    ]  # fmt: skip


def test_decorators_and_their_comments() -> None:
    source = "# about f\n@cache\n# in between\n@other(1)\ndef f(): pass\n"
    assert lines_and_texts(source) == [(2, source.rstrip("\n"))]


def test_the_guard_is_flattened_and_strings_keep_their_indentation() -> None:
    source = '''\
    if __name__ == "__main__":
        # the model
        m = load("""
        as it is
            """)
        if m:
            n = 1
    '''
    found = statements(source)
    assert [s.text for s in found] == [
        '# the model\nm = load("""\n    as it is\n        """)',
        "if m:\n    n = 1",
    ]
    assert all(s.guarded for s in found)


def test_f_strings_over_several_lines_keep_their_indentation() -> None:
    source = "if '__main__' == __name__:\n    t = f'''\n    {1 + 1}\n  x'''\n    u = 2\n"
    namespace: dict[str, object] = {}
    exec("\n".join(s.text for s in statements(source)), namespace)
    assert namespace["t"] == "\n    2\n  x"
    assert namespace["u"] == 2


def test_a_guard_on_one_line() -> None:
    assert lines_and_texts("if __name__ == '__main__': start(1)") == [(1, "start(1)")]


def test_other_ifs_stay_whole() -> None:
    source = "if __name__ == '__main__' or DEBUG:\n    x = 1"
    assert lines_and_texts(source) == [(1, source)]


@pytest.mark.parametrize(
    ("source", "kind", "name", "line"),
    [
        ("%matplotlib inline", "line", "matplotlib", "inline"),
        ("!pip install a \\\n  b", "shell", "system", "pip install a    b"),
        ("files = !ls -la", "shell", "getoutput", "ls -la"),
        ("out = %sql select 1", "line", "sql", "select 1"),
        ("%%bash -e\nls", "cell", "bash", "-e"),
        ("x = 1\nx?", "line", "pinfo", "x"),
        ("%env A=B", "line", "env", "A=B"),
        ("get_ipython().run_line_magic('cd', '/tmp')", "line", "cd", "/tmp"),
    ],
)
def test_magics(source: str, kind: str, name: str, line: str) -> None:
    magic = statements(source)[-1].magic
    assert magic is not None
    assert (magic.kind, magic.name, magic.line) == (kind, name, line)


def test_timing_magics_are_seen_through() -> None:
    assert lines_and_texts("y = 0\n%time x = f(1)  # slow\nz = 3") == [
        (1, "y = 0"),
        (2, "x = f(1)  # slow"),
        (3, "z = 3"),
    ]
    assert lines_and_texts("\n%%time\n# a\nx = 1\ny = 2") == [(4, "# a\nx = 1"), (5, "y = 2")]
    assert lines_and_texts("%%capture out\n%%time\nx = 1") == [(3, "x = 1")]


def test_lines_below_a_continued_magic_keep_their_numbers() -> None:
    source = "\n\n!pip install \\\n   a \\\n   b\nx = 1\n%cd /tmp\ny = 2"
    assert [(s.line, s.text) for s in statements(source) if s.magic is None] == [
        (6, "x = 1"),
        (8, "y = 2"),
    ]


def test_percent_signs_that_are_not_magics() -> None:
    source = "a = 7\nb = (a\n%3)\ns = '''\n%time x\n!ls\n'''"
    assert [s.magic for s in statements(source)] == [None, None, None]
    assert statements(source)[-1].text == "s = '''\n%time x\n!ls\n'''"


def test_what_was_displayed() -> None:
    assert [s.shown for s in statements("x\nx.y()")] == [False, True]
    assert [s.shown for s in statements("x.y();")] == [False]
    assert [s.shown for s in statements("x = 1")] == [False]


def test_imports_are_split_to_names() -> None:
    source = (
        "import os, sys as s\nfrom a.b import (c,\n  d as e)\nfrom .x import y\nfrom z import *"
    )
    assert lines_and_texts(source) == [
        (1, "import os"),
        (1, "import sys as s"),
        (2, "from a.b import c"),
        (2, "from a.b import d as e"),
        (4, "from .x import y"),
        (5, "from z import *"),
    ]


def test_directives() -> None:
    source = "x = 1  # kit: keep\n# kit: drop\ny = 2\nz = 3  # kit: other\nw = '# kit: keep'"
    assert [s.directive for s in statements(source)] == ["keep", "drop", "", ""]


def test_indented_cells_and_prompts_as_ipython_takes_them() -> None:
    assert lines_and_texts("    x = 1\n    y = 2")[0][1] == "x = 1"
    pasted = split(Cell(1, None, ">>> x = 1\n>>> y = 2", True, 0.0), 0)
    assert not isinstance(pasted, Unreadable)
    assert [s.text for s in pasted] == ["x = 1", "y = 2"]


@pytest.mark.parametrize("source", ["def f(:", "%%html\n<b>", "x = '\x00'", "(" * 500, "\ud800"])
def test_what_is_not_python_is_said_or_a_magic(source: str) -> None:
    found = split(Cell(1, None, source, True, 0.0), 0)
    if isinstance(found, Unreadable):
        assert found.reason
    else:
        assert [s.magic is not None for s in found] == [True]


def test_a_long_expression_does_not_exhaust_the_stack() -> None:
    source = "x = " + " + ".join(["a"] * 3000)
    found = split(Cell(1, None, source, True, 0.0), 0)
    if not isinstance(found, Unreadable):
        assert found[0].facts.reads == {"a"}


def test_comments_and_strings_are_found_where_the_tokens_are() -> None:
    odd = r"""
x = '#' "it's" # 'a'
y = r'\\' + "\"#" # b
z = '''one # not
  \''' # nor "this"
  ''' # c
w = 'a\
  # nor here' # d
f"{'#'}#{x!r}" # e
"""
    sources = [odd, *(inspect.getsource(module) for module in (argparse, inspect, shlex, textwrap))]
    for source in sources:
        comments: dict[int, str] = {}
        inside: set[int] = set()
        opened: list[int] = []
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            kind = tokenize.tok_name[token.type]
            if kind == "COMMENT":
                comments[token.start[0]] = token.string
            elif kind == "FSTRING_START":
                opened.append(token.start[0])
            elif kind in ("STRING", "FSTRING_END"):
                first = token.start[0] if kind == "STRING" else opened.pop()
                inside.update(range(first + 1, token.end[0] + 1))
        text = CellText(source)
        assert text.comments == comments
        assert text.inside() == inside
