"""The loop between queue and targets: the order of truth, verdicts, faults of the journal."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import outbox as outbox_module
from kit import queue as queue_module
from kit.errors import StoreError, UsageError
from kit.events import ENDS, REAL_ENDS, ErrorInfo, Event, EventKind, JobKey, JobState, MemoryUse
from kit.outbox import BACKLOG
from kit.outcome import Outcome
from kit.queue import Entry, Gate
from kit.store import Store
from kit.worker import Worker
from tests.making import handler_of, until

NIGHTLY = bool(os.environ.get("KIT_NIGHTLY"))
OK = Outcome(EventKind.COMPLETED, '{"output": 1}')


class Meter:
    """Counts what is measured; a real sampler is too busy for these rates."""

    def __init__(self) -> None:
        self.running: set[JobKey] = set()

    def begin(self, key: JobKey) -> None:
        assert key not in self.running
        self.running.add(key)

    def end(self, key: JobKey) -> tuple[MemoryUse, ...]:
        self.running.remove(key)
        return ()


class Hand:
    """A target that the test drives by hand."""

    name = "hand"

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.woken = 0
        self.stopped: list[Entry] = []
        worker.attach(self)

    def wake(self) -> None:
        self.woken += 1

    async def stop(self, entry: Entry) -> None:
        self.stopped.append(entry)

    def close(self) -> None:
        self.woken = -1

    def take(self) -> Entry:
        entry = self.worker.take("hand")
        assert entry is not None
        assert self.worker.begin(entry)
        return entry


def chunk(worker: Worker, entry: Entry, text: str) -> None:
    """A chunk from a target that does not wait for the disk."""
    waiting = worker.chunk(entry, text)
    if waiting is not None:
        waiting.close()


class Shop:
    """A journal, a worker and a target by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "journal.sqlite")
        self.meter = Meter()
        self.worker = Worker(self.store, self.meter)
        self.hand = Hand(self.worker)
        self.count = 0

    def entry(self, handler: str = "a", request: str = '{"input": 1}', **more: Any) -> Entry:
        self.count += 1
        options = {"concurrency_modifier": more.pop("modifier", None)}
        function = more.pop("function", dict)
        made = handler_of(function, handler, **options)
        key = JobKey(f"{self.store.session_id}-{self.count:06d}")
        return Entry(key, f"id-{self.count}", made, request, target="hand", **more)

    def submit(self, **more: Any) -> Entry:
        entry = self.entry(**more)
        self.worker.submit([entry], [entry.request or ""])
        return entry

    def events(self, entry: Entry) -> list[Event]:
        return [e for e in self.store.after(0) if e.job_key == entry.key]

    def kinds(self, entry: Entry) -> list[str]:
        return [str(e.kind) for e in self.events(entry)]

    def ended(self, entry: Entry) -> JobState:
        until(lambda: not self.worker.is_live(entry.key), f"the end of {entry.id}")
        view = self.store.view(entry.key)
        assert view is not None
        return view.state

    def close(self) -> None:
        self.worker.close()
        self.store.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


# -- the order of truth ----------------------------------------------------------------------------


def test_a_job_is_on_disk_before_submit_returns(shop: Shop) -> None:
    entry = shop.submit()
    other = sqlite3.connect(shop.store.path)
    try:
        (count,) = other.execute("select count(*) from events").fetchone()
    finally:
        other.close()
    assert count == 1
    assert shop.kinds(entry) == ["queued"]
    assert shop.hand.woken == 1


def test_an_end_is_on_disk_before_anybody_wakes(shop: Shop) -> None:
    seen: list[JobState] = []
    entry = shop.submit()

    def woken() -> None:
        view = shop.store.view(entry.key)
        assert view is not None
        seen.append(view.state)

    assert shop.worker.when_ended(entry.key, woken)
    shop.worker.finish(shop.hand.take(), OK)
    until(lambda: seen)
    assert seen == [JobState.COMPLETED]
    assert shop.worker.when_ended(entry.key, woken) is False
    assert shop.kinds(entry) == ["queued", "started", "completed"]


