"""What a request asks for itself, refresh_worker, and memory that grows: what the session makes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import policy
from kit.errors import JobTimedOut, UsageError
from kit.events import JobState, MemoryUse
from kit.growth import Growth
from kit.held import Held
from kit.job import Job
from kit.request import make
from kit.session import Session
from tests.making import ended, handler_of, submit, until

MIB, GIB = 2**20, 2**30


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path / "home")
    yield made
    made.close()


async def waits(job: dict[str, Any]) -> Any:
    await asyncio.sleep(1000)


def run(session: Session, request: dict[str, Any], timeout_s: float | None = None) -> Job:
    session.add(handler_of(waits))
    return session.intake.submit(make(request=request), None, None, timeout_s)


def test_the_shorter_of_policy_and_call_holds(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"input": 1, "policy": {"executionTimeout": 5_000}}
    assert run(session, request).view.timeout_s == 5
    assert run(session, request, 0.05).view.timeout_s == 0.05
    assert run(session, request, 50).view.timeout_s == 5
    assert run(session, {"input": 1}).view.timeout_s is None


@pytest.mark.parametrize("queued", [False, True])
def test_a_job_past_its_ttl_is_timed_out_in_the_queue_and_while_it_runs(
    session: Session, queued: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(policy._RANGES, "ttl", (100, 10**9))
    first = run(session, {"input": 1}) if queued else None
    job = run(session, {"input": 1, "policy": {"ttl": 300}})
    began = time.monotonic()
    ended(job, 5)
    assert 0.2 < time.monotonic() - began < 2.5
    assert job.state is JobState.TIMED_OUT
    assert (job.execution_time_ms is None) == queued
    with pytest.raises(JobTimedOut, match=r"ttl of 0\.3 s was over"):
        job.result()
    if first is not None:
        assert first.state is JobState.IN_PROGRESS
        first.cancel()
        ended(first)


def test_a_ttl_that_was_long_enough_changes_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(policy._RANGES, "ttl", (100, 10**9))
    session.add(handler_of(lambda job: 1))
    job = session.intake.submit(
        make(request={"input": 1, "policy": {"ttl": 200}}), None, None, None
    )
    assert job.result(10) == 1
    time.sleep(0.4)
    assert job.state is JobState.COMPLETED


@pytest.mark.parametrize(
    "given",
    [5, {"ttl": 9_999}, {"ttl": True}, {"executionTimeout": "5000"}, {"executionTimeout": 4_999}],
)
def test_a_policy_runpod_would_not_take_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="policy"):
        make(request={"input": 1, "policy": given})


def test_refresh_in_either_form_is_explained_and_the_kernel_stays(session: Session) -> None:
    job = ended(submit(session, lambda job: {"refresh_worker": True, "x": 1}))
    [note] = [f for f in job.findings if f.code == "K229"]
    assert "the process itself goes on" in note.sentence
    job = ended(submit(session, lambda job: {"x": 1}, refresh_worker=True))
    [note] = [f for f in job.findings if f.code == "K229"]
    assert "the worker process exits" in note.sentence
    assert job.wire.done == {"output": {"x": 1}, "stopPod": True}
    job = ended(submit(session, lambda job: {"text": '"stopPod": true}'}))
    assert not job.findings


def use(after: int, *, before: int | None = None, own: bool = True) -> tuple[MemoryUse, ...]:
    return (MemoryUse("rss", -1, after if before is None else before, after, after, own, True),)


def test_growth_is_told_once_and_only_when_it_does_not_stop() -> None:
    growth = Growth()
    told = [growth.seen("h", 1, use(i * 100 * MIB)) for i in range(20)]
    assert [i for i, notes in enumerate(told) if notes] == [5]
    assert told[5][0].code == "K230"
    assert "100 MiB a job" in told[5][0].sentence
    assert not growth.seen("h", 2, use(MIB))
    # what the first job adds counts: the fifth is enough
    told = [growth.seen("h", 3, use(i * 32 * MIB, before=(i - 1) * 32 * MIB)) for i in range(1, 9)]
    assert [i for i, notes in enumerate(told, 1) if notes] == [5]
    clean = Growth()
    # a cache that fills for four jobs, then noise
    sizes = [100, 200, 300, 400, 500] + [500 + i % 3 * 20 for i in range(195)]
    assert not any(clean.seen("h", 1, use(size * MIB)) for size in sizes)
    shared = Growth()
    assert not any(shared.seen("h", 1, use(i * 100 * MIB, own=False)) for i in range(20))


def test_what_a_job_keeps_is_told_once_a_version_and_device() -> None:
    growth = Growth()
    kept = use(500 * MIB, before=300 * MIB)
    [note] = growth.seen("h", 1, kept)
    assert note.code == "K233"
    assert "200 MiB more are in use in this process" in note.sentence
    assert not growth.seen("h", 1, kept)
    assert not growth.seen("h", 2, use(400 * MIB, before=300 * MIB)), "a heap that was kept"
    assert not growth.seen("h", 2, use(900 * MIB, before=0, own=False)), "perhaps a neighbour's"
    assert growth.seen("h", 2, kept)
    gpu = tuple(MemoryUse("vram", i, GIB, GIB, GIB + i * 70 * MIB, True, False) for i in range(2))
    [note] = growth.seen("h", 3, gpu)
    assert "70 MiB more are in use on GPU 1" in note.sentence


def test_who_holds_the_memory_of_a_failed_job_is_named_each_time() -> None:
    growth, kept = Growth(), use(500 * MIB, before=300 * MIB)
    growth.holders = lambda least: [Held("errors[3]", "ValueError", "predict", "batch", 190 * MIB)]
    for _ in range(2):
        [note] = growth.seen("h", 1, kept, failed=True)
        assert note.code == "K234"
        assert "`errors[3]` holds a ValueError" in note.sentence
        assert "190 MiB alive: `batch` of predict()" in note.sentence
        assert "`del errors`" in note.remedy
    [note] = growth.seen("h", 1, kept, failed=True, debugged=True)
    assert "kept for %debug" in note.sentence
    assert "kit.free()" in note.remedy
    growth.holders = lambda least: []
    [note] = growth.seen("h", 1, kept, failed=True)
    assert note.code == "K233"


def test_a_handler_that_keeps_everything_is_told(session: Session) -> None:
    kept: list[bytes] = []

    def keeps(job: dict[str, Any]) -> int:
        kept.append(b"x" * 40 * MIB)
        time.sleep(0.01)
        return len(kept)

    jobs = [ended(submit(session, keeps)) for _ in range(1)]
    jobs += [
        ended(session.intake.submit(make(input=i), "keeps", None, None)) for i in range(7)
    ]  # fmt: skip
    time.sleep(0.05)
    assert until(lambda: [f for j in jobs for f in j.findings if f.code == "K230"])
