"""The record: which cells were executed, as typed, in the order of their last run."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MAGIC = "%%handler"
_EARLIER = 10
_EARLIER_CHARS = 100_000
_LOAD = "%%kit_load"
_REMOTE = "%%kit_remote"


@dataclass(frozen=True, slots=True)
class Cell:
    """One executed cell.

    Attributes
    ----------
    number : int or None
        Execution count, ``In [3]``; None where there is none (a nested or silent run).
    cell_id : str or None
        The notebook's id of the cell; nbclient, among others, sends none.
    source : str
        As typed, a ``%%handler`` line included.
    ok : bool
        False if the cell raised, was interrupted, or did not parse.
    time : float
        When the run ended, UTC seconds.
    runs : int
        How often the cell has run, whatever its source was then; :class:`Record` counts.
    earlier : tuple of (str, float)
        Other sources it ran with before, the last ten, each with the end of its last run;
        :class:`Record` keeps them.
    gone : bool
        Whether the notebook no longer has it; see :func:`kit.source.saved.compared`.
    deleted_at : float
        When the front end said that it was deleted, UTC seconds; 0 if it did not.
    """

    number: int | None
    cell_id: str | None
    source: str
    ok: bool
    time: float
    runs: int = 1
    earlier: tuple[tuple[str, float], ...] = ()
    gone: bool = False
    deleted_at: float = 0.0

    @property
    def label(self) -> str:
        """How a person knows the cell: ``In [3]``."""
        return f"In [{' ' if self.number is None else self.number}]"

    @property
    def remote(self) -> bool:
        """Whether it stands under ``%%kit_remote``: it was not run in this kernel."""
        return _REMOTE in self.source and remote_line(self.source.splitlines()) is not None


class Record:
    """The last run of every cell, deleted cells included.

    A cell is known by its id, else by its source: run again unchanged it is the same cell, and
    only the last run counts. Thread-safe: cells are added by the kernel's main thread while an
    export reads them on its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, str], Cell] = {}
        #: how many runs were noted; what was made of the cells holds as long as it is the same
        self.revision = 0

    def add(self, cell: Cell) -> None:
        """Note that a cell has run, well or not. Microseconds; does not block on anything slow."""
        by_source = ("source", cell.source)
        key = by_source if cell.cell_id is None else ("id", cell.cell_id)
        with self._lock:
            self.revision += 1
            # out and in again, so that the order is that of the last run; a run from before its id
            # was known (IPython's own history has none) is this cell too
            before = [c for k in {key, by_source} if (c := self._cells.pop(k, None)) is not None]
            self._cells[key] = dataclasses.replace(
                cell, runs=1 + sum(c.runs for c in before), earlier=_earlier(before, cell.source)
            )

    def deleted(self, cell_ids: Iterable[str], time: float) -> None:
        """Note that cells were deleted in the front end; one that runs again is there again."""
        for cell_id in cell_ids:
            with self._lock:
                cell = self._cells.get(("id", cell_id))
                if cell is not None:
                    self.revision += 1
                    self._cells["id", cell_id] = dataclasses.replace(cell, deleted_at=time)

    def cells(self) -> tuple[Cell, ...]:
        """The last run of each cell, in order of execution; those that raised have ``ok=False``."""
        with self._lock:
            return tuple(self._cells.values())


def _earlier(before: Sequence[Cell], source: str) -> tuple[tuple[str, float], ...]:
    """Sources a cell ran with before, but for the one it has now."""
    if all(not c.earlier and c.source == source for c in before):
        return ()
    runs = {s: t for c in before for s, t in (*c.earlier, (c.source, c.time))}
    runs.pop(source, None)
    return tuple((s, t) for s, t in runs.items() if len(s) <= _EARLIER_CHARS)[-_EARLIER:]


def handler_line(lines: Sequence[str]) -> int | None:
    """Index of the ``%%handler`` line of a cell.

    It may stand below blank lines and comments, where IPython alone would not see it as a cell
    magic.

    Parameters
    ----------
    lines : sequence of str
        The cell, with or without line ends.

    Returns
    -------
    int or None
        None if the first line that is neither blank nor a comment is another one.
        ``%%handler?`` asks for help and is not such a line.
    """
    return _top_lines(lines).get(_MAGIC)


def load_line(lines: Sequence[str]) -> int | None:
    """Index of the ``%%kit_load`` line of a cell; it may stand above a ``%%handler`` line."""
    return _top_lines(lines).get(_LOAD)


def remote_line(lines: Sequence[str]) -> int | None:
    """Index of the ``%%kit_remote`` line of a cell."""
    return _top_lines(lines).get(_REMOTE)


def without_kit_lines(lines: Sequence[str]) -> list[str]:
    """The cell with its ``%%handler``, ``%%kit_load`` and ``%%kit_remote`` lines made empty."""
    taken = _top_lines(lines).values()
    return ["" if index in taken else line for index, line in enumerate(lines)]


def _top_lines(lines: Sequence[str]) -> dict[str, int]:
    """The kit's own lines on top of a cell, by magic."""
    found: dict[str, int] = {}
    for index, line in enumerate(lines):
        text = line.rstrip()
        if not text or text.lstrip().startswith("#"):
            continue
        for magic in {_LOAD, _MAGIC, _REMOTE} - set(found):
            rest = text[len(magic) :]
            if text.startswith(magic) and (not rest or rest[0].isspace()):
                found[magic] = index
                break
        else:
            break
    return found
