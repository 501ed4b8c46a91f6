"""A hundred thousand jobs with payloads of 1 kB: memory of the kernel, and the table after it."""

from __future__ import annotations

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure

ECHO = "%%handler echo --no-run\ndef echo(job):\n    return job['input']\n"
RSS = "__import__('psutil').Process().memory_info().rss"
BATCH = """
batch = kit.map([{"n": n, "text": "x" * 1000} for n in range(10_000)], handler="echo")
for job in batch.jobs:
    job.result()
del batch, job
"""
TABLE = """
import time
kit.jobs(limit=10)  # pandas is imported once
took = []
for _ in range(5):
    started = time.perf_counter()
    frame = kit.jobs(limit=1000)
    took.append(time.perf_counter() - started)
assert len(frame) == 1000
"""


def main() -> list[Figure]:
    with Kernel() as kernel:
        kernel.run(ECHO)
        kernel.run(BATCH)
        before = kernel.value(RSS)
        for _ in range(10):
            kernel.run(BATCH)
        grown = kernel.value(RSS) - before
        kernel.run(TABLE)
        table = kernel.value("sorted(took)[2]")
    return [
        Figure("RSS growth over 100,000 jobs of 1 kB", grown / 1e6, "MB", 150),
        Figure("kit.jobs(limit=1000) after them", table * 1e3, "ms", 200),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
