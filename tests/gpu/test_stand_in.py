"""GPU figures through the real pynvml, against a driver library of our own.

The library (``nvml_stand_in.c``) answers from a text file, so that errors, several GPUs and MIG can be
tried on any machine with a C compiler. What a real GPU says is in ``test_sampler_gpu.py``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.gpu.visible import by_number, by_prefix

MIB, GIB = 2**20, 2**30
ROOT = Path(__file__).resolve().parents[2]

needs_stand_in = pytest.mark.skipif(
    sys.platform != "linux"
    or shutil.which("cc") is None
    or importlib.util.find_spec("pynvml") is None,
    reason="the stand-in driver needs Linux, a C compiler and nvidia-ml-py",
)


@dataclass(frozen=True)
class Card:
    """One line of the stand-in's file."""

    uuid: str
    used: int = 1 * GIB
    reserved: int = 300 * MIB
    total: int = 24 * GIB
    load: int = 37
    code: int = 0
    parent: int = -1
    mig: int = -1

    def __str__(self) -> str:
        return (
            f"gpu {self.uuid} {self.total} {self.reserved} {self.used} {self.load} {self.code} "
            f"{self.parent} {self.mig}"
        )


FIRST, SECOND = Card("GPU-aaaa1111-0"), Card("GPU-aaaa2222-1", used=2 * GIB)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).with_name("nvml_stand_in.c")
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return folder


@dataclass(frozen=True)
class Machine:
    """A machine with that driver: runs Python on it."""

    library: Path
    state: Path

    def has(self, *cards: Card, init: int = 0, v2: int = 0) -> None:
        text = "\n".join([f"init {init}", f"v2 {v2}", *map(str, cards), ""])
        fresh = self.state.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.state)

    def run(self, code: str, **environ: str) -> Any:
        """What ``code`` printed last, as JSON. It may use ``has`` to change the cards."""
        env = {
            **{k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"},
            "LD_LIBRARY_PATH": str(self.library),
            "NVML_STAND_IN": str(self.state),
            "PYTHONPATH": os.pathsep.join(
                filter(None, [environ.get("KIT_TEST_FIRST"), str(ROOT), str(Path(__file__).parent)])
            ),
            **environ,
        }
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def look(self, **environ: str) -> Any:
        """Devices, absences and one reading."""
        return self.run(LOOK, **environ)


PRELUDE = """
import json, os, sys, time
from pathlib import Path
from kit.gpu import Gpu
from kit.sampler import Sampler
from test_stand_in import Card, Machine, FIRST, SECOND, MIB, GIB
has = Machine(Path(), Path(os.environ["NVML_STAND_IN"])).has
"""
LOOK = """
gpu = Gpu(); gpu.probe()
points = {k: [p.used, p.total, p.utilization] for k, p in gpu.read().items()}
print(json.dumps({"names": gpu.names, "points": points, "available": gpu.available,
                  "absences": {a.source: [a.name, a.reason] for a in gpu.absences}}))
"""


@pytest.fixture
def machine(library: Path, tmp_path: Path) -> Machine:
    return Machine(library, tmp_path / "cards")


# -- which devices --------------------------------------------------------------------------------


@needs_stand_in
def test_every_visible_device_is_read_as_nvidia_smi_shows_it(machine: Machine) -> None:
    machine.has(FIRST, SECOND)
    seen = machine.look()
    assert seen["names"] == ["Stand-in GPU-aaaa1111-0", "Stand-in GPU-aaaa2222-1"]
    # without the driver's own reserve, which the first version of the call counts as used
    assert seen["points"] == {"0": [GIB, 24 * GIB, 0.37], "1": [2 * GIB, 24 * GIB, 0.37]}
    assert set(seen["absences"]) == {"torch"}


@needs_stand_in
@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("1,0", ["2222-1", "1111-0"]),
        ("1", ["2222-1"]),
        ("0,-1,1", ["1111-0"]),
        ("0,7", ["1111-0"]),
        ("GPU-aaaa2222,GPU-aaaa1", ["2222-1", "1111-0"]),
        ("GPU-aaaa2222-1,GPU-nobody", ["2222-1"]),
    ],
)
def test_cuda_visible_devices_is_honoured_in_its_order(
    machine: Machine, wanted: str, names: list[str]
) -> None:
    machine.has(FIRST, SECOND)
    seen = machine.look(CUDA_VISIBLE_DEVICES=wanted)
    assert [name[-6:] for name in seen["names"]] == names


