"""A JupyterLab of an environment of its own, and a browser that looks at it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import chromium
from tests.install.environments import Environment

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOKEN = "only-for-this-test"
READY = "() => window.jupyterapp?.shell.currentWidget?.context?.isReady"
SESSION = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.context.ready; await panel.revealed; await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    return true;
}"""
# the command's promise is not awaited: a dialog would hold it for ever
RUN_CELL = """n => {
    const app = window.jupyterapp;
    app.shell.currentWidget.content.activeCellIndex = n;
    app.commands.execute("notebook:run-cell");
}"""
COUNT = "n => window.jupyterapp.shell.currentWidget.content.widgets[n].model.executionCount"
#: whether a cell has ended that had another count, or none, when it was started
ENDED = """([n, before]) => {
    const cell = window.jupyterapp.shell.currentWidget.content.widgets[n];
    const idle = document.querySelector(".jp-Notebook-ExecutionIndicator[data-status=idle]");
    const count = cell.model.executionCount;
    return idle !== null && count !== null && count !== before
        && cell.model.executionState !== "running";
}"""
DONE = """n => {
    const cell = window.jupyterapp.shell.currentWidget.content.widgets[n];
    const idle = document.querySelector(".jp-Notebook-ExecutionIndicator[data-status=idle]");
    return idle !== null && cell.model.executionCount !== null
        && cell.model.executionState !== "running";
}"""
OUTPUTS = """n => {
    const outputs = window.jupyterapp.shell.currentWidget.content.widgets[n].model.outputs;
    return JSON.stringify(Array.from({length: outputs.length}, (_, i) => outputs.get(i).toJSON()));
}"""


class Lab:
    """A running server; ``url`` is its address."""

    def __init__(self, environment: Environment, root: Path, home: Path) -> None:
        command = [environment.python, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += ["--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={TOKEN}"]
        command += [f"--ServerApp.root_dir={root}", "--LabApp.news_url="]
        command += ["--LabApp.expose_app_in_browser=True"]
        self.log: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env=environment.environ(home),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._listens = threading.Event()
        self.url = ""
        self._reader.start()
        if not self._listens.wait(60):
            self.close()
            pytest.fail("JupyterLab did not start\n" + "".join(self.log))
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        # it says where it listens shortly before it does
        until = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api?token={TOKEN}", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > until:
                    self.close()
                    raise
                time.sleep(0.1)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if "http://127.0.0.1:" in line and not self.url:
                port = line.split("http://127.0.0.1:")[1].split("/")[0]
                self.url = f"http://127.0.0.1:{port}"
                self._listens.set()

    def close(self) -> None:
        """End the server and its kernels: its own process group, nothing else."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._reader.join(10)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def open(self, page: Page, notebook: str) -> None:
        """Show a notebook and wait until its kernel answers."""
        page.goto(f"{self.url}/lab/tree/{notebook}?token={TOKEN}&reset")
        self.settle(page)

    def settle(self, page: Page) -> None:
        page.wait_for_function(READY, timeout=60_000)
        # unlike evaluate, this has a limit: a dialog may be in the way
        page.wait_for_function(SESSION, timeout=60_000)


def run_cell(page: Page, number: int, limit_s: float = 60) -> list[dict[str, Any]]:
    """Run a cell, wait for its end; its outputs as nbformat has them."""
    before = page.evaluate(COUNT, number)
    page.evaluate(RUN_CELL, number)
    page.wait_for_function(ENDED, arg=[number, before], timeout=limit_s * 1000)
    return outputs(page, number)


def outputs(page: Page, number: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(page.evaluate(OUTPUTS, number))
    return told


@contextlib.contextmanager
def browser_page(width: int = 1300, height: int = 1000) -> Iterator[Page]:
    """A page of a fresh headless Chromium profile."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += ["--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(30_000)
            yield page
        finally:
            browser.close()
