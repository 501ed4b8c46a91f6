"""What jobs leave behind: memory that stays in use, and whether it grows with every job."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from kit import findings
from kit.events import Finding, MemoryUse
from kit.held import Holders

_MIB = 1024 * 1024
#: so many jobs in a row, each of them at least so much: a cache that fills once stops before
JOBS = 5
STEP_BYTES = 16 * _MIB
#: one job alone: on a GPU the figure is without torch's cache; a process keeps freed heaps of up to
#: 64 MiB, so less than twice that says nothing
HELD_BYTES = {"vram": 64 * _MIB, "rss": 128 * _MIB}
#: an exception's variables that are worth a word
_WORTH_BYTES = 8 * _MIB


class Growth:
    """Memory after each lone job, per handler version and device. Each thing is told once."""

    def __init__(self) -> None:
        self._after: dict[tuple[str, int, str, int], deque[int]] = {}
        self._told: set[tuple[str, int, str, int]] = set()
        #: who may hold memory; set by the session
        self.holders: Holders | None = None

    def seen(
        self,
        name: str,
        version: int,
        uses: Sequence[MemoryUse],
        *,
        failed: bool = False,
        debugged: bool = False,
    ) -> list[Finding]:
        """Note what a job left behind; findings if that is much, or more after each of five.

        Parameters
        ----------
        name, version
            Of the handler.
        uses : sequence of MemoryUse
        failed : bool
            Whether it raised: then an exception may hold it, and that is told each time.
        debugged : bool
            Whether ``kit.debug`` ran it and keeps its exception.
        """
        found = []
        for use in uses:
            if use.own:
                key = (name, version, use.kind, use.device)
                found += [self._held(key, use, failed, debugged), self._grown(key, use)]
        return [one for one in found if one is not None]

    def _grown(self, key: tuple[str, int, str, int], use: MemoryUse) -> Finding | None:
        after = self._after.setdefault(key, deque(maxlen=JOBS + 1))
        if after.maxlen == 0:
            return None
        if not after:
            after.append(use.before)  # what the first job added counts as the others' do
        after.append(use.after)
        steps = [b - a for a, b in itertools.pairwise(after)]
        if len(steps) < JOBS or min(steps) < STEP_BYTES:
            return None
        self._after[key] = deque(maxlen=0)
        return findings.memory_grows(use.kind, sum(steps) / JOBS / _MIB, JOBS)

    def _held(
        self, key: tuple[str, int, str, int], use: MemoryUse, failed: bool, debugged: bool
    ) -> Finding | None:
        held = use.after - use.before
        if held < HELD_BYTES[use.kind]:
            return None
        if failed and debugged:
            return findings.kept_for_debug(use.kind, held / _MIB)
        if failed and self.holders is not None and (found := self.holders(_WORTH_BYTES)):
            one = found[0]
            size_mib = one.size_bytes / _MIB
            return findings.exception_holds(
                one.holder, one.error, one.variable, one.function, size_mib
            )
        if key in self._told:
            return None
        self._told.add(key)
        return findings.memory_held(use.kind, use.device, held / _MIB)
