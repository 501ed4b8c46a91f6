"""What may start next: first in, first out per handler, within its concurrency and its batch's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kit import queue as queue_module
from kit.events import JobKey
from kit.queue import Entry, Gate, Queue
from tests.making import handler_of


def entry(
    key: int, handler: str = "a", request: str = "{}", gate: Gate | None = None, **more: Any
) -> Entry:
    options = {"concurrency_modifier": more.pop("modifier", None)}
    made = handler_of(dict, handler, **options)
    return Entry(JobKey(f"s-{key}"), f"id-{key}", made, request, gate=gate, **more)


def take(queue: Queue, target: str = "local") -> Entry | None:
    """As the worker does it."""
    while True:
        head = queue.head(target)
        if head is None:
            return None
        modifier = queue.asks(head)
        if modifier is None or queue.scale(head, modifier(queue.limit(head))):
            return queue.pop(head)


def test_first_in_first_out_one_at_a_time_without_a_modifier() -> None:
    queue = Queue()
    entries = [entry(n) for n in range(3)]
    for one in entries:
        queue.put(one)
    for one in entries:
        assert take(queue) is one
        assert take(queue) is None
        queue.leave(one)
    assert take(queue) is None


def test_lanes_do_not_hold_each_other_up_and_the_oldest_goes_first() -> None:
    queue = Queue()
    order = [entry(n, handler) for n, handler in enumerate("aabbc")]
    for one in order:
        queue.put(one)
    first = [take(queue) for _ in range(4)]
    assert first == [order[0], order[2], order[4], None]
    queue.leave(order[2])
    queue.leave(order[0])
    assert take(queue) is order[1]
    assert take(queue) is order[3]


def test_a_modifier_is_asked_only_while_none_of_its_jobs_is_in_flight() -> None:
    asked: list[int] = []
    answers = iter([3, 1])

    def modifier(current: int) -> int:
        asked.append(current)
        return next(answers)

    queue = Queue()
    entries = [entry(n, modifier=modifier) for n in range(5)]
    for one in entries:
        queue.put(one)
    assert [take(queue) for _ in range(4)] == [*entries[:3], None]
    assert asked == [1]
    queue.leave(entries[1])
    assert take(queue) is entries[3]
    for one in (entries[0], entries[2], entries[3]):
        queue.leave(one)
    assert take(queue) is entries[4]
    assert asked == [1, 3]
    assert take(queue) is None


def test_a_job_cancelled_while_its_modifier_is_asked_does_not_start() -> None:
    queue = Queue()
    first, second = (entry(n, modifier=lambda current: 2) for n in range(2))
    queue.put(first)
    queue.put(second)
    head = queue.head("local")
    assert head is first
    first.closed = True  # meanwhile, from the control thread
    assert queue.scale(first, 2) is False
    assert take(queue) is second


def test_a_cancelled_job_is_passed_over_without_being_taken() -> None:
    queue = Queue()
    entries = [entry(n) for n in range(4)]
    for one in entries:
        queue.put(one)
    entries[0].closed = entries[2].closed = True
    assert take(queue) is entries[1]
    queue.leave(entries[1])
    assert take(queue) is entries[3]


def test_a_batch_s_gate_holds_across_handlers_and_others_pass() -> None:
    queue = Queue()
    gate = Gate(1)
    gated = [entry(0, "a", gate=gate), entry(1, "b", gate=gate)]
    free = entry(2, "c")
    for one in (*gated, free):
        queue.put(one)
    assert take(queue) is gated[0]
    assert take(queue) is free
    assert take(queue) is None
    queue.leave(gated[0])
    assert take(queue) is gated[1]


def test_targets_have_queues_of_their_own() -> None:
    queue = Queue()
    here, there = entry(0), entry(1, target="elsewhere")
    queue.put(here)
    queue.put(there)
    assert take(queue, "elsewhere") is there
    assert take(queue, "elsewhere") is None
    assert take(queue) is here


def test_leaving_without_having_been_queued_changes_nothing() -> None:
    queue = Queue()
    queue.leave(entry(0))  # as kit.debug's job does, which never waits
    queue.put(entry(1))
    assert take(queue) is not None


def test_large_requests_wait_in_the_journal_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "QUEUE_CHARS", 100)
    queue = Queue()
    entries = [entry(n, request="x" * 40) for n in range(5)]
    secret = entry(9, request="y" * 1_000, resident=True)  # its stored form lacks something
    for one in (*entries, secret):
        queue.put(one)
    # the first is always kept: it may start at once
    assert [one.request is None for one in entries] == [False, False, True, True, True]
    assert secret.request is not None
    for one in entries:
        assert take(queue) is one
        queue.leave(one)
    late = [entry(n, request="x" * 40) for n in range(10, 13)]
    for one in late:
        queue.put(one)
    # what left the queue makes room again
    assert [one.request is None for one in late] == [False, False, True]


class QueueMachine(RuleBasedStateMachine):
    """Against a model: lists of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.limits = {"a": 1, "b": 3}
        self.gate = Gate(2)
        self.waiting: list[Entry] = []
        self.flight: list[Entry] = []
        self.count = 0

    @rule(handler=st.sampled_from("ab"), gated=st.booleans())
    def put(self, handler: str, gated: bool) -> None:
        limit = self.limits[handler]
        modifier = None if limit == 1 else (lambda current: limit)
        self.count += 1
        made = entry(self.count, handler, gate=self.gate if gated else None, modifier=modifier)
        self.queue.put(made)
        self.waiting.append(made)

    def _next(self) -> Entry | None:
        firsts: dict[str, Entry] = {}
        for one in self.waiting:
            if not one.closed:
                firsts.setdefault(one.handler.name, one)
        for one in self.waiting:
            if one is not firsts.get(one.handler.name):
                continue
            name = one.handler.name
            if sum(e.handler.name == name for e in self.flight) >= self.limits[name]:
                continue
            if one.gate and sum(e.gate is not None for e in self.flight) >= 2:
                continue
            return one
        return None

    @rule()
    def take(self) -> None:
        expected = self._next()
        taken = take(self.queue)
        assert taken is expected
        if taken is not None:
            self.waiting.remove(taken)
            self.flight.append(taken)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting)).closed = True

    @precondition(lambda self: self.flight)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.flight))
        self.flight.remove(one)
        self.queue.leave(one)

    @invariant()
    def gates_count_what_is_in_flight(self) -> None:
        assert self.gate.flight == sum(e.gate is not None for e in self.flight)


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase
