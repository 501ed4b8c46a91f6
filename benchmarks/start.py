"""What it costs to begin: import kit, and from %load_ext kit to the first job done."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure, p50, repeat

FIRST = """%%handler --input {"n": 1}
def handler(job):
    return job["input"]["n"]
"""
HEAVY = "sorted({'runpod', 'pandas', 'matplotlib'} & set(__import__('sys').modules))"


def imported(module: str) -> float:
    """Seconds of an import in a fresh interpreter, without the interpreter's own start."""
    source = (
        f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    )
    told = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return float(told.stdout)


def first_job() -> float:
    with Kernel(kit=False) as kernel:
        kernel.run("1 + 1")
        started = time.perf_counter()
        kernel.run("%load_ext kit")
        kernel.run(FIRST)
        took = time.perf_counter() - started
        if heavy := kernel.value(HEAVY):
            raise RuntimeError(f"imported on the way: {heavy}")
        state = kernel.value("str(kit.run({'n': 2}).result())")
        if state != "2":
            raise RuntimeError(state)
    return took


def main() -> list[Figure]:
    kit = p50(repeat(7, lambda: imported("kit")))
    runpod = p50(repeat(2, lambda: imported("runpod")))
    first = p50(repeat(5, first_job))
    return [
        Figure("import kit", kit * 1e3, "ms", 150),
        Figure("import runpod", runpod * 1e3, "ms"),
        Figure("import kit, share of import runpod", kit / runpod, "x"),
        Figure("%load_ext kit to the first job done", first * 1e3, "ms", 600),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
