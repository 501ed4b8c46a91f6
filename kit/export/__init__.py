"""From a notebook to a worker: plan, check, write, verify.

Nothing is written unless every check passes; what is written replaces an older export in one
step; what was written is then run through the real SDK on recorded jobs.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.events import JobState, JobView
from kit.export import check, verify, write
from kit.export.render import Rendered, render_dockerfile, render_handler
from kit.export.report import Bundle, Explanation, Fits, Report, Row
from kit.export.requirements import requirements
from kit.handler import HandlerVersion
from kit.posted import Play
from kit.source.record import Cell
from kit.source.slice import Slice, slice_cells

__all__ = ["Bundle", "Explanation", "ExportRequest", "Report", "Row", "export"]

#: keys of a request that speak to the platform; a local test has no use for them
_OF_THE_PLATFORM = ("id", "webhook", "policy", "s3Config")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Everything an export is made from.

    Attributes
    ----------
    path : Path
        Folder to write.
    handler : HandlerVersion
    streams : bool
        Whether the handler yields.
    cells : tuple of Cell
        The record, in order of execution.
    jobs : tuple of JobView
        Recorded jobs of this handler, newest first.
    overwrite : bool
        Whether edited files of an earlier export may be replaced; files that are not the
        bundle's stay in any case.
    verify : bool
        Whether to run the recorded jobs through the written file.
    fits : callable
        None if a second copy of the model fits beside the kernel's, else the sentence why not.
    play : callable
        Runs cases through real workers.
    session : str or None
        Id of the session; recorded in the bundle, so that its jobs are found again.
    notebook : str or None
        The notebook's name for the header; None asks the environment Jupyter gives its kernels.
    """

    path: Path
    handler: HandlerVersion
    streams: bool
    cells: tuple[Cell, ...]
    jobs: tuple[JobView, ...]
    overwrite: bool
    verify: bool
    fits: Fits
    play: Play
    notebook: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    sliced: Slice
    rendered: Rendered
    files: dict[str, str]
    notes: tuple[str, ...]


def export(request: ExportRequest) -> Bundle:
    """Write a handler as a worker and prove it.

    Blocks: milliseconds for the plan, then the clean process of the proof, model load included.

    Raises
    ------
    ExportError
        The plan or a check refused, or the disk did. Nothing was written then, and an older
        bundle is as it was.
    """
    place = write.place_of(request.path)
    write.check_free(place, overwrite=request.overwrite)
    plan = _plan(request)
    check.check_handler(plan.rendered, plan.sliced)
    # test_input.json was looked through when its job was chosen, and may be large
    others = ("requirements.txt", "Dockerfile")
    waived = check.check_secrets(plan.rendered, [(name, plan.files[name]) for name in others])
    about = {
        "kit": _version(),
        "handler": request.handler.name,
        "version": request.handler.version,
        "streams": request.streams,
        "session": request.session,
    }
    names = write.write_bundle(place, plan.files, about, overwrite=request.overwrite)
    if request.verify:
        files = list(plan.files)
        report = verify.verify(
            place.path,
            files,
            request.jobs,
            version=request.handler.version,
            fits=request.fits,
            play=request.play,
        )
    else:
        report = Report("not verified", "it was exported with verify=False")
    return Bundle(
        path=place.path,
        handler=f"{request.handler.name} v{request.handler.version}",
        files=names,
        report=report,
        decisions=plan.sliced.decisions,
        notes=(*plan.notes, *waived),
    )


def _plan(request: ExportRequest) -> _Plan:
    sliced = slice_cells(request.cells, request.handler)
    rendered = render_handler(sliced, request.handler, _header(request))
    try:
        needed = requirements(rendered.text)
    except SyntaxError:  # the check below says it with its place
        check.check_handler(rendered, sliced)
        raise
    notes = [*sliced.notes, *needed.notes, *check.workspace_notes(rendered.text)]
    files = {"handler.py": rendered.text, "requirements.txt": needed.text}
    test_input = _test_input(request.jobs, request.handler)
    if test_input is None:
        notes.append("there is no test_input.json: run a job, and export again.")
    else:
        files["test_input.json"] = test_input
    files["Dockerfile"] = render_dockerfile(n for n in files if n != "requirements.txt")
    return _Plan(sliced, rendered, files, tuple(notes))


def _header(request: ExportRequest) -> str:
    name = request.notebook or os.environ.get("JPY_SESSION_NAME") or ""
    source = Path(name).name if name else "a notebook"
    return (
        f"RunPod worker `{request.handler.name}`.\n\n"
        f"Exported from {source} by handler-kit {_version()}.\n"
    )


def _version() -> str:
    try:
        return importlib.metadata.version("handler-kit")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return str(getattr(sys.modules.get("kit"), "__version__", "0"))


def _test_input(jobs: Sequence[JobView], handler: HandlerVersion) -> str | None:
    """``test_input.json`` from a job that ran: the latest that completed, else the latest at all.

    One whose input holds what looks like a key is passed over. None if there is none left.
    """
    from kit.secret import find_secrets

    ended = [job for job in jobs if job.request is not None and job.state.final]
    own = [job for job in ended if job.version == handler.version]
    for job in sorted(own, key=_not_completed) + sorted(ended, key=_not_completed):
        request = json.loads(job.request or "{}")
        kept = {key: value for key, value in request.items() if key not in _OF_THE_PLATFORM}
        text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
        if not find_secrets(text):
            return text
    return None


def _not_completed(job: JobView) -> bool:
    return job.state is not JobState.COMPLETED
