"""Makes .venv and installs the kit with the named extras, once. Standard library only.

    python .ci/venv.py demo test

A stamp in .venv says what is installed there for which pyproject.toml, interpreter and folder; while
it holds, a second call takes no time and no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "kit-installed.json"

PLAIN = """\
No virtual environment can be made here: {reason}
In an environment of your own these two lines do the same:
    python -m pip install -e '.[demo]' && python notebooks/demo.py
    python -m pip install -e '.[test]' && python tests/run.py"""


def expanded(extras: set[str], pyproject: str) -> set[str]:
    """The extras together with those that they name (``handler-kit[demo,lab]``)."""
    found = set(extras)
    for extra in extras:
        body = re.search(rf"^{re.escape(extra)} = \[(.*?)\]$", pyproject, re.MULTILINE | re.DOTALL)
        if body is None:
            sys.exit(f"pyproject.toml has no extra {extra!r}")
        for names in re.findall(r'"handler-kit\[([^\]]+)\]"', body[1]):
            found |= expanded(set(names.split(",")), pyproject)
    return found


def works(python: Path) -> bool:
    """Whether the environment's interpreter still starts, is of this version and belongs to this folder."""
    if not python.exists():
        return False
    asked = "import pip, sys; print(sys.prefix, *sys.version_info[:2], sep='|')"
    told = subprocess.run([python, "-c", asked], capture_output=True, text=True)
    prefix, _, version = told.stdout.strip().partition("|")
    here = "|".join(map(str, sys.version_info[:2]))
    return told.returncode == 0 and version == here and Path(prefix).resolve() == VENV.resolve()


def make_venv() -> None:
    """Make .venv; on Debian, where root may, with the package that Debian leaves out of python3."""
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode and shutil.which("apt-get") and hasattr(os, "geteuid") and not os.geteuid():
        package = f"python3.{sys.version_info.minor}-venv"
        subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-qy", package], stdout=subprocess.DEVNULL)
        made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        lines = (made.stderr or made.stdout).strip().splitlines() or ["python -m venv failed"]
        sys.exit(PLAIN.format(reason=lines[-1]))


def main(extras: set[str]) -> None:
    if sys.version_info < (3, 10):
        sys.exit(
            f"Python 3.10 or newer is needed; {sys.executable} is {sys.version.split()[0]}.\n"
            "Name another one, for example: make demo PYTHON=python3.12"
        )
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = expanded(extras, pyproject)
    python = BIN / "python"
    key = hashlib.sha256(
        json.dumps([pyproject, str(ROOT), list(sys.version_info[:2])]).encode()
    ).hexdigest()
    stamp = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    have = set(stamp.get("extras", ())) if stamp.get("key") == key else set()
    if wanted <= have and works(python):
        return
    started = time.monotonic()
    if not works(python):
        print("making .venv", flush=True)
        make_venv()
        have = set()
    names = ",".join(sorted(wanted | have))
    print(f"installing handler-kit[{names}] into .venv", flush=True)
    STAMP.unlink(missing_ok=True)
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e"]
    done = subprocess.run([*install, f"{ROOT}[{names}]"])
    if done.returncode:
        sys.exit("The install failed; pip's own words are above.")
    STAMP.write_text(json.dumps({"key": key, "extras": sorted(wanted | have)}))
    print(f"ready after {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(set(sys.argv[1:]))
