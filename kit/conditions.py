"""Conditions on rows of the journal: which jobs a question is about, as SQL and its parameters."""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from kit.events import JobKey, JobState

_to_text = json.dumps  # a handler may replace it
#: where words of a person or a handler stand in an event's data
WORDS = ("job_id", "text", "finding.sentence", "error.message", "error.traceback", "lost")
HOLDS = " OR ".join(
    ["payload LIKE ? ESCAPE '\\'"]
    + [f"json_extract(data, '$.{name}') LIKE ? ESCAPE '\\'" for name in WORDS]
)
OF_SESSION = "session = (SELECT number FROM sessions WHERE sessions.id = ?)"


def like(text: str) -> str:
    """A pattern for LIKE that matches what holds a text."""
    escaped = "".join(f"\\{c}" if c in "\\%_" else c for c in text)
    return f"%{escaped}%"


def filters(
    *,
    session: str | None = None,
    handler: str | None = None,
    version: int | None = None,
    state: JobState | Collection[JobState] | None = None,
    target: str | None = None,
    keys: Collection[JobKey] | None = None,
) -> tuple[str, list[Any]]:
    """A condition on jobs and its parameters."""
    where = "TRUE"
    parameters: list[Any] = []
    for condition, value in (
        (f"jobs.{OF_SESSION}", session),
        ("handler = ?", handler),
        ("version = ?", version),
        ("target = ?", target),
    ):
        if value is not None:
            where += f" AND {condition}"
            parameters.append(value)
    for column, several in (
        ("state", [state] if isinstance(state, str) else state),
        ("key", keys),
    ):
        if several is not None:
            where += f" AND {column} IN (SELECT value FROM json_each(?))"
            parameters.append(_to_text([str(value) for value in several]))
    return where, parameters
