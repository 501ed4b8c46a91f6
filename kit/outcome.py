"""How a run ends: the final body as RunPod's worker would post it, or why it would post none."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kit import findings, wirefindings
from kit.errors import PayloadError
from kit.events import ErrorInfo, EventKind, Finding
from kit.guard import Guard
from kit.handler import Handler
from kit.payload import encode, is_plain, size_findings
from kit.secret import redact
from kit.trace import trace

_json_text = json.JSONEncoder(ensure_ascii=False).encode
#: bound here: a handler may replace them
_dumps = json.dumps


class Emit(Protocol):
    """Where a running job reports to, while it runs."""

    def chunk(self, text: str) -> Awaitable[None] | None:
        """One stream chunk, as JSON text. Returns something to await when the reader is behind."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    kind : EventKind
        COMPLETED or FAILED.
    done : str or None
        Body of job-done as JSON text; for NaN it holds ``NaN`` and is not valid JSON.
    error : ErrorInfo or None
    lost : str or None
        Why the real worker would post nothing, or the platform refuse it.
    findings : tuple of Finding
    """

    kind: EventKind
    done: str | None
    error: ErrorInfo | None = None
    lost: str | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class Run:
    """One run on its way: what the two kinds of handlers share."""

    handler: Handler
    key: str
    job_id: str
    job: dict[str, Any]
    emit: Emit
    guard: Guard | None
    notes: list[Finding] = field(default_factory=list)
    #: seconds of the longest stretch between two awaits
    longest_step_s: float = 0.0

    def step_took(self, seconds: float) -> None:
        self.longest_step_s = max(self.longest_step_s, seconds)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args) if self.guard is None else self.guard.call(self.key, function, *args)

    async def drive(self, awaitable: Any) -> Any:
        if self.guard is None or not (
            hasattr(awaitable, "send") or hasattr(awaitable, "__await__")
        ):
            return await awaitable
        if hasattr(awaitable, "_asyncio_future_blocking"):  # a Future or Task: no code to guard
            return await awaitable
        return await self.guard.drive(self.key, awaitable, self.step_took)


def finish(result: dict[str, Any], error: ErrorInfo | None) -> Outcome:
    """Encode the final body as ``rp_http`` would, or say why nothing would arrive."""
    try:
        done = encode(result)
    except PayloadError as fault:
        return _unsendable(result, fault)
    notes = (*done.findings, *size_findings(done.size_bytes, "output"))
    kind = EventKind.FAILED if "error" in result else EventKind.COMPLETED
    if kind is EventKind.FAILED and error is None:
        error = ErrorInfo("", error_text(result["error"]))
    return Outcome(kind, done.text, error, None, notes)


def _unsendable(result: dict[str, Any], fault: PayloadError) -> Outcome:
    if fault.code == "nan" and (done := text_with_nan(result)) is not None:
        note = Finding(
            "K106",
            f"{fault} The worker posts it as it is, which is not JSON: the client cannot read it.",
            fault.path,
            "Replace it before returning, e.g. with None.",
        )
        return Outcome(EventKind.FAILED, done, as_error(fault), str(fault), (note,))
    kind = _generator_name(result.get("output"))
    note = (
        wirefindings.generator_returned(kind)
        if kind
        else Finding(
            "K110",
            f"{fault} The worker would log one line and post nothing; the client would wait until "
            "the execution timeout.",
            fault.path,
            "Return what json.dumps accepts.",
        )
    )
    return Outcome(EventKind.FAILED, None, as_error(fault), str(fault), (note,))


def text_with_nan(value: Any) -> str | None:
    """JSON text in which NaN and Infinity stand as they are; None where the worker posts nothing."""
    try:
        text = _json_text(value)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return None
    return text


def nan_posted(what: str, fault: PayloadError) -> Finding:
    """NaN or Infinity in something that is posted while the job runs."""
    sentence = f"{what}: {fault} It is posted as it is, which no client can read."
    return Finding("K106", sentence, fault.path, "Replace it before, e.g. with None.")


def logged(value: Any) -> None:
    """Write a value as the worker does into its log; raises what the value's own code raises there.

    A nesting too deep and a number too long fail there too.
    """
    if not is_plain(value):
        f"{value}"


def unlogged(value: Any, what: str) -> Outcome | None:
    """The worker logs a dict around the value once more, where nobody catches what that raises."""
    if getattr(type(value), "__str__", None) is object.__str__ or is_plain(
        value
    ):  # then the first time was the same
        return None
    try:
        repr(value)
    except Exception as exc:
        return broken(exc, what)
    return None


def broken(exc: Exception, what: str) -> Outcome:
    """An exception that escapes the worker while it looks at ``what``: nothing more is posted."""
    note = Finding(
        "K110",
        f"{type(exc).__name__} is raised while RunPod's worker looks at {what}, where nobody catches "
        "it: it posts nothing more for this job; the client waits until the execution timeout.",
        remedy="Return plain dicts, lists, text and numbers; `error` is a text.",
    )
    error = ErrorInfo(str(type(exc)), note.sentence, trace(exc))
    return Outcome(EventKind.FAILED, None, error, note.sentence, (note,))


def astray(this: Run) -> Outcome | None:
    """The worker reads the job's id again for every post: without it, or with another, none arrives."""
    try:
        id = this.job.get("id")
        if id == this.job_id:
            return None
    except Exception:  # what a handler put there cannot even be compared
        id = ""
    note = wirefindings.astray(id is None)
    return Outcome(EventKind.FAILED, None, ErrorInfo("", note.sentence), note.sentence, (note,))


