"""Who waits for which end, and which ends are left to gather."""

from __future__ import annotations

import threading

import pytest

from kit.events import JobKey
from kit.queue import Entry
from kit.roster import Roster
from tests.making import handler_of

ONE, TWO = JobKey("s-000001"), JobKey("s-000002")


class Desk:
    """A roster with two jobs, and what it asked for."""

    def __init__(self) -> None:
        self.hurried = self.woken = 0
        self.lock = threading.Lock()
        self.roster = Roster(self.lock, self.hurry)
        self.entries = {key: Entry(key, key, handler_of(dict), "{}") for key in (ONE, TWO)}
        with self.lock:
            for entry in self.entries.values():
                self.roster.add(entry)

    def hurry(self) -> None:
        self.hurried += 1

    def wake(self) -> None:
        self.woken += 1

    def close(self, key: JobKey) -> bool:
        with self.lock:
            return self.roster.close(self.entries[key])


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_end_gathers_while_others_are_to_come_and_the_last_one_does_not(desk: Desk) -> None:
    assert desk.roster.when_each_ended([ONE, TWO, JobKey("gone")], desk.wake) == 1
    assert desk.close(ONE) is False
    assert desk.close(TWO) is True
    assert desk.hurried == 0
    desk.roster.ended([ONE, TWO])
    assert desk.woken == 2


def test_an_end_that_somebody_waits_for_alone_does_not_gather(desk: Desk) -> None:
    assert desk.roster.when_ended(ONE, desk.wake)
    assert desk.hurried == 0
    assert desk.close(ONE) is True


def test_who_comes_after_the_end_and_before_the_journal_hurries_it(desk: Desk) -> None:
    assert desk.close(ONE) is False
    assert desk.roster.when_ended(ONE, desk.wake)
    assert desk.hurried == 1
    desk.roster.ended([ONE])
    assert desk.woken == 1
    assert desk.roster.when_ended(ONE, desk.wake) is False
    assert desk.roster.get(ONE) is None


def test_who_forgets_is_not_woken_and_a_fault_wakes_all_others(desk: Desk) -> None:
    def other() -> None:
        raise AssertionError("it was forgotten")

    assert desk.roster.when_ended(ONE, other)
    desk.roster.forget(ONE, other)
    assert desk.roster.waiting(ONE) == 0
    assert desk.roster.when_ended(ONE, desk.wake)
    assert desk.roster.when_ended(TWO, desk.wake)
    desk.roster.wake_all()
    assert (desk.woken, desk.roster.waiting(ONE)) == (2, 0)
    assert desk.roster.get(ONE) is desk.entries[ONE], "it has not ended"
