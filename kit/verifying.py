"""``kit.verify`` and ``kit test``: which recorded jobs belong to a folder, and the proof on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kit.emulator.replay import play
from kit.errors import UsageError
from kit.events import JobState, JobView
from kit.export.compare import EXACT, Tolerance
from kit.export.inputs import inputs_beside
from kit.export.place import about
from kit.export.report import Report
from kit.export.verify import MAX_JOBS, verify
from kit.posted import Play
from kit.store import Store


def verify_folder(
    folder: Path,
    store: Store,
    handler: str | None,
    fits: Callable[[], str | None],
    tolerance: Tolerance | None = None,
    play: Play = play,
) -> Report:
    """Run a folder's handler in a real worker on what the journal and the folder have for it.

    Parameters
    ----------
    folder : Path
    store : Store
    handler : str or None
        Name of the handler whose jobs of every version and session are taken; None takes those of
        the session and version that the folder was exported from.
    fits : callable
    tolerance : Tolerance or None
    play : callable
        Runs cases through real workers.

    Raises
    ------
    UsageError
        There is no ``handler.py``.
    """
    folder = folder.resolve()
    if folder.is_file() and folder.name == "handler.py":
        folder = folder.parent
    if not (folder / "handler.py").is_file():
        raise UsageError(f"there is no handler.py in {folder}.")
    jobs, version = _jobs(folder, store, handler)
    return verify(
        folder, None, jobs, version=version, fits=fits, play=play,
        inputs=inputs_beside(folder), tolerance=tolerance or EXACT,
    )  # fmt: skip


def _jobs(
    folder: Path, store: Store, handler: str | None
) -> tuple[tuple[JobView, ...], int | None]:
    session: str | None = None
    version: int | None = None
    if handler is None:
        made = about(folder) or {}
        name, number, by = made.get("handler"), made.get("version"), made.get("session")
        if not isinstance(name, str) or not isinstance(number, int) or not isinstance(by, str):
            return (), None
        handler, version, session = name, number, by
    jobs = recorded_jobs(store, 2 * MAX_JOBS, handler, version=version, session=session)
    return jobs, version


def recorded_jobs(
    store: Store, limit: int, handler: str, *, version: int | None = None, session: str | None
) -> tuple[JobView, ...]:
    """The latest jobs, and the latest that ended by themselves, newest first.

    The latest alone may all be waiting, or cancelled at once, while thousands have an answer.
    """
    latest, ended = (
        store.rows(limit=limit, handler=handler, version=version, session=session, state=states)
        for states in (None, (JobState.COMPLETED, JobState.FAILED))
    )
    # those of the second that the first has not are older than all of the first
    keys = dict.fromkeys(row.key for row in (*latest, *ended))
    return tuple(store.views(list(keys)))
