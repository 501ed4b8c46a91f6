"""The network may do what it wants: nothing is missed, nothing is doubled, nothing runs twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from kit.errors import TargetError
from kit.events import JobState
from kit.job import Job
from kit.targets.pod.terms import Pace
from tests.making import ended, until
from tests.pod.proxy import Proxy, proxy_to
from tests.pod.serving import Desk, Jupyter

pytestmark = [pytest.mark.kernel, pytest.mark.fault]

NIGHTLY = bool(os.environ.get("KIT_NIGHTLY"))
SEED = int(os.environ.get("KIT_SEED", "0")) or random.randrange(1 << 30)
QUICK = Pace(beat_s=0.6, first_s=0.02, longest_s=0.3, lease_s=60.0)

#: notes each run in a file there: what ran twice would be there twice
HANDLER = """
%%handler handler --concurrency 10
async def handler(job):
    n = job["input"]
    with open("runs.txt", "a") as file:
        file.write(f"{n}\\n")
    for part in range(3):
        yield {"n": n, "part": part}
        await asyncio.sleep(0.001)
"""


@pytest.fixture(scope="module")
def line(jupyter: Jupyter) -> Iterator[Proxy]:
    with proxy_to(jupyter.port) as one:
        yield one


@pytest.fixture(scope="module")
def far(jupyter: Jupyter, line: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A notebook whose pod is behind the proxy."""
    desk = Desk(tmp_path_factory.mktemp("home"))
    desk.connect(f"http://127.0.0.1:{line.port}", jupyter.token, QUICK)
    desk.cell("import asyncio, os, time")
    try:
        yield desk
    finally:
        desk.close()


def runs(jupyter: Jupyter) -> list[int]:
    return sorted(int(n) for n in (jupyter.work / "runs.txt").read_text().split())


def test_a_fault_every_twenty_messages_misses_and_doubles_nothing(
    jupyter: Jupyter, line: Proxy, far: Desk
) -> None:
    print("seed", SEED)
    count = 1_000 if not NIGHTLY else 20_000
    far.cell(HANDLER)
    far.run(-1).result(60)
    (jupyter.work / "runs.txt").unlink()
    line.faults.every = 20
    before = line.cuts
    try:
        jobs = []
        for n in range(count):
            jobs.append(far.run(n))
            if n % 10 == 9:  # else all would go in a few messages
                ended(jobs[max(0, n - 20)], 100)
        for job in jobs:
            ended(job, 100)
    finally:
        line.faults.every = 0
    assert line.cuts - before >= count // 100, "the line was good"
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    assert runs(jupyter) == list(range(count)), "missed or run twice"
    wanted = [[{"n": n, "part": part} for part in range(3)] for n in range(count)]
    assert [job.stream for job in jobs] == wanted
    told: dict[str, list[str]] = {job.key: [] for job in jobs}
    for event in far.session.store.after(0):
        if event.job_key in told and event.kind.value != "finding":
            told[event.job_key].append(event.kind.value)
    whole = ["queued", "started", "chunk", "chunk", "chunk", "completed"]
    assert [kinds for kinds in told.values() if kinds != whole] == []


def longer(job: Job, than: int) -> bool:
    return len(job.stream) > than


def test_hard_drops_are_caught_up_within_seconds(line: Proxy, far: Desk) -> None:
    drops = 100 if NIGHTLY else 30
    far.cell(
        "%%handler handler\n"
        "async def handler(job):\n"
        "    for n in range(100_000):\n"
        "        yield n\n"
        "        await asyncio.sleep(0.002)\n"
        "        if os.path.exists('enough'):\n"
        "            return\n"
    )
    job = far.run(0)
    until(lambda: len(job.stream) > 3, "the stream")
    waits = []
    chance = random.Random(SEED)
    for _ in range(drops):
        line.cut(hard=chance.random() < 0.7)
        began, seen = time.monotonic(), len(job.stream)
        until(partial(longer, job, seen + 3), "catching up", 10)
        waits.append(time.monotonic() - began)
    folder = far.pods[0].target.tether.facts.folder
    Path(folder, "enough").touch()
    stream = ended(job).stream
    assert stream == list(range(len(stream)))
    assert max(waits) < 5.0, sorted(waits)[-5:]
    assert far.pods[0].target.tether.reconnects >= drops * 0.8


