"""A real JupyterLab of this environment and a real browser, one of each for all browser tests."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from tests.install.lab import Lab, browser_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent.parent
#: pictures for a person to look at
SHOTS = ROOT / "build" / "screenshots"

#: where the server keeps the chosen theme, below its home
THEMES = "settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
_THEME = """name => window.jupyterapp.commands.execute(
    "apputils:change-theme", {theme: name}).then(() => true)"""
_THEMED = """name => document.body.dataset.jpThemeName === name
    && document.getElementById("jupyterlab-splash") === null"""
_SHOW = """async n => {
    const content = window.jupyterapp.shell.currentWidget.content;
    await content.scrollToItem(n, "start");
    return true;
}"""
_SAVED = "() => window.jupyterapp.shell.currentWidget.context.save().then(() => true)"
_COLLAPSE = "() => { window.jupyterapp.shell.collapseLeft(); }"


def settled(page: Page, faults: Callable[[], Any]) -> None:
    """Wait until nothing is at fault: colours fade and layouts follow, sooner or later."""
    until = time.monotonic() + 15
    while found := faults():
        assert time.monotonic() < until, found
        page.wait_for_timeout(100)


class Here:
    """The environment that runs the tests, as ``Lab`` wants one."""

    python = sys.executable

    def environ(self, home: Path) -> dict[str, str]:
        names = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "KIT_HOME": "kit",
        }
        settings = home / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "notification.jupyterlab-settings").write_text(
            json.dumps({"fetchNews": "false", "checkForUpdates": False})
        )
        folders = {name: str(home / folder) for name, folder in names.items()}
        # the inline backend, as in any notebook: the tests themselves run with Agg
        rest = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
        return {**rest, **folders, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    work, home = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("lab")
    server = Lab(Here(), work, home)  # type: ignore[arg-type]
    server.work, server.home = work, home  # type: ignore[attr-defined]
    yield server
    server.close()


# not for the whole session: while Playwright's sync API is up, an event loop counts as running in
# this thread, and every asyncio.run of a later test would fail
@pytest.fixture(scope="module")
def _browser() -> Iterator[Page]:
    with browser_page(1280, 1000) as page:
        yield page


@pytest.fixture
def page(_browser: Page) -> Iterator[Page]:
    """A page of its own for each test; what goes wrong in it fails the test."""
    context = _browser.context.browser.new_context(  # type: ignore[union-attr]
        viewport={"width": 1280, "height": 1000}
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert not wrong, wrong


@pytest.fixture
def notebook(lab: Lab, page: Page, request: pytest.FixtureRequest) -> Callable[..., Notebook]:
    """Open a notebook made of cells, or a copy of one from the project."""

    def make(*cells: str, copy: Path | None = None) -> Notebook:
        folder = lab.work / request.node.name  # type: ignore[attr-defined]
        folder.mkdir()
        path = folder / "n.ipynb"
        if copy is not None:
            shutil.copy(copy, path)
        else:
            made = nbformat.v4.new_notebook()
            made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
            made.cells = [nbformat.v4.new_code_cell(source) for source in cells]
            nbformat.write(made, path)
        # the light theme, whatever the test before chose last
        (lab.home / THEMES).unlink(missing_ok=True)  # type: ignore[attr-defined]
        opened = Notebook(lab, page, path)
        opened.open()
        return opened

    return make


class Notebook:
    """A notebook open in the page."""

    def __init__(self, lab: Lab, page: Page, path: Path) -> None:
        self.lab, self.page, self.path = lab, page, path

    def open(self) -> None:
        self.lab.open(self.page, f"{self.path.parent.name}/{self.path.name}")
        self.page.evaluate(_COLLAPSE)

    def show(self, cell: int) -> None:
        """Scroll a cell to the top: what is off screen is not in the page."""
        self.page.evaluate(_SHOW, cell)

    def theme(self, name: str) -> None:
        self.page.evaluate(_THEME, name)
        # a second change while JupyterLab still covers the page for the first is an error of its own
        self.page.wait_for_function(_THEMED, arg=name)

    def card(self, cell: int) -> Any:
        """The live card under a cell."""
        self.show(cell)
        card = self.page.locator(f'.jp-Notebook-cell[data-windowed-list-index="{cell}"] .kit-card')
        card.first.wait_for()
        # the list of cells estimates heights of what it has not drawn yet
        card.first.evaluate("c => c.scrollIntoView({block: 'center'})")
        return card.first

    def save(self) -> None:
        self.page.wait_for_function(_SAVED)

    def reload(self) -> None:
        """Save, and load the whole page anew."""
        self.save()
        self.page.reload()
        self.lab.settle(self.page)

    def execute(self, command: str) -> None:
        # not awaited: a dialog would hold the promise for ever
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", command)

    def shot(self, name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=str(path))
        return path
