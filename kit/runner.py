"""Run one job through one handler exactly as RunPod's worker does, every BaseException contained.

This is the wire table of runpod 1.12.0 (``rp_job.run_job``, ``run_job_generator``, ``handle_job``
and ``rp_http._handle_result``), written anew so that it can live in a kernel: the SDK's own reads
the environment at import, calls ``sys.exit`` and drops what it cannot send. Where the real worker
would post nothing, the job FAILS here and says why.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

from kit import findings, wirefindings
from kit.events import ErrorInfo, Finding
from kit.guard import Guard, Stop
from kit.handler import Handler
from kit.outcome import (
    Emit,
    Outcome,
    Run,
    astray,
    error_text,
    escaped,
    failure,
    finish,
    logged,
    speechless,
    unlogged,
)
from kit.streaming import stream

__all__ = ["Emit", "Outcome", "run"]

#: seconds between two awaits after which an async handler counts as blocking its loop
_BLOCKED_S = 1.0
#: bound here: a handler may replace them
_loads = json.loads


async def run(
    handler: Handler, key: str, job_id: str, request: str, emit: Emit, guard: Guard | None
) -> Outcome:
    """Run a job and shape its result as the worker would.

    Parameters
    ----------
    handler : Handler
    key : str
        The store's key; names the job to the guard.
    job_id : str
    request : str
        The request as JSON text. The handler gets a fresh copy, with ``id`` added.
    emit : Emit
    guard : Guard or None
        None where nobody will stop the handler by force (``kit.debug``).

    Raises
    ------
    Stop, asyncio.CancelledError
        Only when the job was stopped from outside; everything the handler itself raises, down to
        ``SystemExit``, becomes an outcome.
    """
    job = {"id": job_id, **_loads(request)}
    this = Run(handler, key, job_id, job, emit, guard)
    if handler.kind.streams:
        outcome = await stream(this)
    else:
        outcome = await _single(this)
    outcome = astray(this) or outcome
    if _changed(job, request):
        this.notes.append(findings.input_changed())
    if this.longest_step_s > _BLOCKED_S and not handler.kind.blocks:
        this.notes.append(findings.loop_blocked(this.longest_step_s))
    if not this.notes and not outcome.findings:
        return outcome
    place = _place(handler)
    notes = tuple(findings.at(note, place) for note in (*outcome.findings, *this.notes))
    return dataclasses.replace(outcome, findings=notes)


def _place(handler: Handler) -> str:
    if handler.info.cell is None:
        return ""
    line = "" if handler.info.line is None else f", line {handler.info.line}"
    return f"In [{handler.info.cell}]{line}"


def _changed(job: dict[str, Any], request: str) -> bool:
    # Comparing text costs a dump per job; large inputs are left alone rather than dumped twice.
    if len(request) > 65_536:
        return False
    rest = {name: value for name, value in job.items() if name != "id"}
    original = _loads(request)
    original.pop("id", None)
    try:
        return bool(rest != original)
    except Exception:  # the handler may have put anything in there, e.g. an array
        return True


async def _single(this: Run) -> Outcome:
    result: dict[str, Any] = {}
    error: ErrorInfo | None = None
    try:
        returned = this.call(this.handler.function, this.job)
        if inspect.isawaitable(returned):
            returned = await this.drive(returned)
        logged(returned)
        unfit = unlogged(returned, "the output")
        _remark_on(returned, this.notes)
        if isinstance(returned, dict):
            message = returned.pop("error", None)
            refresh = returned.pop("refresh_worker", None)
            result["output"] = returned
            if message:
                result["error"] = message
                error = ErrorInfo("", error_text(message))
            if refresh:
                result["stopPod"] = True
        else:
            result["output"] = returned
        if _is_empty(result, this.notes):
            result.pop("output")
            if not result:
                this.notes.append(wirefindings.empty_output())
        if unfit is not None:
            return unfit
    except Exception as exc:
        if (silent := speechless(exc)) is not None:
            return silent
        result, error = failure(exc, this)
    except Stop:
        raise
    except BaseException as exc:
        return escaped(exc)
    if this.handler.options.refresh_worker:
        result["stopPod"] = True
    return finish(result, error)


def _is_empty(result: dict[str, Any], notes: list[Finding]) -> bool:
    """The worker's own comparison, with ==: an array raises here, there as here."""
    output = result.get("output")
    try:
        return bool(output == {})
    except Exception:
        notes.append(wirefindings.incomparable(type(output).__name__))
        raise


def _remark_on(returned: Any, notes: list[Finding]) -> None:
    if not isinstance(returned, dict):
        return
    # dict's own methods: those of a subclass are the handler's code, which the worker does not run
    if dict.__contains__(returned, "error"):
        value = dict.__getitem__(returned, "error")
        if not isinstance(value, str):
            notes.append(
                wirefindings.error_not_text(value)
                if _truth(value)
                else wirefindings.falsy_error(value)
            )
        elif not value:
            notes.append(wirefindings.falsy_error(value))
    elif _truth(dict.get(returned, "errors")):
        notes.append(wirefindings.error_unnoticed("errors"))
    elif _is_failure(dict.get(returned, "status")):
        notes.append(wirefindings.error_unnoticed("status"))


def _is_failure(status: Any) -> bool:
    return isinstance(status, str) and str.lower(status) in ("error", "failed")


def _truth(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:  # an array has none; the worker's own `if` will raise in a moment
        return True