def test_times_are_durations_and_slots_are_the_lowest_free(shop: Shop) -> None:
    entries = [shop.submit(modifier=lambda current: 3) for _ in range(5)]
    first = [shop.hand.take() for _ in range(3)]
    assert [e.slot for e in first] == [0, 1, 2]
    assert shop.worker.take("hand") is None
    assert shop.worker.running() == first
    shop.worker.finish(first[1], OK)
    shop.worker.finish(first[0], OK)
    assert [shop.hand.take().slot for _ in range(2)] == [0, 1]
    assert shop.ended(entries[1]) is JobState.COMPLETED
    view = shop.store.view(entries[1].key)
    assert view is not None
    assert view.delay_ms is not None
    assert view.delay_ms >= 0
    assert view.execution_ms is not None
    assert view.execution_ms >= 0


def test_what_a_job_reports_is_kept_in_order(shop: Shop) -> None:
    entry = shop.submit()
    taken = shop.hand.take()
    for number in range(3):
        assert shop.worker.chunk(taken, str(number)) is None
        shop.worker.progress(taken, f'"{number}"')
        taken.write("stdout", f"line {number}\n")
    shop.worker.finish(taken, OK)
    shop.ended(entry)
    view = shop.store.view(entry.key)
    assert view is not None
    assert view.stream == ("0", "1", "2")
    assert view.progress == ('"0"', '"1"', '"2"')
    assert "".join(log.text for log in view.logs) == "line 0\nline 1\nline 2\n"
    assert shop.kinds(entry)[-1] == "completed"


def test_only_the_first_end_counts_and_nothing_reopens_a_job(shop: Shop) -> None:
    entry = shop.submit()
    taken = shop.hand.take()
    failed = Outcome(EventKind.FAILED, None, ErrorInfo("", "late"))
    shop.worker.finish(taken, OK)
    shop.worker.finish(taken, failed)
    shop.worker.lost(taken, "late")
    shop.worker.stuck(taken, "late")
    shop.worker.chunk(taken, "1")
    shop.worker.cancel(entry.key)
    shop.worker.progress(taken, "1")
    shop.ended(entry)
    until(lambda: "finding" in shop.kinds(entry))
    assert shop.kinds(entry) == ["queued", "started", "completed", "finding"]
    view = shop.store.view(entry.key)
    assert view is not None
    assert view.state is JobState.COMPLETED
    assert [f.code for f in view.findings] == ["K212"]
    assert not shop.meter.running


def test_notes_known_before_the_run_are_journaled_with_it(shop: Shop) -> None:
    from kit.findings import late_progress

    entry = shop.entry()
    entry.notes = (late_progress(),)
    shop.worker.submit([entry], ["{}"])
    assert shop.kinds(entry) == ["queued", "finding"]


# -- stopping --------------------------------------------------------------------------------------


def test_a_queued_job_that_is_cancelled_never_starts(shop: Shop) -> None:
    running, queued = shop.submit(), shop.submit()
    taken = shop.hand.take()
    shop.worker.cancel(queued.key)
    assert shop.ended(queued) is JobState.CANCELLED
    assert shop.kinds(queued) == ["queued", "cancel_asked", "cancelled"]
    shop.worker.finish(taken, OK)
    assert shop.worker.take("hand") is None
    assert shop.ended(running) is JobState.COMPLETED
    view = shop.store.view(queued.key)
    assert view is not None
    assert view.execution_ms is None
    assert not shop.hand.stopped


@pytest.mark.parametrize(
    "outcome", [OK, Outcome(EventKind.FAILED, None, ErrorInfo("", "x"), "lost")]
)
def test_the_verdict_stands_whatever_the_handler_says_afterwards(
    shop: Shop, outcome: Outcome
) -> None:
    entry = shop.submit()
    taken = shop.hand.take()
    shop.worker.cancel(entry.key)
    shop.worker.cancel(entry.key)
    until(lambda: shop.hand.stopped)
    shop.worker.finish(taken, outcome)
    assert shop.ended(entry) is JobState.CANCELLED
    assert shop.hand.stopped == [taken]
    view = shop.store.view(entry.key)
    assert view is not None
    assert (view.done, view.error, view.lost) == (None, None, None)
    assert shop.kinds(entry) == ["queued", "started", "cancel_asked", "cancelled"]


def test_a_time_limit_counts_from_the_start_not_from_the_queue(shop: Shop) -> None:
    first = shop.submit()
    second = shop.submit(timeout_s=0.2)
    taken = shop.hand.take()
    time.sleep(0.3)  # waiting in the queue is not running
    assert shop.kinds(second) == ["queued"]
    shop.worker.finish(taken, OK)
    taken = shop.hand.take()
    until(lambda: shop.hand.stopped)
    shop.worker.finish(taken, OK)
    assert shop.ended(first) is JobState.COMPLETED
    assert shop.ended(second) is JobState.TIMED_OUT
    assert shop.kinds(second) == ["queued", "started", "timed_out"]


