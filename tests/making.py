"""Handlers, sessions and patience for the tests of the worker's rooms."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from kit import runner
from kit.events import JobKey
from kit.guard import Guard
from kit.handler import Handler, HandlerVersion, Options, kind_of
from kit.job import Job
from kit.outcome import Outcome
from kit.request import make
from kit.session import Session

#: how long a condition may take on a busy machine before a test gives up
PATIENCE_S = 30.0


def handler_of(
    function: Callable[..., Any], name: str = "handler", version: int = 1, **options: Any
) -> Handler:
    """A registered handler, as a cell would make it; ``options`` are those of start()."""
    info = HandlerVersion(
        name, version, kind_of(function), name, (), "", None, None, None, "{}", time.time()
    )
    return Handler(info, function, Options(**options))


class Heard:
    """Takes what a run emits."""

    def __init__(self) -> None:
        self.chunks: list[str] = []

    def chunk(self, text: str) -> None:
        self.chunks.append(text)


def run_once(
    function: Callable[..., Any], input: Any = None, *, guard: Guard | None = None, **options: Any
) -> tuple[Outcome, list[str]]:
    """One run by the runner alone: its outcome and the chunks as JSON text."""
    heard = Heard()
    request = json.dumps({"input": input})
    handler = handler_of(function, **options)
    coroutine = runner.run(handler, JobKey("s-1"), "job-1", request, heard, guard or Guard())
    return asyncio.run(coroutine), heard.chunks


def submit(session: Session, function: Callable[..., Any] | Handler, input: Any = None,
           timeout_s: float | None = None, **options: Any) -> Job:  # fmt: skip
    """Run a function as a job of a session."""
    if isinstance(function, Handler):
        handler = function
    else:
        handler = handler_of(function, getattr(function, "__name__", "handler"), **options)
        session.add(handler)
    return session.intake.submit(make(input=input), handler, None, timeout_s)


def until(condition: Callable[[], Any], what: str = "", within_s: float = PATIENCE_S) -> Any:
    """Poll until something is true and return it; fails with ``what`` after a generous time."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain: {what or condition}"
        time.sleep(0.005)


def ended(job: Job, within_s: float = PATIENCE_S) -> Job:
    """Wait until a job has ended, however."""
    assert job._source.wait(job.key, within_s), f"{job} has not ended after {within_s:g} s"
    return job


def codes(found: Any) -> set[str]:
    """Codes of an outcome's or a job's findings."""
    return {finding.code for finding in found.findings}
