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
from kit.job import Job
from kit.request import make
from kit.session import Session
from tests.making import ended, handler_of, submit, until

MIB = 2**20


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


def use(after: int, *, own: bool = True) -> tuple[MemoryUse, ...]:
    return (MemoryUse("rss", -1, 0, after, after, own, True),)


def test_growth_is_told_once_and_only_when_it_does_not_stop() -> None:
    growth = Growth()
    told = [growth.seen("h", 1, use(i * 100 * MIB)) for i in range(20)]
    assert [i for i, note in enumerate(told) if note] == [5]
    assert "100 MiB a job" in told[5].sentence  # type: ignore[union-attr]
    assert growth.seen("h", 2, use(MIB)) is None
    clean = Growth()
    # a cache that fills for four jobs, then noise
    sizes = [100, 200, 300, 400, 500] + [500 + i % 3 * 20 for i in range(195)]
    assert not any(clean.seen("h", 1, use(size * MIB)) for size in sizes)
    shared = Growth()
    assert not any(shared.seen("h", 1, use(i * 100 * MIB, own=False)) for i in range(20))


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
