"""The other end of ``kit export notebook.ipynb``: what runs in the notebook's kernel behind its cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit import api, shipping
from kit.errors import KitError, UsageError


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
            error = "" if view.error is None else f"{view.error.type}: {view.error.message}"
            result["jobs"].append(
                {
                    "id": view.id, "state": str(view.state), "submitted_at": view.submitted_at,
                    "error": " ".join(error.split())[:400].removeprefix(": "),
                }
            )  # fmt: skip
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
