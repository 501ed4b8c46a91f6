"""A handler that yields: what ``run_job_generator`` and ``handle_job`` of runpod 1.12.0 make of it."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import types
from collections.abc import AsyncIterator
from typing import Any

from kit import wirefindings
from kit.errors import PayloadError
from kit.events import ErrorInfo, EventKind, Finding
from kit.guard import Stop
from kit.handler import HandlerKind
from kit.outcome import (
    Outcome,
    Run,
    as_error,
    astray,
    broken,
    escaped,
    explain,
    finish,
    logged,
    nan_posted,
    speechless,
    text_with_nan,
    unlogged,
)
from kit.payload import encode, size_findings
from kit.secret import redact
from kit.trace import trace

_json_text = json.JSONEncoder(ensure_ascii=False).encode


async def stream(this: Run) -> Outcome:
    """Run a generator handler to its end and shape its final body."""
    result: dict[str, Any] = {"output": []}
    aggregate = this.handler.options.return_aggregate_stream
    error: ErrorInfo | None = None
    generator: Any = None
    try:
        try:
            generator = this.call(this.handler.function, this.job)
            async for part in _parts(this, generator):
                if (lost := astray(this)) is not None:
                    return lost
                logged(part)
                failed = _failed(part)
                if isinstance(failed, Outcome):
                    return failed
                if failed is not None:
                    others = [str(k) for k in part if k != "error"]
                    if others:
                        this.notes.append(wirefindings.chunk_keys_dropped(others))
                    result = {"error": failed}
                    error = ErrorInfo("", failed)
                    break
                if isinstance(part, dict) and "refresh_worker" in part:
                    this.notes.append(wirefindings.refresh_in_stream())
                if aggregate:
                    result["output"].append(part)
                outcome = await _send_chunk(this, part)
                if outcome is not None:
                    return outcome
        finally:
            await _close(this, generator)
    except Exception as exc:
        if (silent := speechless(exc)) is not None:
            return silent
        shown, message = trace(exc), redact(str(exc))
        result = {"error": f"handler: {message} \ntraceback: {shown}"}
        error = ErrorInfo(str(type(exc)), message, shown)
        explain(exc, this)
    except Stop:
        raise
    except BaseException as exc:
        return escaped(exc)
    if this.handler.options.refresh_worker:
        result["stopPod"] = True
    return finish(result, error)


def _failed(part: Any) -> str | Outcome | None:
    """The error a chunk brings; an outcome where the worker itself breaks as it looks for one."""
    if (lost := unlogged(part, "a chunk")) is not None:
        return lost
    try:
        if isinstance(part, dict) and part.get("error"):
            return str(part["error"])
    except Exception as exc:
        return broken(exc, "`error` in a chunk")
    return None


async def _parts(this: Run, generator: Any) -> AsyncIterator[Any]:
    if this.handler.kind is HandlerKind.ASYNC_GENERATOR:
        step = generator.__anext__
        while True:
            try:
                part = await this.drive(step())
            except StopAsyncIteration:
                return
            yield part
    while True:
        try:
            part = this.call(next, generator)
        except StopIteration as stop:
            if stop.value is not None:
                this.notes.append(wirefindings.generator_return_value())
            return
        yield part


async def _send_chunk(this: Run, part: Any) -> Outcome | None:
    try:
        chunk = encode(part)
    except PayloadError as fault:
        return await _send_anyway(this, part, fault)
    for note in (*chunk.findings, *size_findings(chunk.size_bytes, "chunk")):
        _once(this.notes, note)
    await _emit(this, chunk.text)
    return None


async def _emit(this: Run, text: str) -> None:
    waiting = this.emit.chunk(text)
    # The worker posts here and so lets its loop run: others get their turn, a cancel arrives.
    await (asyncio.sleep(0) if waiting is None else waiting)


async def _send_anyway(this: Run, part: Any, fault: PayloadError) -> Outcome | None:
    """What the worker does with a chunk that is not JSON; None if the stream goes on."""
    if fault.code == "nan" and (text := text_with_nan(part)) is not None:
        _once(this.notes, nan_posted("A chunk", fault))
        await _emit(this, text)
        return None
    if _drops(part, fault.code):
        _once(this.notes, wirefindings.chunk_dropped(str(fault)))
        return None
    # a cycle or half a character is a ValueError, which rp_http does not catch
    note = Finding(
        "K110", f"{fault} The worker loses the whole job.", fault.path, "Do not yield it."
    )
    return Outcome(EventKind.FAILED, None, as_error(fault), str(fault), (note,))


def _drops(part: Any, code: str | None) -> bool:
    """Whether the worker loses this chunk only: it catches TypeError and RuntimeError, no ValueError."""
    if code != "nan":
        return code in ("type", "depth")
    try:
        _json_text(part).encode()
    except (TypeError, RuntimeError):
        return True
    except ValueError:  # there is a cycle besides, or half a character
        return False
    return False


def _once(notes: list[Finding], note: Finding) -> None:
    if not any(n.code == note.code for n in notes):
        notes.append(note)


async def _close(this: Run, generator: Any) -> None:
    """End an abandoned generator now; the worker leaves that to the garbage collector.

    So what its clean-up raises changes nothing about the result, there as here: it is printed.
    """
    try:
        if inspect.isasyncgen(generator):
            await this.drive(generator.aclose())
        elif isinstance(generator, types.GeneratorType):
            this.call(generator.close)
    except Stop:
        raise
    except BaseException as exc:
        name = getattr(generator, "__qualname__", "handler")
        sys.stderr.write(f"Exception ignored while {name} was closed:\n{trace(exc)}")
