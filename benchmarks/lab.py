"""A real JupyterLab in headless Chromium, and a clock for its frames."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from tests.install.lab import DONE, RUN_CELL, Lab, browser_page

ROOT = Path(__file__).resolve().parent.parent
_FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "KIT_HOME": "kit",
}
#: times of all frames for so many ms; `each` is done in every one of them
_FRAMES = """([ms, each]) => new Promise((done) => {
    const act = each ? new Function("k", each) : () => {};
    const times = [];
    const end = performance.now() + ms;
    const step = (now) => {
        times.push(now);
        act(times.length);
        if (performance.now() < end) requestAnimationFrame(step);
        else done(times);
    };
    requestAnimationFrame(step);
})"""
#: run a cell and tell how long it took until `drawn` was true in a frame
_PAINT = """([cell, drawn]) => new Promise((done) => {
    const is = new Function("return " + drawn);
    const app = window.jupyterapp;
    app.shell.currentWidget.content.activeCellIndex = cell;
    const from = performance.now();
    app.commands.execute("notebook:run-cell");
    const look = () => {
        if (is()) done(performance.now() - from);
        else if (performance.now() - from > 60000) done(NaN);
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""


@dataclass(frozen=True)
class Frames:
    """What the frames of a stretch of time say.

    Attributes
    ----------
    fps : float
    p95_ms, worst_ms : float
        Between two frames.
    """

    fps: float
    p95_ms: float
    worst_ms: float


class _Here:
    def __init__(self, python: str) -> None:
        self.python = python

    def environ(self, home: Path) -> dict[str, str]:
        settings = home / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        folders = {name: str(home / folder) for name, folder in _FOLDERS.items()}
        rest = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**rest, **folders, "PYTHONPATH": path}


class Notebook:
    """A notebook open in the page."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def run(self, cell: int, limit_s: float = 300) -> None:
        """Run a cell to its end; RuntimeError if it failed."""
        self.page.evaluate(RUN_CELL, cell)
        time.sleep(0.3)  # the indicator still says idle in the first moment
        self.page.wait_for_function(DONE, arg=cell, timeout=limit_s * 1000)
        error = self.page.evaluate(
            """n => {
                const list = window.jupyterapp.shell.currentWidget.content.widgets[n].model.outputs;
                for (let k = 0; k < list.length; k += 1) {
                    const one = list.get(k).toJSON();
                    if (one.output_type === "error") return one.traceback.join("\\n");
                }
                return "";
            }""",
            cell,
        )
        if error:
            raise RuntimeError(error)

    def show(self, cell: int) -> None:
        """Scroll a cell to the top."""
        self.page.evaluate(
            """async n => {
                const content = window.jupyterapp.shell.currentWidget.content;
                await content.scrollToItem(n, "start");
                return true;
            }""",
            cell,
        )

    def text(self, cell: int) -> str:
        """What a cell printed."""
        told: str = self.page.evaluate(
            """n => {
                const list = window.jupyterapp.shell.currentWidget.content.widgets[n].model.outputs;
                let text = "";
                for (let k = 0; k < list.length; k += 1) {
                    const one = list.get(k).toJSON();
                    if (one.output_type === "stream") text += [].concat(one.text).join("");
                }
                return text;
            }""",
            cell,
        )
        return told

    def paint_ms(self, cell: int, drawn: str) -> float:
        """Milliseconds from running a cell until a JavaScript expression is true in a frame."""
        took: float = self.page.evaluate(_PAINT, [cell, drawn])
        return took

    def frames(self, seconds: float, each: str = "") -> Frames:
        """Watch the frames; ``each`` is JavaScript done in every frame, with its number as ``k``."""
        times: list[float] = self.page.evaluate(_FRAMES, [seconds * 1000, each])
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        return Frames(
            1000 * len(gaps) / (times[-1] - times[0]), gaps[int(0.95 * len(gaps))], gaps[-1]
        )


@contextmanager
def notebook(*cells: str, width: int = 1280, height: int = 1000) -> Iterator[Notebook]:
    """A new notebook in a JupyterLab and a browser of its own."""
    import sys

    with tempfile.TemporaryDirectory(prefix="kit-bench-", ignore_cleanup_errors=True) as folder:
        home, work = Path(folder) / "home", Path(folder) / "work"
        work.mkdir()
        made = nbformat.v4.new_notebook()
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        made.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(made, work / "n.ipynb")
        lab = Lab(_Here(sys.executable), work, home)  # type: ignore[arg-type]
        try:
            with browser_page(width, height) as page:
                lab.open(page, "n.ipynb")
                page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); }")
                yield Notebook(page)
        finally:
            lab.close()
