"""From a notebook to a worker: plan, check, write, verify.

Nothing is written unless every check passes; what is written replaces an older export in one
step; what was written is then run through the real SDK on recorded jobs.
"""

from __future__ import annotations

from kit.export import verify
from kit.export.constants import constants_of
from kit.export.diff import changes_of, old_files
from kit.export.place import check_free, place_of
from kit.export.plan import ExportRequest, Plan, plan, version
from kit.export.report import Bundle, Explanation, Report, Row
from kit.export.write import write_bundle

__all__ = ["Bundle", "Explanation", "ExportRequest", "Plan", "Report", "Row", "export", "plan"]


def export(request: ExportRequest) -> Bundle:
    """Write a handler as a worker and prove it.

    Blocks: milliseconds for the plan, then the clean processes of the proof, model load included: the
    worker's, and after it, if the kernel has constants to compare, one that only imports the file.

    Raises
    ------
    ExportError
        The plan or a check refused, or the disk did. Nothing was written then, and an older
        bundle is as it was.
    """
    place = place_of(request.path)
    handler = request.handler
    consent = request.consent
    check_free(place, overwrite=request.overwrite, handler=handler.name, consent=consent)
    made = plan(request)
    changes = changes_of(old_files(place.path, made.files), made.files)
    about = {
        "kit": version(),
        "handler": handler.name,
        "version": handler.version,
        "streams": request.streams,
        "session": request.session,
        "env": dict(made.env),
    }
    # as they are now: cells may run while the worker does
    kernel = constants_of(made.sliced.constants, request.namespace)
    names = write_bundle(place, made.files, about, overwrite=request.overwrite, consent=consent)
    if request.verify:
        report = verify.verify(
            place.path,
            list(made.files),
            request.jobs,
            version=handler.version,
            fits=request.fits,
            play=request.play,
            constants=kernel,
        )
    else:
        why = "it was exported with verify=False"
        report = Report("not verified", why, not_compared=why if kernel.known else "")
    return Bundle(
        path=place.path,
        handler=f"{handler.name} v{handler.version}",
        files=names,
        report=report,
        decisions=made.sliced.decisions,
        notes=made.notes,
        changes=changes,
    )
