"""What a person reads where a memory figure is missing, and where there are several GPUs.

On the stand-in driver of ``test_stand_in.py``, through a whole session: status, timeline, report, tables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.test_stand_in import (
    FIRST,
    GIB,
    SECOND,
    SPLIT,
    Machine,
    library,
    machine,
    needs_stand_in,
)

__all__ = ["library", "machine"]

SCREEN = """
import tempfile
from matplotlib.text import Text
from kit.session import Session
from kit.status import status_text
from kit.views.frame import jobs_frame, samples_frame
from kit.views.plots import timeline
from kit.views.report import report
from tests.making import ended, submit, until
folder = Path(tempfile.mkdtemp())
s = Session(folder)
def handler(job):
    time.sleep(0.4)
    return 1
job = ended(submit(s, handler, 1))
until(lambda: s.store.samples(), "samples")
figure = timeline(s.store, session=s.session_id, reason=s.memory_reason)
report(s.store, folder / "run.html", version="1", session=s.session_id,
       absences=s.sampler.absences, devices=s.sampler.devices)
frame = jobs_frame(s.store)
out = {
    "status": status_text(s),
    "figure": " ".join(t.get_text() for t in figure.findobj(Text)),
    "report": (folder / "run.html").read_text(),
    "card": s.memory_reason,
    "memory": [[m.kind, m.device] for m in job.memory],
    "before_mib": float(frame.memory_before_mib[0]),
    "kind": str(frame.memory_kind[0]),
    "devices": sorted({int(d) for d in samples_frame(s.store).device.dropna()}),
}
s.close()
print(json.dumps(out))
"""


def seen(machine: Machine, **environ: str) -> Mapping[str, Any]:
    told: dict[str, Any] = machine.run(SCREEN, **environ)
    for name in ("status", "figure", "report"):
        told[name] = " ".join(re.sub(r"<[^>]*>", " ", told[name]).split())
    return told


@needs_stand_in
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no_permission", "NVML refuses this user (insufficient permissions)"),
        ("no_driver", "there is no NVIDIA driver on this machine"),
        ("not_installed", "pip install nvidia-ml-py, then restart the kernel"),
        ("mig", "the GPU is in MIG mode and none of its slices is given to this machine"),
    ],
)
def test_every_absence_of_a_gpu_has_its_reason_wherever_memory_is_shown(
    machine: Machine, tmp_path: Path, case: str, words: str
) -> None:
    more = {}
    if case == "no_permission":
        machine.has(FIRST, init=4)
    elif case == "no_driver":
        machine.has(FIRST, init=12)
    elif case == "mig":
        machine.has(SPLIT[0])
    else:
        machine.has(FIRST)
        # as an environment without the package answers
        (tmp_path / "pynvml.py").write_text("raise ImportError(\"No module named 'pynvml'\")\n")
        more["KIT_TEST_FIRST"] = str(tmp_path)
    screen = seen(machine, **more)
    for place in ("status", "figure", "report", "card"):
        assert words in screen[place], f"{place}: {screen[place][:600]}"
    assert screen["memory"] == [["rss", -1]]
    assert "torch is not imported" in screen["status"]
    assert "torch is not imported" in screen["report"]
    assert "Memory of this process" in screen["figure"]


@needs_stand_in
def test_several_gpus_are_told_apart_everywhere(machine: Machine) -> None:
    machine.has(FIRST, SECOND)
    screen = seen(machine)
    assert screen["memory"] == [["vram", 0], ["vram", 1]]
    assert screen["kind"] == "vram"
    assert screen["before_mib"] == 3 * GIB / 2**20, "the sum over devices"
    assert screen["devices"] == [0, 1]
    assert screen["card"] is None
    assert "GPU 0 (GiB)" in screen["figure"]
    assert "GPU 1 (GiB)" in screen["figure"]
    assert "GPU 0 memory" in screen["report"]
    assert "GPU 1 memory" in screen["report"]
    assert "Stand-in GPU-aaaa2222-1" in screen["report"]
    assert "No torch figures: torch is not imported in this kernel." in screen["report"]
    assert "Memory of this process" not in screen["figure"]


@needs_stand_in
def test_a_slice_of_several_is_said_to_be_the_first(machine: Machine) -> None:
    machine.has(*SPLIT)
    screen = seen(machine)
    assert screen["memory"] == [["vram", 0]]
    for place in ("status", "report"):
        assert "2 MIG slices; the figures are those of the first" in screen[place]
        assert "No GPU utilisation" in screen[place]


FREE = """
from kit.freeing import free
from kit.session import Session
import tempfile
s = Session(Path(tempfile.mkdtemp())); s.sampler
time.sleep(.3)
def empty():
    Pool.reserved = Pool.allocated
    has(FIRST, replace(SECOND, used=2 * GIB + Pool.reserved))
cuda.empty_cache, cuda.ipc_collect = empty, lambda: None
tensor(3 * GIB); tensor(-3 * GIB)
s.sampler._gpu.probe(retry=True)
freed = free(s)
print(json.dumps([[r.name, r.before_mib, r.after_mib] for r in freed.regained[:-1]] + [list(freed.done)]))
s.close()
"""


@needs_stand_in
def test_what_torch_kept_is_given_back_and_counted_per_device(machine: Machine) -> None:
    from tests.gpu.test_stand_in import TORCH

    machine.has(FIRST, SECOND)
    *regained, done = machine.run(TORCH + FREE)
    assert regained == [["GPU 0", 5120.0, 2048.0]], (
        "torch has one device, the second of the machine"
    )
    assert "torch's cache emptied" in done
