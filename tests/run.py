"""Runs the tests: fetches chromium where it may, then starts pytest with whatever it was given.

python tests/run.py [--strict-skips] [pytest's own arguments]
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


if __name__ == "__main__":
    fetch_chromium()
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=ROOT).returncode)
