"""The functions of ``import kit`` that show jobs: live, as figures, as one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.api import session

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kit.views.report import Written


def panel(*, all_sessions: bool = False) -> None:
    """Show a live view of all jobs under the running cell: this session's, or all of the journal."""
    from kit.views.panel import Panel

    s = session()
    Panel(s.store, s, all_sessions=all_sessions).show()


def timeline(
    *, handler: str | None = None, limit: int = 200, all_sessions: bool = False, ax: Any = None
) -> Figure:
    """Draw jobs by worker slot over time, with memory on the same axis.

    Parameters
    ----------
    handler : str or None
        Only this handler's jobs.
    limit : int
        The newest so many.
    ax : Axes, pair of Axes or None
        Draw into these (one: jobs only; two: jobs and memory); None makes a figure.

    Returns
    -------
    Figure
        It follows rcParams.
    """
    from kit.views.plots import timeline as draw

    s = session()
    return draw(
        s.store,
        session=None if all_sessions else s.session_id,
        handler=handler,
        limit=limit,
        ax=ax,
        reason=s.memory_reason,
    )


def memory(*, all_sessions: bool = False, ax: Axes | None = None) -> Figure:
    """Draw memory over time: VRAM per device where there is a GPU, else this process's RSS."""
    from kit.views.plots import memory as draw

    s = session()
    return draw(
        s.store, session=None if all_sessions else s.session_id, ax=ax, reason=s.memory_reason
    )


def report(
    path: str | os.PathLike[str] | Path = "run.html",
    *,
    handler: str | None = None,
    limit: int = 200,
    all_sessions: bool = False,
    overwrite: bool = False,
) -> Written:
    """Write one HTML file with timeline, memory, jobs, inputs and outputs, and findings.

    It needs no network and no script, follows the reader's light or dark theme, and prints. Known keys
    are masked; look at pictures and texts yourself before you pass it on.

    Parameters
    ----------
    path : path
        Relative to the kernel's folder. An earlier report is replaced; another file only if
        ``overwrite``.
    handler : str or None
        Only this handler's jobs.
    limit : int
        The newest so many.
    all_sessions : bool
        All of the journal, not only this kernel's jobs.

    Returns
    -------
    Written
        ``.path``, ``.size_bytes``, ``.jobs``.

    Raises
    ------
    UsageError
        The file is something else, or cannot be written. Nothing was changed then.
    """
    from kit import __version__
    from kit.views.report import report as write

    s = session()
    return write(
        s.store,
        s.folder() / os.fspath(path),
        version=__version__,
        session=None if all_sessions else s.session_id,
        handler=handler,
        limit=limit,
        overwrite=overwrite,
        absences=s.sampler.absences,
        devices=s.sampler.devices,
    )
