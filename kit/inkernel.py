"""The other end of ``kit export notebook.ipynb``: what runs in the notebook's kernel behind its cells."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kit import api, shipping
from kit.errors import KitError, UsageError
from kit.session import Session


def export(path: str, keywords: dict[str, Any], jobs_timeout_s: float, told: str) -> None:
    """Wait for the session's jobs, export, and write what happened to the file ``told``."""
    session = api.session()
    result: dict[str, Any] = {
        "jobs": [],
        "error": "",
        "usage": False,
        "bundle": {},
        "passed": False,
    }
    try:
        rows = session.store.rows(session=session.session_id, newest_first=False)
        session.wait_all([row.key for row in rows if not row.state.final], jobs_timeout_s)
        for view in session.store.views([row.key for row in rows]):
            error = "" if view.error is None else f"{_name(view.error.type)}: {view.error.message}"
            result["jobs"].append(
                {
                    "id": view.id, "state": str(view.state), "submitted_at": view.submitted_at,
                    "error": " ".join(error.split())[:400].removeprefix(": "),
                }
            )  # fmt: skip
        _tell_which(session, keywords.get("handler"))
        bundle = shipping.export(path, **keywords)
        result["passed"] = bundle.report.passed
        result["bundle"] = {
            "path": str(bundle.path), "handler": bundle.handler, "files": list(bundle.files),
            "verdict": bundle.report.verdict, "sentence": bundle.report.sentence(),
            "notes": list(bundle.notes), "text": repr(bundle),
        }  # fmt: skip
    except KitError as exc:
        result["error"], result["usage"] = str(exc), isinstance(exc, UsageError)
    Path(told).write_text(json.dumps(result), "utf-8")


def _name(error_type: str) -> str:
    """``ZeroDivisionError`` of the SDK's ``<class 'ZeroDivisionError'>``."""
    return error_type.removeprefix("<class '").removesuffix("'>")


def _tell_which(session: Session, asked: str | None) -> None:
    """Say which of several handlers is exported when nobody chose."""
    others = sorted(set(session.handlers) - {session.current.name} if session.current else ())
    if asked is None and session.current is not None and others:
        sys.stdout.write(
            f"the notebook has {len(others) + 1} handlers: `{session.current.name}`, the last, is "
            f"exported and not {', '.join(f'`{name}`' for name in others)}; --handler NAME for another\n"
        )