def test_a_half_open_line_is_noticed(line: Proxy, far: Desk) -> None:
    far.cell("%%handler handler\ndef handler(job):\n    return job['input'] + 1\n")
    assert far.run(1).result(60) == 2
    before = far.pods[0].target.tether.reconnects
    line.faults.frozen = True
    job = far.run(2)
    until(lambda: far.pods[0].target.trouble, "that it is noticed")
    line.faults.frozen = False
    assert job.result(60) == 3
    until(lambda: far.pods[0].target.tether.reconnects > before, "the new connection")


def test_a_slow_and_slicing_line_only_takes_longer(line: Proxy, far: Desk) -> None:
    line.faults.latency_s, line.faults.slice_bytes = 0.02, 100
    try:
        assert far.run(5).result(60) == 6
    finally:
        line.faults.latency_s, line.faults.slice_bytes = 0.0, 0


def test_a_proxy_that_cuts_idle_connections_cuts_none_that_beats(line: Proxy, far: Desk) -> None:
    before = far.pods[0].target.tether.reconnects
    line.faults.idle_s = 3 * QUICK.beat_s
    began = time.monotonic()
    try:
        until(lambda: time.monotonic() - began > 5 * QUICK.beat_s)
    finally:
        line.faults.idle_s = 0.0
    assert far.pods[0].target.tether.reconnects == before
    assert far.run(6).result(60) == 7


def test_jobs_go_on_while_the_pod_is_away_and_a_late_end_replaces_lost(
    jupyter: Jupyter, line: Proxy, kit_home
) -> None:
    desk = Desk(kit_home)
    pace = Pace(beat_s=0.5, first_s=0.02, longest_s=0.2, lease_s=0.5)
    try:
        desk.connect(f"http://127.0.0.1:{line.port}", jupyter.token, pace, kernel="lease")
        desk.cell("import os, time")
        desk.cell(
            "%%handler handler\n"
            "def handler(job):\n"
            "    while not os.path.exists('finish'):\n"
            "        time.sleep(0.01)\n"
            "    return 'late'\n"
        )
        job = desk.run(1)
        until(lambda: job.state is JobState.IN_PROGRESS, "the start")
        line.faults.refusing = True
        line.cut()
        assert ended(job).state is JobState.LOST
        assert "has not answered for 0.5 s" in (job.wire.lost or "")
        unsent = desk.run(1)
        assert ended(unsent).state is JobState.FAILED
        assert "It never left this notebook" in str(unsent.error)
        (jupyter.work / "finish").touch()
        line.faults.refusing = False
        until(lambda: job.state is JobState.COMPLETED, "the late end")
        assert job.output == "late"
    finally:
        line.faults.refusing = False
        desk.close()


def test_a_kernel_that_was_ended_there_loses_its_jobs_with_the_reason(
    jupyter: Jupyter, line: Proxy, far: Desk
) -> None:
    far.cell("%%handler handler\nasync def handler(job):\n    await asyncio.sleep(60)\n")
    job = far.run(1)
    until(lambda: job.state is JobState.IN_PROGRESS, "the start")
    target = far.pods[0].target
    target.call(target.tether.server.end(target.tether.kernel_id))
    assert ended(job).state is JobState.LOST
    assert "kernel" in (job.wire.lost or "")
    # the next job gets a new kernel, on which everything runs again
    far.cell("%%handler handler\ndef handler(job):\n    return 21\n")
    assert far.run(1).result(60) == 21


