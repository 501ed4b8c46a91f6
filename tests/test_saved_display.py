"""What a notebook that nobody looks at keeps of its jobs: all that was so when its last cell ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
HANDLER = """%%handler echo --no-run
def echo(job):
    import time
    time.sleep(0.05)
    return job["input"]
"""

pytestmark = pytest.mark.kernel


def kept(cells: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Texts of all outputs after a run of these cells without a front end."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("KIT_HOME", str(folder))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(book, kernel_name="python3", timeout=120, store_widget_state=False).execute()
    outputs = [output for cell in book.cells for output in cell.outputs]
    return "\n".join(o.get("data", {}).get("text/plain") or o.get("text", "") for o in outputs)


def test_jobs_and_a_batch_of_the_last_cell_are_in_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = "a, b = kit.run({'n': 1}), kit.run({'n': 2})\nawait a\nawait b\nbatch.result();"
    many = "batch = kit.map([{'n': n} for n in range(23)])\nbatch"
    text = kept(["%load_ext kit", HANDLER, "%kit status", many, last], tmp_path, monkeypatch)
    assert "No jobs yet" not in text
    assert "25 completed; p50" in text
    assert "13 older not shown" in text
    assert "23 of 23" in text
    line = next(line for line in text.splitlines() if line.startswith("memory "))
    assert any(unit in line for unit in (" MiB", " GiB")), line
