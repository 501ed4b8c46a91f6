"""Who keeps memory alive: exceptions with their frames, and values by name."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from kit.held import errors_in, held_by, large_values, last_errors, weight

MIB = 2**20


def failing(size: int, *, cause: bool = False) -> BaseException:
    def predict(size: int) -> None:
        batch = np.zeros(size, dtype=np.uint8)
        small = b"x"
        raise ValueError(f"{len(batch)} {small!r}")

    def handler() -> None:
        try:
            predict(size)
        except ValueError as error:
            if cause:
                raise RuntimeError("outer") from error
            raise

    try:
        handler()
    except (ValueError, RuntimeError) as error:
        return error
    raise AssertionError


def test_the_variable_and_its_function_are_named() -> None:
    [held] = held_by([("last", failing(32 * MIB))], {}, 8 * MIB)
    assert (held.holder, held.error) == ("last", "ValueError")
    assert (held.function, held.variable, held.size_bytes) == ("predict", "batch", 32 * MIB)


def test_the_frames_of_what_it_came_from_count_too() -> None:
    [held] = held_by([("last", failing(32 * MIB, cause=True))], {}, 8 * MIB)
    assert (held.error, held.variable) == ("RuntimeError", "batch")


def test_what_the_person_holds_is_not_the_exception_s_fault() -> None:
    error = failing(32 * MIB)
    step: Any = error.__traceback__
    while "batch" not in step.tb_frame.f_locals:
        step = step.tb_next
    mine = {"kept": step.tb_frame.f_locals["batch"]}
    assert held_by([("last", error)], mine, 8 * MIB) == []
    assert held_by([("last", error.with_traceback(None))], {}, 8 * MIB) == []


def test_an_exception_that_two_names_hold_is_told_once() -> None:
    error = failing(32 * MIB)
    assert len(held_by([("a", error), ("b", error)], {}, 8 * MIB)) == 1


def test_exceptions_are_found_in_variables_lists_and_dicts() -> None:
    one, two, three = ValueError(1), KeyError(2), OSError(3)
    names = {"e": one, "many": [0, two], "by": {"k": three, 5: None}, "_": one, "_12": one, "x": 1}
    assert [(name, type(error)) for name, error in errors_in(names)] == [
        ("e", ValueError),
        ("many[1]", KeyError),
        ("by['k']", OSError),
    ]


def test_a_cycle_of_exceptions_ends() -> None:
    one, two = ValueError(1), ValueError(2)
    one.__context__, two.__context__ = two, one
    assert held_by([("e", one)], {}, 1) == []


def test_python_s_last_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("last_exc", "last_value"):
        monkeypatch.delattr(sys, name, raising=False)
    assert last_errors() == []
    monkeypatch.setattr(sys, "last_value", error := ValueError("x"), raising=False)
    assert last_errors() == [("sys.last_value", error)]


class Sly:
    """Asking it for anything does something."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(f"{name} was asked for")


def test_sizes_are_asked_only_of_what_is_known_to_be_large() -> None:
    assert weight(np.zeros((MIB, 4), dtype=np.float32)) == 16 * MIB
    assert weight(bytearray(MIB)) > MIB
    assert weight([b"x" * MIB] * 3) > 3 * MIB
    assert weight({"a": np.zeros(MIB, dtype=np.uint8)}) == MIB
    assert weight(Sly()) == weight(object()) == weight(12) == weight([[b"x" * MIB]]) == 0


def test_large_values_by_name_the_largest_first_and_once() -> None:
    block = bytearray(20 * MIB)
    names = {
        "small": 1,
        "block": block,
        "same": block,
        "more": np.zeros(40 * MIB, dtype=np.uint8),
        "_hidden": bytearray(90 * MIB),
        "_oh": {3: bytearray(30 * MIB)},
    }
    found = large_values(names, 16 * MIB)
    assert [name for name, _ in found] == ["more", "Out[3]", "block"]
