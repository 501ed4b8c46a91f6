"""Exports for the tests: jobs that really ran, noted as the store would, and what is asked for."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit import runner
from kit.emulator.replay import play
from kit.events import JobKey, JobState, JobView
from kit.export import ExportRequest
from kit.handler import Handler, HandlerVersion, Options, kind_of
from tests.executed import Notebook, notebook


class Chunks:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def chunk(self, text: str) -> None:
        self.texts.append(text)


def record(book: Notebook, version: HandlerVersion, number: int, request: Any) -> JobView:
    """Run a job by the kit's own runner and note it as the store would."""
    function = eval(version.expression, book.namespace)
    values = {key: eval(source, book.namespace) for key, source in version.options}
    handler = Handler(version, function, Options(**values))
    chunks = Chunks()
    text = json.dumps(request)
    job_id = f"job-{number}"
    outcome = asyncio.run(runner.run(handler, job_id, job_id, text, chunks, None))
    return JobView(
        key=JobKey(job_id),
        id=job_id,
        handler=version.name,
        version=version.version,
        target="local",
        state=JobState(outcome.kind.value.upper()),
        attempt=1,
        timeout_s=None,
        request=text,
        submitted_at=float(number),
        ended_at=float(number),
        execution_ms=1.0,
        done=outcome.done,
        lost=outcome.lost,
        error=outcome.error,
        stream=tuple(chunks.texts),
    )


def request_of(
    book: Notebook,
    path: Path,
    inputs: Sequence[Any] = (),
    *,
    expression: str = "handler",
    options: Sequence[tuple[str, str]] = (),
    **more: Any,
) -> ExportRequest:
    version = book.version(expression, options)
    jobs = [record(book, version, n, {"input": value}) for n, value in enumerate(inputs)]
    fields: dict[str, Any] = {
        "path": path,
        "handler": version,
        "streams": kind_of(eval(expression, book.namespace)).streams,
        "cells": book.record.cells(),
        "jobs": tuple(reversed(jobs)),
        "overwrite": False,
        "verify": bool(inputs),
        "fits": lambda: None,
        "play": play,
    }
    return ExportRequest(**{**fields, **more})


def done(*cells: str) -> Notebook:
    return notebook(*(textwrap.dedent(c).strip("\n") for c in cells))
