"""Waiting from a cell: until the end, for a while, interrupted; chunks as they come."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.errors import JobCancelled, JobFailed, JobLost, JobTimedOut, StoreError
from kit.events import JobState
from kit.session import Session
from kit.status import status_text
from tests.making import ended, handler_of, submit, until

pytestmark = pytest.mark.usefixtures("interruptible")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


async def waits(job: Any) -> str:
    await asyncio.sleep(60)
    return "never"


def interrupted(call: Callable[[], Any], when: Callable[[], Any]) -> float:
    """Press the stop button once something is so; seconds from there to the end of the call.

    As ipykernel does it: SIGINT to the process, whose main thread raises KeyboardInterrupt.
    """
    pressed: list[float] = []
    main = threading.main_thread().ident or 0

    def press() -> None:
        until(when)
        time.sleep(0.05)  # the wait has begun
        pressed.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
        return time.monotonic() - pressed[0]
    finally:
        thread.join(30)


# -- one job ---------------------------------------------------------------------------------------


def test_result_gives_the_output_or_raises_what_happened(session: Session) -> None:
    assert submit(session, lambda job: {"a": 1}).result() == {"a": 1}

    def fails(job: Any) -> None:
        raise ValueError("no such prompt")

    job = submit(session, fails)
    with pytest.raises(JobFailed) as failed:
        job.result()
    assert "no such prompt" in str(failed.value)
    assert "def fails" not in str(failed.value)
    assert "in fails" in str(failed.value)
    assert (failed.value.job_id, failed.value.job_key, failed.value.attempt) == (job.id, job.key, 1)

    def fails_without_a_word(job: Any) -> None:
        raise RuntimeError

    with pytest.raises(JobFailed, match=r"v1 failed: RuntimeError\n"):
        submit(session, fails_without_a_word).result()

    job = submit(session, waits, timeout_s=0.05)
    with pytest.raises(JobTimedOut, match=r"stopped after 0\.05 s"):
        job.result()

    job = submit(session, waits)
    job.cancel()
    with pytest.raises(JobCancelled, match=r"job\.retry\(\)"):
        job.result()

    with pytest.raises(JobFailed, match="bytes"):
        submit(session, lambda job: b"x").result()


def test_awaiting_is_the_same(session: Session) -> None:
    async def cell() -> Any:
        outputs = [await submit(session, lambda job: job["input"], n) for n in range(3)]
        with pytest.raises(JobFailed, match="division"):
            await submit(session, lambda job: 1 / 0)
        done = ended(submit(session, lambda job: "done"))
        return outputs, await done, await done

    assert asyncio.run(cell()) == ([0, 1, 2], "done", "done")


def test_many_await_one_job_on_several_loops(session: Session) -> None:
    job = submit(session, lambda job: time.sleep(0.1) or "x")
    results: list[Any] = []

    async def cell() -> None:
        results.extend(await asyncio.gather(*[job._finish() for _ in range(5)]))

    threads = [threading.Thread(target=lambda: asyncio.run(cell())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == ["x"] * 15


def test_a_time_limit_of_the_wait_leaves_the_job_alone(session: Session) -> None:
    job = submit(session, waits)
    for limit in (0, 0.05):
        with pytest.raises(TimeoutError, match="it goes on"):
            job.result(timeout_s=limit)
    assert job.state in (JobState.IN_PROGRESS, JobState.IN_QUEUE)
    assert not session.worker.waiting(job.key), "a waiter was left behind"
    job.cancel()
    ended(job)


@pytest.mark.parametrize("own", [True, False], ids=["this cell's", "another cell's"])
def test_the_stop_button_ends_the_wait_and_cancels_only_this_cell_s_job(
    session: Session, own: bool
) -> None:
    session.cell = "cell 1"
    job = submit(session, waits)
    if not own:
        session.cell = "cell 2"
    took = interrupted(job.result, lambda: job.state is JobState.IN_PROGRESS)
    assert took < 5
    if own:
        assert ended(job).state is JobState.CANCELLED
    else:
        time.sleep(0.3)  # a cancel would have arrived
        assert job.state is JobState.IN_PROGRESS
        assert not job.view.cancel_asked
        job.cancel()
        ended(job)


@pytest.mark.parametrize("own", [True, False], ids=["this cell's", "another cell's"])
def test_an_interrupted_batch_cancels_only_this_cell_s_jobs(session: Session, own: bool) -> None:
    handler = handler_of(waits, concurrency_modifier=lambda current: 2)
    session.add(handler)
    session.cell = "cell 1"
    batch = session.intake.map(range(4), handler)
    if not own:
        session.cell = "cell 2"
    interrupted(batch.result, lambda: batch.states().get("IN_PROGRESS") == 2)
    if own:
        assert {ended(job).state for job in batch.jobs} == {JobState.CANCELLED}
    else:
        time.sleep(0.3)
        assert batch.states() == {"IN_QUEUE": 2, "IN_PROGRESS": 2}
        batch.cancel()
        batch.jobs[-1]._source.wait(batch.jobs[-1].key, 30)


def test_an_interrupted_await_cancels_this_cell_s_job(session: Session) -> None:
    session.cell = "cell 1"
    job = submit(session, waits)

    async def cell() -> None:
        waiting = asyncio.ensure_future(job._finish())
        await asyncio.sleep(0.2)
        waiting.cancel()  # what ipykernel does to an interrupted await cell
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cell())
    assert ended(job).state is JobState.CANCELLED
    assert not session.worker.waiting(job.key)


def test_between_cells_an_interrupt_cancels_nothing(session: Session) -> None:
    job = submit(session, waits)  # session.cell is None
    interrupted(job.result, lambda: job.state is JobState.IN_PROGRESS)
    time.sleep(0.3)
    assert job.state is JobState.IN_PROGRESS
    job.cancel()
    ended(job)


def test_a_journal_that_cannot_be_written_is_told_to_who_waits(session: Session) -> None:
    go_on = threading.Event()
    job = submit(session, lambda job: go_on.wait(30))
    until(lambda: job.state is JobState.IN_PROGRESS)
    other = sqlite3.connect(session.store.path, isolation_level=None)
    try:
        other.execute("begin immediate")
        go_on.set()
        with pytest.raises(StoreError):
            job.result()
        assert "ends of jobs wait until it can be written again" in status_text(session)
    finally:
        other.close()
    assert job.result() is True
    assert "ends of jobs wait" not in status_text(session)


def test_a_lost_job_says_why(tmp_path: Path) -> None:
    first = Session(tmp_path)
    job = submit(first, waits)
    until(lambda: job.state is JobState.IN_PROGRESS)
    first.close()
    second = Session(tmp_path)
    try:
        job._source = second
        with pytest.raises(JobLost, match="ended before the job did"):
            job.result()
    finally:
        second.close()


# -- batches ---------------------------------------------------------------------------------------


def test_a_batch_waits_for_all_and_raises_the_first_in_order(session: Session) -> None:
    def handler(job: Any) -> Any:
        if job["input"] in (3, 7):
            raise ValueError(f"bad {job['input']}")
        return job["input"] * 2

    registered = handler_of(handler)
    session.add(registered)
    assert session.intake.map(range(3), registered).result() == [0, 2, 4]
    batch = session.intake.map(range(10), registered)
    with pytest.raises(JobFailed, match="bad 3"):
        batch.result()
    assert batch.states() == {"COMPLETED": 8, "FAILED": 2}
    assert session.intake.map([], registered).result() == []


def test_a_batch_s_time_limit_leaves_its_jobs_alone(session: Session) -> None:
    registered = handler_of(waits)
    session.add(registered)
    batch = session.intake.map(range(2), registered)
    with pytest.raises(TimeoutError, match="not all 2 jobs"):
        batch.result(timeout_s=0.05)
    batch.cancel()
    assert {ended(job).state for job in batch.jobs} == {JobState.CANCELLED}


# -- chunks ----------------------------------------------------------------------------------------


async def collect(job: Any) -> list[Any]:
    return [chunk async for chunk in job.chunks()]


def test_chunks_come_one_by_one_while_the_job_runs(session: Session) -> None:
    go_on = threading.Semaphore(0)

    async def handler(job: Any) -> Any:
        for number in range(4):
            await asyncio.to_thread(go_on.acquire, timeout=30)
            yield number

    job = submit(session, handler)
    seen: list[tuple[int, JobState]] = []

    async def cell() -> None:
        go_on.release()
        async for chunk in job.chunks():
            seen.append((chunk, job.state))
            go_on.release()

    asyncio.run(asyncio.wait_for(cell(), 30))
    assert [chunk for chunk, _ in seen] == [0, 1, 2, 3]
    assert all(state is JobState.IN_PROGRESS for _, state in seen[:-1])


@pytest.mark.parametrize("when", ["at once", "in the middle", "after the end"])
def test_every_listener_gets_every_chunk_once_and_in_order(session: Session, when: str) -> None:
    count = 3_000

    def handler(job: Any) -> Any:
        yield from range(count)

    job = submit(session, handler)
    if when == "in the middle":
        until(lambda: len(job.stream) > count // 4)
    if when == "after the end":
        ended(job)

    async def cell() -> list[list[Any]]:
        return await asyncio.wait_for(asyncio.gather(*[collect(job) for _ in range(3)]), 60)

    assert asyncio.run(cell()) == [list(range(count))] * 3
    assert not session.store._delivery.wanted


def test_chunks_of_a_job_without_any_end_with_it(session: Session) -> None:
    assert asyncio.run(collect(submit(session, lambda job: 1))) == []

    def fails(job: Any) -> Any:
        yield 1
        raise ValueError("x")

    job = submit(session, fails)
    assert asyncio.run(collect(job)) == [1]
    assert ended(job).state is JobState.FAILED


def test_a_listener_that_leaves_is_forgotten(session: Session) -> None:
    def handler(job: Any) -> Any:
        yield from range(1_000)

    job = submit(session, handler)

    async def cell() -> int:
        chunks = job.chunks()
        async for chunk in chunks:
            if chunk == 5:
                await chunks.aclose()
                return int(chunk)
        return -1

    assert asyncio.run(cell()) == 5
    assert ended(job).state is JobState.COMPLETED
    until(lambda: not session.store._delivery.wanted)


def test_an_awaited_batch_gives_the_outputs_in_order(session: Session) -> None:
    async def doubles(job: Any) -> Any:
        await asyncio.sleep(0.03 / (1 + job["input"]))
        return 2 * job["input"]

    session.add(handler_of(doubles, "doubles", concurrency_modifier=lambda n: 4))

    async def cell() -> list[Any]:
        return [await session.intake.map(range(12)), await session.intake.map([])]

    assert asyncio.run(cell()) == [[2 * n for n in range(12)], []]


def test_a_cancelled_await_of_a_batch_cancels_what_its_cell_started(session: Session) -> None:
    session.add(handler_of(waits, "waits"))

    async def cell() -> None:
        session.cell = object()
        batch = session.intake.map([1, 2])
        task = asyncio.ensure_future(batch._finish())
        while batch.states().get("IN_PROGRESS") != 1:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for job in batch.jobs:
            assert ended(job).state is JobState.CANCELLED

    asyncio.run(cell())


def test_a_failed_job_of_an_awaited_batch_is_raised(session: Session) -> None:
    def fails(job: Any) -> None:
        raise ValueError("no such prompt")

    session.add(handler_of(fails, "fails"))

    async def cell() -> list[Any]:
        return await session.intake.map([1, 2])

    with pytest.raises(JobFailed, match="no such prompt"):
        asyncio.run(cell())
