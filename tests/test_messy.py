"""Messy notebooks in a real IPython shell: what stays, what goes, and jobs equal before and after."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, event, given, settings

from kit import runner
from kit.errors import ExportError
from kit.export import export
from kit.export.check import check_handler
from kit.export.render import render_handler
from kit.handler import Handler, HandlerVersion, Options
from kit.source.record import Cell, handler_line
from kit.source.slice import slice_cells
from tests.executed import Notebook, load
from tests.exporting import Chunks, request_of
from tests.messy import BY_HAND, GENERATED, Messy, messy

ALL = [*BY_HAND, *GENERATED]


class Shelled(Notebook):
    """A notebook whose cells a real shell runs: magics, transformers and all."""

    def __init__(self, shell: Any) -> None:
        super().__init__()
        self.shell = shell
        shell.reset(new_session=False)
        self.namespace = shell.user_ns

    def play(self, messy: Messy) -> None:
        for cell in messy.cells:
            self.count += 1
            ran = self._run(cell.source) if cell.runs else True
            done = Cell(
                self.count, cell.id or f"c{self.count}", cell.source, ran, float(self.count)
            )
            self.record.add(done)
            assert ran, f"this cell of the test itself fails:\n{cell.source}"
            if cell.source.startswith("%%handler"):
                self.handler_cell = done

    def _run(self, source: str) -> bool:
        lines = source.splitlines()
        at = handler_line(lines)
        if at is not None:
            lines[at] = ""
        result = self.shell.run_cell("\n".join(lines), store_history=False, silent=False)
        return bool(result.success)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    before = dict(os.environ)
    hooks = sys.excepthook, sys.displayhook, sys.modules["__main__"]
    names = set(vars(builtins))
    os.environ["IPYTHONDIR"] = str(tmp_path_factory.mktemp("ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    made: Any = InteractiveShell(config=config)
    yield made
    made.atexit_operations()
    atexit.unregister(made.atexit_operations)
    sys.excepthook, sys.displayhook, sys.modules["__main__"] = hooks
    for name in set(vars(builtins)) - names:
        delattr(builtins, name)
    os.environ.clear()
    os.environ.update(before)


def posted(
    namespace: dict[str, Any], version: HandlerVersion, inputs: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """What the worker would post for each input, in order, by the kit's own runner."""
    function = eval(version.expression, namespace)
    options = {key: eval(source, namespace) for key, source in version.options}
    handler = Handler(version, function, Options(**options))
    results = []
    for number, value in enumerate(inputs):
        chunks = Chunks()
        request = json.dumps({"id": f"job-{number}", "input": value})
        key = f"job-{number}"
        outcome = asyncio.run(runner.run(handler, key, key, request, chunks, None))
        results.append((outcome.kind, _plain(outcome.done), chunks.texts, outcome.lost))
    return results


def _plain(body: Any) -> Any:
    """A result without the frames of an error: the files they name differ."""
    body = json.loads(body) if isinstance(body, str) else body
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str) and error.startswith("{"):
        told = json.loads(error)
        return {**body, "error": [told["error_type"], told["error_message"]]}
    if isinstance(error, str):
        return {**body, "error": error.partition(" \ntraceback: ")[0]}
    return body


@pytest.mark.parametrize("messy", ALL, ids=lambda m: m.name)
def test_what_stays_what_goes_and_what_is_posted(messy: Messy, shell: Any) -> None:
    book = Shelled(shell)
    book.play(messy)
    version = book.version(messy.expression, messy.options)
    sliced = slice_cells(book.record.cells(), version)
    text = render_handler(sliced, version, "test").text
    body = text.partition('"""\n')[2]
    for fragment in messy.keep:
        assert fragment in body
    for fragment in messy.drop:
        assert fragment not in body
    assert sliced.missing == {}
    asked = [d.statement.text for d in sliced.decisions if d.question]
    for fragment in messy.asks:
        assert any(fragment in one for one in asked), asked
    assert len(asked) >= len(messy.asks)
    assert sliced.env == messy.env
    assert sliced.pip_lines == messy.pip_lines
    # every statement has a reason, and the same record gives the same bytes
    assert all(d.reason for d in sliced.decisions)
    again = slice_cells(book.record.cells(), version)
    assert render_handler(again, version, "test").text == text
    assert posted(load(text), version, messy.inputs) == posted(
        book.namespace, version, messy.inputs
    )


