"""Whole worker files pasted into a notebook, in one cell and in many, come out equal."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from kit.sdk import SdkHook
from tests.executed import Notebook, call, load
from tests.worker_files import WORKERS, Worker


@pytest.fixture(scope="module", autouse=True)
def no_worker_starts() -> Iterator[None]:
    """``runpod.serverless.start`` in a cell registers, as it does in a notebook with the kit."""
    hook = SdkHook(lambda config: None, lambda job, value: True)
    hook.install()
    yield
    hook.remove()


def start_of(source: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Expression and options that a file gives to start()."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "runpod.serverless.start":
            config = node.args[0]
            assert isinstance(config, ast.Dict)
            items = {
                ast.literal_eval(k): ast.get_source_segment(source, v) or ""
                for k, v in zip(config.keys, config.values, strict=True)
                if k is not None
            }
            return items.pop("handler"), tuple(items.items())
    raise AssertionError("no start()")


def cells_of(source: str) -> list[str]:
    """The file cut into one cell per statement, the last one being the handler's."""
    lines = source.split("\n")
    nodes = ast.parse(source).body
    first = [min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", []))]) for n in nodes]
    cuts = [*first, len(lines) + 1]
    return ["\n".join(lines[a - 1 : b - 1]) for a, b in itertools.pairwise(cuts)]


def check(worker: Worker, book: Notebook) -> None:
    expression, options = start_of(worker.source)
    sliced = book.slice(expression, options=options)
    text = book.render(expression, options=options)
    assert sliced.missing == {}
    for fragment in worker.keep:
        assert fragment in text
    for fragment in worker.drop:
        assert fragment not in text
    exported = load(text)
    for value in worker.inputs:
        assert call(exported, expression, value) == call(book.namespace, expression, value)
    assert text.count("serverless.start(") == 1
    assert start_of(text)[0] == expression
    assert [key for key, _ in start_of(text)[1]] == [key for key, _ in options]


@pytest.mark.parametrize("worker", WORKERS, ids=lambda w: w.name)
def test_pasted_into_one_cell(worker: Worker) -> None:
    book = Notebook()
    assert book.run("%%handler\n" + worker.source)
    check(worker, book)


@pytest.mark.parametrize("worker", WORKERS, ids=lambda w: w.name)
def test_cut_into_cells_with_a_mess_around_it(worker: Worker) -> None:
    book = Notebook()
    *cells, last = cells_of(worker.source)
    for cell in cells:
        assert book.run(cell)
        book.run("print('looking')\n_probe = [1, 2, 3]\nlen(_probe)")
    assert book.run("%%handler\n" + last)
    book.run("result_of_a_try = 1\nresult_of_a_try")
    check(worker, book)


@pytest.mark.parametrize("worker", WORKERS, ids=lambda w: w.name)
def test_exported_again_it_is_the_same(worker: Worker) -> None:
    """The file pasted back and exported once more: nothing is lost on the way, nothing is added."""
    book = Notebook()
    assert book.run("%%handler\n" + worker.source)
    expression, options = start_of(worker.source)
    once = book.render(expression, options=options)
    again = Notebook()
    assert again.run("%%handler\n" + once)
    assert again.render(expression, options=options) == once


def test_there_are_enough_of_them() -> None:
    assert len(WORKERS) >= 20
    names: Any = {w.name for w in WORKERS}
    assert len(names) == len(WORKERS)
