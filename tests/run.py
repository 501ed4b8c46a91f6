"""Runs the tests: fetches chromium where it may, then starts pytest with whatever it was given.

python tests/run.py [--strict-skips] [pytest's own arguments]

The files are spread over the processors, each file in one process: most of a test's time is waiting
for kernels, browsers and workers. ``-n 0`` runs all in this process, for a debugger.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def fetch_chromium() -> None:
    """Install Debian's chromium where this is root on Debian; elsewhere browser tests are skipped."""
    if any(map(shutil.which, CHROMIUM)) or os.environ.get("KIT_CHROMIUM"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return
    print("installing chromium for the browser tests", flush=True)
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    subprocess.run(["apt-get", "update", "-q"], **quiet)
    subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", "chromium"], **quiet)


def spread(arguments: list[str]) -> list[str]:
    """Give pytest's arguments for several processes, unless the person has said how many."""
    if any(a.startswith(("-n", "--numprocesses")) for a in arguments):
        return []
    # the slow files (browser, kernel, install) lie in folders, which come first: keep that order, so
    # that none of them is left for the end
    processes = max(2, min(4, os.cpu_count() or 1))
    return ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]


if __name__ == "__main__":
    fetch_chromium()
    given = sys.argv[1:]
    command = [sys.executable, "-m", "pytest", *spread(given), *given]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)
