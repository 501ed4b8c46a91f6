"""Tracebacks as text, from the first frame in the handler's own code, cells named ``In [n]``."""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from kit.secret import redact

_OWN_FILES = str(Path(__file__).resolve().parent) + os.sep


#: maps a cell's file name to its execution count; set by the session inside IPython
cell_number: Callable[[str], int | None] = lambda filename: None  # noqa: E731


def trace(exc: BaseException) -> str:
    """Traceback text from the first frame in the handler's own code, cells named ``In [n]``.

    The exception object is dropped by the caller: its frames would keep the job's tensors alive.
    """
    try:
        return redact(_trace_text(exc))
    except Exception:  # an exception whose own str() raises breaks traceback's formatting too
        return f"{type(exc).__name__} (its traceback cannot be shown)\n"


def _trace_text(exc: BaseException) -> str:
    shown = traceback.TracebackException(type(exc), exc, exc.__traceback__)
    pending, seen = [shown], set()
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        _tidy(one)
        pending += [x for x in (one.__cause__, one.__context__) if x is not None]
        pending += getattr(one, "exceptions", None) or []
    return "".join(shown.format())


def _tidy(shown: traceback.TracebackException) -> None:
    frames = list(shown.stack)
    while frames and frames[0].filename.startswith(_OWN_FILES):
        frames.pop(0)
    kept = traceback.StackSummary()
    for frame in frames:
        if frame.filename.startswith(_OWN_FILES):
            continue
        number = cell_number(frame.filename)
        if number is not None:
            line = linecache.getline(frame.filename, frame.lineno or 0)
            frame = traceback.FrameSummary(
                f"In [{number}]", frame.lineno, frame.name, lookup_line=False, line=line.strip()
            )
        kept.append(frame)
    shown.stack = kept


def outside(shown: TracebackType | None) -> TracebackType | None:
    """The same traceback without the kit's own frames; None if nothing else is in it."""
    kept: list[TracebackType] = []
    while shown is not None:
        if not shown.tb_frame.f_code.co_filename.startswith(_OWN_FILES):
            kept.append(shown)
        shown = shown.tb_next
    result: TracebackType | None = None
    for one in reversed(kept):
        result = TracebackType(result, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return result
