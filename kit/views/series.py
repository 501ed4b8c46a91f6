"""Memory samples of one view, bounded: the recent part whole, the older part thinned.

At 10 Hz two GPUs give 216,000 readings an hour. A screen shows a few thousand, so when the list is
full the older half of every line is halved, the larger of two neighbours staying: no peak is lost.
"""

from __future__ import annotations

from collections.abc import Iterable

from kit.events import Sample
from kit.views.codec import SAMPLE, SAMPLE_BYTES, pack_sample

#: readings kept (24 bytes each)
MAX_SAMPLES = 16_384


class SampleLog:
    """Packed samples in order of time. Not thread-safe."""

    def __init__(self, limit: int = MAX_SAMPLES) -> None:
        self._limit = limit
        self.packed = bytearray()
        #: time of the newest sample, in UTC seconds; 0 if there is none
        self.newest = 0.0

    def __len__(self) -> int:
        return len(self.packed) // SAMPLE_BYTES

    def add(self, samples: Iterable[Sample]) -> bytes:
        """Keep the samples that are newer than all before; returns their records."""
        since, fresh = self.newest, bytearray()
        for sample in samples:
            if sample.time > since:
                fresh += pack_sample(sample)
                self.newest = max(self.newest, sample.time)
        self.packed += fresh
        before = 0
        while self._limit < len(self) != before:
            before = len(self)
            self._thin()
        return bytes(fresh)

    def _thin(self) -> None:
        half = len(self) // 2 * SAMPLE_BYTES
        kept = bytearray()
        waiting: dict[tuple[int, int], tuple[float, bytes]] = {}
        for at in range(0, half, SAMPLE_BYTES):
            record = bytes(self.packed[at : at + SAMPLE_BYTES])
            _, kind, device, used, _, _ = SAMPLE.unpack(record)
            first = waiting.pop((kind, device), None)
            if first is None:
                waiting[kind, device] = (used, record)
            else:
                kept += first[1] if first[0] >= used else record
        # a line with an odd number of readings keeps its last one
        for _, record in waiting.values():
            kept += record
        self.packed[:half] = kept