@needs_stand_in
@pytest.mark.parametrize("wanted", ["", "-1", "0,0", "GPU-aaaa", "nonsense"])
def test_hidden_gpus_are_a_named_reason(machine: Machine, wanted: str) -> None:
    machine.has(FIRST, SECOND)
    seen = machine.look(CUDA_VISIBLE_DEVICES=wanted)
    assert seen["points"] == {}
    name, sentence = seen["absences"]["vram"]
    assert name == "hidden"
    assert f"CUDA_VISIBLE_DEVICES={wanted!r}" in sentence


@needs_stand_in
def test_a_cell_may_set_cuda_visible_devices_after_the_sampler_started(machine: Machine) -> None:
    machine.has(FIRST, SECOND)
    names = machine.run(
        "gpu = Gpu(); gpu.probe(); os.environ['CUDA_VISIBLE_DEVICES'] = '1'; gpu.probe()\n"
        "print(json.dumps(gpu.names))"
    )
    assert names == ["Stand-in GPU-aaaa2222-1"]


@given(st.text(alphabet="0123456789,-+ abGPU", max_size=20), st.integers(0, 8))
def test_any_list_of_numbers_gives_devices_that_exist_once_each(wanted: str, count: int) -> None:
    found = by_number(wanted, count)
    assert len(set(found)) == len(found)
    assert all(0 <= index < count for index in found)


@given(st.lists(st.sampled_from(["GPU-a", "GPU-b1", "GPU-b2", "GPU-b", "MIG-a", "", "GPU-c"])))
def test_any_list_of_uuids_gives_devices_that_exist_once_each(parts: list[str]) -> None:
    found = by_prefix(",".join(parts), ["GPU-a", "GPU-b1", "GPU-b2"])
    assert len(set(found)) == len(found)
    assert all(0 <= index < 3 for index in found)


# -- why not --------------------------------------------------------------------------------------


@needs_stand_in
@pytest.mark.parametrize(
    ("init", "name", "words"),
    [
        (4, "no_permission", "insufficient permissions"),
        (9, "driver_not_loaded", "not loaded"),
        (12, "no_driver", "no NVIDIA driver"),
        (15, "gpu_lost", "fallen off the bus"),
        (17, "no_permission", "operating system"),
        (18, "version_mismatch", "was updated"),
        (999, "error", "Unknown Error"),
        (777, "error", "stand-in error"),
    ],
)
def test_every_refusal_of_nvml_is_a_sentence(
    machine: Machine, init: int, name: str, words: str
) -> None:
    machine.has(FIRST, init=init)
    seen = machine.look()
    assert seen["points"] == {}
    assert not seen["available"]
    assert seen["absences"]["vram"][0] == name
    sentence = seen["absences"]["vram"][1]
    assert words in sentence
    assert sentence.startswith("No VRAM figure: ")
    assert sentence.endswith(".")


@needs_stand_in
def test_a_driver_without_a_gpu_is_a_named_reason(machine: Machine) -> None:
    machine.has()
    assert machine.look()["absences"]["vram"][0] == "no_device"


def test_no_driver_is_a_named_reason() -> None:
    if any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg")):
        pytest.skip("this machine has a driver")
    from kit.gpu import Gpu

    gpu = Gpu()
    gpu.probe()
    assert not gpu.available
    assert gpu.read() == {}
    assert {a.source: a.name for a in gpu.absences}["vram"] == "no_driver"


