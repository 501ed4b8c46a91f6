"""``kit.report``: one HTML file with the timeline, memory, jobs, payloads and findings of a session.

It needs no network and no script to be read, follows the reader's light or dark theme, and prints.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import UsageError
from kit.views.plots.device import lines_of
from kit.views.plots.drawn import (
    AROUND_S,
    edits_of,
    peaks_of,
    runs_of,
    samples_beside,
    samples_of,
    setups_beside,
)
from kit.views.plots.lanes import lanes_of
from kit.views.plots.timeaxis import TimeAxis
from kit.views.report.figure import Scene, figure_html
from kit.views.report.page import MARK, Facts, anchors_of, page_html
from kit.views.words import plural, size

if TYPE_CHECKING:
    from kit.absence import Absence
    from kit.rows import JobRow
    from kit.store import Store

__all__ = ["Written", "report"]


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written.

    Attributes
    ----------
    path : Path
    size_bytes : int
    jobs : int
        How many are in it.
    """

    path: Path
    size_bytes: int
    jobs: int

    def __repr__(self) -> str:
        return f"{self.path}: {plural(self.jobs, 'job')}, {size(self.size_bytes)}"


def report(
    store: Store,
    path: Path,
    *,
    version: str,
    session: str | None,
    handler: str | None = None,
    limit: int = 200,
    overwrite: bool = False,
    absences: tuple[Absence, ...] = (),
    devices: tuple[str, ...] = (),
) -> Written:
    """Write a report; see ``kit.report``.

    Parameters
    ----------
    store : Store
    path : Path
    version : str
        Of the kit, for the foot of the page.
    session, handler : str or None
        Keep only these jobs; None for any.
    limit : int
        The newest so many.
    overwrite : bool
        Whether a file that is no report may be replaced.
    absences : tuple of Absence
        Memory figures that are missing, and why.
    devices : tuple of str
        Names of the GPUs.

    Raises
    ------
    UsageError
        Nothing was written.
    """
    _check(path, overwrite)
    rows = store.rows(limit=limit, session=session, handler=handler)
    views = store.views([row.key for row in rows])
    reason = next((one.reason for one in absences if one.source == "vram"), None)
    figure = _figure(store, rows, session, handler, limit, reason)
    more = 0 if handler is not None else max(0, store.count(session=session) - len(rows))
    where = "all sessions" if session is None else f"session {session}"
    facts = Facts(version, where, more, absences, devices)
    data = page_html(rows, views, figure, facts).encode("utf-8", "replace")
    _write(path, data)
    return Written(path, len(data), len(rows))


def _figure(
    store: Store,
    rows: list[JobRow],
    session: str | None,
    handler: str | None,
    limit: int,
    reason: str | None,
) -> str:
    runs = runs_of(store, session=session, handler=handler, since=None, limit=limit)
    setups = setups_beside(store, runs, session=session, since=None, whole=len(runs) != limit)
    if not runs and not setups:
        return "<p>No jobs yet. Run one: <code>kit.run({...})</code></p>"
    busy = [(run.submitted, run.end) for run in runs]
    busy += [(one.span.started_at, one.end) for one in setups]
    axis = TimeAxis(busy)
    first, last = min(start for start, _ in busy), max(end for _, end in busy)
    samples = store.samples(since=first - AROUND_S, until=last + AROUND_S, session=session)
    return figure_html(
        Scene(
            axis=axis,
            lanes=lanes_of(runs),
            setups=setups,
            edits=edits_of(store, runs, session),
            lines=lines_of(samples_beside(samples_of(samples, runs), axis)),
            peaks=peaks_of(runs),
            anchors=anchors_of(rows),
            reason=reason,
        )
    )


def _check(path: Path, overwrite: bool) -> None:
    try:
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent} is not a folder: make it first, or name another.")
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file, such as {path.name}/run.html.")
        if overwrite or not os.path.lexists(path):
            return
        with path.open("rb") as file:
            own = file.read(len(MARK)) == MARK
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be looked at ({why}), so it is left alone.") from None
    if not own:
        raise UsageError(
            f"{path} is there and is no report of the kit: name another file, or give overwrite=True."
        )


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: beside the file first, then in its place."""
    # as a person's own editor would leave it; mkstemp makes it private
    mask = os.umask(0)
    os.umask(mask)
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except (OSError, ValueError) as error:
        if name is not None:
            with contextlib.suppress(OSError):
                Path(name).unlink()
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be written: {why}.") from None
