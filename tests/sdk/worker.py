"""The other side of the parity test: the SDK's own job functions, posting to a real HTTP server.

``python worker.py CASES OUT`` runs every case through ``rp_job.handle_job`` with the session class
that the worker itself uses, and writes what arrived, one JSON object a line. Nothing of the kit is
imported here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from aiohttp import web


class Control:
    """RunPod's side of the wire: takes what a worker posts."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, str]] = []
        #: the job that is being run: what is posted for another never reaches its client
        self.job = ""
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self.ready.wait(30)

    async def _serve(self) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_post("/{kind}/{job}", self._post)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.SockSite(runner, self.socket).start()
        self.ready.set()
        await asyncio.Event().wait()

    async def _post(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        is_stream = request.query["isStream"]
        if request.match_info["job"] == self.job:
            self.posted.append((request.match_info["kind"], is_stream, body))
        return web.Response()


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cases"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def main(path: str, out: str) -> None:
    control = Control()
    os.environ["RUNPOD_WEBHOOK_POST_OUTPUT"] = f"{control.url}/done/$ID?x=1"
    os.environ["RUNPOD_WEBHOOK_POST_STREAM"] = f"{control.url}/stream/$ID?x=1"
    warnings.simplefilter("ignore")
    cases = load(path).CASES
    from runpod.http_client import AsyncClientSession
    from runpod.serverless.modules import rp_job

    with Path(out).open("w", encoding="ascii") as file:
        for name, case in cases.items():
            job = {"id": f"job-{name.replace(' ', '-')}", "input": case.input, **case.more}
            control.job, escaped = str(job["id"]), ""

            async def run(case: Any = case, job: Any = job) -> None:
                async with AsyncClientSession() as session:
                    config = {"handler": case.handler, "rp_args": {}, **case.config}
                    await rp_job.handle_job(session, config, json.loads(json.dumps(job)))

            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(run())
            except BaseException as exc:  # what ends the real worker must not end this one
                escaped = type(exc).__name__
            for thread in threading.enumerate():  # one a progress update
                target = getattr(thread, "_target", None)
                if getattr(target, "__module__", "").endswith("rp_progress"):
                    thread.join(30)
            file.write(
                json.dumps({"name": name, "posted": control.posted, "escaped": escaped}) + "\n"
            )
            file.flush()
            control.posted.clear()
    os._exit(0)


main(sys.argv[1], sys.argv[2])
