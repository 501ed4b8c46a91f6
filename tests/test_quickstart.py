"""The quickstart is executed as ``make demo`` does it, and a step that fails is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from kit.events import Found
from kit.store import Store

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "01_quickstart.ipynb"

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def demo(notebook: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "notebooks" / "demo.py"), str(notebook), str(folder)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=280, env=environ)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    told = demo(NOTEBOOK, folder)
    assert told.returncode == 0, told.stdout + told.stderr
    return folder, told.stdout


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))


def test_it_runs_and_says_what_happened(ran: tuple[Path, str]) -> None:
    folder, told = ran
    assert "12 of 12 cells" in told
    for part in ("words v1", "classify v1", "COMPLETED", "FAILED", "equal", "worker/"):
        assert part in told
    assert {"quickstart.ipynb", "quickstart.html", "worker", "kit"} <= {
        path.name for path in folder.iterdir()
    }


def test_the_executed_notebook_holds_pictures_and_no_widget_state(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    executed = nbformat.read(folder / "quickstart.ipynb", as_version=4)
    assert "widgets" not in executed.metadata
    kinds = {
        kind
        for cell in executed.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert {"text/html", "image/png", "text/plain"} <= kinds
    assert "Traceback (most recent call last)" in json.dumps(executed)
    page = (folder / "quickstart.html").read_text(encoding="utf-8")
    assert "classify" in page
    assert "COMPLETED" in page or "completed" in page


def test_the_worker_runs_without_the_notebook(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    worker = folder / "worker"
    names = {path.name for path in worker.iterdir()}
    assert {"handler.py", "requirements.txt", "test_input.json", "Dockerfile"} <= names
    source = (worker / "handler.py").read_text(encoding="utf-8")
    assert 'runpod.serverless.start({"handler": classify})' in source
    assert "kit" not in source.replace("handler-kit", "")
    assert "digit_png" not in source
    # RunPod's own local test: reads test_input.json, exits 0 and prints the output
    told = subprocess.run(
        [sys.executable, "handler.py"], cwd=worker, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "'label': " in told.stdout


def test_its_only_finding_is_the_one_it_asks_for(ran: tuple[Path, str]) -> None:
    # kit.map(..., concurrency=4) on a handler without a concurrency_modifier; all else is sound
    folder, _ = ran
    store = Store.open(folder / "kit")
    found = [e.data.finding.code for e in store.after(0) if isinstance(e.data, Found)]
    store.close()
    assert found == ["K216"]


def test_a_cell_that_fails_fails_the_demo(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (chunks,) = (cell for cell in notebook.cells if cell["id"] == "chunks")
    chunks.source += "\n1 / 0"
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    told = demo(tmp_path / "broken.ipynb", tmp_path / "out")
    assert told.returncode == 1
    assert "ZeroDivisionError" in told.stderr
    assert "\x1b[" not in told.stderr
    assert "3 of 12 cells" in told.stdout


def test_a_job_that_fails_unmeant_fails_the_demo(tmp_path: Path) -> None:
    # every cell goes well; only the journal knows
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells = [c for c in notebook.cells if c["id"] in ("load", "words", "chunks", "export")]
    notebook.cells[2].source += "\nkit.run({'nothing': 1})"
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    told = demo(tmp_path / "broken.ipynb", tmp_path / "out")
    assert told.returncode == 1
    assert "4 of 4 cells" in told.stdout
    assert "{'words': 1}" in told.stderr
