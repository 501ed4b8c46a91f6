"""Memory of jobs: a thread that samples while jobs run, and the use of each job around its run.

A job's figures are *its own* if no other job ran beside it, and *exact* if the peak was measured
(the kernel's high-water mark, torch's peak counter) rather than seen by the samples. Measuring costs
more than a short job does, so it is done for a job that begins at least 20 ms after the one before;
a faster run of jobs is served from the samples and a 1.6 us read of process memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kit.absence import Absence
from kit.events import JobKey, MemoryUse, Sample
from kit.gpu import Gpu, Point
from kit.rss import Rss

__all__ = ["Absence", "Sampler"]

#: seconds between two begins from which a job is measured and not only sampled
MEASURE_S = 0.02
#: seconds for which what the job before had at its end is what the next one has before it: each read
#: gives the interpreter away, and takes a quick job 5 us and more to get it back
_SAME_S = 0.001
#: seconds for which the thread goes on sampling after the last job
LINGER_S = 1.0
#: seconds for which samples are gathered before they go to the sink together
BATCH_S = 0.5


@dataclass(slots=True)
class _Gauge:
    """One device during one job, in bytes."""

    before: int
    peak: int
    #: highest use beside torch's allocator, to which torch's own peak is added at the end
    base: int


@dataclass(slots=True)
class _Run:
    """One job between ``begin`` and ``end``."""

    began: float
    lone: bool
    measured: bool
    #: the last reading before this job
    prior: dict[int, Point]
    #: the high-water mark was reset for this job
    marked: bool = False
    #: torch's peak counters were reset for this job, or start within it
    counted: bool = False
    #: torch had not initialised CUDA when this job began, so it held nothing
    before_cuda: bool = False
    rss_before: int | None = None
    rss_peak: int = 0
    gauges: dict[int, _Gauge] = field(default_factory=dict)
    #: the gauges hold a reading that was taken while this job ran
    seen: bool = False

    def note(self, points: dict[int, Point]) -> None:
        for point in points.values():
            gauge = self.gauge(point)
            gauge.peak = max(gauge.peak, point.in_use)
            gauge.base = max(gauge.base, point.base)
        self.seen = self.seen or bool(points)

    def gauge(self, point: Point) -> _Gauge:
        gauge = self.gauges.get(point.device)
        if gauge is None:
            before = self.prior.get(point.device, point)
            # without NVML the first reading comes when torch has already put something there
            nothing = self.before_cuda and before.used is None
            gauge = _Gauge(0 if nothing else before.in_use, before.in_use, before.base)
            self.gauges[point.device] = gauge
        return gauge


@dataclass(frozen=True, slots=True)
class Reading:
    """What is in use at one moment: bytes of this process (None: not known), and each GPU's figures."""

    rss: int | None
    points: dict[int, Point]


