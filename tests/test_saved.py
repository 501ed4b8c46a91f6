"""The saved notebook against what was executed: deleted cells are told, nothing else is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kit.source.record import Cell, Record
from kit.source.saved import compared, saved_path


def cell(cell_id: str | None, time_s: float) -> Cell:
    return Cell(1, cell_id, "x = 1", True, time_s)


def saved(folder: Path, ids: list[Any], name: str = "a.ipynb") -> Path:
    path = folder / name
    path.write_text(json.dumps({"cells": [{"id": one} for one in ids]}))
    return path


def test_a_cell_that_was_deleted_before_the_last_save_is_marked(tmp_path: Path) -> None:
    path = saved(tmp_path, ["kept", "new"])
    before = time.time() - 60
    found = compared([cell("kept", before), cell("deleted", before)], path)
    assert [c.gone for c in found] == [False, True]


def test_a_cell_that_the_front_end_deleted_is_marked_until_a_save_has_it(tmp_path: Path) -> None:
    record = Record()
    record.add(cell("cut", 100.0))
    record.add(cell("other", 100.0))
    record.deleted(["cut", "never run"], 200.0)
    assert [c.gone for c in compared(record.cells(), None)] == [True, False]
    path = saved(tmp_path, ["cut", "other"])
    os.utime(path, (150.0, 150.0))
    assert [c.gone for c in compared(record.cells(), path)] == [True, False]
    os.utime(path, (250.0, 250.0))  # it was pasted elsewhere, or the deletion undone
    assert [c.gone for c in compared(record.cells(), path)] == [False, False]
    record.add(cell("cut", 300.0))
    assert not any(c.gone for c in compared(record.cells(), None))


def test_what_is_not_known_is_not_marked(tmp_path: Path) -> None:
    path = saved(tmp_path, ["kept"])
    os.utime(path, (1000.0, 1000.0))
    # run after the file was saved; and one without an id, as nbclient sends none
    found = compared([cell("unsaved", 2000.0), cell(None, 500.0)], path)
    assert [c.gone for c in found] == [False, False]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cells": 3}', '{"cells": [1]}', '{"cells": [{}]}']
)
def test_a_file_that_is_no_notebook_marks_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    assert not compared([cell("a", 1.0)], path)[0].gone
    assert not compared([cell("a", 1.0)], tmp_path / "missing.ipynb")[0].gone
    assert not compared([cell("a", 1.0)], None)[0].gone


def test_the_path_is_the_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "a.ipynb"))
    assert saved_path() == tmp_path / "a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", "a console")
    assert saved_path() is None
    monkeypatch.delenv("JPY_SESSION_NAME")
    assert saved_path() is None
