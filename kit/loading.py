"""``%%kit_load``: what a cell costs in time and memory, as a bar on the timeline above the jobs."""

from __future__ import annotations

import dataclasses
import time
import uuid
from typing import TYPE_CHECKING

from kit.events import JobKey, MemoryUse
from kit.secret import redact
from kit.span import Span
from kit.views.words import duration, memory

if TYPE_CHECKING:
    from kit.session import Session

_MIB = 2**20


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
