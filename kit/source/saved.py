"""The notebook as it was saved, against the cells as they were executed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from kit.source.record import Cell

_LIMIT_BYTES = 200_000_000


def compared(cells: Sequence[Cell], notebook: Path | None) -> tuple[Cell, ...]:
    """Cells of the record, those marked that the notebook no longer has.

    A cell counts as deleted if the file was saved after it ran, knows cells by their ids, and has
    none with its id; also if the front end said so and the file was not saved with it since (a cell
    that was cut and pasted, or whose deletion was undone). Reads the file once; milliseconds.

    Parameters
    ----------
    cells : sequence of Cell
    notebook : Path or None
        The ``.ipynb`` file; None, or one that cannot be read, marks nothing.
    """
    ids, at = (_read(notebook) if notebook is not None else None) or (set(), 0.0)
    return tuple(
        dataclasses.replace(cell, gone=True)
        if cell.cell_id is not None
        and (
            (cell.cell_id not in ids and cell.time < at)
            or (cell.deleted_at and not (cell.cell_id in ids and cell.deleted_at < at))
        )
        else cell
        for cell in cells
    )


def saved_path() -> Path | None:
    """The notebook's file, if the Jupyter server that started this kernel has said."""
    name = os.environ.get("JPY_SESSION_NAME", "")
    return Path(name) if name.endswith(".ipynb") else None


def _read(notebook: Path) -> tuple[set[str], float] | None:
    """Ids in a notebook file and when it was saved; None if it has none or is no notebook."""
    try:
        info = notebook.stat()
        if notebook.suffix != ".ipynb" or info.st_size > _LIMIT_BYTES:
            return None
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        ids = {str(cell["id"]) for cell in cells if cell.get("id")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (ids, info.st_mtime) if ids else None
