"""The sampler on a real GPU, against nvidia-smi, the driver's own API and torch."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from kit.events import JobKey, MemoryUse, Sample
from kit.sampler import MEASURE_S, Sampler

pytestmark = pytest.mark.gpu

MIB, GIB = 2**20, 2**30
A = JobKey("a")

needs_smi = pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="gpu: no nvidia-smi")


@pytest.fixture
def got() -> list[Sample]:
    return []


@pytest.fixture
def sampler(got: list[Sample]) -> Iterator[Sampler]:
    made = Sampler(got.extend, hz=10)
    made.start()
    for _ in range(100):  # a GPU that sleeps takes seconds to answer
        if made.memory_kind == "vram":
            break
        time.sleep(0.1)
    assert made.memory_kind == "vram", made.absences
    yield made
    made.stop()


@pytest.fixture(scope="module")
def torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("gpu: torch is not installed")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("gpu: this torch has no CUDA")
    torch.cuda.init()
    # the context and the first kernels, so that a job's figures are its tensors alone
    (torch.ones(8, 8, device="cuda") @ torch.ones(8, 8, device="cuda")).sum().item()
    return torch


@pytest.fixture(scope="module")
def driver() -> Any:
    """libcuda with the first device's context current in this thread: memory without torch."""
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context = ctypes.c_int(), ctypes.c_void_p()
    assert cuda.cuInit(0) == 0
    assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    assert cuda.cuCtxSetCurrent(context) == 0
    return cuda


def first(memory: tuple[MemoryUse, ...]) -> MemoryUse:
    use = memory[0]
    assert (use.kind, use.device) == ("vram", 0)
    return use


@needs_smi
def test_samples_agree_with_nvidia_smi_within_64_mib(sampler: Sampler, got: list[Sample]) -> None:
    sampler.begin(A)
    worst = 0
    for _ in range(5):
        time.sleep(1.0)
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
        )
        theirs = int(listed.stdout.split()[0]) * MIB
        ours = [s.used_bytes for s in got if s.kind == "vram" and s.device == 0][-1]
        worst = max(worst, abs(ours - theirs))
    sampler.end(A)
    assert worst <= 64 * MIB


def test_memory_taken_through_the_driver_shows_without_torch(sampler: Sampler, driver: Any) -> None:
    time.sleep(2 * MEASURE_S)
    sampler.begin(A)
    address = ctypes.c_uint64()
    assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(2 * GIB)) == 0
    time.sleep(0.5)
    assert driver.cuMemFree_v2(address) == 0
    use = first(sampler.end(A))
    assert abs((use.peak - use.before) / (2 * GIB) - 1) < 0.01
    assert abs(use.after - use.before) < 64 * MIB
    assert use.own
    assert not use.exact


def test_a_tensor_of_two_gib_shows_within_one_percent_and_each_time(
    sampler: Sampler, torch: Any
) -> None:
    for _ in range(2):  # the second time torch's cache already holds the memory
        time.sleep(2 * MEASURE_S)
        sampler.begin(A)
        block = torch.empty(2 * GIB, dtype=torch.uint8, device="cuda")
        del block
        use = first(sampler.end(A))
        assert abs((use.peak - use.before) / (2 * GIB) - 1) < 0.01
        assert abs(use.after - use.before) < 64 * MIB
        assert use.own
        assert use.exact
    torch.cuda.empty_cache()


def test_a_leak_shows_in_five_jobs_and_two_hundred_clean_ones_show_none(
    sampler: Sampler, torch: Any
) -> None:
    def job(kept: list[Any] | None) -> MemoryUse:
        time.sleep(1.5 * MEASURE_S)
        sampler.begin(A)
        block = torch.empty(256 * MIB, dtype=torch.uint8, device="cuda")
        if kept is not None:
            kept.append(block)
        del block
        return first(sampler.end(A))

    kept: list[Any] = []
    after = [job(kept).after for _ in range(5)]
    steps = [later - earlier for earlier, later in pairwise(after)]
    assert all(abs(step - 256 * MIB) < 8 * MIB for step in steps)
    kept.clear()
    torch.cuda.empty_cache()
    clean = [job(None).after for _ in range(200)]
    assert max(clean) - min(clean) < 32 * MIB


def test_the_figures_of_torch_are_among_the_samples(
    sampler: Sampler, got: list[Sample], torch: Any
) -> None:
    block = torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
    sampler.begin(A)
    time.sleep(1.2)
    sampler.end(A)
    by_kind = {s.kind: s.used_bytes for s in got if s.device == 0}
    assert by_kind["torch_allocated"] >= block.numel()
    assert by_kind["torch_reserved"] >= by_kind["torch_allocated"]
    assert by_kind["vram"] >= by_kind["torch_reserved"]
    del block
    torch.cuda.empty_cache()


def test_devices_are_named_as_torch_names_them(sampler: Sampler, torch: Any) -> None:
    sampler.begin(A)
    time.sleep(0.3)
    sampler.end(A)
    assert list(sampler.devices) == [
        torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
    ]


@pytest.mark.fresh
def test_sampling_costs_less_than_a_hundredth_of_a_core(sampler: Sampler) -> None:
    sampler.begin(A)
    time.sleep(0.5)
    before = time.process_time()
    time.sleep(5.0)
    used = time.process_time() - before
    sampler.end(A)
    assert used / 5.0 < 0.01


@pytest.mark.fresh
def test_begin_and_end_stay_quick_beside_a_gpu(sampler: Sampler) -> None:
    sampler.begin(A)  # one job runs all the time, so the others come faster than they are measured
    costs = []
    for i in range(2000):
        key = JobKey(str(i))
        start = time.perf_counter()
        sampler.begin(key)
        sampler.end(key)
        costs.append(time.perf_counter() - start)
    sampler.end(A)
    assert sorted(costs)[1000] < 20e-6


def test_a_hidden_gpu_is_a_named_reason() -> None:
    code = (
        "from kit.gpu import Gpu\n"
        "gpu = Gpu(); gpu.probe()\n"
        "print(next(a.name for a in gpu.absences if a.source == 'vram'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        # all else as it is: in a container the driver's library may be found by a variable only
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "hidden"
