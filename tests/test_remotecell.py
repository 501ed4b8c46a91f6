"""``%%kit_remote``: what becomes of the cell before IPython would run it."""

from __future__ import annotations

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from kit.errors import UsageError
from kit.line import HelpAsked, parse_remote
from kit.ownlines import transform
from kit.remotecell import MARK, Cut, check, is_remote
from kit.source.elsewhere import Elsewhere
from kit.source.record import Cell, Record
from kit.source.statements import Unreadable, split

LINE = f'"{MARK}"\n'


def cell(text: str) -> list[str]:
    return text.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("%%kit_remote\nx = 1\n", LINE + "x = 1\n"),
        ("# why\n\n%%kit_remote\nx = 1", "# why\n\n" + LINE + "x = 1"),
        ("%%kit_remote  \n!pip list\n", LINE + "!pip list\n"),
        # what cannot be is for the magic, which IPython finds on the first line only
        ("# why\n%%kit_remote gpu\nx = 1\n", "%%kit_remote gpu\n# why\nx = 1\n"),
        ("%%kit_remote", "%%kit_remote\n\n"),
        ("%%kit_remote\n# nothing\n", "%%kit_remote\n# nothing\n"),
        ("%%kit_remote\n%%handler\nx = 1\n", "%%kit_remote\n%%handler\nx = 1\n"),
        ("%%handler\n%%kit_remote\nx = 1\n", "%%kit_remote\n%%handler\nx = 1\n"),
        ("%%kit_load m\n%%kit_remote\nx = 1\n", "%%kit_remote\n%%kit_load m\nx = 1\n"),
        # not on top, or something else
        ("x = 1\n%%kit_remote\n", "x = 1\n%%kit_remote\n"),
        ("%%kit_remotes\nx = 1\n", "%%kit_remotes\nx = 1\n"),
        ("%%kit_remote?\n", "%%kit_remote?\n"),
    ],
)
def test_the_line_becomes_a_mark_and_line_numbers_stay(typed: str, runs: str) -> None:
    once = transform(cell(typed))
    assert "".join(once) == runs
    assert transform(once) == once, "IPython calls it more than once"
    assert is_remote(typed) is (LINE in runs)


@pytest.mark.parametrize(
    ("line", "body", "why"),
    [
        (" gpu", "x = 1", "takes nothing more, not 'gpu'"),
        (
            "",
            "# c\n%%handler h\ndef h(job): ...",
            "do not go together: a handler is registered here",
        ),
        ("", "%%kit_load\nx = 1", "on the timeline by itself"),
        ("", "\n# c\n", "goes on the first line of the cell"),
    ],
)
def test_what_cannot_be_is_said(line: str, body: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check(line, body)


@pytest.mark.parametrize("text", ["?", " -h", "--help"])
def test_help(text: str) -> None:
    with pytest.raises(HelpAsked):
        parse_remote(text)


def cut(source: str) -> ast.Module:
    tree = Cut().visit(ast.parse("".join(transform(cell(source)))))
    assert isinstance(tree, ast.Module)
    return tree


def test_nothing_of_a_marked_cell_is_left_and_all_of_others() -> None:
    assert cut("# c\n%%kit_remote\nimport os\nawait x\n1 / 0\n").body == []
    plain = "import os\n'text'\n"
    assert ast.dump(cut(plain)) == ast.dump(ast.parse(plain))
    expression = ast.parse("1 + 1", mode="eval")
    assert Cut().visit(expression) is expression


def test_what_parses_and_is_no_python_does_not_compile_and_could_not_run() -> None:
    tree = cut("%%kit_remote\nran = 1\n\nreturn 5\nran = 2\n")
    with pytest.raises(SyntaxError, match="outside function") as caught:
        compile(tree, "<cell>", "exec")
    assert caught.value.lineno == 4
    assert "ran" not in ast.dump(tree)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("x = 1\n", "complete"),
        ("for x in y:", "incomplete"),
        ("x = (1,", "incomplete"),
        ("x = '\n", "invalid"),
    ],
)
def test_a_console_knows_whether_it_is_complete(body: str, state: str) -> None:
    manager = TransformerManager()
    manager.cleanup_transforms.append(transform)
    assert manager.check_complete(f"# c\n%%kit_remote\n{body}")[0] == state
    assert manager.check_complete(body)[0] == state, "as without the line"


def test_its_statements_are_read_with_their_own_lines() -> None:
    one = Cell(3, "a", "# c\n%%kit_remote\nimport torch\n\npipe = torch.load()\n", True, 1.0)
    found = split(one, 0)
    assert not isinstance(found, Unreadable)
    assert [(s.line, s.text.strip()) for s in found] == [
        (3, "import torch"),
        (5, "pipe = torch.load()"),
    ]
    assert one.remote
    assert not Cell(3, "a", "import torch", True, 1.0).remote


def test_what_a_handler_misses_here_is_told_while_it_is_missing() -> None:
    record = Record()
    names: dict[str, object] = {}
    exec("def helper():\n    return pipe\ndef handler(job):\n    return helper(), torch", names)
    record.add(Cell(1, "a", "%%kit_remote\nimport torch, unused", True, 1.0))
    record.add(Cell(2, "b", "%%kit_remote\n!nvidia-smi\npipe = torch.x", True, 2.0))
    record.add(Cell(3, "c", "%%kit_remote\ntorch = 1 /", False, 3.0))
    elsewhere = Elsewhere(record)

    def said() -> list[str]:
        notes = elsewhere.missing("handler", 1, names["handler"])  # type: ignore[arg-type]
        return [note.sentence for note in notes]

    (both,) = said()
    assert both == (
        "`torch`, `pipe` are made in cells that run only on a pod (In [1], In [2]): a job in this "
        "kernel does not find them."
    )
    names["torch"] = 1
    (one,) = said()
    assert one == (
        "`pipe` is made in a cell that runs only on a pod (In [2]): a job in this kernel does not "
        "find it."
    )
    record.add(Cell(4, "b", "pipe = 1", True, 4.0))  # run here after all
    assert said() == []
