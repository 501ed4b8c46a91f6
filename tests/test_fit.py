"""Whether a second copy of the model fits beside the kernel's."""

from __future__ import annotations

from kit.events import MemoryUse, Sample
from kit.fit import fits

GIB = 1024**3


def vram(used_gib: float, total_gib: float | None = 24, device: int = 0, at: float = 1) -> Sample:
    total = None if total_gib is None else int(total_gib * GIB)
    return Sample(at, "vram", device, int(used_gib * GIB), total)


def reserved(used_gib: float, device: int = 0, at: float = 1) -> Sample:
    return Sample(at, "torch_reserved", device, int(used_gib * GIB))


def peak(grew_gib: float, kind: str = "vram", device: int = 0) -> MemoryUse:
    return MemoryUse(kind, device, GIB, GIB + int(grew_gib * GIB), GIB, True, True)


def test_without_a_gpu_figure_nothing_is_claimed() -> None:
    assert fits([], []) is None
    assert fits([Sample(1, "rss", -1, 10**12, None)], [peak(99, "rss", -1)]) is None
    assert fits([vram(20, None)], [peak(99)]) is None


def test_what_is_used_and_what_a_job_adds_must_be_free() -> None:
    assert fits([vram(8)], [peak(2)]) is None
    assert fits([vram(12)], []) is None
    sentence = fits([vram(12)], [peak(1)])
    assert sentence is not None
    assert "13,312 MiB on GPU 0" in sentence
    assert "12,288 MiB are free" in sentence


def test_the_largest_growth_and_the_last_reading_count() -> None:
    assert fits([vram(20), vram(8)], [peak(1), peak(7), peak(2)]) is None
    assert fits([vram(8), vram(20)], []) is not None
    assert fits([vram(8)], [peak(9), peak(1)]) is not None


def test_torch_knows_what_is_the_kernel_s_own() -> None:
    # 20 of 24 GiB are used, 3 of them here: another process has the rest
    assert fits([vram(20), reserved(3)], []) is None
    assert fits([vram(20), reserved(3)], [peak(2)]) is not None
    # torch speaks for its own device only
    assert fits([vram(20, device=1), reserved(3, device=0)], []) is not None


def test_each_device_is_judged_by_itself() -> None:
    sentence = fits([vram(2), vram(20, device=1)], [peak(1), peak(1, device=1)])
    assert sentence is not None
    assert "GPU 1" in sentence
