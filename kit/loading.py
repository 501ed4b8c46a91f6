"""``%%kit_load``: what a cell costs in time and memory, as a bar on the timeline above the jobs."""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import TYPE_CHECKING

from kit.errors import UsageError
from kit.events import JobKey, MemoryUse
from kit.line import HelpAsked
from kit.secret import redact
from kit.span import Span
from kit.views.words import duration, memory

if TYPE_CHECKING:
    from kit.session import Session

HELP = """%%kit_load [LABEL]

Put it on top of a cell that loads a model. The cell runs like any other; the time it takes and the
memory that it needs are measured, printed under it, kept in the journal, and shown as a bar on the
timeline. LABEL is what the bar is called; without one it is the cell's number. It may stand above a
%%handler line.

examples:
  %%kit_load
  %%kit_load sdxl, fp16"""

_MIB = 2**20
_LABEL_CHARS = 80


def parse_load(line: str) -> str:
    """The label on a ``%%kit_load`` line; ``""`` if there is none.

    Raises
    ------
    HelpAsked
    UsageError
        It looks like an option: there are none.
    """
    label = " ".join(line.split())
    if label in ("?", "-h", "--help"):
        raise HelpAsked
    if label.startswith("-"):
        raise UsageError(
            f"%%kit_load has no option {label.split()[0]}; it takes a label, or nothing."
        )
    return label[:_LABEL_CHARS]


class Load:
    """One load cell while it runs. Neither method raises for what cannot be measured."""

    def __init__(self, session: Session, label: str, cell: int | None) -> None:
        self._session = session
        where = "a cell" if cell is None else f"In [{cell}]"
        self._key = JobKey(f"load-{uuid.uuid4().hex[:12]}")
        name = redact(label) or f"load {where}"
        self._span = Span(self._key, name, "load", time.time(), detail=where)
        self._where = where
        self._sampler = session.sampler
        self._sampler.begin(self._key)
        session.spans.put(self._span)
        self._began = time.perf_counter()

    def end(self, trouble: str | None = None) -> str:
        """Close the bar; returns what it cost as one line.

        Parameters
        ----------
        trouble : str or None
            Why the cell did not come to its end.
        """
        took_s = time.perf_counter() - self._began
        uses = self._sampler.end(self._key)
        lines = [self._where, *map(cost_of, uses)]
        if not uses:
            reason = self._session.memory_reason or "nothing could be measured here"
            lines.append(f"no memory figure: {reason}")
        if trouble:
            lines.append(trouble)
        ended = self._span.started_at + took_s
        self._session.spans.put(
            dataclasses.replace(self._span, ended_at=ended, detail="\n".join(lines))
        )
        return f"{self._span.label}: {'; '.join([duration(took_s * 1e3), *lines[1:]])}"


def cost_of(use: MemoryUse) -> str:
    """``GPU 0 412 MiB to 19.8 GiB (+19.4 GiB), peak 20.1 GiB``."""
    grown = use.after - use.before
    name = "RSS" if use.kind == "rss" else f"GPU {use.device}"
    how = "" if use.exact else ", sampled"
    whose = "" if use.own else ", jobs ran beside it"
    return (
        f"{name} {memory(use.before / _MIB)} to {memory(use.after / _MIB)} "
        f"({'-' if grown < 0 else '+'}{memory(abs(grown) / _MIB)}), "
        f"peak {memory(use.peak / _MIB)}{how}{whose}"
    )
