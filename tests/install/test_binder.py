"""The steps of binder/ in a clean environment: the quickstart works on a CPU in less than 2 GB."""

from __future__ import annotations

import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.install.environments import ROOT, Environment, skip_without_index, tree_rss_bytes
from tests.install.lab import TOKEN, Lab

pytestmark = [pytest.mark.install, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT_BYTES = 2_000_000_000
PARTS = ("kit", "notebooks", "binder", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def environment() -> Environment:
    return Environment("binder", ["-r", str(ROOT / "binder" / "requirements.txt")])


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 100
    assert all(line.count("==") == 1 for line in pins)
    version = (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip()
    assert version.startswith("python-3.")


def test_the_quickstart_runs_beside_a_server_in_two_gigabytes(
    environment: Environment, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, checkout / part)
    environ = environment.environ(tmp_path / "home")
    built = subprocess.run(
        ["bash", "binder/postBuild"], cwd=checkout, env=environ, capture_output=True, text=True
    )
    if built.returncode:
        skip_without_index(built.stdout + built.stderr)
        pytest.fail(built.stdout + built.stderr)

    peak = 0
    watched: list[int] = []
    server: Lab | None = None
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, sum(map(tree_rss_bytes, watched)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        server = Lab(environment, checkout, tmp_path / "home")
        watched.append(server.pid)
        path = "notebooks/01_quickstart.ipynb"
        for page in (f"lab/tree/{path}", f"api/contents/{path}"):
            with urllib.request.urlopen(f"{server.url}/{page}?token={TOKEN}", timeout=30) as answer:
                assert answer.status == 200
        demo = subprocess.Popen(
            [environment.python, "notebooks/demo.py"],
            cwd=checkout,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        watched.append(demo.pid)
        told, _ = demo.communicate(timeout=300)
        assert demo.returncode == 0, told
    finally:
        over.set()
        watcher.join()
        if server is not None:
            server.close()
    assert 100_000_000 < peak < LIMIT_BYTES, f"{peak / 1e6:.0f} MB"
    print(f"peak of server, kernel and workers: {peak / 1e6:.0f} MB")