def as_error(fault: PayloadError) -> ErrorInfo:
    """A payload's fault as the job's error."""
    return ErrorInfo("", str(fault))


def _generator_name(value: Any) -> str | None:
    if inspect.isasyncgen(value):
        return "an async generator"
    if inspect.isgenerator(value):
        return "a generator"
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine"
    return None


def error_text(value: Any) -> str:
    """A returned ``error`` as text for a person."""
    return value if isinstance(value, str) else repr(value)


# -- failures --------------------------------------------------------------------------------------


def failure(exc: Exception, this: Run) -> tuple[dict[str, Any], ErrorInfo]:
    """The body and the facts of a raised exception, as ``rp_job.run_job`` writes them.

    What ``str(exc)`` raises comes through, as it does there: see :func:`speechless`.
    """
    shown, message = trace(exc), redact(str(exc))
    info = {
        "error_type": str(type(exc)),
        "error_message": message,
        "error_traceback": shown,
        "hostname": os.environ.get("RUNPOD_POD_HOSTNAME", "unknown"),
        "worker_id": os.environ.get("RUNPOD_POD_ID", "unknown"),
        "runpod_version": sdk_version(),
    }
    explain(exc, this)
    return {"error": _dumps(info)}, ErrorInfo(str(type(exc)), message, shown)


_SDK_VERSION: list[str] = []


def sdk_version() -> str:
    """Version of the installed ``runpod`` package, without importing it; ``"unknown"`` if absent."""
    if not _SDK_VERSION:
        try:
            _SDK_VERSION.append(importlib.metadata.version("runpod"))
        except importlib.metadata.PackageNotFoundError:
            _SDK_VERSION.append("unknown")
    return _SDK_VERSION[0]


def escaped(exc: BaseException) -> Outcome:
    """Something the worker does not catch: nothing is posted."""
    name = type(exc).__name__
    dies = isinstance(exc, (SystemExit, KeyboardInterrupt))
    note = wirefindings.escaped(name, dies)
    try:
        message = redact(f"{name}: {exc}") if str(exc) else name
    except Exception:
        message = name
    return Outcome(
        EventKind.FAILED,
        None,
        ErrorInfo(str(type(exc)), message, trace(exc)),
        note.sentence,
        (note,),
    )


def speechless(exc: Exception) -> Outcome | None:
    """An exception whose own ``str()`` raises: the worker breaks while it writes it down."""
    try:
        str(exc)
    except BaseException as second:
        name, other = type(exc).__name__, type(second).__name__
        note = wirefindings.speechless(name, other)
        message = f"<{name} whose str() raises {other}>"
        error = ErrorInfo(str(type(exc)), message, trace(exc))
        return Outcome(EventKind.FAILED, None, error, note.sentence, (note,))
    return None


_BOUND_TO_NOTEBOOK = (
    ("bound to a different event loop", "An asyncio object"),
    ("attached to a different loop", "An asyncio object"),
    ("SQLite objects created in a thread", "A sqlite3 connection"),
    ("signal only works in main thread", "A signal handler"),
)


def explain(exc: BaseException, this: Run) -> None:
    """Add findings for errors whose message alone misleads."""
    text = str(exc)
    if (
        "cannot be called from a running event loop" in text
        or "event loop is already running" in text
    ):
        this.notes.append(findings.nested_loop())
    for words, what in _BOUND_TO_NOTEBOOK:
        if words in text:
            this.notes.append(findings.notebook_bound(what))
            break
