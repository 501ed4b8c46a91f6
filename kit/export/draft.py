"""A plan without writing: what an export would write, why, and how it differs from what is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kit.draft import Choice, Compared, DraftFile, ExportDraft, ExportOutcome
from kit.errors import ExportError
from kit.export.diff import Diff, changes_of, old_files
from kit.export.place import IN_CARD, check_free, digest, manifest, place_of
from kit.export.plan import ExportRequest, Plan, plan
from kit.export.render import render_handler
from kit.export.report import Bundle, Explanation
from kit.export.show import _code_line
from kit.source.slice import Slice, slice_cells


def draft(request: ExportRequest) -> ExportDraft:
    """What ``export(request)`` would write, and what would stop it. Writes nothing.

    Blocks for milliseconds. What would be refused is in ``refused``, not raised.
    """
    handler = f"{request.handler.name} v{request.handler.version}"
    shown = os.fspath(request.path)
    jobs = sum(job.state.final for job in request.jobs)
    try:
        made = plan(request)
    except ExportError as error:
        return _refused(request, ExportDraft(handler, shown, refused=str(error), jobs=jobs))
    place = place_of(request.path)
    known = manifest(place.path)
    old = old_files(place.path, made.files)
    refused = None
    try:
        check_free(
            place, overwrite=request.overwrite, handler=request.handler.name, consent=IN_CARD
        )
    except ExportError as error:
        refused = str(error)
    choices, unlisted = _choices(made.sliced)
    return ExportDraft(
        handler=handler,
        path=shown,
        files=_files(made, old, place.path, known or {}),
        code=made.rendered.text,
        choices=choices,
        unlisted=unlisted,
        notes=made.notes,
        diff=None if known is None else str(Diff(changes_of(old, made.files))),
        refused=refused,
        edited=refused is not None,
        jobs=jobs,
    )


def _refused(request: ExportRequest, draft: ExportDraft) -> ExportDraft:
    """What can be said of a notebook that makes no worker yet: its statements, and why."""
    try:
        sliced = slice_cells(request.cells, request.handler)
        code = render_handler(sliced, request.handler, "").text
    except ExportError:
        return draft
    choices, unlisted = _choices(sliced)
    return ExportDraft(
        draft.handler, draft.path, code=code, choices=choices, unlisted=unlisted,
        notes=sliced.notes, refused=draft.refused, jobs=draft.jobs,
    )  # fmt: skip


def outcome_of(bundle: Bundle) -> ExportOutcome:
    """A written bundle as the view shows it."""
    report = bundle.report
    return ExportOutcome(
        ok=True,
        sentence=bundle.sentence(),
        verdict=report.verdict,
        compared=tuple(
            Compared(r.job_id, r.result, r.path, r.notebook, r.worker, r.reason)
            for r in report.rows
        ),
        seconds=report.seconds,
        notes=report.remarks(),
    )


def _choices(sliced: Slice) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """The statements worth a line, and how many there are of each other kind."""
    told = Explanation(sliced.decisions, all=False)
    choices = tuple(
        Choice(d.kept, d.question, d.statement.place, _code_line(d), d.reason) for d in told.listed
    )
    return choices, tuple(f"{n} dropped: {why}" for why, n in told.counted.items())


def _files(
    made: Plan, old: Mapping[str, bytes], folder: Path, known: Mapping[str, str]
) -> tuple[DraftFile, ...]:
    files = []
    for name, content in made.files.items():
        state = "new"
        if name in old:
            state = "same" if old[name] == content else "changed"
            if name in known and digest(folder / name) != known[name]:
                state = "edited"
        files.append(DraftFile(name, len(content), state))
    gone = [n for n in known if n in old and n not in made.files]
    return (*files, *(DraftFile(n, len(old[n]), "gone") for n in gone))
