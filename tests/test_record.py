"""The record: what counts as the same cell, and which run of it."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.source.record import Cell, Record, handler_line, load_line, without_kit_lines


def cell(number: int, cell_id: str | None, source: str, ok: bool = True) -> Cell:
    return Cell(number, cell_id, source, ok, float(number))


def kept(record: Record) -> list[tuple[int | None, str, int]]:
    return [(c.number, c.source, c.runs) for c in record.cells()]


def test_only_the_last_run_of_a_cell_counts_in_order_of_that_run() -> None:
    record = Record()
    for one in (cell(1, "a", "x"), cell(2, "b", "y"), cell(3, "a", "x edited")):
        record.add(one)
    assert kept(record) == [(2, "y", 1), (3, "x edited", 2)]


def test_without_an_id_the_source_is_the_identity() -> None:
    record = Record()
    for one in (cell(1, None, "x"), cell(2, None, "y"), cell(3, None, "x"), cell(4, None, "x ")):
        record.add(one)
    assert kept(record) == [(2, "y", 1), (3, "x", 2), (4, "x ", 1)]


def test_cells_with_an_id_may_have_the_same_source() -> None:
    record = Record()
    record.add(cell(1, "a", "x.append(1)"))
    record.add(cell(2, "b", "x.append(1)"))
    assert kept(record) == [(1, "x.append(1)", 1), (2, "x.append(1)", 1)]


def test_a_cell_seen_before_its_id_was_known_is_the_same_cell() -> None:
    record = Record()
    record.add(cell(1, None, "import torch"))
    record.add(cell(2, "a", "import torch"))
    record.add(cell(3, "a", "import torch, os"))
    assert kept(record) == [(3, "import torch, os", 3)]


def test_a_failed_run_replaces_a_good_one_and_says_so() -> None:
    record = Record()
    record.add(cell(1, "a", "x = 1"))
    record.add(cell(2, "a", "x = 1/0", ok=False))
    assert [(c.source, c.ok) for c in record.cells()] == [("x = 1/0", False)]


def test_threads_may_read_while_cells_are_added() -> None:
    record = Record()
    stop = threading.Event()
    sizes: list[int] = []

    def read() -> None:
        while not stop.is_set():
            sizes.append(len(record.cells()))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(2000):
        record.add(cell(number, str(number % 500), "x"))
    stop.set()
    thread.join()
    assert max(sizes) <= 500
    assert len(record.cells()) == 500


def test_adding_costs_a_cell_microseconds() -> None:
    record = Record()
    cells = [cell(n, str(n), f"x = {n}") for n in range(5000)]
    began = time.perf_counter()
    for one in cells:
        record.add(one)
    assert (time.perf_counter() - began) / len(cells) < 1e-3


@pytest.mark.parametrize(
    ("source", "index"),
    [
        ("%%handler", 0),
        ("%%handler name --wait 3\ndef f(job): ...", 0),
        ("\n  \n# a comment\n\n%%handler\nx", 4),
        ("    # indented comment\n%%handler", 1),
        ("%%handler\t--no-run", 0),
        ("%%handlers", None),
        ("%%handler?", None),
        ("x = 1\n%%handler", None),
        (" %%handler", None),
        ("", None),
        ("# only a comment", None),
        ('"""doc"""\n%%handler', None),
    ],
)
def test_handler_line(source: str, index: int | None) -> None:
    assert handler_line(source.splitlines()) == index
    assert handler_line(source.splitlines(keepends=True)) == index


@pytest.mark.parametrize(
    ("source", "load", "handler"),
    [
        ("%%kit_load\n%%handler\nx", 0, 1),
        ("%%handler\n# c\n%%kit_load m\nx", 2, 0),
        ("%%kit_load\n%%kit_load\nx", 0, None),
        ("%%kit_load\nx\n%%handler", 0, None),
        ("%%kit_loads\nx", None, None),
    ],
)
def test_a_load_line_may_stand_with_a_handler_line(
    source: str, load: int | None, handler: int | None
) -> None:
    lines = source.splitlines()
    assert (load_line(lines), handler_line(lines)) == (load, handler)
    left = without_kit_lines(lines)
    assert [i for i, line in enumerate(lines) if left[i] != line] == sorted(
        at for at in (load, handler) if at is not None
    )


@given(st.lists(st.sampled_from(["", "  ", "# c", "%%handler a", "x = 1"]), max_size=6))
def test_handler_line_is_the_first_line_that_counts(lines: list[str]) -> None:
    index = handler_line(lines)
    counting = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    expected = counting[0] if counting and lines[counting[0]] == "%%handler a" else None
    assert index == expected


def test_the_sources_a_cell_ran_with_before_are_kept_with_their_time() -> None:
    record = Record()
    for one in (cell(1, "a", "x = 1"), cell(2, "a", "x = 2"), cell(3, "a", "x = 2", ok=False)):
        record.add(one)
    assert record.cells()[0].earlier == (("x = 1", 1.0),)
    record.add(cell(4, "a", "x = 1"))
    assert record.cells()[0].earlier == (("x = 2", 3.0),)
    for number in range(5, 40):
        record.add(cell(number, "a", f"x = {number}"))
    assert len(record.cells()[0].earlier) == 10
    record.add(cell(40, "a", "y" * 1_000_000))
    record.add(cell(41, "a", "z"))
    assert max(len(source) for source, _ in record.cells()[0].earlier) < 10