def test_a_time_limit_that_is_not_reached_is_forgotten(shop: Shop) -> None:
    entry = shop.submit(timeout_s=0.2)
    taken = shop.hand.take()
    until(lambda: "started" in shop.kinds(entry))
    shop.worker.finish(taken, OK)
    assert shop.ended(entry) is JobState.COMPLETED
    time.sleep(0.3)
    assert not shop.hand.stopped


def test_stuck_says_what_was_tried_and_ends_the_job_as_asked(shop: Shop) -> None:
    entry = shop.submit()
    taken = shop.hand.take()
    shop.worker.cancel(entry.key)
    until(lambda: shop.hand.stopped)
    shop.worker.stuck(taken, "it catches everything")
    assert shop.ended(entry) is JobState.CANCELLED
    view = shop.store.view(entry.key)
    assert view is not None
    assert view.stuck == "it catches everything"


def test_lost_frees_the_slot_and_says_why(shop: Shop) -> None:
    entries = [shop.submit() for _ in range(2)]
    shop.worker.lost(shop.hand.take(), "the loop is gone")
    assert shop.ended(entries[0]) is JobState.LOST
    assert shop.hand.take() is entries[1]
    view = shop.store.view(entries[0].key)
    assert view is not None
    assert view.lost == "the loop is gone"


def test_an_attempt_is_queued_once(shop: Shop) -> None:
    entry = shop.submit()
    shop.worker.finish(shop.hand.take(), Outcome(EventKind.FAILED, "{}"))
    shop.ended(entry)
    again = [Entry(entry.key, entry.id, entry.handler, "{}", target="hand", attempt=2)] * 2
    shop.worker.submit([again[0]], ["{}"])
    with pytest.raises(UsageError, match="queued again already"):
        shop.worker.submit([again[1]], ["{}"])
    assert shop.worker.take("hand") is again[0]
    assert shop.worker.take("hand") is None


