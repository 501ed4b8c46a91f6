"""What a job costs: one at a time, ten thousand at once, a hundred in flight.

Beside a bare pipeline (benchmarks/bare.py), asyncio alone, and RunPod's local server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure

ROOT = Path(__file__).resolve().parent.parent
FLIGHT = 8_000
SERVED = 2_000

SETUP = f"""
import sys, time, asyncio, threading
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from benchmarks.bare import Bare
"""
NOOP = "%%handler noop --no-run\ndef noop(job):\n    return None\n"
WAITER = (
    "%%handler waiter --concurrency 100 --no-run\n"
    "import asyncio\n\nasync def waiter(job):\n    await asyncio.sleep(0.01)\n    return 1\n"
)
SINGLES = """
def singles(run, count=2000):
    def one():
        started = time.perf_counter()
        run()
        return time.perf_counter() - started
    for _ in range(300):
        one()
    return sorted(one() for _ in range(count))

bare = Bare(Path("bare-noop.db"), noop)
kit_one = singles(lambda: kit.run(None, handler="noop").result())
bare_one = singles(lambda: bare.run(None).result())
"""
MAP = """
started = time.perf_counter()
assert kit.map([None] * 10_000, handler="noop").result() == [None] * 10_000
kit_map = time.perf_counter() - started

bare = Bare(Path(f"bare-map-{time.time()}.db"), noop)
started = time.perf_counter()
assert [f.result() for f in bare.map([None] * 10_000)] == [None] * 10_000
bare_map = time.perf_counter() - started
"""
IN_FLIGHT = f"""
started = time.perf_counter()
batch = kit.map([None] * {FLIGHT}, handler="waiter", concurrency=100)
assert batch.result() == [1] * {FLIGHT}
kit_flight = time.perf_counter() - started

bare = Bare(Path(f"bare-flight-{{time.time()}}.db"), waiter, concurrency=100)
started = time.perf_counter()
assert [f.result() for f in bare.map([None] * {FLIGHT})] == [1] * {FLIGHT}
bare_flight = time.perf_counter() - started
"""
ALONE = f"""
async def alone():
    gate = asyncio.Semaphore(100)
    async def one():
        async with gate:
            await asyncio.sleep(0.01)
    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range({FLIGHT})))
    return time.perf_counter() - started
took = []
thread = threading.Thread(target=lambda: took.append(asyncio.run(alone())))
thread.start(); thread.join()
"""
SERVER = """
import asyncio
import runpod

async def handler(job):
    await asyncio.sleep(0.01)
    return 1

runpod.serverless.start({"handler": handler})
"""


def best(kernel: Kernel, source: str, *names: str) -> list[float]:
    """The better of two runs, for each name: the machine may be busy with something else."""
    runs = []
    for _ in range(2):
        kernel.run(source)
        runs.append([float(kernel.value(name)) for name in names])
    return [min(values) for values in zip(*runs, strict=True)]


def local_server(folder: Path) -> float:
    """Jobs a second of ``handler.py --rp_serve_api`` with a hundred requests in flight."""
    import aiohttp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "handler.py").write_text(SERVER)
    command = [sys.executable, "handler.py", "--rp_serve_api", "--rp_api_port", str(port)]
    command += [
        "--rp_api_host",
        "127.0.0.1",
        "--rp_api_concurrency",
        "1",
        "--rp_log_level",
        "ERROR",
    ]
    server = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"

    async def load() -> float:
        async with aiohttp.ClientSession() as client:
            gate = asyncio.Semaphore(100)

            async def one() -> None:
                async with gate, client.post(f"{url}/runsync", json={"input": {"n": 1}}) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()

            await asyncio.gather(*(one() for _ in range(100)))
            started = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(SERVED)))
            return SERVED / (time.perf_counter() - started)

    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/docs", timeout=1).close()
                break
            time.sleep(0.1)
        return asyncio.run(load())
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def main() -> list[Figure]:
    with Kernel() as kernel:
        kernel.run(SETUP)
        kernel.run(NOOP)
        kernel.run(WAITER)
        kernel.run(SINGLES)
        p50, p95 = (kernel.value(f"kit_one[{n}]") for n in (1000, 1900))
        bare_p50 = kernel.value("bare_one[1000]")
        kit_map, bare_map = best(kernel, MAP, "kit_map", "bare_map")
        kit_flight, bare_flight = best(kernel, IN_FLIGHT, "kit_flight", "bare_flight")
        kernel.run(ALONE)
        alone = kernel.value("took[0]")
        served = local_server(kernel.folder)
    flight = FLIGHT / kit_flight
    return [
        Figure("one job, run to result, p50", p50 * 1e6, "us", 600),
        Figure("one job, run to result, p95", p95 * 1e6, "us"),
        Figure("  bare pipeline, p50", bare_p50 * 1e6, "us"),
        Figure("  the kit, times the bare pipeline", p50 / bare_p50, "x"),
        Figure("kit.map of 10,000 no-op jobs", 10_000 / kit_map, "jobs/s", 8000, at_most=False),
        Figure("  bare pipeline", 10_000 / bare_map, "jobs/s"),
        Figure("  the kit, share of the bare pipeline", bare_map / kit_map, "x"),
        Figure("100 in flight x 10 ms", flight, "jobs/s", 4000, at_most=False),
        Figure("  bare pipeline", FLIGHT / bare_flight, "jobs/s"),
        Figure("  asyncio alone, nothing kept", FLIGHT / alone, "jobs/s"),
        Figure("  RunPod's local server", served, "jobs/s"),
        Figure("  the kit, share of asyncio alone", alone / kit_flight, "x", 0.54, at_most=False),
        Figure("  the kit, times RunPod's local server", flight / served, "x"),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
