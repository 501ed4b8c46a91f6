"""What an export takes of a session, and what the card's export view asks for: plan, bundle, proof."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kit.draft import ExportDraft, ExportOutcome
from kit.errors import KitError
from kit.handler import Handler

if TYPE_CHECKING:
    from kit.cleanenv import Say
    from kit.export import ExportRequest
    from kit.export.choices import Choices
    from kit.posted import Play
    from kit.session import Session

_CELL_RUNS = (
    "A cell is running: what it does is not part of this plan. Plan again when it has ended."
)


def request_of(
    session: Session,
    path: str | os.PathLike[str],
    handler: str | Handler | Callable[..., Any] | None,
    overwrite: bool,
    verify: bool,
    choices: Choices | None = None,
    play: Play | None = None,
) -> ExportRequest:
    """What an export is made from, of what this session has recorded."""
    from kit.export import ExportRequest
    from kit.export.choices import ALL
    from kit.source.saved import compared, saved_path
    from kit.verifying import recorded_jobs

    chosen = session.handler(handler)
    jobs = recorded_jobs(session.store, 50, chosen.name, session=session.session_id)
    return ExportRequest(
        path=session.folder() / os.fspath(path),
        handler=chosen.info,
        streams=chosen.kind.streams,
        cells=compared(session.record.cells(), saved_path()),
        jobs=jobs,
        overwrite=overwrite,
        verify=verify,
        fits=session.second_copy_fits,
        play=play or player(None),
        session=session.session_id,
        choices=choices or ALL,
        folder=session.folder(),
        namespace=session.namespace,
        there=session.places.provider,
    )


def player(clean_env: Say | None) -> Play:
    """What runs the workers of a proof: in an environment of their own if pip has somebody to tell."""
    if clean_env is None:
        from kit.emulator.replay import play

        return play
    from kit.cleanenv import clean_play

    return clean_play(clean_env)


def draft(session: Session, handler: str, path: str, done: Callable[[ExportDraft], None]) -> None:
    """Plan an export on a thread of its own; see ``kit.controls.Controls``."""

    def work() -> None:
        running = session.cell_is_running()
        try:
            from kit.export.draft import draft as plan

            made = plan(request_of(session, path, handler, overwrite=False, verify=True))
        except KitError as error:
            made = ExportDraft(handler, path, refused=str(error))
        except Exception as error:
            why = f"The plan broke: {type(error).__name__}: {error}"
            made = ExportDraft(handler, path, refused=why)
        made = dataclasses.replace(made, path=path)
        if running:
            made = dataclasses.replace(made, notes=(_CELL_RUNS, *made.notes))
        done(made)

    threading.Thread(target=work, name="kit-draft", daemon=True).start()


def export(
    session: Session,
    handler: str,
    done: Callable[[ExportOutcome], None],
    path: str,
    overwrite: bool,
) -> None:
    """Export and prove on a thread of its own; see ``kit.controls.Controls``."""

    def work() -> None:
        try:
            from kit.export import export as write
            from kit.export.draft import outcome_of
            from kit.export.place import IN_CARD

            request = request_of(session, path, handler, overwrite, verify=True)
            outcome = outcome_of(write(dataclasses.replace(request, consent=IN_CARD)))
        except KitError as error:
            outcome = ExportOutcome(False, str(error))
        except Exception as error:
            outcome = ExportOutcome(False, f"the export broke: {type(error).__name__}: {error}")
        done(outcome)

    threading.Thread(target=work, name="kit-export", daemon=True).start()
