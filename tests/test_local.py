"""Handlers in this process: stopped, timed out, stuck, beside each other, and hostile."""

from __future__ import annotations

import asyncio
import contextvars
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.events import EventKind, JobState
from kit.handler import HandlerKind
from kit.job import Job
from kit.outbox import BACKLOG
from kit.session import Session
from tests.making import codes, ended, handler_of, submit, until


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


class Latch:
    """Lets a handler go on at the test's word; everything is let go at the end."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        self.go_on.wait(60)


@pytest.fixture
def latch() -> Iterator[Latch]:
    made = Latch()
    yield made
    made.go_on.set()


def events(session: Session, job: Job) -> list[str]:
    return [str(e.kind) for e in session.store.after(0) if e.job_key == job.key]


def running(job: Job) -> None:
    until(lambda: job.state is JobState.IN_PROGRESS, f"{job} to start")


# -- all kinds, one after the other ----------------------------------------------------------------


def test_four_kinds_end_with_their_output(session: Session) -> None:
    def sync(job: Any) -> Any:
        return job["input"]

    async def awaiting(job: Any) -> Any:
        await asyncio.sleep(0)
        return job["input"]

    def generator(job: Any) -> Any:
        yield from job["input"]

    async def async_generator(job: Any) -> Any:
        for part in job["input"]:
            yield part

    for function in (sync, awaiting):
        job = ended(submit(session, function, [1, 2]))
        assert (job.state, job.output, job.stream) == (JobState.COMPLETED, [1, 2], [])
    for function in (generator, async_generator):
        job = ended(submit(session, function, [1, 2], return_aggregate_stream=True))
        assert (job.state, job.output, job.stream) == (JobState.COMPLETED, [1, 2], [1, 2])


def test_sync_handlers_hold_the_loop_and_async_ones_share_it(session: Session) -> None:
    flight = {"now": 0, "most": 0}

    async def together(job: Any) -> None:
        flight["now"] += 1
        flight["most"] = max(flight["most"], flight["now"])
        await asyncio.sleep(0.01)
        flight["now"] -= 1

    handler = handler_of(together, "together", concurrency_modifier=lambda current: 4)
    session.add(handler)
    batch = session.intake.map(range(12), handler)
    batch.result(30)
    assert flight["most"] == 4

    flight["most"] = 0

    def alone(job: Any) -> None:
        flight["now"] += 1
        flight["most"] = max(flight["most"], flight["now"])
        time.sleep(0.001)
        flight["now"] -= 1

    handler = handler_of(alone, "alone", concurrency_modifier=lambda current: 4)
    session.add(handler)
    session.intake.map(range(12), handler).result(30)
    assert flight["most"] == 1


def test_a_job_starts_when_its_handler_does_not_while_another_holds_the_loop(
    session: Session, latch: Latch
) -> None:
    inside: list[float] = []

    def slow(job: Any) -> None:
        latch.wait()

    def quick(job: Any) -> None:
        inside.append(time.time())

    first, second = submit(session, slow), submit(session, slow)
    assert latch.entered.wait(30)
    behind = submit(session, quick, timeout_s=0.5)
    until(lambda: session.worker.entry(behind.key) is not None)
    time.sleep(0.7)  # longer than the limit, which must not count yet
    assert behind.state is JobState.IN_QUEUE
    assert behind.view.started_at is None
    latch.go_on.set()
    for job in (first, second, behind):
        assert ended(job).state is JobState.COMPLETED
    assert behind.delay_time_ms is not None
    assert behind.delay_time_ms >= 700
    assert behind.view.started_at is not None
    assert second.view.ended_at is not None
    assert behind.view.started_at >= second.view.ended_at
    assert behind.view.started_at <= inside[0]
    assert behind.view.slot == second.view.slot == 0


def test_handlers_never_run_in_the_main_thread_and_always_in_one(session: Session) -> None:
    names = {
        ended(submit(session, lambda job: threading.current_thread().name)).output for _ in "abc"
    }
    assert names == {"kit-handler"}


# -- stopping --------------------------------------------------------------------------------------


def test_an_async_handler_is_cancelled_where_it_waits(session: Session) -> None:
    seen: list[str] = []

    async def handler(job: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    job = submit(session, handler)
    running(job)
    job.cancel()
    assert ended(job).state is JobState.CANCELLED
    assert seen == ["cancelled"]
    assert events(session, job) == ["queued", "started", "cancel_asked", "cancelled"]
    assert session.stuck_threads() == 0


def loop_forever(job: Any) -> None:
    while True:
        pass


def yield_forever(job: Any) -> Any:
    while True:
        yield "x"


def yield_and_loop(job: Any) -> Any:
    yield 1
    while True:
        pass


async def spin_forever(job: Any) -> None:
    while True:
        pass


async def yield_and_spin(job: Any) -> Any:
    yield 1
    while True:
        pass


async def wait_forever(job: Any) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "function",
    [loop_forever, yield_forever, yield_and_loop, spin_forever, yield_and_spin, wait_forever],
)
@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_what_can_be_stopped_is_stopped(session: Session, function: Any, how: str) -> None:
    job = submit(session, function, timeout_s=0.3 if how == "timeout" else None)
    if how == "cancel":
        running(job)
        job.cancel()
    expected = JobState.CANCELLED if how == "cancel" else JobState.TIMED_OUT
    assert ended(job).state is expected
    assert job.view.stuck is None
    assert session.stuck_threads() == 0
    # production could not have stopped these two; between chunks a generator hears its cancel
    forced = function in (loop_forever, yield_and_loop)
    assert ("K224" in codes(job)) is forced
    assert ended(submit(session, lambda job: "next")).output == "next"


def test_a_queued_job_is_cancelled_without_running(session: Session, latch: Latch) -> None:
    ran: list[int] = []

    def handler(job: Any) -> None:
        latch.wait()
        ran.append(job["input"])

    registered = handler_of(handler)
    session.add(registered)
    jobs = [submit(session, registered, n) for n in range(2)]
    assert latch.entered.wait(30)
    jobs[1].cancel()
    assert ended(jobs[1]).state is JobState.CANCELLED
    latch.go_on.set()
    assert ended(jobs[0]).state is JobState.COMPLETED
    assert ran == [0]
    assert jobs[1].execution_time_ms is None


def test_cancel_after_the_end_changes_nothing(session: Session) -> None:
    job = ended(submit(session, lambda job: 1))
    job.cancel()
    time.sleep(0.1)
    assert job.state is JobState.COMPLETED
    assert events(session, job) == ["queued", "started", "completed"]


def test_cancel_in_the_moment_of_starting(session: Session) -> None:
    """A job that was taken and has no task yet must not escape its cancel."""

    async def handler(job: Any) -> None:
        await asyncio.sleep(60)

    registered = handler_of(handler, concurrency_modifier=lambda current: 200)
    session.add(registered)
    jobs = []
    for _ in range(200):
        job = submit(session, registered)
        job.cancel()
        jobs.append(job)
    assert {ended(job).state for job in jobs} == {JobState.CANCELLED}
    assert ended(submit(session, lambda job: 1)).state is JobState.COMPLETED


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_blocking_call_is_given_up_and_new_jobs_get_a_fresh_thread(
    session: Session, latch: Latch, how: str
) -> None:
    def handler(job: Any) -> str:
        latch.wait()
        print("still here")
        return "too late"

    job = submit(session, handler, timeout_s=0.2 if how == "timeout" else None)
    assert latch.entered.wait(30)
    if how == "cancel":
        job.cancel()
    assert ended(job).state is (JobState.CANCELLED if how == "cancel" else JobState.TIMED_OUT)
    assert "its thread lives on" in (job.view.stuck or "")
    assert session.stuck_threads() == 1
    assert ended(submit(session, lambda job: threading.current_thread().name)).output == (
        "kit-handler-2"
    )
    (old,) = session._local.retired if session._local else ()
    latch.go_on.set()
    until(lambda: not old._thread.is_alive(), "the retired thread ends with its handler")
    # what it came back with changes nothing
    assert job.output is None
    assert job.state.final
    kinds = events(session, job)
    assert sum(kind in ("completed", "failed", "cancelled", "timed_out") for kind in kinds) == 1


def test_a_handler_that_catches_everything_is_given_up(session: Session, latch: Latch) -> None:
    def handler(job: Any) -> None:
        while not latch.go_on.is_set():
            try:
                latch.entered.set()
                while not latch.go_on.is_set():
                    pass
            except BaseException:
                continue

    job = submit(session, handler)
    assert latch.entered.wait(30)
    job.cancel()
    assert ended(job).state is JobState.CANCELLED
    assert job.view.stuck
    assert session.stuck_threads() == 1


def test_a_swallowed_cancellation_is_stuck_on_a_loop_that_lives(
    session: Session, latch: Latch
) -> None:
    async def handler(job: Any) -> str:
        while not latch.go_on.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue
        return "too late"

    job = submit(session, handler)
    running(job)
    job.cancel()
    assert ended(job).state is JobState.CANCELLED
    assert "swallowed its cancellation" in (job.view.stuck or "")
    # the loop answers, so it is not given up
    assert session.stuck_threads() == 0
    assert ended(submit(session, lambda job: threading.current_thread().name)).output == (
        "kit-handler"
    )


def test_a_cancel_waits_for_a_neighbour_that_holds_the_loop_and_blames_nobody(
    session: Session, latch: Latch
) -> None:
    async def blocker(job: Any) -> str:
        latch.wait()
        return "done"

    waiting = submit(session, wait_forever)
    running(waiting)
    busy = submit(session, blocker)
    assert latch.entered.wait(30)
    waiting.cancel()
    time.sleep(2.6)  # longer than all the patience with a handler that would not end
    assert (waiting.state, busy.state) == (JobState.IN_PROGRESS, JobState.IN_PROGRESS)
    latch.go_on.set()
    assert ended(waiting).state is JobState.CANCELLED
    assert ended(busy).output == "done"
    assert waiting.view.stuck is None
    assert session.stuck_threads() == 0


def test_jobs_beside_a_stuck_one_are_lost_by_name_and_never_run_again(
    session: Session, latch: Latch
) -> None:
    runs: list[int] = []

    async def neighbour(job: Any) -> str:
        runs.append(job["input"])
        while not latch.go_on.is_set():
            await asyncio.sleep(0.01)
        return "too late"

    async def blocker(job: Any) -> None:
        latch.wait()

    registered = handler_of(neighbour, "neighbour", concurrency_modifier=lambda current: 2)
    session.add(registered)
    beside = [submit(session, registered, n) for n in range(3)]  # the third waits in the queue
    running(beside[0])
    running(beside[1])
    stuck = submit(session, blocker)
    assert latch.entered.wait(30)
    stuck.cancel()
    assert ended(stuck).state is JobState.CANCELLED
    for job in beside[:2]:
        assert ended(job).state is JobState.LOST
        assert stuck.id in (job.view.lost or "")
    running(beside[2])  # on the fresh loop, for the first time
    latch.go_on.set()
    assert ended(beside[2]).output == "too late"
    assert sorted(runs) == [0, 1, 2]
    assert [job.state for job in beside[:2]] == [JobState.LOST] * 2


def test_a_retired_loop_ends_its_waiting_jobs_when_it_can(session: Session, latch: Latch) -> None:
    closed: list[str] = []

    async def neighbour(job: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append("closed")

    async def blocker(job: Any) -> None:
        latch.wait()

    beside = submit(session, neighbour)
    running(beside)
    stuck = submit(session, blocker)
    assert latch.entered.wait(30)
    stuck.cancel()
    assert ended(beside).state is JobState.LOST
    latch.go_on.set()
    until(lambda: closed, "the neighbour's finally")
    assert beside.state is JobState.LOST


def test_closing_leaves_running_jobs_for_the_next_start(tmp_path: Path, latch: Latch) -> None:
    first = Session(tmp_path)

    async def waits(job: Any) -> None:
        await asyncio.sleep(60)

    waiting = submit(first, waits)
    running(waiting)
    blocked = submit(first, lambda job: latch.wait())
    assert latch.entered.wait(30)
    first.close()
    second = Session(tmp_path)
    try:
        for job in (waiting, blocked):
            view = second.store.view(job.key)
            assert view is not None
            assert view.state is JobState.LOST, view
    finally:
        second.close()


# -- streams and progress in mass ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [HandlerKind.GENERATOR, HandlerKind.ASYNC_GENERATOR])
def test_many_chunks_wait_for_the_disk_and_none_is_dropped(
    session: Session, kind: HandlerKind
) -> None:
    count, waiting = 25_000, []

    def generator(job: Any) -> Any:
        for number in range(count):
            waiting.append(len(session.worker._outbox))
            yield number

    async def async_generator(job: Any) -> Any:
        for number in range(count):
            waiting.append(len(session.worker._outbox))
            yield number

    function = generator if kind is HandlerKind.GENERATOR else async_generator
    job = ended(submit(session, function), 120)
    assert job.state is JobState.COMPLETED
    assert job.stream == list(range(count))
    assert max(waiting) <= BACKLOG + 2


def test_progress_keeps_its_order_and_its_last_value(session: Session) -> None:
    count = 10_000

    def handler(job: Any) -> str:
        for number in range(count):
            session.progress(job, {"step": number})
        return "done"

    job = ended(submit(session, handler), 120)
    wire = job.wire
    assert [p["output"]["step"] for p in wire.progress] == list(range(count))
    assert {p["status"] for p in wire.progress} == {"IN_PROGRESS"}
    assert job.progress == {"step": count - 1}


def test_progress_of_two_jobs_at_once_is_each_its_own(session: Session) -> None:
    async def handler(job: Any) -> None:
        for number in range(200):
            session.progress(job, [job["input"], number])
            await asyncio.sleep(0)

    registered = handler_of(handler, concurrency_modifier=lambda current: 8)
    session.add(registered)
    batch = session.intake.map(range(8), registered)
    batch.result(60)
    for index, job in enumerate(batch.jobs):
        assert [p["output"] for p in job.wire.progress] == [[index, n] for n in range(200)]


def test_a_progress_value_is_a_snapshot_and_a_bad_one_is_dropped_with_a_note(
    session: Session,
) -> None:
    def handler(job: Any) -> None:
        value = {"n": 0}
        for number in range(3):
            value["n"] = number
            session.progress(job, value)
        session.progress(job, {"x": b"bytes"})

    job = ended(submit(session, handler))
    assert [p["output"]["n"] for p in job.wire.progress] == [0, 1, 2]
    assert "$.x" in job.logs
    assert "dropped" in job.logs


def test_progress_after_the_end_never_reopens_a_job(session: Session) -> None:
    release = threading.Event()
    done = threading.Event()

    def handler(job: Any) -> str:
        def later() -> None:
            release.wait(30)
            session.progress(job, "late")
            done.set()

        # with the job's own context, as threads have it once output is routed
        context = contextvars.copy_context()
        threading.Thread(target=lambda: context.run(later)).start()
        return "result"

    job = ended(submit(session, handler))
    release.set()
    assert done.wait(30)
    until(lambda: job.findings)
    assert job.state is JobState.COMPLETED
    assert job.progress is None
    assert codes(job) == {"K212"}


def test_progress_by_a_foreign_thread_finds_its_job_by_id(session: Session) -> None:
    pool: list[Any] = []
    ready, go = threading.Event(), threading.Event()

    def made_before() -> None:
        ready.wait(30)
        pool[0]("from outside")
        go.set()

    thread = threading.Thread(target=made_before)
    thread.start()

    def handler(job: Any) -> None:
        pool.append(lambda value: session.progress(job, value))
        ready.set()
        go.wait(30)

    job = ended(submit(session, handler))
    thread.join(30)
    assert job.progress == "from outside"
    assert session.progress({"id": "nobody's"}, 1) is False
    assert session.progress("no job", 1) is False


# -- context ---------------------------------------------------------------------------------------

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


def test_each_job_runs_in_a_copy_of_the_caller_s_context(session: Session) -> None:
    def handler(job: Any) -> str:
        before = COLOUR.get()
        COLOUR.set("changed")
        return before

    registered = handler_of(handler)
    session.add(registered)

    def call() -> list[Job]:
        COLOUR.set("red")
        return [submit(session, registered) for _ in range(2)]

    jobs = contextvars.copy_context().run(call)
    assert [ended(job).output for job in jobs] == ["red", "red"]
    assert ended(submit(session, registered)).output == "none"
    assert COLOUR.get() == "none"


def test_what_an_async_handler_sets_stays_through_its_awaits(session: Session) -> None:
    async def handler(job: Any) -> list[str]:
        COLOUR.set(str(job["input"]))
        seen = []
        for _ in range(5):
            await asyncio.sleep(0.001)
            seen.append(COLOUR.get())
        return seen

    registered = handler_of(handler, concurrency_modifier=lambda current: 4)
    session.add(registered)
    outputs = session.intake.map(range(4), registered).result(30)
    assert outputs == [[str(n)] * 5 for n in range(4)]


# -- the hostile ones ------------------------------------------------------------------------------


def next_job_runs(session: Session) -> None:
    assert ended(submit(session, lambda job: "fine")).output == "fine"


@pytest.mark.parametrize(
    "exc",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), MemoryError()],
    ids=lambda exc: type(exc).__name__,
)
def test_what_is_raised_is_contained(session: Session, exc: BaseException) -> None:
    def sync(job: Any) -> None:
        raise exc

    async def awaiting(job: Any) -> None:
        await asyncio.sleep(0)
        raise exc

    def generator(job: Any) -> Any:
        yield 1
        raise exc

    async def async_generator(job: Any) -> Any:
        yield 1
        raise exc

    for function in (sync, awaiting, generator, async_generator):
        job = ended(submit(session, function))
        assert job.state is JobState.FAILED, function
    next_job_runs(session)


def test_an_own_task_that_raises_system_exit_does_not_end_the_loop(session: Session) -> None:
    async def bad() -> None:
        sys.exit(3)

    async def handler(job: Any) -> str:
        task = asyncio.ensure_future(bad())
        await asyncio.sleep(0.05)
        task.cancel()
        return "alive"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        job = ended(submit(session, handler))
        assert job.output == "alive"
        next_job_runs(session)


def test_a_handler_that_cancels_itself_fails_and_is_not_called_cancelled(session: Session) -> None:
    async def handler(job: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    job = ended(submit(session, handler))
    assert job.state is JobState.FAILED
    assert codes(job) == {"K207"}
    next_job_runs(session)


def test_a_handler_that_stops_its_loop_takes_nobody_down(session: Session) -> None:
    async def handler(job: Any) -> str:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        return "went on"

    assert ended(submit(session, handler)).output == "went on"
    next_job_runs(session)


def test_replaced_functions_of_json_and_time_do_not_reach_the_kit(tmp_path: Path) -> None:
    """In a process of its own: what a handler replaces here, pytest and asyncio would miss."""
    code = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from kit.session import Session\n"
        "from tests.making import ended, handler_of, submit\n"
        "sleep = time.sleep\n"
        "def handler(job):\n"
        "    json.dumps = json.loads = None\n"
        "    time.time = time.perf_counter = lambda: 0.0\n"
        "    time.sleep = None\n"
        "    if job['input'] == 'raise': raise ValueError('x')\n"
        "    if job['input'] == 'sleep': sleep(0.02)\n"
        "    return {'a': [1]}\n"
        "session = Session(Path(sys.argv[1]))\n"
        "for input in ('first', 'sleep', 'raise'):\n"
        "    job = ended(submit(session, handler, input))\n"
        "    assert job.execution_time_ms >= (20 if input == 'sleep' else 0), job\n"
        "    assert job.view.ended_at >= job.view.started_at > 1e9\n"
        "    print(job.state, job.output, job.input, job.wire.lost)\n"
        "session.close()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.splitlines() == [
        "COMPLETED {'a': [1]} first None",
        "COMPLETED {'a': [1]} sleep None",
        "FAILED None raise None",
    ], ran.stderr


def test_an_input_kept_and_changed_later_changes_nothing_in_the_journal(session: Session) -> None:
    kept: list[Any] = []

    def handler(job: Any) -> Any:
        job["input"]["seen"] = True
        kept.append(job["input"])
        output = {"answer": [1]}
        kept.append(output)
        return output

    value = {"a": [1]}
    job = ended(submit(session, handler, value))
    kept[0]["a"].append(2)
    kept[1]["answer"].append(2)
    value["a"].append(3)
    assert job.input == {"a": [1]}
    assert job.output == {"answer": [1]}
    assert codes(job) == {"K213"}


def test_the_failed_job_s_frames_are_let_go(session: Session) -> None:
    import gc
    import weakref

    class Tensor: ...

    refs: list[weakref.ref[Tensor]] = []

    def handler(job: Any) -> None:
        tensor = Tensor()
        refs.append(weakref.ref(tensor))
        raise ValueError("out of memory")

    job = ended(submit(session, handler))
    assert job.state is JobState.FAILED
    until(lambda: gc.collect() is not None and refs[0]() is None, "the frame's tensor", 10)


def test_objects_of_the_notebook_s_thread_are_explained(session: Session) -> None:
    connection = sqlite3.connect(":memory:")
    try:
        job = ended(submit(session, lambda job: connection.execute("select 1").fetchone()))
        assert codes(job) == {"K209"}
        job = ended(submit(session, lambda job: signal.signal(signal.SIGTERM, signal.SIG_DFL)))
        assert codes(job) == {"K209"}
    finally:
        connection.close()

    async def handler(job: Any) -> None:
        await future

    loop = asyncio.new_event_loop()
    future = loop.create_future()
    try:
        job = ended(submit(session, handler))
        assert job.state is JobState.FAILED
        assert codes(job) == {"K209"}
    finally:
        loop.close()


def test_a_result_that_fights_back_when_compared_is_contained(session: Session) -> None:
    class Angry(dict):  # type: ignore[type-arg]
        def __eq__(self, other: object) -> bool:
            raise SystemExit("no")

        __hash__ = None  # type: ignore[assignment]

    job = ended(submit(session, lambda job: Angry(a=1)))
    assert job.state is JobState.FAILED

    def changes(job: Any) -> str:
        job["input"] = Angry()
        return "x"

    assert ended(submit(session, changes, {})).state.final
    next_job_runs(session)


def test_threads_and_forks_that_a_handler_leaves_do_not_hold_its_job(
    session: Session, latch: Latch
) -> None:
    def handler(job: Any) -> str:
        threading.Thread(target=latch.wait, daemon=True).start()
        return "ended"

    assert ended(submit(session, handler)).output == "ended"
    next_job_runs(session)


# -- P1 with real handlers -------------------------------------------------------------------------


async def mixed(job: Any) -> Any:
    fault = job["input"]["fault"]
    if fault == "exception":
        raise ValueError("boom")
    if fault == "base":
        raise SystemExit(1)
    if fault == "hang":
        await asyncio.sleep(60)
    if fault == "spin":
        while True:
            pass
    if fault == "unsendable":
        return {1, 2}
    if fault == "swallow":
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "swallowed"
    await asyncio.sleep(random.random() * 0.002)
    return fault


def test_every_accepted_job_of_a_mixed_crowd_ends_once(session: Session) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    faults = ["none"] * 12 + ["exception", "base", "unsendable", "hang", "swallow"]
    count = 1_500
    handler = handler_of(mixed, concurrency_modifier=lambda current: 64)
    session.add(handler)
    jobs = []
    spins = set(chance.sample(range(count), 5))
    for number in range(count):
        fault = "spin" if number in spins else chance.choice(faults)
        limit = 0.05 if fault in ("hang", "swallow", "spin") else None
        job = submit(session, handler, {"fault": fault}, timeout_s=limit)
        jobs.append((job, fault))
        if chance.random() < 0.05:
            job.cancel()
    may_end = {
        "none": {"COMPLETED", "CANCELLED"},
        "exception": {"FAILED", "CANCELLED"},
        "base": {"FAILED", "CANCELLED"},
        "unsendable": {"FAILED", "CANCELLED"},
        "hang": {"TIMED_OUT", "CANCELLED"},
        "swallow": {"TIMED_OUT", "CANCELLED"},
        "spin": {"TIMED_OUT", "CANCELLED"},
    }
    for job, fault in jobs:
        assert str(ended(job, 120).state) in may_end[fault], (fault, job)
    ends = [e for e in session.store.after(0) if e.kind in _ENDS]
    assert len(ends) == count
    assert len({e.job_key for e in ends}) == count
    assert session.stuck_threads() == 0
    assert not session.worker.running()


_ENDS = {
    EventKind.COMPLETED,
    EventKind.FAILED,
    EventKind.CANCELLED,
    EventKind.TIMED_OUT,
    EventKind.LOST,
}
