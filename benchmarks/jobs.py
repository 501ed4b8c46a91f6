"""What a job costs: one at a time, ten thousand at once, a hundred in flight."""

from __future__ import annotations

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure

NOOP = "%%handler noop --no-run\ndef noop(job):\n    return None\n"
ONE = """
import time
def one():
    started = time.perf_counter()
    kit.run(None, handler="noop").result()
    return time.perf_counter() - started
for _ in range(300):
    one()
singles = sorted(one() for _ in range(2000))
"""
MAP = """
started = time.perf_counter()
batch = kit.map([None] * 10_000, handler="noop")
outputs = batch.result()
mapped = time.perf_counter() - started
assert outputs == [None] * 10_000
"""
WAITER = (
    "%%handler waiter --concurrency 100 --no-run\n"
    "import asyncio\n\nasync def waiter(job):\n    await asyncio.sleep(0.01)\n    return 1\n"
)
IN_FLIGHT = """
started = time.perf_counter()
batch = kit.map([None] * 8_000, handler="waiter", concurrency=100)
outputs = batch.result()
in_flight = time.perf_counter() - started
assert outputs == [1] * 8_000
"""
# asyncio's own limit for the same work, on a loop in a thread of its own as the kit's is
BARE = """
import asyncio, threading
async def bare():
    gate = asyncio.Semaphore(100)
    async def one():
        async with gate:
            await asyncio.sleep(0.01)
    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(8_000)))
    return time.perf_counter() - started
took = []
thread = threading.Thread(target=lambda: took.append(asyncio.run(bare())))
thread.start(); thread.join()
"""


def main() -> list[Figure]:
    with Kernel() as kernel:
        kernel.run(NOOP)
        kernel.run(WAITER)
        kernel.run(ONE)
        kernel.run(MAP)
        mapped = min(kernel.value("mapped"), _again(kernel, MAP, "mapped"))
        kernel.run(IN_FLIGHT)
        flight = min(kernel.value("in_flight"), _again(kernel, IN_FLIGHT, "in_flight"))
        kernel.run(BARE)
        bare = kernel.value("took[0]")
        singles = kernel.value("singles")
    return [
        Figure("one job, run to result, p50", singles[len(singles) // 2] * 1e6, "us", 600),
        Figure("one job, run to result, p95", singles[int(len(singles) * 0.95)] * 1e6, "us"),
        Figure("kit.map of 10,000 no-op jobs", 10_000 / mapped, "jobs/s", 8000, at_most=False),
        Figure("100 in flight x 10 ms", 8_000 / flight, "jobs/s", 4000, at_most=False),
        Figure("the same in asyncio alone, nothing kept", 8_000 / bare, "jobs/s"),
        Figure("100 in flight, share of asyncio alone", bare / flight, "x"),
    ]


def _again(kernel: Kernel, source: str, name: str) -> float:
    kernel.run(source)
    return float(kernel.value(name))


if __name__ == "__main__":
    print(*main(), sep="\n")
