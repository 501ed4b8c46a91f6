"""Executes the quickstart in a real kernel and says what happened.

    python notebooks/demo.py [notebook] [folder]

Writes into the folder (build/demo): quickstart.ipynb and quickstart.html (the notebook as it ran), worker/ (the
exported handler) and kit/ (the journal of this run, apart from your own). Exits 1 if a step failed.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

from kit.rows import JobRow
from kit.store import Store

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "01_quickstart.ipynb"
OUT = HERE.parent / "build" / "demo"
WORKER = ("handler.py", "requirements.txt", "test_input.json", "Dockerfile")
CELL_LIMIT_S = 300
ANSI = re.compile(r"\x1b\[[\d;]*m")
#: the one job of the notebook that is meant to fail
MEANT_TO_FAIL = {"classify": 1}


def execute(source: Path, folder: Path) -> tuple[nbformat.NotebookNode, str | None]:
    """Run a notebook with ``folder`` as its working folder.

    Returns
    -------
    notebook : NotebookNode
        With the outputs of as many cells as ran.
    failure : str or None
        Why it stopped; None if every cell ran.
    """
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        # widget state is no part of the record: it would carry payloads, and shows nothing offline
        store_widget_state=False,
        # the kernel warns that loopback is not encrypted; it is ours alone
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return notebook, ANSI.sub("", str(error))
    return notebook, None


def jobs() -> list[JobRow]:
    """The jobs of the run from its journal, oldest first."""
    store = Store.open()
    try:
        return store.rows(newest_first=False)
    finally:
        store.close()


def job_lines(rows: Sequence[JobRow]) -> Iterator[str]:
    """One line for the jobs of a handler version that followed each other and ended alike."""
    yield f"{'handler':<12} {'jobs':>4}  {'state':<10} {'queue p50':>10} {'run p50':>10} {'run max':>10}"

    def kind(row: JobRow) -> tuple[str, int, str]:
        return row.handler, row.version, str(row.state)

    for (handler, version, state), group in groupby(rows, kind):
        members = list(group)
        delays = [row.delay_ms for row in members if row.delay_ms is not None]
        times = [row.execution_ms for row in members if row.execution_ms is not None]
        queue = f"{statistics.median(delays):.1f} ms" if delays else "-"
        run = f"{statistics.median(times):.1f} ms" if times else "-"
        longest = f"{max(times):.1f} ms" if times else "-"
        name = f"{handler} v{version}"
        yield f"{name:<12} {len(members):>4}  {state:<10} {queue:>10} {run:>10} {longest:>10}"


def unexpected(rows: Sequence[JobRow]) -> Iterator[str]:
    """What the journal says that the notebook did not mean."""
    if not rows:
        yield "the journal holds no job"
    failed: dict[str, int] = {}
    for row in rows:
        if row.state == "FAILED":
            failed[row.handler] = failed.get(row.handler, 0) + 1
        elif row.state != "COMPLETED":
            yield f"job {row.id} of {row.handler} is {row.state}"
    if failed != MEANT_TO_FAIL:
        yield f"jobs failed {failed}, {MEANT_TO_FAIL} were meant to"


def export_text(notebook: nbformat.NotebookNode) -> str:
    """What the notebook's export cell printed."""
    (cell,) = (cell for cell in notebook.cells if cell.get("id") == "export")
    texts = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(text for text in texts if text)


def unproven(folder: Path, told: str) -> Iterator[str]:
    """What is missing of the exported worker and its proof."""
    for name in WORKER:
        if not (folder / name).exists():
            yield f"worker/{name} is missing"
    if "equal" not in told:
        yield "the exported worker was not proven equal to the notebook"


def main(source: Path = SOURCE, out: Path = OUT) -> int:
    out = out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.environ["KIT_HOME"] = str(out / "kit")
    started = time.monotonic()
    notebook, failure = execute(source, out)
    took_s = time.monotonic() - started

    nbformat.write(notebook, out / "quickstart.ipynb")
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    (out / "quickstart.html").write_text(page, encoding="utf-8")

    rows = jobs()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = sum(1 for cell in code if cell.execution_count)
    told = export_text(notebook)
    # what did not happen after a failed cell is no fault of its own
    faults = [failure] if failure else [*unexpected(rows), *unproven(out / "worker", told)]

    print(f"quickstart: {ran} of {len(code)} cells in {took_s:.1f} s, {len(rows)} jobs\n")
    if rows:
        print(*job_lines(rows), sep="\n")
    if told:
        print(f"\n{told}")
    print()
    for name in ("quickstart.ipynb", "quickstart.html", "worker"):
        path = out / name
        if path.exists():
            print(os.path.relpath(path) + ("/" if path.is_dir() else ""))
    for fault in faults:
        print(f"\nFAILED: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
