"""The collector's pause: it ends as it was found, and nothing of a slice waits for the collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from kit.source.pause import without_collector
from kit.source.program import Program
from tests.executed import notebook


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    running = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if running else gc.disable)()


@pytest.mark.parametrize("running", [True, False])
def test_it_is_left_as_it_was_found(running: bool) -> None:
    (gc.enable if running else gc.disable)()
    with without_collector(), without_collector():
        assert not gc.isenabled()
    assert gc.isenabled() == running
    with pytest.raises(KeyError), without_collector():
        raise KeyError
    assert gc.isenabled() == running
    assert gc.get_freeze_count() == 0


def test_what_a_person_froze_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    with without_collector():
        pass
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_what_was_made_meanwhile_is_collected_later_if_it_is_garbage() -> None:
    class Knot:
        def __init__(self) -> None:
            self.own = self

    with without_collector():
        Knot()
        assert any(type(o) is Knot for o in gc.get_objects())
    gc.collect()
    assert not any(type(o) is Knot for o in gc.get_objects())


def test_a_program_goes_with_its_last_name() -> None:
    book = notebook("a = [1]\ndef f(): return a", "%%handler\ndef handler(job): return f()")
    gc.collect()
    gc.disable()
    assert len(book.slice().kept) == 3
    assert not any(isinstance(o, Program) for o in gc.get_objects())