# -- concurrency -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modifier", "says"),
    [
        (lambda current: 0, "returned 0"),
        (lambda current: "4", "returned '4'"),
        (lambda current: None, "returned None"),
        (lambda: 4, "raised TypeError"),
        (lambda current: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_an_unusable_modifier_is_said_and_changes_nothing(
    shop: Shop, modifier: Any, says: str
) -> None:
    entries = [shop.submit(modifier=modifier) for _ in range(2)]
    taken = shop.hand.take()
    assert shop.worker.take("hand") is None
    shop.worker.finish(taken, OK)
    shop.ended(entries[0])
    view = shop.store.view(entries[0].key)
    assert view is not None
    assert [f.code for f in view.findings] == ["K217"]
    assert says in view.findings[0].sentence


def test_concurrency_of_a_sync_handler_is_told_once_a_version(shop: Shop) -> None:
    entries = [shop.submit(modifier=lambda current: 4) for _ in range(2)]
    for _ in entries:
        shop.worker.finish(shop.hand.take(), OK)
    assert [shop.ended(e) for e in entries] == [JobState.COMPLETED] * 2
    views = shop.store.views([e.key for e in entries])
    assert [[f.code for f in view.findings] for view in views] == [["K215"], []]

    async def handler(job: Any) -> None: ...

    entry = shop.submit(function=handler, modifier=lambda current: 4, handler="b")
    shop.worker.finish(shop.hand.take(), OK)
    shop.ended(entry)
    view = shop.store.view(entry.key)
    assert view is not None
    assert not view.findings


def test_a_modifier_that_submits_does_not_deadlock(shop: Shop) -> None:
    more: list[Entry] = []

    def modifier(current: int) -> int:
        if not more:
            more.append(shop.submit(handler="other"))
        return 1

    shop.submit(modifier=modifier)
    assert shop.hand.take().handler.name == "a"
    assert shop.hand.take() is more[0]


def test_a_request_put_aside_is_read_back_when_its_turn_comes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "QUEUE_CHARS", 50)
    requests = [f'{{"input": "{n}{"x" * 40}"}}' for n in range(3)]
    entries = [shop.entry(request=request) for request in requests]
    shop.worker.submit(entries, requests)
    assert [e.request is None for e in entries] == [False, True, True]
    for request in requests:
        taken = shop.hand.take()
        assert shop.worker.request_of(taken) == request
        shop.worker.finish(taken, OK)


# -- when the journal cannot be written ------------------------------------------------------------


def test_a_busy_journal_refuses_jobs_and_takes_ends_later(shop: Shop) -> None:
    entry = shop.submit()
    taken = shop.hand.take()
    until(lambda: "started" in shop.kinds(entry))
    other = sqlite3.connect(shop.store.path, isolation_level=None)
    try:
        other.execute("begin immediate")
        shop.worker.finish(taken, OK)
        woken = threading.Event()
        shop.worker.when_ended(entry.key, woken.set)
        # who waits is told by being woken, and looks at the fault
        assert woken.wait(30)
        assert isinstance(shop.worker.fault, StoreError)
        assert shop.worker.is_live(entry.key)
        with pytest.raises(StoreError):
            shop.submit()
        other.execute("rollback")
    finally:
        other.close()
    assert shop.ended(entry) is JobState.COMPLETED
    assert shop.worker.fault is None
    refused = [e for e in shop.store.after(0) if e.kind is EventKind.QUEUED]
    assert len(refused) == 1, "a refused job left a row"
    assert shop.worker.take("hand") is None


def test_close_writes_all_that_is_left(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "BATCH", 1_000)
    entry = shop.submit()
    taken = shop.hand.take()
    go_on = threading.Event()
    shop.worker.call_later(0, lambda: (go_on.wait(30), None)[1])
    for number in range(20_000):
        chunk(shop.worker, taken, str(number))
    shop.worker.finish(taken, OK)
    closing = threading.Thread(target=shop.worker.close, args=(60,))
    closing.start()
    until(lambda: shop.hand.woken == -1)
    go_on.set()
    closing.join(60)
    view = shop.store.view(entry.key)
    assert view is not None
    assert view.state is JobState.COMPLETED
    assert len(view.stream) == 20_000
    shop.worker.close()
    # nobody listens any more, and nothing breaks
    shop.worker.finish(taken, OK)
    shop.worker.progress(taken, "1")


def test_a_stream_waits_for_the_disk(shop: Shop) -> None:
    entry = shop.submit()
    taken = shop.hand.take()
    most = 0

    async def produce() -> int:
        nonlocal most
        waits = 0
        for number in range(20 * BACKLOG):
            waiting = shop.worker.chunk(taken, str(number))
            most = max(most, len(shop.worker._outbox))
            if waiting is not None:
                waits += 1
                await waiting
        return waits

    assert asyncio.run(produce()) > 0
    assert most <= BACKLOG + 2
    shop.worker.finish(taken, OK)
    shop.ended(entry)
    view = shop.store.view(entry.key)
    assert view is not None
    assert view.stream == tuple(str(n) for n in range(20 * BACKLOG))


def test_the_control_loop_calls_later(shop: Shop) -> None:
    called: list[str] = []
    done = threading.Event()
    shop.worker.call_later(0.05, lambda: (called.append("later"), done.set())[0])
    shop.worker.call_later(0, lambda: called.append(threading.current_thread().name))
    assert done.wait(30)
    assert called == ["kit-worker", "later"]


# -- P1: no job is lost and none ends twice --------------------------------------------------------


class Chaos(Hand):
    """A target whose replies come twice, late, from the wrong thread, or never."""

    def __init__(self, worker: Worker, seed: int, threads: int = 4) -> None:
        self.chance = random.Random(seed)
        super().__init__(worker)
        self.name = "hand"
        self.ready = threading.Semaphore(0)
        self.done = False
        self.late: list[Entry] = []
        self.faults: Counter[str] = Counter()
        self.threads = [threading.Thread(target=self._work) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def wake(self) -> None:
        self.ready.release()

    async def stop(self, entry: Entry) -> None:
        # forced to an end, unless its end is already on its way
        if self.chance.random() < 0.5:
            self.worker.stuck(entry, "chaos")
        else:
            self.worker.finish(entry, Outcome(EventKind.CANCELLED, None))

    def _work(self) -> None:
        while not self.done:
            self.ready.acquire(timeout=0.01)
            while (entry := self.worker.take("hand")) is not None:
                self._one(entry)

    def _one(self, entry: Entry) -> None:
        fault = self.chance.choice(
            ["none"] * 8
            + ["exception", "base exception", "hang", "duplicate", "late", "dropped", "race"]
        )
        self.faults[fault] += 1
        worker = self.worker
        failed = Outcome(EventKind.FAILED, None, ErrorInfo("<class 'X'>", "x"), "lost")
        if fault == "exception":
            worker.finish(entry, Outcome(EventKind.FAILED, '{"error": "x"}', ErrorInfo("", "x")))
        elif fault == "base exception":
            worker.finish(entry, failed)
        elif fault == "hang":
            worker.cancel(entry.key)  # as its time limit does
        elif fault == "duplicate":
            other = threading.Thread(target=worker.finish, args=(entry, failed))
            other.start()
            worker.finish(entry, OK)
            other.join()
        elif fault == "late":
            worker.lost(entry, "presumed dead")
            self.late.append(entry)
        elif fault == "dropped":
            worker.lost(entry, "its reply never came")
        elif fault == "race":
            worker.cancel(entry.key)
            worker.progress(entry, "1")
            worker.finish(entry, OK)
        else:
            chunk(worker, entry, "1")
            worker.finish(entry, OK)
        for _ in range(min(len(self.late), self.chance.randrange(3))):
            try:
                late = self.late.pop()
            except IndexError:  # another thread has said it already
                return
            worker.finish(late, OK)
            worker.progress(late, "2")

    def stop_all(self) -> None:
        self.done = True
        for thread in self.threads:
            thread.join(30)


def keep_busy(path: Path, done: threading.Event, chance: random.Random) -> None:
    """Another process's writes: the journal is busy for some milliseconds, over and over."""
    other = sqlite3.connect(path, isolation_level=None, timeout=30)
    while not done.is_set():
        other.execute("begin immediate")
        time.sleep(chance.uniform(0, 0.03))
        other.execute("commit")
        time.sleep(chance.uniform(0, 0.05))
    other.close()


@pytest.mark.parametrize("round", range(20 if NIGHTLY else 3))
def test_no_job_is_lost_and_none_ends_twice(tmp_path: Path, round: int) -> None:
    jobs, at_once = (50_000 if NIGHTLY else 4_000), 64
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    shop = Shop(tmp_path)
    chaos = Chaos(shop.worker, seed)
    done = threading.Event()
    busy = threading.Thread(target=keep_busy, args=(shop.store.path, done, chance))
    busy.start()
    entries: list[Entry] = []
    try:
        gate = Gate(at_once)
        while len(entries) < jobs:
            some = [
                shop.entry(modifier=lambda current: at_once, gate=gate)
                for _ in range(chance.randrange(1, 400))
            ]
            shop.worker.submit(some, [e.request or "" for e in some])
            entries += some
            for entry in chance.sample(some, len(some) // 20):
                shop.worker.cancel(entry.key)
        until(lambda: not any(shop.worker.is_live(e.key) for e in entries), "all ends", 120)
    finally:
        chaos.stop_all()
        done.set()
        busy.join(30)
        shop.worker.close(30)
    assert set(chaos.faults) >= {"duplicate", "late", "dropped", "hang", "race", "exception"}
    ends: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for event in shop.store.after(0):
        if event.kind in REAL_ENDS:
            ends[event.job_key] += 1
        elif event.kind in ENDS:
            lost[event.job_key] += 1
    for entry in entries:
        real, gone = ends[entry.key], lost[entry.key]
        assert (real, gone) in ((1, 0), (0, 1)), (entry.key, real, gone)
    assert len(ends) + len(lost) == len(entries) == shop.store.count()
    assert not shop.meter.running
    assert shop.worker._queue._chars == 0
    shop.store.close()


def test_a_late_end_replaces_lost_in_the_journal(shop: Shop) -> None:
    """Fencing: what the worker refuses, the journal would still order correctly."""
    entry = shop.submit()
    shop.worker.lost(shop.hand.take(), "presumed dead")
    assert shop.ended(entry) is JobState.LOST
    from kit.events import Ended

    real = Event(entry.key, 1, EventKind.COMPLETED, time.time(), Ended(1.0), '{"output": 1}')
    assert len(shop.store.append([real])) == 1
    assert shop.store.append([real]) == []
    view = shop.store.view(entry.key)
    assert view is not None
    assert view.state is JobState.COMPLETED
