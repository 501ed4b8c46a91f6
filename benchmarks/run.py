"""Runs the benchmarks, each in a process of its own, and prints every figure beside its target.

    python benchmarks/run.py [name ...]

Figures are ratios or times of one run on one machine: compare within a run, not between machines.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALL = (
    "start",
    "edit_to_result",
    "jobs",
    "views",
    "monitor",
    "payload",
    "emulator",
    "pod",
    "scale",
    "slice",
)


def main(names: list[str]) -> int:
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    failed = 0
    for name in names or ALL:
        print(f"\n{name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        print(ran.stdout, end="", flush=True)
        failed += ran.returncode != 0 or "MISSED" in ran.stdout
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
