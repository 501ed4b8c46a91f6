"""What is shipped: every script, style and type marker, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.install.environments import ROOT, wheel

pytestmark = pytest.mark.slow

SHIPPED = {".py", ".js", ".css", ".typed"}


def expected() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kit").rglob("*")
        if (path.is_file() and path.suffix in SHIPPED) or path.name == "py.typed"
    }


def test_the_wheel_holds_every_module_script_and_style(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel(tmp_path)) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = archive.read(metadata).decode()
    assert {name for name in names if name.startswith("kit/")} == expected()
    others = {name for name in names if not name.startswith("kit/")}
    assert all(name.startswith("handler_kit-") for name in others), others
    assert any(name.endswith("LICENSE") for name in others)
    assert "Name: handler-kit" in told
    assert "Requires-Python: >=3.10" in told


def test_the_sdist_holds_the_house(tmp_path: Path) -> None:
    build = "import sys; from hatchling.build import build_sdist; print(build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=ROOT, check=True)
    (built,) = tmp_path.glob("handler_kit-*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = expected() | {
        *("LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml"),
        *("notebooks/01_quickstart.ipynb", "notebooks/demo.py", "tests/run.py", "binder/postBuild"),
    }
    assert wanted <= names, wanted - names
    assert not [
        name for name in names if "__pycache__" in name or name.startswith(("build", ".venv"))
    ]
