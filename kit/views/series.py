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
#: seconds by which what a pod read comes after what was read here: it sends a batch each half second,
#: and after it was away all that it kept
LATE_S, AWAY_S = 3.0, 60.0


class SampleLog:
    """Packed samples in order of time. Not thread-safe."""

    def __init__(self, limit: int = MAX_SAMPLES) -> None:
        self._limit = limit
        self.packed = bytearray()
        #: where samples were read: a record has the position in this list
        self.places = ["local"]
        # per place, because each sends when it can; UTC seconds
        self._newest: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.packed) // SAMPLE_BYTES

    @property
    def since(self) -> float:
        """From when on there may be samples that are not here yet, in UTC seconds; 0: at any time."""
        newest = max(self._newest.values(), default=0.0)
        late = [at for at in self._newest.values() if newest - at < AWAY_S]
        return max(0.0, min([newest - LATE_S, *late]))

    def add(self, samples: Iterable[Sample]) -> bytes:
        """Keep the samples that are newer than all before of their place; returns their records."""
        since, fresh = dict(self._newest), bytearray()
        for sample in samples:
            target = sample.target
            if sample.time > since.get(target, 0.0):
                if target not in self.places:
                    self.places.append(target)
                fresh += pack_sample(sample, self.places.index(target))
                self._newest[target] = max(self._newest.get(target, 0.0), sample.time)
        self.packed += fresh
        before = 0
        while self._limit < len(self) != before:
            before = len(self)
            self._thin()
        return bytes(fresh)

    def _thin(self) -> None:
        half = len(self) // 2 * SAMPLE_BYTES
        kept = bytearray()
        waiting: dict[tuple[int, int, int], tuple[float, bytes]] = {}
        for at in range(0, half, SAMPLE_BYTES):
            record = bytes(self.packed[at : at + SAMPLE_BYTES])
            _, kind, device, place, used, _, _ = SAMPLE.unpack(record)
            first = waiting.pop((place, kind, device), None)
            if first is None:
                waiting[place, kind, device] = (used, record)
            else:
                kept += first[1] if first[0] >= used else record
        # a line with an odd number of readings keeps its last one
        for _, record in waiting.values():
            kept += record
        self.packed[:half] = kept
