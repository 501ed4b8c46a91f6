"""Environments of their own for tests, and what runs in them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PIP = ("-m", "pip", "--disable-pip-version-check")


class Environment:
    """A virtual environment under build/, made once for what is installed in it.

    Parameters
    ----------
    name : str
        Folder below build/.
    packages : sequence of str
        Arguments of the first ``pip install``; with the content of the files among them, and
        ``key``, what the environment is kept under.
    python : str
        The interpreter.
    """

    def __init__(
        self, name: str, packages: Sequence[str], *, python: str = sys.executable, key: str = ""
    ) -> None:
        self.folder = ROOT / "build" / name
        self.bin = self.folder / "bin"
        self.python = self.bin / "python"
        files = [Path(argument) for argument in packages if Path(argument).is_file()]
        told = "\0".join([*packages, python, key, sys.version, str(self.folder)]).encode()
        key = hashlib.sha256(told + b"".join(path.read_bytes() for path in files)).hexdigest()
        stamp = self.folder / "installed"
        if stamp.exists() and stamp.read_text() == key:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", self.folder], check=True)
        # compiled when first imported: half the time of a large install goes into compiling it all
        self.pip("install", "--no-compile", *packages)
        stamp.write_text(key)

    def copy(self, folder: Path) -> Environment:
        """The same environment in another folder, to be changed and thrown away."""
        shutil.copytree(self.folder, folder, symlinks=True)
        copied = object.__new__(Environment)
        copied.folder, copied.bin, copied.python = folder, folder / "bin", folder / "bin" / "python"
        return copied

    def pip(self, *arguments: str | Path) -> str:
        """Output of a pip command in the environment.

        If it fails the test fails with pip's words, or is skipped where no package index answers.
        """
        ran = subprocess.run([self.python, *PIP, *arguments], capture_output=True, text=True)
        if ran.returncode:
            skip_without_index(ran.stdout + ran.stderr)
            pytest.fail(f"pip {' '.join(map(str, arguments))}\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def freeze(self) -> dict[str, str]:
        """Distribution to version."""
        lines = self.pip("list", "--format=freeze").splitlines()
        return dict(line.split("==", 1) for line in lines if "==" in line)

    def environ(self, home: Path) -> dict[str, str]:
        """Variables under which a program belongs to this environment and to ``home``."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "PYTHON"))}
        folders = {
            f"JUPYTER{part}": str(home / f"jupyter{part.lower()}")
            for part in ("_CONFIG_DIR", "_DATA_DIR", "_RUNTIME_DIR")
        }
        folders |= {
            f"JUPYTERLAB_{part}_DIR": str(home / f"lab-{part.lower()}")
            for part in ("SETTINGS", "WORKSPACES")
        }
        return {
            **clean,
            **folders,
            "HOME": str(home),
            "IPYTHONDIR": str(home / "ipython"),
            "KIT_HOME": str(home / "kit"),
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
        }


def skip_without_index(told: str) -> None:
    """Skip the test if pip's words are those of a machine without an index.

    A version that does not exist is another thing: then pip names those that do.
    """
    if re.search(
        r"NewConnectionError|from versions: none|Failed to establish a new connection", told
    ):
        pytest.skip("install: no package index can be reached")


def wheel(folder: Path) -> Path:
    """The kit's wheel, built from this checkout; needs no network (hatchling is a test dependency)."""
    command = [sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-w", folder, ROOT], check=True)
    (built,) = folder.glob("handler_kit-*.whl")
    return built


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and everything below it, shared pages counted each time."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
