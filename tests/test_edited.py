"""Setup cells edited after the handler: said once, and only where the handler uses them."""

from __future__ import annotations

import functools
import time
from typing import Any

from kit.source.edited import Edited, names_used
from kit.source.record import Cell, Record

NAMESPACE: dict[str, Any] = {}


def run(record: Record, id: str | None, source: str, *, ok: bool = True) -> None:
    if ok:
        exec(source, NAMESPACE)
    record.add(Cell(len(record.cells()) + 1, id, source, ok, time.time()))
    time.sleep(0.001)


def made() -> tuple[Record, Edited, str]:
    record = Record()
    run(record, "setup", "scale = 2\nunused = 1")
    run(record, "other", "notes = 'x'")
    run(record, "tool", "def helper(x):\n    return x * scale")
    source = "def handler(job):\n    return helper(job)"
    run(record, "cell", source)
    edited = Edited(record)
    edited.registered("handler", 1)
    return record, edited, source


def since(edited: Edited, source: str) -> list[tuple[str, str]]:
    found = edited.since("handler", 1, NAMESPACE["handler"], source)
    return [(note.code, note.place) for note in found]


def test_an_edit_of_what_the_handler_uses_is_said_once() -> None:
    record, edited, source = made()
    assert since(edited, source) == []
    run(record, "setup", "scale = 3\nunused = 1")
    assert since(edited, source) == [("K231", "In [5]")]
    assert since(edited, source) == []
    run(record, "other", "notes = 'y'")
    assert since(edited, source) == []
    run(record, "setup", "scale = 4")
    assert [code for code, _ in since(edited, source)] == ["K231"]
    edited.registered("handler", 1)
    assert since(edited, source) == []


def test_what_is_no_edit_is_not_said() -> None:
    record, edited, source = made()
    run(record, "setup", "scale = 2\nunused = 1")  # run again as it was
    run(record, "new", "scale = 9")  # a cell that was not there before
    run(record, None, "scale = 10")  # without an id no cell can be known again
    run(record, "tool", "def helper(x):", ok=False)
    run(record, "other", "%magic", ok=False)
    run(record, "cell", source + "  # the handler's own cell")
    assert since(edited, source) == []
    assert edited.since("never registered", 1, NAMESPACE["handler"], source) == ()


def test_names_are_found_through_functions_partials_and_objects() -> None:
    made()
    assert {"helper", "scale"} <= names_used(NAMESPACE["handler"])
    assert "scale" in names_used(functools.partial(NAMESPACE["helper"], 1))
    exec("class Service:\n    def __call__(self, job):\n        return scale", NAMESPACE)
    assert "scale" in names_used(NAMESPACE["Service"]())
    assert names_used(len) == set()
