"""Real ``python -u handler.py`` workers of the unmodified SDK, started, scaled, replaced and ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from kit.emulator.pool import Scale
from kit.emulator.ticket import Settings
from tests.emulating import Emulator, none_left, processes_with, write_handler
from tests.making import until

pytestmark = pytest.mark.sdk
ROOT = Path(__file__).resolve().parents[2]

MANY = '''
import asyncio, os, subprocess, sys, time

print("loaded", flush=True)

def handler(job):
    """What the input says."""
    x = job["input"]
    print("got", x)
    if x == "exit":
        sys.exit(3)
    if x == "abort":
        os.abort()
    if x == "set":
        return {1}
    if x == "base":
        raise BaseException("x")
    if x == "refresh":
        return {"refresh_worker": True, "pid": os.getpid()}
    if x == "spin":
        while True:
            pass
    if x == "child":
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    if x == "garbage":
        os.write(1, b"\\xff\\xfe no line end")
        os.write(2, b'{"requestId": broken\\n')
        print('{"requestId": 5, "message": "Finished.", "level": "INFO"}')
    return {"pid": os.getpid()}
'''


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = write_handler(tmp_path_factory.mktemp("many"), MANY)
    with Emulator() as emulator:
        emulator.run_pool(folder, Scale(idle_timeout_s=60))
        yield emulator
    assert none_left(emulator.server.token)


def test_a_job_through_the_real_worker(many: Emulator) -> None:
    began = time.monotonic()
    told = many.ask("POST", "runsync", {"input": "a"})
    assert told["status"] == "COMPLETED"
    assert many.pool is not None
    while not many.pool.cold_starts:
        time.sleep(0.01)
    [cold_start] = many.pool.cold_starts
    # the first job waits for the cold start, and its delay says so
    assert 0.3 < cold_start <= time.monotonic() - began
    assert told["delayTime"] >= 300
    assert psutil.Process(told["output"]["pid"]).is_running()
    assert many.ask("GET", "health")["workers"] == {"idle": 1, "running": 0}
    assert "".join(text for id, text in many.logs if id == told["id"]) == "got a\n"
    assert "".join(text for id, text in many.logs if id is None).startswith("loaded\n")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("set", "not JSON serializable"),
        ("base", "nothing was posted"),
        ("exit", "ended with code 3"),
        ("abort", "killed by SIGABRT"),
    ],
)
def test_a_lost_result_is_a_failed_job_and_the_next_one_runs(
    many: Emulator, given: str, why: str
) -> None:
    told = many.ask("POST", "runsync", {"input": given})
    assert told["status"] == "FAILED"
    assert why in told["error"]
    assert many.ask("POST", "runsync", {"input": "next"})["status"] == "COMPLETED"


def test_garbage_on_its_output_confuses_nothing(many: Emulator) -> None:
    told = many.ask("POST", "runsync", {"input": "garbage"})
    assert told["status"] == "COMPLETED"
    log = "".join(text for id, text in many.logs if id == told["id"])
    assert "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} no line end" in log
    assert '{"requestId": broken' in log


def test_refresh_replaces_the_process(many: Emulator) -> None:
    first = many.ask("POST", "runsync", {"input": "refresh"})
    assert first["status"] == "COMPLETED"
    second = many.ask("POST", "runsync", {"input": "a"})
    assert second["workerId"] != first["workerId"]
    assert not psutil.pid_exists(first["output"]["pid"])


def test_a_sync_handler_that_is_stopped_is_killed_after_its_grace(many: Emulator) -> None:
    id = many.ask("POST", "run", {"input": "spin"})["id"]
    facts = many.until(id, "IN_PROGRESS")
    [pid] = [s.process.pid for s in many.pool.slots.values()] if many.pool else [None]
    many.ask("POST", f"cancel/{id}")
    deadline = time.monotonic() + 2.5
    while psutil.pid_exists(int(str(pid))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(str(pid)))
    told = many.ask("POST", "runsync", {"input": "a"})
    assert told["workerId"] != facts["workerId"]


def test_nothing_is_left_after_stop_not_even_a_daemon(tmp_path: Path) -> None:
    folder = write_handler(tmp_path / "w", MANY)
    with Emulator() as emulator:
        emulator.run_pool(folder)
        assert emulator.ask("POST", "runsync", {"input": "child"})["status"] == "COMPLETED"
        token = emulator.server.token
        # warden, worker, the SDK's ping process, and the handler's own daemon
        until(lambda: len(processes_with(token)) >= 4)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert not processes_with(token)


def test_nothing_is_left_after_the_kernel_was_killed(tmp_path: Path) -> None:
    folder = write_handler(tmp_path / "w", MANY)
    script = textwrap.dedent(
        f"""
        import os, sys, time
        from pathlib import Path
        from tests.emulating import Emulator
        emulator = Emulator()
        emulator.run_pool(Path({str(folder)!r}))
        assert emulator.ask("POST", "runsync", {{"input": "child"}})["status"] == "COMPLETED"
        if os.fork() == 0:
            time.sleep(60)  # a fork of the kernel holds every descriptor of the kernel
        print(emulator.server.token, emulator.server.port, flush=True)
        time.sleep(1000)
        """
    )
    kernel = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert kernel.stdout is not None
        token, _port = kernel.stdout.readline().split()
        forked = psutil.Process(kernel.pid).children()
        until(lambda: len(processes_with(token)) >= 4)
    finally:
        kernel.send_signal(signal.SIGKILL)
        kernel.wait()
    try:
        assert none_left(token, within_s=5)
    finally:
        for process in forked:
            if process.is_running() and process.name().startswith("python"):
                process.kill()
        kernel.stdout.close()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nowhere", "ended with code 1"),
        ("print('done')", "without calling runpod.serverless.start"),
        ("import time; print('here'); time.sleep(1000)", "did not ask for a job within"),
    ],
)
def test_a_handler_that_does_not_start_has_an_answer(tmp_path: Path, source: str, why: str) -> None:
    (tmp_path / "handler.py").write_text(source)
    limit_s = 0.5 if "sleep" in source else 60.0
    with Emulator() as emulator:
        emulator.run_pool(tmp_path, Scale(load_timeout_s=limit_s, give_up=2))
        told = emulator.ask("POST", "runsync", {"input": 1})
        assert told["status"] == "FAILED"
        assert why in told["error"]
        assert emulator.pool is not None
        assert emulator.pool.failures == 2
        # the next job fails at once within the back-off; after it, a mended file gets another try
        assert emulator.ask("POST", "runsync", {"input": 2})["error"] == told["error"]
        if "sleep" not in source:
            write_handler(tmp_path, "def handler(job):\n    return 'mended'")
            time.sleep(2.1)
            assert emulator.ask("POST", "runsync", {"input": 3})["output"] == "mended"
        token = emulator.server.token
    assert none_left(token)


def test_workers_are_added_by_queue_delay_and_leave_when_idle(tmp_path: Path) -> None:
    slow = (
        "import os, time\ndef handler(job):\n    while not os.path.exists('go'): time.sleep(0.02)\n"
    )
    folder = write_handler(tmp_path / "w", slow)
    with Emulator(Settings(take_hold_s=5)) as emulator:
        scale = Scale(workers_max=2, queue_delay_s=0.5, idle_timeout_s=0.5)
        emulator.run_pool(folder, scale)
        ids = [emulator.ask("POST", "run", {"input": 6})["id"] for _ in range(3)]
        run = [emulator.until(id, "IN_PROGRESS", within_s=60) for id in ids[:2]]
        (folder / "go").touch()
        done = [emulator.until(id, "COMPLETED", within_s=60) for id in ids[:2]]
        assert len({facts["workerId"] for facts in done}) == 2, run
        assert emulator.pool is not None
        assert len(emulator.pool.slots) <= 2
        emulator.until(ids[2], "COMPLETED", within_s=60)
        deadline = time.monotonic() + 10
        while emulator.pool.slots and time.monotonic() < deadline:
            time.sleep(0.05)
        assert emulator.ask("GET", "health")["workers"] == {"idle": 0, "running": 0}
        assert emulator.ask("GET", "health")["jobs"]["failed"] == 0


def test_a_cancelled_async_handler_posts_nothing_and_its_worker_goes_on(tmp_path: Path) -> None:
    source = (
        "import asyncio, os\nasync def handler(job):\n"
        "    if job['input']:\n        await asyncio.sleep(1000)\n    return os.getpid()\n"
    )
    with Emulator() as emulator:
        emulator.run_pool(write_handler(tmp_path / "w", source))
        pid = emulator.ask("POST", "runsync", {"input": 0})["output"]
        id = emulator.ask("POST", "run", {"input": 1})["id"]
        emulator.until(id, "IN_PROGRESS")
        ticket = emulator.call(lambda: emulator.endpoint.get(id))
        assert emulator.ask("POST", f"cancel/{id}")["status"] == "CANCELLED"
        # per-job stop: the same process takes the next job, and nothing was posted for this one
        assert emulator.ask("POST", "runsync", {"input": 0})["output"] == pid
        assert ticket.posted == []
        assert emulator.ask("GET", f"status/{id}")["status"] == "CANCELLED"
