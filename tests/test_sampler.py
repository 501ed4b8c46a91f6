"""The sampler around jobs, on this process's own memory; GPUs are in ``tests/gpu``."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.events import JobKey, MemoryUse, Sample
from kit.sampler import LINGER_S, MEASURE_S, Sampler

MIB = 2**20
A, B, C = JobKey("a"), JobKey("b"), JobKey("c")

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")


@pytest.fixture
def got() -> list[Sample]:
    return []


@pytest.fixture
def sampler(got: list[Sample]) -> Iterator[Sampler]:
    made = Sampler(got.extend, hz=50)
    made.start()
    yield made
    made.stop()


def only(memory: tuple[MemoryUse, ...]) -> MemoryUse:
    assert len(memory) == 1
    return memory[0]


def touch(mib: int) -> bytearray:
    return bytearray(mib * MIB)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a GPU a job's memory is the GPU's; these tests are about the process's."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


# -- one job --------------------------------------------------------------------------------------


@pytest.mark.fresh
@linux
def test_a_lone_job_s_peak_is_its_own_and_exact_although_it_was_short(sampler: Sampler) -> None:
    time.sleep(2 * MEASURE_S)
    sampler.begin(A)
    touch(150)
    use = only(sampler.end(A))
    assert (use.kind, use.device, use.own, use.exact) == ("rss", -1, True, True)
    assert 145 * MIB < use.peak - use.before < 165 * MIB
    assert use.after - use.before < 20 * MIB


@pytest.mark.fresh
@linux
def test_a_peak_before_the_job_is_not_the_job_s(sampler: Sampler) -> None:
    touch(150)
    time.sleep(2 * MEASURE_S)
    sampler.begin(A)
    use = only(sampler.end(A))
    assert use.exact
    assert use.peak - use.before < 20 * MIB


@pytest.mark.fresh
def test_what_a_job_keeps_shows_in_after(sampler: Sampler) -> None:
    sampler.begin(A)
    kept = touch(100)
    use = only(sampler.end(A))
    assert 95 * MIB < use.after - use.before < 115 * MIB
    assert use.before <= use.peak
    assert use.peak >= use.after
    del kept


@pytest.mark.fresh
def test_a_job_right_behind_another_is_sampled_and_says_so(sampler: Sampler) -> None:
    sampler.begin(A)
    sampler.end(A)
    sampler.begin(B)
    block = touch(100)
    time.sleep(0.1)  # several samples at 50 Hz
    del block
    use = only(sampler.end(B))
    assert use.own
    assert not use.exact
    assert 95 * MIB < use.peak - use.before < 115 * MIB


# -- jobs beside each other -----------------------------------------------------------------------


def test_overlapping_jobs_share_and_the_next_lone_one_owns_again(sampler: Sampler) -> None:
    time.sleep(2 * MEASURE_S)
    sampler.begin(A)
    sampler.begin(B)
    first, second = only(sampler.end(A)), only(sampler.end(B))
    assert not first.own
    assert not second.own
    sampler.begin(C)
    assert only(sampler.end(C)).own


@pytest.mark.fresh
@linux
def test_a_second_job_does_not_spoil_the_first_one_s_mark(sampler: Sampler) -> None:
    time.sleep(2 * MEASURE_S)
    sampler.begin(A)
    touch(150)
    time.sleep(2 * MEASURE_S)
    sampler.begin(B)
    second, first = only(sampler.end(B)), only(sampler.end(A))
    assert first.exact
    assert first.peak - first.before > 145 * MIB
    assert not second.exact


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=40))
def test_own_means_that_no_other_job_overlapped(steps: list[tuple[bool, int]]) -> None:
    sampler = Sampler(lambda batch: None)
    running: set[int] = set()
    shared: set[int] = set()
    for begins, number in steps:
        key = JobKey(str(number))
        if begins and number not in running:
            sampler.begin(key)
            if running:
                shared |= running | {number}
            else:
                shared.discard(number)
            running.add(number)
        elif not begins:
            memory = sampler.end(key)
            if number not in running:
                assert memory == ()
                continue
            running.discard(number)
            assert only(memory).own is (number not in shared)
            shared.discard(number)
    sampler.stop()


def test_an_unknown_job_ended_is_nothing(sampler: Sampler) -> None:
    assert sampler.end(A) == ()
    sampler.begin(A)
    sampler.end(A)
    assert sampler.end(A) == ()


def test_eight_threads_of_jobs_lose_nothing_and_never_raise(sampler: Sampler) -> None:
    results: list[tuple[MemoryUse, ...]] = []
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for i in range(300):
                key = JobKey(f"{name}-{i}")
                sampler.begin(key)
                results.append(sampler.end(key))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(results) == 2400
    assert all(only(memory).peak >= only(memory).before > 0 for memory in results)


# -- the thread -----------------------------------------------------------------------------------


def test_it_samples_while_a_job_runs_and_a_second_longer_and_then_rests(
    sampler: Sampler, got: list[Sample]
) -> None:
    time.sleep(0.2)
    assert not got
    began = time.time()
    sampler.begin(A)
    time.sleep(0.4)
    sampler.end(A)
    ended = time.time()
    time.sleep(LINGER_S + 0.5)
    times = [sample.time for sample in got]
    assert times == sorted(times)
    assert times[0] - began < 0.1
    assert LINGER_S - 0.2 < times[-1] - ended < LINGER_S + 0.3
    # 1.4 s at 50 Hz, on a machine that may be busy
    assert 35 <= len(times) <= 75
    assert {(s.kind, s.device, s.total_bytes) for s in got} == {("rss", -1, None)}
    seen = len(got)
    time.sleep(0.3)
    assert len(got) == seen


@pytest.mark.fresh
def test_the_thread_is_one_daemon_by_its_name_and_stop_ends_it() -> None:
    batches: list[list[Sample]] = []
    sampler = Sampler(lambda batch: batches.append(list(batch)), hz=50)
    sampler.start()
    sampler.start()
    named = [thread for thread in threading.enumerate() if thread.name == "kit-sampler"]
    assert len(named) == 1
    assert named[0].daemon
    sampler.begin(A)
    time.sleep(0.15)
    sampler.stop()
    assert not named[0].is_alive()
    assert sum(map(len, batches)) >= 3  # handed over, though half a second had not passed
    sampler.stop()
    sampler.start()  # and it can run again
    sampler.begin(B)
    time.sleep(0.1)
    assert only(sampler.end(B)).before > 0
    sampler.stop()


def test_samples_come_in_batches() -> None:
    batches: list[int] = []
    sampler = Sampler(lambda batch: batches.append(len(batch)), hz=50)
    sampler.start()
    sampler.begin(A)
    time.sleep(1.2)
    sampler.end(A)
    sampler.stop()
    assert 2 <= len(batches) <= 4
    assert sum(batches) >= 30


def test_a_sink_that_fails_is_an_absence_and_no_job_feels_it() -> None:
    full = [True]

    def sink(batch: object) -> None:
        if full:
            raise OSError("No space left on device")

    sampler = Sampler(sink, hz=50)
    sampler.start()
    sampler.begin(A)
    time.sleep(0.8)
    assert only(sampler.end(A)).peak > 0
    assert [a.reason for a in sampler.absences if a.source == "samples"] == [
        "Memory samples were not stored: No space left on device"
    ]
    full.clear()
    time.sleep(0.7)
    assert not [a for a in sampler.absences if a.source == "samples"]
    sampler.stop()


@pytest.mark.parametrize("hz", [0, -1, 0.01, 1000, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(hz: float) -> None:
    with pytest.raises(ValueError, match="hz"):
        Sampler(lambda batch: None, hz=hz)
    sampler = Sampler(lambda batch: None)
    with pytest.raises(ValueError, match="hz"):
        sampler.hz = hz
    assert sampler.hz == 10


def test_the_rate_may_change_while_a_job_runs(got: list[Sample]) -> None:
    sampler = Sampler(got.extend, hz=2)
    sampler.start()
    sampler.begin(A)
    time.sleep(0.6)
    slow = len(got)
    sampler.hz = 100
    time.sleep(1.0)
    sampler.end(A)
    sampler.stop()
    assert slow <= 4
    assert len(got) - slow > 20


@linux
def test_a_forked_child_s_job_is_its_own_and_the_parent_s_goes_on() -> None:
    code = (
        "import json, os, time\n"
        "from kit.sampler import Sampler\n"
        "s = Sampler(lambda batch: None); s.start(); time.sleep(.1); s.begin('p')\n"
        "r, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    s.begin('c'); block = bytearray(200 * 2**20); m = s.end('c')[0]\n"
        "    os.write(w, json.dumps([m.own, m.peak - m.before, s.end('p') == ()]).encode())\n"
        "    os._exit(0)\n"
        "os.wait(); m = s.end('p')[0]; s.stop()\n"
        "print(json.dumps(json.loads(os.read(r, 999)) + [m.own, m.peak - m.before]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    own, grew, knows_nothing, parent_own, parent_grew = json.loads(done.stdout)
    assert own
    assert grew > 195 * MIB
    assert knows_nothing
    assert parent_own
    assert parent_grew < 50 * MIB


# -- what is missing ------------------------------------------------------------------------------


def test_without_a_gpu_the_kind_is_rss_and_the_reason_is_a_sentence(sampler: Sampler) -> None:
    time.sleep(0.2)
    assert sampler.memory_kind == "rss"
    assert sampler.devices == ()
    reasons = {absence.source: str(absence) for absence in sampler.absences}
    assert reasons["vram"].startswith("No VRAM figure: ")
    assert reasons["torch"].startswith("No torch figures: ")
    assert all(sentence.endswith(".") for sentence in reasons.values())


def test_it_imports_nothing_heavy_and_never_torch() -> None:
    code = (
        "import sys, time\n"
        "from kit.sampler import Sampler\n"
        "s = Sampler(lambda batch: None); s.start(); time.sleep(.2); s.begin('a'); s.end('a'); s.stop()\n"
        "print(sorted({'torch', 'numpy', 'psutil', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


# -- cost -----------------------------------------------------------------------------------------


@pytest.mark.fresh
def test_begin_and_end_cost_microseconds_at_a_high_rate(sampler: Sampler) -> None:
    begins, ends = [], []
    for i in range(4000):
        key = JobKey(str(i))
        t0 = time.perf_counter()
        sampler.begin(key)
        t1 = time.perf_counter()
        sampler.end(key)
        begins.append(t1 - t0)
        ends.append(time.perf_counter() - t1)
    # measured 3.7 and 4.9 us; the limit leaves room for a busy machine
    assert statistics.median(begins) < 50e-6
    assert statistics.median(ends) < 50e-6


@pytest.mark.fresh
def test_ten_samples_a_second_cost_less_than_a_hundredth_of_a_core() -> None:
    sampler = Sampler(lambda batch: None, hz=10)
    sampler.start()
    sampler.begin(A)
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(2.0)
    used = time.process_time() - before
    sampler.end(A)
    sampler.stop()
    # measured 0.002; the promise of 0.01 is held by benchmarks, here there is room for a busy machine
    assert used / 2.0 < 0.02


@linux
@pytest.mark.fresh
def test_descriptors_are_given_back() -> None:
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        sampler = Sampler(lambda batch: None)
        sampler.start()
        sampler.begin(A)
        sampler.end(A)
        sampler.stop()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