class Sampler:
    """Samples memory while jobs run and tells what each job used.

    Parameters
    ----------
    sink : callable
        Takes the samples, a batch each half second, in the sampler's thread. What it raises is shown
        as an absence and never reaches a job.
    hz : float
        Samples a second.
    """

    def __init__(self, sink: Callable[[Sequence[Sample]], None], hz: float = 10.0) -> None:
        self._sink = sink
        self.hz = hz
        self._rss = Rss()
        self._reset()

    @property
    def hz(self) -> float:
        """Samples a second while jobs run; set it at any time, 0.1 to 200."""
        return 1.0 / self._period_s

    @hz.setter
    def hz(self, value: float) -> None:
        if not 0.1 <= value <= 200:
            raise ValueError(f"hz must be between 0.1 and 200, not {value!r}")
        self._period_s = 1.0 / value

    def _reset(self) -> None:
        """The state of a sampler no job has used; also what a forked child starts from."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        # NVML must be initialised by the process that uses it
        self._gpu = Gpu()
        self._wake = threading.Event()
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self._idle = True
        self._runs: dict[JobKey, _Run] = {}
        self._last_begin = 0.0
        self._rss_at_end: tuple[float, int | None] = (0.0, None)
        self._points: dict[int, Point] = {}
        self._points_at = 0.0
        self._batch: list[Sample] = []
        self._trouble: Absence | None = None

    # -- around a job ---------------------------------------------------------------------------

    def begin(self, key: JobKey) -> None:
        """Note what is used just before a job runs. Never raises; thread-safe."""
        if self._pid != os.getpid():
            self._reset()
        now = time.monotonic()
        with self._lock:
            runs = self._runs
            lone = not runs
            if len(runs) == 1:  # with more there is no lone one left to correct
                for other in runs.values():
                    other.lone = False
            measured = lone and now - self._last_begin > MEASURE_S
            run = _Run(now, lone, measured, self._points)
            self._last_begin = now
            runs[key] = run
        if self._idle:
            self._wake.set()
        if run.measured:
            run.marked = self._rss.reset_peak()
            run.before_cuda = not self._gpu.torch_active
            run.counted = run.before_cuda or self._gpu.reset_peak()
            points = self._read_gpu(now)
            with self._lock:  # the thread may have noted an older reading already
                run.gauges.clear()
                run.prior = points
                run.note(points)
        at, rss = self._rss_at_end
        if run.measured or rss is None or now - at > _SAME_S:
            rss = self._rss.read()
        run.rss_before = rss

    def end(self, key: JobKey) -> tuple[MemoryUse, ...]:
        """What the job used: one entry for each GPU, or one for process memory where there is none.

        Never raises; thread-safe. Empty if ``begin`` was not called for this key, or if nothing at
        all can be measured here (``absences`` says why).
        """
        now = time.monotonic()
        with self._lock:
            run = self._runs.pop(key, None)
        if run is None:
            return ()
        if run.measured or min(now - run.began, now - self._points_at) > MEASURE_S:
            points = self._read_gpu(now)
            run.note(points)
        else:
            points = self._points
        if points:
            return tuple(_use_of_device(run, point) for point in points.values())
        return self._use_of_process(run, now)

    def _use_of_process(self, run: _Run, now: float) -> tuple[MemoryUse, ...]:
        after = self._rss.read()
        self._rss_at_end = (now, after)
        if after is None or run.rss_before is None:
            return ()
        mark = self._rss.read_peak() if run.marked else None
        peak = max(run.rss_peak, run.rss_before, after, mark or 0)
        return (MemoryUse("rss", -1, run.rss_before, peak, after, run.lone, mark is not None),)

    def _read_gpu(self, now: float) -> dict[int, Point]:
        points = self._gpu.read()
        self._points, self._points_at = points, now
        return points

    def read(self) -> Reading:
        """What is in use now. Never raises; a few 10 us, more with several GPUs."""
        if self._pid != os.getpid():
            self._reset()
        return Reading(self._rss.read(), self._gpu.read())

    # -- what there is --------------------------------------------------------------------------

    @property
    def memory_kind(self) -> str:
        """``"vram"`` if a GPU can be read, else ``"rss"``."""
        return "vram" if self._gpu.available else "rss"

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the GPUs in CUDA's order; empty if there are none or NVML cannot tell."""
        return self._gpu.names

    @property
    def absences(self) -> tuple[Absence, ...]:
        """Every figure that is missing, with its reason. Does not block.

        Empty of reasons for VRAM until ``start`` has looked for a driver (a few milliseconds).
        """
        trouble = self._trouble
        return self._gpu.absences + self._rss.absences + ((trouble,) if trouble else ())

    # -- the thread -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread ``kit-sampler``; it looks for GPUs, then waits for a job. Returns at once."""
        if self._pid != os.getpid():
            self._reset()
        if self._thread is None:
            self._halt.clear()
            self._thread = threading.Thread(target=self._loop, name="kit-sampler", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Hand over the last samples and end the thread. Blocks for at most 2 s."""
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            self._halt.set()
            self._wake.set()
            thread.join(2.0)
        self._gpu.close()
        self._rss.close()

    def _loop(self) -> None:
        self._gpu.probe()
        while not self._halt.is_set():
            self._idle = True
            # a job that began before the line above did not set the event: look before waiting
            if not self._runs:
                self._wake.wait()
            self._wake.clear()
            self._idle = False
            if self._halt.is_set():
                break
            try:
                self._gpu.probe(retry=True)
                self._burst()
            except Exception as error:  # a chart with a gap is better than none
                self._trouble = Absence("samples", f"Memory sampling failed: {error!r}", "error")
                self._halt.wait(LINGER_S)
        self._flush()

    def _burst(self) -> None:
        """Sample until no job has run for a second."""
        tick = busy = flushed = time.monotonic()
        while True:
            now = time.monotonic()
            self._sample(now)
            if self._runs:
                busy = now
            if now - flushed >= BATCH_S:
                self._flush()
                flushed = now
            # a late sample is not made up for by two in a row
            tick = max(tick + self._period_s, now)
            if now - busy > LINGER_S or self._halt.wait(max(0.0, tick - time.monotonic())):
                break
        self._flush()

    def _sample(self, now: float) -> None:
        self._gpu.probe()
        points, rss = self._read_gpu(now), self._rss.read()
        with self._lock:
            for run in self._runs.values():
                if run.began <= now:  # else it began while this was read: not of its time
                    run.note(points)
                    run.rss_peak = max(run.rss_peak, rss or 0)
        at = time.time()
        if rss is not None:
            self._batch.append(Sample(at, "rss", -1, rss))
        for index, point in points.items():
            if point.used is not None:
                self._batch.append(
                    Sample(at, "vram", index, point.used, point.total, point.utilization)
                )
            if point.allocated is not None and point.reserved is not None:
                self._batch.append(
                    Sample(at, "torch_allocated", index, point.allocated, point.total)
                )
                self._batch.append(Sample(at, "torch_reserved", index, point.reserved, point.total))

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        try:
            self._sink(batch)
        except Exception as error:  # a full disk must not end the sampling, still less a job
            self._trouble = Absence("samples", f"Memory samples were not stored: {error}", "error")
        else:
            self._trouble = None


def _use_of_device(run: _Run, point: Point) -> MemoryUse:
    gauge = run.gauge(point)
    peak = max(gauge.peak, point.in_use)
    exact = run.counted and point.allocated_peak is not None
    if exact:
        peak = max(peak, max(gauge.base, point.base) + (point.allocated_peak or 0))
    return MemoryUse(
        "vram",
        point.device,
        gauge.before,
        peak,
        point.in_use,
        # a reading from before this job began says nothing of this job
        own=run.lone and run.seen,
        exact=exact,
    )