def test_a_name_that_only_a_kernel_has_is_missed_before_the_worker_does(shell: Any) -> None:
    book = Shelled(shell)
    asked = "try:\n        get_ipython()\n    except NameError:\n        pass"
    book.play(messy("", f"%%handler\ndef handler(job):\n    {asked}\n    display(job)"))
    version = book.version()
    sliced = slice_cells(book.record.cells(), version)
    with pytest.raises(ExportError, match=r"`display` .* IPython defines it in notebooks only"):
        check_handler(render_handler(sliced, version, "test"), sliced)
    book.play(messy("", f"%%handler\ndef handler(job):\n    {asked}"))
    version = book.version()
    sliced = slice_cells(book.record.cells(), version)
    check_handler(render_handler(sliced, version, "test"), sliced)


def test_there_are_enough_of_them() -> None:
    assert len(BY_HAND) >= 20
    assert len(ALL) >= 60
    assert len({m.name for m in ALL}) == len(ALL)
    assert [m.name for m in ALL if not (m.keep or m.drop or m.asks)] == []


@pytest.mark.sdk
@pytest.mark.parametrize("name", [BY_HAND[0].name, BY_HAND[4].name, "kind: async generator"])
def test_some_of_them_through_the_real_worker(name: str, shell: Any, tmp_path: Path) -> None:
    [messy] = [m for m in ALL if m.name == name]
    book = Shelled(shell)
    book.play(messy)
    request = request_of(
        book, tmp_path / "worker", messy.inputs, expression=messy.expression,
        options=messy.options, namespace=book.namespace,
    )  # fmt: skip
    report = export(request).report
    assert report.verdict == "equal", report
    assert report.drift == ()
    assert report.not_compared == ""


#: variants of cells: run in any order they work once the first one has
POOL = {
    "config": ("SIZE = 2\nNAMES = ['a']", "SIZE = 3\nNAMES = ['b', 'c']"),
    "names": ("NAMES.append('x')", "NAMES[0] = 'y'", "len(NAMES)"),
    "class": (
        "class Model:\n    def __init__(self): self.parts = list(NAMES)\n    def add(self, n): self.parts.append(n)\n    def run(self, x): return [x * SIZE, self.parts]",
        "class Model:\n    def __init__(self): self.parts = []\n    def add(self, n): self.parts += [n, n]\n    def run(self, x): return [SIZE, x, self.parts]",
    ),
    "model": ("model = Model()", "model = Model()\nmodel.add(SIZE)", "model = other = Model()"),
    "tune": ("model.add(1)", "for n in range(SIZE): model.add(n)", "print(model.parts)"),
    "helper": (
        "def helper(x): return model.run(x) + [LIMIT]",
        "def helper(x):\n    model.add(x)\n    return model.run(LIMIT)",
    ),
    "limit": ("LIMIT = 4", "LIMIT = SIZE + 1", "LIMIT = len(model.parts)"),
    "try": ("helper(1)", "out = helper(2)\nout", "handler({'input': 1})"),
}
START = "\n".join(variants[0] for name, variants in POOL.items() if name != "try")
HANDLER = "%%handler\ndef handler(job): return [helper(job['input']), NAMES, LIMIT]"
STEP = st.sampled_from([(k, v) for k, variants in POOL.items() for v in range(len(variants))])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=st.permutations([k for k in POOL if k != "try"]),
    steps=st.lists(st.tuples(STEP, st.sampled_from(["again", "copy"])), max_size=10),
    after=st.lists(STEP, max_size=3),
)
def test_cells_shuffled_duplicated_edited_and_run_again(
    order: list[str], steps: list[tuple[tuple[str, int], str]], after: list[tuple[str, int]]
) -> None:
    book = Notebook()
    assert book.run(START, "start")  # so that every cell runs, whichever came before it
    for name in order:
        book.run(POOL[name][0], name)
    for number, ((name, variant), how) in enumerate(steps):
        book.run(POOL[name][variant], name if how == "again" else f"{name} {number}")
    assert book.run(HANDLER, "handler")
    for name, variant in after:
        book.run(POOL[name][variant], name)
    cells = book.record.cells()
    # the file stands for the last run of every cell, in that order, but for those that try it out
    fresh = Notebook()
    if not all(fresh.run(c.source) for c in cells if c.ok and c.source not in POOL["try"]):
        event("the last runs alone raise")
        compile(book.render(), "handler.py", "exec")
        return
    event("the last runs run")
    version = book.version()
    text = book.render()
    assert book.render() == text
    assert posted(load(text), version, (1, 2)) == posted(fresh.namespace, version, (1, 2))
