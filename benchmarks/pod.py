"""A pod on loopback: round trip, edit to result, many jobs, a large result, the first chunk."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.measure import Figure, p50, repeat
from kit.targets.pod import frames
from tests.pod.serving import Desk, Jupyter, free_port

MODEL = """
import asyncio, os, time
def load():
    with open("loads.txt", "a") as file:
        file.write("x")
    time.sleep(1.0)
    return 7
model = load()
"""
EDITED = '%%handler handler\ndef handler(job):\n    return {{"n": model + {n}}}\n'
MANY = """
%%handler many --concurrency 100
async def many(job):
    await asyncio.sleep(0.01)
    return job["input"]
"""
LARGE = "%%handler large\ndef large(job):\n    return 'x' * 20_000_000\n"
STREAM = "%%handler chunky\nasync def chunky(job):\n    yield 1\n    await asyncio.sleep(0.05)\n"
FILE = """
import runpod
def handler(job):
    return {{"n": 7 + {n}}}
runpod.serverless.start({{"handler": handler}})
"""


async def _first_chunk(desk: Desk) -> float:
    began = time.perf_counter()
    job = desk.run(1, "chunky")
    async for _ in job.chunks():
        break
    took = time.perf_counter() - began
    desk.session.wait(job.key, 30)
    return took


async def _bare(jupyter: Jupyter, kernel: str) -> float:
    """The bare peer of a job: one message to the same kernel and its reply, by a socket of its own."""
    import aiohttp

    url = f"{jupyter.url}/api/kernels/{kernel}/channels?session_id=bare"
    headers = {"Authorization": f"token {jupyter.token}"}
    trips = []
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.ws_connect(url, protocols=(frames.V1,)) as connection:
            raw = connection.get_extra_info("socket")
            for _ in range(200):
                began = time.perf_counter()
                asked = frames.Message("control", "kernel_info_request", {})
                await connection.send_bytes(frames.encode(asked, "bare", frames.V1))
                told = None
                while told is None or told.parent != asked.id or told.channel != "control":
                    if hasattr(socket, "TCP_QUICKACK"):
                        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                    told = frames.decode(await connection.receive_bytes(), frames.V1)
                trips.append(time.perf_counter() - began)
    return p50(trips)


def _restarted(folder: Path, n: int) -> float:
    """RunPod's own local server after an edit: ended, started, asked until it answers."""
    port = free_port()
    (folder / "handler.py").write_text(FILE.format(n=n))
    began = time.perf_counter()
    command = [sys.executable, "handler.py", "--rp_serve_api", "--rp_api_port", str(port)]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/runsync", json.dumps({"input": {"n": 1}}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        while True:
            try:
                with urllib.request.urlopen(request, timeout=5) as told:
                    assert json.load(told)["output"] == {"n": 7 + n}
                    break
            except OSError:
                time.sleep(0.01)
        took = time.perf_counter() - began
        os.killpg(process.pid, signal.SIGKILL)
    return took


def main() -> list[Figure]:
    folder = Path(tempfile.mkdtemp())
    os.environ["KIT_HOME"] = str(folder / "kit")
    jupyter = Jupyter(folder / "pod")
    desk = Desk(folder / "kit")
    try:
        desk.connect(jupyter.url, jupyter.token)
        desk.cell(MODEL, here=False)
        desk.cell("import asyncio")
        desk.cell(EDITED.format(n=0))
        desk.run(1).result(60)

        def one() -> float:
            began = time.perf_counter()
            desk.run(1, "handler").result(60)
            return time.perf_counter() - began

        trip = p50(repeat(200, one, 20))
        bare = asyncio.run(_bare(jupyter, desk.pods[0].target.tether.kernel_id))
        edits = []
        for n in range(1, 31):
            began = time.perf_counter()
            desk.cell(EDITED.format(n=n))
            assert desk.run(1).result(60) == {"n": 7 + n}
            edits.append(time.perf_counter() - began)
        edit = p50(edits)
        loads = len((jupyter.work / "loads.txt").read_text())
        desk.cell(MANY)
        desk.run(0).result(60)

        def many() -> float:
            began = time.perf_counter()
            desk.session.intake.map(range(1_000), "many").result()
            return time.perf_counter() - began

        rate = 1_000 / p50(repeat(3, many))
        desk.cell(LARGE)
        large = []
        for _ in range(5):
            began = time.perf_counter()
            assert len(desk.run(1).result(60)) == 20_000_000
            large.append(time.perf_counter() - began)
        desk.cell(STREAM)
        desk.session.wait(desk.run(1).key, 60)
        chunk = p50([asyncio.run(_first_chunk(desk)) for _ in range(20)])
        restarted = p50([_restarted(folder, n) for n in range(3)])
    finally:
        desk.close()
        jupyter.stop()
    return [
        Figure("a no-op job to the pod and back", trip * 1e3, "ms", 10),
        Figure("a bare message to the same kernel and its reply", bare * 1e3, "ms"),
        Figure("a no-op job, times that bare message", trip / bare, "x", 4),
        Figure("edit of the handler to its result on the pod", edit * 1e3, "ms", 150),
        Figure("models loaded there, here and by 30 edits", loads, "", 1),
        Figure("1,000 jobs of 10 ms, 100 at once", rate, "jobs/s", 1_500, at_most=False),
        Figure("a result of 20 MB", p50(large), "s", 0.5),
        Figure("from kit.run to the first chunk", chunk * 1e3, "ms", 30),
        Figure("handler.py --rp_serve_api restarted after an edit, no model", restarted, "s"),
        Figure(
            "edit to result, faster than that restart", restarted / edit, "x", 10, at_most=False
        ),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
