"""The steps of binder/ in a clean environment: the quickstart works on a CPU in less than 2 GB."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.install.environments import ROOT, Environment, tree_rss_bytes

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
    subprocess.run(["bash", "binder/postBuild"], cwd=checkout, env=environ, check=True)

    peak = 0
    running: list[subprocess.Popen[str]] = []
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, sum(tree_rss_bytes(process.pid) for process in running))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        # as Binder starts it; the port is the system's choice and read from its own words
        lab = ["-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
        token = ["--IdentityProvider.token=t", "--LabApp.news_url="]
        server = subprocess.Popen(
            [environment.python, *lab, *token],
            cwd=checkout,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(server)
        url = address(server)
        path = "notebooks/01_quickstart.ipynb"
        for page in (f"lab/tree/{path}", f"api/contents/{path}"):
            with urllib.request.urlopen(f"{url}/{page}?token=t", timeout=30) as answer:
                assert answer.status == 200
        demo = subprocess.Popen(
            [environment.python, "notebooks/demo.py"],
            cwd=checkout,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.append(demo)
        told, _ = demo.communicate(timeout=300)
        assert demo.returncode == 0, told
    finally:
        over.set()
        watcher.join()
        for process in running:
            process.terminate()
            process.wait(30)
    assert 100_000_000 < peak < LIMIT_BYTES, f"{peak / 1e6:.0f} MB"
    print(f"peak of server, kernel and workers: {peak / 1e6:.0f} MB")


def address(server: subprocess.Popen[str]) -> str:
    """The server's address from its log."""
    assert server.stderr is not None
    until = time.monotonic() + 60
    for line in server.stderr:
        if "http://127.0.0.1:" in line:
            port = line.split("http://127.0.0.1:")[1].split("/")[0]
            # whatever else it says must not fill the pipe
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return f"http://127.0.0.1:{port}"
        if time.monotonic() > until:
            break
    pytest.fail("the server did not say where it listens")
