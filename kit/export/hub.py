"""``.runpod/hub.json``, ``.runpod/tests.json`` and ``.github/tests.json``.

The Hub's two files are those of RunPod's publishing guide (docs, hub/publishing-guide). The third is
what RunPod's test runner for GitHub reads (runpod/runpod-test-runner): a bare list of another shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from kit.export.bases import Base, host_versions
from kit.export.examples import Example, Measured
from kit.export.surface import Variable

#: serverless GPU pools and their memory in GB, by memory (docs, flash/configuration/gpu-types)
_POOLS = (
    ("AMPERE_16", 16), ("AMPERE_24", 24), ("ADA_24", 24), ("ADA_32_PRO", 32), ("AMPERE_48", 48),
    ("ADA_48_PRO", 48), ("AMPERE_80", 80), ("ADA_80_PRO", 80), ("HOPPER_141", 141),
)  # fmt: skip
#: a GPU for the Hub's test run and its memory in GB (docs, references/gpu-types)
_GPUS = (
    ("NVIDIA GeForce RTX 4090", 24), ("NVIDIA L40", 48), ("NVIDIA A100 80GB PCIe", 80),
    ("NVIDIA H200", 141),
)  # fmt: skip
_CPU = "cpu5c"
#: gigabytes of disk for a container without and with CUDA
_DISK_GB = (5, 20)
#: what a package in requirements.txt says about a worker; first match wins
_CATEGORIES = (
    ("embedding", {"sentence-transformers", "fastembed", "flagembedding"}),
    (
        "audio",
        {"openai-whisper", "faster-whisper", "torchaudio", "librosa", "soundfile", "pydub", "tts"},
    ),
    ("video", {"moviepy", "imageio-ffmpeg", "decord", "av", "ffmpeg-python"}),
    (
        "image",
        {"diffusers", "opencv-python", "opencv-python-headless", "pillow", "torchvision", "rembg"},
    ),
)
#: the Hub stops a test after this long; a model may have to be loaded first
_LEAST_S = 60


@dataclass(frozen=True, slots=True)
class Worker:
    """What the Hub is told of a worker."""

    title: str
    description: str
    base: Base
    names: Collection[str]
    variables: Sequence[Variable]
    env: Sequence[tuple[str, str]]
    measured: Measured | None
    examples: Sequence[Example]


def hub_file(worker: Worker) -> str:
    """``hub.json``: title, description, category, what it runs on, and its variables."""
    gpu = worker.base.cuda is not None
    config: dict[str, Any] = {
        "runsOn": "GPU" if gpu else "CPU",
        "containerDiskInGb": _DISK_GB[gpu],
    }
    if worker.base.cuda is not None:
        config["gpuCount"] = 1
        pools = _pools(worker.measured)
        if pools:
            config["gpuIds"] = pools
        config["allowedCudaVersions"] = host_versions(worker.base.cuda)
    else:
        config["cpuFlavor"] = _CPU
    config["env"] = _env(worker)
    return _json(
        {
            "title": worker.title,
            "description": worker.description,
            "type": "serverless",
            "category": category_of(worker.names),
            "config": config,
        }
    )


def hub_tests_file(worker: Worker) -> str:
    """``tests.json`` of the Hub: a test passes if its job completes."""
    config: dict[str, Any] = {}
    if worker.base.cuda is not None:
        config = {
            "gpuTypeId": _gpu(worker.measured),
            "gpuCount": 1,
            "allowedCudaVersions": host_versions(worker.base.cuda),
        }
    else:
        config = {"cpuFlavor": _CPU}
    config["env"] = [{"key": name, "value": value} for name, value in worker.env]
    tests = [
        {"name": f"recorded_job_{n}", "input": example.input, "timeout": _timeout_ms(example)}
        for n, example in enumerate(worker.examples, start=1)
    ]
    return _json({"tests": tests, "config": config})


def runner_tests_file(worker: Worker) -> str:
    """``tests.json`` of the test runner for GitHub; outputs that are known to repeat are expected."""
    pools = _pools(worker.measured) if worker.base.cuda is not None else ""
    tests: list[dict[str, Any]] = []
    for example in worker.examples:
        test: dict[str, Any] = {}
        if pools:
            test["hardwareConfig"] = {"endpointConfig": {"gpuIds": pools}}
        test["input"] = example.input
        if example.certain and len(json.dumps(example.output)) < 2_000:
            test["expected_output"] = example.output
        tests.append(test)
    return _json(tests)


def category_of(names: Collection[str]) -> str:
    """One of the Hub's categories, by what a worker requires."""
    for category, packages in _CATEGORIES:
        if packages & set(names):
            return category
    return "language"


def _env(worker: Worker) -> list[dict[str, Any]]:
    """Variables for the form that a user of the Hub fills in; keys have no default, ever."""
    set_here = dict(worker.env)
    found: list[dict[str, Any]] = []
    for variable in worker.variables:
        given: dict[str, Any] = {
            "name": variable.name.replace("_", " ").capitalize(),
            "type": variable.kind,
            "description": f"Environment variable {variable.name}",
            "required": variable.required and variable.name not in set_here,
        }
        default = set_here.get(variable.name, variable.default)
        if default is not None and not variable.secret:
            given["default"] = _typed(default, variable.kind)
        if variable.kind == "boolean":
            given["trueValue"], given["falseValue"] = _words(default)
        found.append({"key": variable.name, "input": given})
    read = {variable.name for variable in worker.variables}
    return found + [{"key": k, "value": v} for k, v in worker.env if k not in read]


def _typed(default: str, kind: str) -> Any:
    if kind == "boolean":
        return default.lower() in ("true", "1", "yes", "on")
    if kind == "number":
        try:
            value = float(default)
        except ValueError:
            return default
        if math.isfinite(value):
            return int(value) if value.is_integer() else value
    return default


def _words(default: str | None) -> tuple[str, str]:
    pairs = (("1", "0"), ("yes", "no"), ("on", "off"), ("True", "False"))
    return next((pair for pair in pairs if default in pair), ("true", "false"))


def _pools(measured: Measured | None) -> str:
    """The two smallest sizes of pools that a measured peak fits into with a fifth to spare."""
    need_gb = _vram_gb(measured)
    if need_gb is None:
        return ""
    sizes = sorted({size for _, size in _POOLS if size >= need_gb})[:2]
    return ",".join(name for name, size in _POOLS if size in sizes) or _POOLS[-1][0]


def _gpu(measured: Measured | None) -> str:
    need_gb = _vram_gb(measured) or 0
    return next((name for name, size in _GPUS if size >= need_gb), _GPUS[-1][0])


def _vram_gb(measured: Measured | None) -> float | None:
    peak = dict(measured.memory).get("vram") if measured is not None else None
    return None if peak is None else 1.2 * peak / 1e9


def _timeout_ms(example: Example) -> int:
    seconds = max(_LEAST_S, 10 * example.execution_ms / 1000)
    return math.ceil(seconds / 30) * 30_000


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
