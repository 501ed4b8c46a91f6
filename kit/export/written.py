"""Files that cells wrote by ``%%writefile`` and that go along: nothing is left to ask about them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection
from pathlib import Path

from kit.source.slice import Decision, Slice


def written_by_cells(sliced: Slice, folder: Path, along: Collection[Path]) -> Slice:
    """A slice whose cells that wrote a copied file say so, and ask no more.

    Parameters
    ----------
    sliced : Slice
    folder : Path
        The working directory: a relative name in a cell is relative to it.
    along : collection of Path
        The files that are copied into the bundle, links resolved.
    """
    decisions = tuple(_settled(d, folder, along) for d in sliced.decisions)
    return dataclasses.replace(sliced, decisions=decisions)


def _settled(decision: Decision, folder: Path, along: Collection[Path]) -> Decision:
    magic = decision.statement.magic
    if magic is None or magic.kind != "cell" or magic.name not in ("file", "writefile"):
        return decision
    try:
        name = shlex.split(magic.line)[-1]
        copied = (folder / name).expanduser().resolve() in along
    except (ValueError, IndexError, OSError, RuntimeError):
        return decision
    if not copied:
        return decision
    return dataclasses.replace(decision, reason=f"wrote `{name}`, which goes along", question=False)