def test_a_kernel_that_the_system_killed_says_so(jupyter: Jupyter, line: Proxy, far: Desk) -> None:
    far.cell("%%handler handler\nasync def handler(job):\n    await asyncio.sleep(60)\n")
    job = far.run(1)
    until(lambda: job.state is JobState.IN_PROGRESS, "the start")
    os.kill(far.pods[0].target.tether.facts.pid, signal.SIGKILL)  # as the OOM killer does
    assert ended(job, 60).state is JobState.LOST
    assert "its kernel was restarted" in (job.wire.lost or "")
    far.cell("%%handler handler\ndef handler(job):\n    return 22\n")
    assert far.run(1).result(60) == 22


def test_the_kernel_is_ended_when_asked_and_a_new_one_runs_all_again(
    jupyter: Jupyter, line: Proxy, far: Desk
) -> None:
    pid = far.pods[0].target.tether.facts.pid
    far.pods[0].end()
    until(lambda: not psutil.pid_exists(pid), "its end")
    assert far.run(1).result(60) == 22
    assert far.pods[0].target.tether.facts.pid != pid
    assert len(far.ran()) == len(far.pods[0].plan().rows)


def test_a_restarted_server_has_lost_the_kernel_and_gives_a_new_one(
    jupyter: Jupyter, line: Proxy, far: Desk
) -> None:
    far.cell("%%handler handler\nasync def handler(job):\n    await asyncio.sleep(60)\n")
    job = far.run(1)
    until(lambda: job.state is JobState.IN_PROGRESS, "the start")
    jupyter.stop()
    until(lambda: far.pods[0].target.trouble, "that it is away")
    unsent = far.run(2)
    jupyter.start()
    assert ended(job).state is JobState.LOST
    assert "its kernel is gone" in (job.wire.lost or "")
    until(lambda: unsent.state is JobState.IN_PROGRESS, "that it goes to the new kernel")
    unsent.cancel()
    far.cell("%%handler handler\ndef handler(job):\n    return 31\n")
    assert far.run(1).result(60) == 31


def test_a_token_that_expires_in_the_middle_is_said_and_the_jobs_go_on(
    jupyter: Jupyter, line: Proxy, far: Desk
) -> None:
    job = far.run(1)
    job.result(60)
    line.instead = (
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}"
    )
    line.cut()
    until(lambda: "does not take this token" in far.pods[0].target.trouble, "the reason")
    assert "does not take this token" in repr(far.pods[0])
    line.instead = None
    assert far.run(1).result(60) == 31


def test_a_server_that_redirects_elsewhere_never_gets_the_token(
    jupyter: Jupyter, line: Proxy, kit_home
) -> None:
    desk = Desk(kit_home)
    with proxy_to(jupyter.port) as other:
        line.instead = (
            b"HTTP/1.1 302 Found\r\nLocation: http://localhost:%d/api\r\nContent-Length: 0\r\n"
            b"Connection: close\r\n\r\n" % other.port
        )
        try:
            with pytest.raises(TargetError, match=r"redirects to another host .* not sent there"):
                desk.connect(f"http://127.0.0.1:{line.port}", jupyter.token, kernel="redirect")
        finally:
            line.instead = None
            desk.close()
        assert other.accepted == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (b"502 Bad Gateway", "still starting"),
        (b"524 A Timeout Occurred", "still starting"),
        (b"404 Not Found", "no Jupyter server"),
        (b"200 OK", "no Jupyter server"),
    ],
)
def test_what_stands_before_a_pod_is_told_apart(
    jupyter: Jupyter, line: Proxy, kit_home, status: bytes, words: str
) -> None:
    desk = Desk(kit_home)
    line.instead = (
        b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\nContent-Length: 4\r\n"
        b"Connection: close\r\n\r\nhtml"
    )
    try:
        with pytest.raises(TargetError, match=words):
            desk.connect(f"http://127.0.0.1:{line.port}", jupyter.token, kernel="told")
    finally:
        line.instead = None
        desk.close()
