"""Which CUDA the installed packages were built for, read from their files: nothing is imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

#: distributions that come for a GPU, or in a build for one
_NEEDS_GPU = {
    *("vllm", "flash-attn", "bitsandbytes", "xformers", "onnxruntime-gpu", "auto-gptq", "autoawq"),
    *("cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "paddlepaddle-gpu", "tensorrt", "deepspeed"),
    *("sglang", "exllamav2", "tensorflow-gpu", "jax-cuda12-plugin", "triton", "pycuda"),
}
_TAG = re.compile(r"cu(1[1-9])(\d)")
_RUNTIME = re.compile(r"nvidia-cuda-runtime(-cu\d+)?")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a worker computes on.

    Attributes
    ----------
    cuda : (int, int) or None
        None without a GPU.
    torch : str
        Public version of torch, ``""`` if it is not required.
    """

    cuda: tuple[int, int] | None
    torch: str


def accelerator_of(names: Collection[str]) -> Accelerator:
    """What the distributions of a requirements.txt compute on.

    Parameters
    ----------
    names : collection of str
        Canonical names.
    """
    uses_torch = bool(
        {"torch", "torchvision", "torchaudio", "diffusers", "accelerate"} & set(names)
    )
    dist = _distribution("torch") if uses_torch else None
    if dist is not None:
        public, _, build = str(dist.version).partition("+")
        return Accelerator(_of_build(build) or _of_torch(dist, build), public)
    if _NEEDS_GPU & set(names):
        return Accelerator(_of_runtime() or (12, 8), "")
    return Accelerator(None, "")


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _of_build(build: str) -> tuple[int, int] | None:
    found = _TAG.fullmatch(build)
    return (int(found[1]), int(found[2])) if found else None


def _of_torch(dist: importlib.metadata.Distribution, build: str) -> tuple[int, int] | None:
    """``cuda`` in torch/version.py: the wheels of the default index carry no tag."""
    if build:
        return None  # cpu, rocm: another machine
    try:
        tree = ast.parse(Path(str(dist.locate_file("torch/version.py"))).read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return _of_runtime()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "cuda" for target in targets):
                return _version(str(node.value.value)) if node.value.value else None
    return _of_runtime()


def _of_runtime() -> tuple[int, int] | None:
    """CUDA of NVIDIA's own runtime wheel, if one is installed."""
    for dist in importlib.metadata.distributions():
        name = str(dist.metadata["Name"] or "").lower()
        if _RUNTIME.fullmatch(name):
            return _version(str(dist.version))
    return None


def _version(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None
