"""Streams, progress, logs, limits, cancel, memory and setups: on a pod as in the kernel."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kit.errors import JobFailed
from kit.events import JobState
from kit.job import Job
from tests.making import ended, until
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def shared(jupyter: Jupyter, tmp_path_factory: pytest.TempPathFactory):
    """One notebook with one kernel there for all tests of this file."""
    desk = Desk(tmp_path_factory.mktemp("home"))
    desk.connect(jupyter.url, jupyter.token)
    desk.cell("import asyncio, os, sys, time")
    try:
        yield desk
    finally:
        desk.close()


def handled(desk: Desk, source: str, input: object = None, **options: object) -> Job:
    desk.cell("%%handler handler\n" + source)
    return desk.run(input, **options)


def test_chunks_come_while_the_handler_runs(shared: Desk) -> None:
    job = handled(
        shared,
        """
        async def handler(job):
            yield "first"
            while not os.path.exists("go"):
                await asyncio.sleep(0.01)
            yield "second"
        """.replace("\n        ", "\n"),
    )
    until(lambda: job.stream == ["first"], "the first chunk")
    assert job.state is JobState.IN_PROGRESS
    pod = shared.pods[0]
    folder = pod.target.tether.facts.folder
    Path(folder, "go").touch()
    assert ended(job).stream == ["first", "second"]


def test_progress_and_logs_come_in_order(shared: Desk) -> None:
    shared.names["progress_update"] = None
    shared.cell("from runpod.serverless import progress_update", here=False)
    job = handled(
        shared,
        "def handler(job):\n"
        "    for n in range(50):\n"
        "        progress_update(job, {'n': n})\n"
        "        print(n)\n"
        "    print('bad', file=sys.stderr)\n"
        "    return 1\n",
    )
    assert job.result(60) == 1
    assert job.progress == {"n": 49}
    view = shared.session.view(job.key)
    assert [f'{{"n": {n}}}' for n in range(50)] == list(view.progress)
    assert job.logs.split() == [*map(str, range(50)), "bad"]


def test_a_cancel_reaches_the_pod_also_inside_a_busy_handler(shared: Desk) -> None:
    job = handled(
        shared, "def handler(job):\n    print('in')\n    while True:\n        time.sleep(0.01)\n"
    )
    until(lambda: "in" in job.logs, "the handler")
    job.cancel()
    assert ended(job).state is JobState.CANCELLED
    assert handled(shared, "def handler(job):\n    return 5\n").result(60) == 5


def test_a_time_limit_is_kept_there(shared: Desk) -> None:
    job = handled(shared, "async def handler(job):\n    await asyncio.sleep(60)\n", timeout_s=0.3)
    assert ended(job).state is JobState.TIMED_OUT
    assert 200 < (job.execution_time_ms or 0) < 30_000


def test_a_waiting_job_is_cancelled_where_it_waits(shared: Desk) -> None:
    first = handled(shared, "async def handler(job):\n    await asyncio.sleep(job['input'])\n", 60)
    second = shared.run(60)
    until(lambda: first.state is JobState.IN_PROGRESS, "the first")
    second.cancel()
    assert ended(second).state is JobState.CANCELLED
    first.cancel()
    assert ended(first).state is JobState.CANCELLED


def test_concurrency_is_the_handler_s_own(shared: Desk) -> None:
    shared.cell(
        "%%handler handler --concurrency 8\n"
        "async def handler(job):\n    await asyncio.sleep(0.2)\n    return job['input']\n"
    )
    jobs = [shared.run(n) for n in range(16)]
    assert [job.result(60) for job in jobs] == list(range(16))
    rows = shared.session.store.rows(keys=[job.key for job in jobs])
    spans = sorted((row.started_at, row.ended_at) for row in rows)
    beside = max(sum(a <= at < b for a, b in spans) for at, _ in spans)
    assert 2 <= beside <= 8


def test_a_hundred_megabytes_of_prints_are_cut_and_drown_nothing(shared: Desk) -> None:
    job = handled(
        shared,
        "def handler(job):\n"
        "    line = 'x' * 999\n"
        "    for n in range(job['input']):\n"
        "        print(line)\n"
        "    print('the end')\n"
        "    return 1\n",
        100_000,
    )
    assert job.result(120) == 1
    assert "characters are not kept" in job.logs
    assert job.logs.endswith("the end\n")
    assert len(job.logs) < 200_000


def test_large_payloads_go_both_ways_as_they_are(shared: Desk) -> None:
    text = "ü" * 6_000_000
    job = handled(shared, "def handler(job):\n    return job['input'] + 'x'\n", text)
    assert job.result(120) == text + "x"


def test_a_setup_that_takes_its_time_is_a_bar_with_its_logs_and_memory(shared: Desk) -> None:
    shared.names["slow"] = None
    shared.cell(
        "def load():\n    print('loading')\n    time.sleep(0.3)\n    return bytearray(60_000_000)"
    )
    shared.cell("slow = load()", here=False)
    job = handled(shared, "def handler(job):\n    return len(slow)\n")
    assert job.result(60) == 60_000_000

    def printed() -> object:
        rows = [r for r in shared.session.store.rows() if r.handler == "handler setup"]
        return next((r for r in rows if r.ended_at and "loading" in logs(shared, r.key)), None)

    bar = until(printed, "a bar")
    view = shared.session.view(bar.key)
    assert view.state is JobState.COMPLETED
    assert view.execution_ms is not None
    assert view.execution_ms >= 300
    use = view.memory[0]
    assert use.peak - use.before > 50_000_000


def logs(desk: Desk, key: str) -> str:
    return "".join(log.text for log in desk.session.view(key).logs)


def test_a_loading_model_is_interrupted_when_nobody_waits_for_it_any_more(shared: Desk) -> None:
    shared.names["endless"] = None
    shared.cell("print('begin')\nendless = time.sleep(600)", here=False, id="endless")
    job = handled(shared, "def handler(job):\n    return endless\n")
    key = until(lambda: shared.pods[0].target.setups.running, "the setup")
    until(lambda: shared.session.store.rows(keys=[key]), "its bar")
    job.cancel()
    assert ended(job).state is JobState.CANCELLED
    assert shared.session.wait(key, 30)
    assert shared.session.view(key).state is JobState.CANCELLED
    shared.cell("endless = 3", here=False, id="endless")
    assert shared.run(1).result(60) == 3


def test_memory_of_the_pod_is_on_this_timeline(shared: Desk) -> None:
    before = time.time()
    job = handled(shared, "def handler(job):\n    time.sleep(1.2)\n    return 1\n")
    job.result(60)
    row = shared.session.store.rows(keys=[job.key])[0]

    def within() -> list[object]:
        found = shared.session.store.samples(session=shared.session.session_id)
        own = [s for s in found if s.target == shared.pods[0].name]
        return [s for s in own if row.started_at - 0.1 <= s.time <= row.ended_at + 0.1]

    assert len(until(lambda: len(within()) >= 5 and within(), "samples")) >= 5
    assert before <= row.started_at <= row.ended_at <= time.time()


def test_a_module_that_breaks_the_setup_says_where(shared: Desk) -> None:
    shared.names["broken"] = None
    shared.cell("broken = 1\nbroken = 1 / 0", here=False, id="broken")
    job = handled(shared, "def handler(job):\n    return broken\n")
    number = shared.number - 1
    with pytest.raises(
        JobFailed, match=rf"could not run In \[{number}\], line 2: ZeroDivisionError"
    ):
        job.result(60)
    assert f'File "In [{number}]", line 2' in job.error.traceback
    shared.cell("broken = 7", here=False, id="broken")
    assert shared.run(1).result(60) == 7


def test_a_handler_that_kills_the_kernel_loses_its_job_and_the_next_runs(shared: Desk) -> None:
    job = handled(shared, "def handler(job):\n    os._exit(3)\n")
    assert ended(job).state is JobState.LOST
    assert "its kernel was restarted" in (job.wire.lost or "")
    # the newer version runs on a new kernel, and all that it needs runs there again
    job = handled(shared, "def handler(job):\n    return 11\n")
    assert job.result(60) == 11
