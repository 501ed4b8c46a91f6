"""Whether a handler's memory grows with every job it runs."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from kit import findings
from kit.events import Finding, MemoryUse

#: so many jobs in a row, each of them at least so much: a cache that fills once stops before
JOBS = 5
STEP_BYTES = 16 * 1024 * 1024


class Growth:
    """Memory after each lone job, per handler version and device; tells once."""

    def __init__(self) -> None:
        self._after: dict[tuple[str, int, str, int], deque[int]] = {}

    def seen(self, name: str, version: int, uses: Sequence[MemoryUse]) -> Finding | None:
        """Note what a job left behind; a finding when it is the fifth in a row to leave more."""
        for use in uses:
            if not use.own:
                continue
            key = (name, version, use.kind, use.device)
            after = self._after.setdefault(key, deque(maxlen=JOBS + 1))
            if after.maxlen == 0:
                continue
            after.append(use.after)
            values = list(after)
            steps = [b - a for a, b in itertools.pairwise(values)]
            if len(steps) == JOBS and min(steps) >= STEP_BYTES:
                self._after[key] = deque(maxlen=0)
                return findings.memory_grows(use.kind, sum(steps) / JOBS / 2**20, JOBS)
        return None
