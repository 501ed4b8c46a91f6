"""Jobs on a real GPU: what their memory says, which findings come of it, and what stays quiet.

Only the rooms below the session are used, so this runs where there is a GPU and little else.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.events import JobKey, JobState, JobView, MemoryUse
from kit.handler import Handler, HandlerVersion, Options, kind_of
from kit.held import held_by
from kit.queue import Entry
from kit.sampler import MEASURE_S, Sampler
from kit.store import Store
from kit.targets.local import LocalTarget
from kit.worker import Worker

pytestmark = pytest.mark.gpu

MIB, GIB = 2**20, 2**30


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


class Bench:
    """A queue, its loop, the journal and the sampler, as a session wires them."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "journal.sqlite")
        self.sampler = Sampler(self.store.append_samples)
        self.worker = Worker(self.store, self.sampler)
        self.worker.attach(LocalTarget(self.worker))
        self.sampler.start()
        deadline = time.monotonic() + 30
        while self.sampler.memory_kind != "vram":  # a GPU that sleeps takes seconds to answer
            assert time.monotonic() < deadline, self.sampler.absences
            time.sleep(0.05)
        self._jobs = 0

    def run(self, handler: Handler, value: Any = None) -> JobView:
        """Run a job by itself, to its end."""
        time.sleep(1.5 * MEASURE_S)
        self._jobs += 1
        key = JobKey(f"k{self._jobs}")
        text = json.dumps({"input": value})
        self.worker.submit([Entry(key, f"id-{key}", handler, text)], [text])
        deadline = time.monotonic() + 60
        while True:
            view = self.store.view(key)
            if view is not None and view.state.final:
                return view
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def close(self) -> None:
        self.worker.close()
        self.sampler.stop()
        self.store.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def handler_of(function: Callable[..., Any], version: int = 1) -> Handler:
    kind = kind_of(function)
    info = HandlerVersion("h", version, kind, "h", (), "", None, None, None, "{}", time.time())
    return Handler(info, function, Options())


def first(view: JobView) -> MemoryUse:
    assert view.state is JobState.COMPLETED, view.error
    use = view.memory[0]
    assert (use.kind, use.device) == ("vram", 0)
    return use


def codes(view: JobView) -> set[str]:
    return {note.code for note in view.findings}


def test_a_tensor_of_two_gib_shows_in_the_job_s_memory_within_one_percent(
    bench: Bench, torch: Any
) -> None:
    def takes(job: Any) -> int:
        return int(torch.empty(2 * GIB, dtype=torch.uint8, device="cuda").numel())

    for _ in range(2):  # the second time torch's cache already holds the memory
        use = first(bench.run(handler_of(takes)))
        assert abs((use.peak - use.before) / (2 * GIB) - 1) < 0.01
        assert abs(use.after - use.before) < 64 * MIB
        assert (use.own, use.exact) == (True, True)
    torch.cuda.empty_cache()


def test_every_gpu_is_in_the_job_s_memory(bench: Bench, torch: Any) -> None:
    last = torch.cuda.device_count() - 1

    def takes(job: Any) -> int:
        return int(torch.empty(512 * MIB, dtype=torch.uint8, device=f"cuda:{last}").numel())

    view = bench.run(handler_of(takes))
    assert [use.device for use in view.memory] == list(range(last + 1))
    use = view.memory[last]
    assert abs((use.peak - use.before) / (512 * MIB) - 1) < 0.05
    assert all(other.peak - other.before < 64 * MIB for other in view.memory[:last])
    torch.cuda.empty_cache()


def test_a_leak_of_256_mib_is_told_within_five_jobs(bench: Bench, torch: Any) -> None:
    kept: list[Any] = []

    def leaks(job: Any) -> int:
        kept.append(torch.empty(256 * MIB, dtype=torch.uint8, device="cuda"))
        return len(kept)

    told = [codes(bench.run(handler_of(leaks))) for _ in range(5)]
    assert "K233" in told[0]
    assert "K230" in set().union(*told)
    kept.clear()
    torch.cuda.empty_cache()


def test_two_hundred_clean_jobs_raise_no_alarm(bench: Bench, torch: Any) -> None:
    def clean(job: Any) -> float:
        size = 64 * MIB * (1 + job["input"] % 4)
        block = torch.ones(size // 4, device="cuda")
        return float((block * 2).sum().item())

    handler = handler_of(clean)
    alarms = [codes(bench.run(handler, i)) & {"K230", "K233", "K234"} for i in range(200)]
    assert not any(alarms)
    torch.cuda.empty_cache()


def test_a_failed_job_leaves_nothing_and_a_kept_exception_is_named(
    bench: Bench, torch: Any
) -> None:
    errors: list[BaseException] = []
    bench.worker.growth.holders = lambda least: held_by([("errors[0]", errors[0])], {}, least)

    def fails(job: Any) -> int:
        batch = torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
        raise ValueError(batch.numel())

    def keeps(job: Any) -> int:
        try:
            return fails(job)
        except ValueError as error:
            errors.append(error)
            raise

    errors.append(ValueError("nothing yet"))
    view = bench.run(handler_of(fails))
    assert view.memory[0].after - view.memory[0].before < 64 * MIB
    assert not codes(view) & {"K233", "K234"}
    errors.clear()
    view = bench.run(handler_of(keeps, 2))
    [note] = [note for note in view.findings if note.code == "K234"]
    assert "512 MiB alive: `batch` of fails()" in note.sentence
    errors.clear()
    torch.cuda.empty_cache()


def test_the_chart_has_the_device_and_torch_while_a_job_runs(bench: Bench, torch: Any) -> None:
    def slow(job: Any) -> int:
        block = torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
        time.sleep(1.5)
        return int(block.numel())

    view = bench.run(handler_of(slow))
    deadline = time.monotonic() + 10
    while True:  # the last samples of a run are written with its batch
        found = bench.store.samples(since=view.started_at, until=view.ended_at)
        highest = {
            kind: max((s.used_bytes for s in found if (s.kind, s.device) == (kind, 0)), default=0)
            for kind in ("vram", "torch_allocated", "torch_reserved")
        }
        if all(highest.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert highest["vram"] >= highest["torch_reserved"] >= highest["torch_allocated"] >= 512 * MIB
    torch.cuda.empty_cache()
