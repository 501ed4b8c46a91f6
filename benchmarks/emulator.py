"""The endpoint on this machine: a request, a hundred in flight, a chunk's way, a proof of fifty jobs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Figure, p50

ROOT = Path(__file__).resolve().parent.parent

# each server in a process of its own, so that client and server do not share an interpreter
BARE = """
import asyncio
from aiohttp import web
async def echo(request):
    return web.json_response({"output": (await request.json())["input"]})
async def main():
    app = web.Application()
    app.router.add_post("/v2/{endpoint}/runsync", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v2 none", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
EMULATOR = """
import asyncio, json, time
from kit.emulator.endpoint import Endpoint
from kit.emulator.server import Server
server = Server()
server.start()
endpoint = Endpoint("ep")
async def work():
    server.add(endpoint)
    worker = endpoint.worker("here")
    while True:
        for ticket in await endpoint.take_later(worker, 100, 60.0, lambda: True):
            endpoint.done(worker, ticket, json.dumps({"output": ticket.body["input"]}))
asyncio.run_coroutine_threadsafe(work(), server.loop)
print(server.base, server.key, flush=True)
time.sleep(1000)
"""
WORKER = """
import time
import runpod

def handler(job):
    if job["input"] == "stream":
        return None
    return {"echo": job["input"]}

async def streams(job):
    for i in range(20):
        yield {"at": time.time()}
        await __import__("asyncio").sleep(0.05)

runpod.serverless.start({"handler": HANDLER})
"""


async def _client(base: str, key: str) -> tuple[float, float]:
    import aiohttp

    url, body = f"{base}/ep/runsync", {"input": {"prompt": "a dog"}}
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> float:
            began = time.perf_counter()
            async with session.post(url, json=body) as told:
                assert "output" in await told.json()
            return time.perf_counter() - began

        for _ in range(200):
            await one()
        singles = [await one() for _ in range(800)]
        rates = []
        for _ in range(2):
            began = time.perf_counter()

            async def lane() -> None:
                for _ in range(30):
                    await one()

            await asyncio.gather(*(lane() for _ in range(100)))
            rates.append(3_000 / (time.perf_counter() - began))
        return p50(singles), max(rates)


def _served(*sources: str) -> list[tuple[float, float]]:
    """p50 and rate of each server, asked in turns: what else the machine does hits them alike."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for source in sources
    ]
    try:
        places = [p.stdout.readline().split() for p in processes if p.stdout is not None]
        turns = [[asyncio.run(_client(base, key)) for base, key in places] for _ in range(3)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [(min(t[0] for t in told), max(t[1] for t in told)) for told in zip(*turns)]


def _first_chunk() -> float:
    """Seconds from a yield in a real worker until a client that polls /stream has it, p50."""
    import aiohttp

    from kit.serving import serve_folder

    async def client(url: str, key: str) -> list[float]:
        headers = {"Authorization": f"Bearer {key}"}
        took: list[float] = []
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{url}/run", json={"input": 1}) as told:
                id = (await told.json())["id"]
            while True:
                async with session.get(f"{url}/stream/{id}") as told:
                    now, body = time.time(), await told.json()
                took += [now - chunk["output"]["at"] for chunk in body["stream"]]
                if body["status"] == "COMPLETED" and not body["stream"]:
                    return took

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "handler.py").write_text(WORKER.replace("HANDLER", "streams"))
        with serve_folder(folder, host="127.0.0.1", port=0) as serving:
            took = asyncio.run(client(serving.url, serving.key))
    return p50(took)


def _floats() -> float:
    """Time of the runner over the time of one json.dumps, 10 MB of floats."""
    from kit import runner
    from kit.events import JobKey
    from kit.handler import Handler, HandlerVersion, Options, kind_of

    values = [i / 7 for i in range(550_000)]

    def handler(_job: object) -> list[float]:
        return values

    info = HandlerVersion(
        "h", 1, kind_of(handler), "h", (), "", None, None, None, "{}", time.time()
    )
    made = Handler(info, handler, Options())

    class Silent:
        def chunk(self, text: str) -> None: ...

    ratios = []
    for _ in range(5):
        began = time.perf_counter()
        text = json.dumps({"output": values}, ensure_ascii=False)
        bare = time.perf_counter() - began
        assert len(text) > 9_500_000
        began = time.perf_counter()
        outcome = asyncio.run(runner.run(made, JobKey("k"), "id", '{"input": 1}', Silent(), None))
        ratios.append((time.perf_counter() - began) / bare)
        assert outcome.done == text
    return p50(ratios)


def _fifty() -> float:
    """Seconds for fifty jobs through a real worker, its cold start left out."""
    from kit.emulator.replay import play
    from kit.posted import Case

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "handler.py").write_text(WORKER.replace("HANDLER", "handler"))
        cases = [Case(f"job-{i}", json.dumps({"input": i})) for i in range(50)]
        replay = play(folder, cases, 60, 60)
    assert all(played.posted for played in replay.played)
    return replay.seconds - (replay.cold_start_s or 0.0)


def main() -> list[Figure]:
    (bare, bare_rate), (ours, our_rate) = _served(BARE, EMULATOR)
    return [
        Figure("a bare aiohttp echo, p50", bare * 1e3, "ms"),
        Figure("emulator /runsync, echo in its process, p50", ours * 1e3, "ms"),
        Figure("the same over the bare echo", ours / bare, "x", 2.0),
        Figure("a bare aiohttp echo, 100 in flight", bare_rate, "req/s"),
        Figure("emulator /runsync, 100 in flight", our_rate, "req/s", 2_000, at_most=False),
        Figure(
            "yield in a real worker to a client of /stream, p50", _first_chunk() * 1e3, "ms", 20
        ),
        Figure("10 MB of floats, runner over one json.dumps", _floats(), "x", 1.3),
        Figure("fifty jobs through a real worker, cold start apart", _fifty(), "s", 15),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
