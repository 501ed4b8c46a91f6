"""A real kernel whose cells leave values behind for a test to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


class Kernel:
    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def run(self, source: str) -> Any:
        """Run a cell; the value it left in ``told`` comes back."""
        cell = nbformat.v4.new_code_cell(source)
        nb = self._client.nb
        nb.cells.append(cell)
        self._client.execute_cell(cell, len(nb.cells) - 1)
        shown = nbformat.v4.new_code_cell(
            "import json as _j\nprint('TOLD' + _j.dumps(globals().get('told'), default=str))"
        )
        nb.cells.append(shown)
        self._client.execute_cell(shown, len(nb.cells) - 1)
        # what a library writes to stderr meanwhile is none of it
        streams = [o for o in shown.outputs if o.output_type == "stream" and o.name == "stdout"]
        text = "".join(o.text for o in streams)
        return json.loads(text[text.index("TOLD") + 4 :])


@contextmanager
def kernel_in(folder: Path) -> Iterator[Kernel]:
    """A kernel with the kit loaded, working in a folder."""
    client = NotebookClient(
        nbformat.v4.new_notebook(), timeout=180, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}}, store_widget_state=False,
    )  # fmt: skip
    with client.setup_kernel():
        kernel = Kernel(client)
        kernel.run(
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n%load_ext kit\nimport kit, json, os"
        )
        yield kernel