@needs_stand_in
def test_a_missing_package_is_named_with_its_remedy(machine: Machine, tmp_path: Path) -> None:
    machine.has(FIRST)
    # an interpreter without site-packages has no pynvml: nothing is patched
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from kit.gpu import Gpu\n"
        "gpu = Gpu(); gpu.probe(); print(next(a for a in gpu.absences if a.source == 'vram'))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)],
        env={"LD_LIBRARY_PATH": str(machine.library), "NVML_STAND_IN": str(machine.state)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "pip install nvidia-ml-py" in done.stdout


@needs_stand_in
def test_an_old_driver_or_wsl_falls_back_to_the_first_version_of_the_call(
    machine: Machine,
) -> None:
    machine.has(FIRST, v2=999)
    assert machine.look()["points"]["0"][0] == GIB + 300 * MIB


@needs_stand_in
def test_a_gpu_that_gives_no_utilisation_still_gives_its_memory(machine: Machine) -> None:
    machine.has(replace(FIRST, load=-3))
    seen = machine.look()
    assert seen["points"]["0"] == [GIB, 24 * GIB, None]
    assert seen["absences"]["utilization"][0] == "not_supported"


# -- MIG ------------------------------------------------------------------------------------------

SPLIT = (
    replace(FIRST, mig=1, code=4),  # the whole GPU is refused without privileges
    Card("MIG-bbbb-1", used=3 * GIB, total=10 * GIB, load=-3, parent=0),
    Card("MIG-bbbb-2", used=4 * GIB, total=10 * GIB, load=-3, parent=0),
)


@needs_stand_in
def test_a_mig_slice_is_read_and_its_missing_utilisation_named(machine: Machine) -> None:
    machine.has(*SPLIT[:2])
    seen = machine.look()
    assert seen["points"] == {"0": [3 * GIB, 10 * GIB, None]}
    assert seen["absences"]["utilization"][0] == "mig"
    assert "MIG slice" in seen["absences"]["utilization"][1]


@needs_stand_in
def test_of_several_mig_slices_the_first_is_read_and_that_is_said(machine: Machine) -> None:
    machine.has(*SPLIT)
    seen = machine.look()
    assert seen["points"] == {"0": [3 * GIB, 10 * GIB, None]}
    assert "2 MIG slices" in seen["absences"]["mig"][1]


@needs_stand_in
def test_a_mig_slice_can_be_named(machine: Machine) -> None:
    machine.has(*SPLIT)
    seen = machine.look(CUDA_VISIBLE_DEVICES="MIG-bbbb-2")
    assert seen["points"] == {"0": [4 * GIB, 10 * GIB, None]}


@needs_stand_in
def test_mig_mode_without_a_slice_is_a_named_reason(machine: Machine) -> None:
    machine.has(SPLIT[0])
    assert machine.look()["absences"]["vram"][0] == "mig"


# -- jobs on a device -----------------------------------------------------------------------------

JOBS = """
got = []
s = Sampler(got.extend, hz=50); s.start(); time.sleep(.3)
def use(card):
    has(card)
def rows(memory):
    return [[m.kind, m.device, m.before // MIB, m.peak // MIB, m.after // MIB, m.own, m.exact] for m in memory]
"""


@needs_stand_in
def test_a_job_s_device_memory_is_before_peak_and_after(machine: Machine) -> None:
    machine.has(FIRST, SECOND)
    out = machine.run(
        JOBS
        + "from dataclasses import replace\n"
        + "s.begin('a')\n"
        + "has(replace(FIRST, used=5 * GIB), SECOND); time.sleep(.2)\n"
        + "has(replace(FIRST, used=3 * GIB), SECOND); time.sleep(.1)\n"
        + "m = s.end('a'); s.stop()\n"
        + "kinds = sorted({(g.kind, g.device, g.total_bytes) for g in got if g.kind == 'vram'})\n"
        + "print(json.dumps([rows(m), kinds, s.memory_kind, got[1].utilization]))"
    )
    assert out[0] == [
        ["vram", 0, 1024, 5120, 3072, True, False],
        ["vram", 1, 2048, 2048, 2048, True, False],
    ]
    assert out[1] == [["vram", 0, 24 * GIB], ["vram", 1, 24 * GIB]]
    assert out[3] == 0.37


@needs_stand_in
def test_a_gpu_that_is_lost_during_a_job_is_said_once_and_the_job_goes_on(
    machine: Machine,
) -> None:
    machine.has(FIRST)
    out = machine.run(
        JOBS
        + "from dataclasses import replace\n"
        + "s.begin('a'); time.sleep(.1); has(replace(FIRST, code=15)); time.sleep(.2)\n"
        + "m = s.end('a')\n"
        + "why = [[a.source, a.name] for a in s.absences if a.source != 'torch']\n"
        + "s.begin('b'); has(FIRST); time.sleep(.1); n = s.end('b')\n"
        + "print(json.dumps([rows(m)[0][:2], why, rows(n)[0][:2]]))"
    )
    assert out[0] == ["rss", -1]
    assert out[1] == [["vram", "gpu_lost"]]
    assert out[2] == ["rss", -1]  # it is tried again when the next run of jobs begins, not at 50 Hz


@needs_stand_in
def test_jobs_too_fast_to_be_measured_do_not_call_the_gpu_figure_their_own(
    machine: Machine,
) -> None:
    machine.has(FIRST)
    out = machine.run(
        JOBS.replace("hz=50", "hz=1")
        + "s.begin('a'); a = s.end('a')\n"
        + "s.begin('b'); b = s.end('b')\n"
        + "print(json.dumps([rows(a), rows(b)]))"
    )
    assert out[0] == [["vram", 0, 1024, 1024, 1024, True, False]]
    assert out[1] == [["vram", 0, 1024, 1024, 1024, False, False]]


#: torch's documented functions over a plain number: a stand-in for torch's allocator, as the C file is for the driver
TORCH = """
import types
class Pool:
    allocated = peak = reserved = 0; on = False
def stats(device):
    return {"allocated_bytes": {"all": {"current": Pool.allocated, "peak": Pool.peak}},
            "reserved_bytes": {"all": {"current": Pool.reserved, "peak": Pool.reserved}}}
def reset(device): Pool.peak = Pool.allocated
torch, cuda = types.ModuleType("torch"), types.ModuleType("torch.cuda")
torch.version = types.SimpleNamespace(cuda="13.0", hip=None)
cuda.is_initialized = lambda: Pool.on
cuda.device_count = lambda: 1
cuda.get_device_properties = lambda d: types.SimpleNamespace(uuid="aaaa2222-1")
cuda.memory_stats_as_nested_dict, cuda.reset_peak_memory_stats = stats, reset
sys.modules["torch"], sys.modules["torch.cuda"] = torch, cuda
from dataclasses import replace
def tensor(n):  # allocate and free, the allocator keeps the segment: NVML goes on showing it
    Pool.on = True
    Pool.allocated += n; Pool.peak = max(Pool.peak, Pool.allocated)
    Pool.reserved = max(Pool.reserved, Pool.allocated)
    has(FIRST, replace(SECOND, used=2 * GIB + Pool.reserved))
"""


@needs_stand_in
def test_torch_s_counters_make_a_lone_job_s_peak_exact_and_match_devices_by_uuid(
    machine: Machine,
) -> None:
    machine.has(FIRST, SECOND)
    out = machine.run(
        TORCH
        + JOBS.replace("hz=50", "hz=1")
        + "tensor(GIB); time.sleep(1.2); s.begin('warm'); time.sleep(1.1); s.end('warm')\n"
        + "time.sleep(.05)\n"
        + "s.begin('a'); tensor(2 * GIB); tensor(-2 * GIB); a = s.end('a'); time.sleep(.05)\n"
        + "s.begin('b'); tensor(2 * GIB); tensor(-2 * GIB); b = s.end('b')\n"
        + "names = s.devices; s.stop()\n"
        + "kinds = sorted({g.kind for g in got})\n"
        + "print(json.dumps([rows(a), rows(b), kinds, names]))"
    )
    # 2 GiB of others, 1 GiB held before; the 2 GiB of the job is gone again but not unseen, and the
    # second job shows it too, though the allocator had kept it and the device's figure did not move
    assert out[0] == [["vram", 0, 3072, 5120, 3072, True, True]]
    assert out[1] == [["vram", 0, 3072, 5120, 3072, True, True]]
    assert out[2] == ["rss", "torch_allocated", "torch_reserved", "vram"]
    assert out[3] == ["Stand-in GPU-aaaa2222-1"]


@needs_stand_in
def test_the_first_use_of_cuda_inside_a_job_counts_from_nothing(machine: Machine) -> None:
    machine.has(init=9)  # no NVML: torch alone
    out = machine.run(
        TORCH.replace("has(FIRST, replace", "0 and has(FIRST, replace")
        + JOBS
        + "why = {a.source: a.name for a in s.absences}\n"
        + "s.begin('a'); tensor(2 * GIB); tensor(-GIB); a = s.end('a')\n"
        + "print(json.dumps([rows(a), why, s.memory_kind]))"
    )
    assert out[0] == [["vram", 0, 0, 2048, 1024, True, True]]
    assert out[1] == {"vram": "driver_not_loaded", "torch": "not_initialized"}
    assert out[2] == "vram"


@needs_stand_in
def test_a_job_beside_a_lone_one_shares_its_peak_and_does_not_reset_it(machine: Machine) -> None:
    machine.has(FIRST, SECOND)
    out = machine.run(
        TORCH
        + JOBS.replace("hz=50", "hz=1")
        # the one sample of this second is taken before the tensor is there
        + "tensor(0); s.begin('a'); time.sleep(.4); tensor(2 * GIB); tensor(-2 * GIB)\n"
        + "s.begin('b'); time.sleep(.05); b = s.end('b'); a = s.end('a')\n"
        + "print(json.dumps([rows(a), rows(b)]))"
    )
    assert out[0][0][3:] == [4096, 2048, False, True]
    assert out[1][0][3:] == [2048, 2048, False, False]
