"""An emulator for tests: its server, an in-process worker, and clients that use nothing of it."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from kit.emulator.endpoint import Endpoint
from kit.emulator.pool import Pool, Scale
from kit.emulator.server import Server
from kit.emulator.ticket import Settings, Ticket


class Emulator:
    """One server with one endpoint called ``ep``."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.server = Server()
        self.server.start()
        self.endpoint = Endpoint("ep", settings)
        self.logs: list[tuple[str | None, str]] = []
        self.pool: Pool | None = None
        self.call(lambda: self.server.add(self.endpoint))

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def call(self, work: Callable[[], Any]) -> Any:
        """Run something on the emulator's loop."""

        async def there() -> Any:
            return work()

        return self.server.call(there)

    def run_pool(self, folder: Path, scale: Scale | None = None) -> Pool:
        def note(ticket: Ticket | None, text: str) -> None:
            self.logs.append((None if ticket is None else ticket.id, text))

        def make() -> Pool:
            return Pool(self.endpoint, self.server.base, self.server.token, folder, scale, note)

        pool: Pool = self.call(make)
        self.pool = pool
        return pool

    def run_here(self, answer: Callable[[Any], str]) -> None:
        """A worker in the emulator's own process: ``answer(input)`` is the final body."""

        async def work() -> None:
            worker = self.endpoint.worker("here")
            while not worker.draining:
                for ticket in await self.endpoint.take_later(worker, 100, 60.0, lambda: True):
                    self.endpoint.done(worker, ticket, answer(ticket.body["input"]))

        self.server.loop.call_soon_threadsafe(
            lambda: setattr(self, "_task", self.server.loop.create_task(work()))
        )

    # -- a client -------------------------------------------------------------------------------

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        key: str | None = "right",
        endpoint: str = "ep",
    ) -> tuple[int, Any]:
        """Status and decoded answer of one request, by http.client."""
        at = urlsplit(self.server.base)
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
        headers = {} if key is None else {
            "Authorization": f"Bearer {self.server.key if key == 'right' else key}"
        }  # fmt: skip
        try:
            connection.request(method, f"/v2/{endpoint}/{path}", body, headers)
            told = connection.getresponse()
            text = told.read()
        finally:
            connection.close()
        return told.status, json.loads(text) if text else None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that is expected to be fine."""
        data = None if body is None else json.dumps(body).encode()
        status, told = self.raw(method, path, data)
        assert status == 200, (status, told)
        return told

    def take(self, worker: str, query: str = "") -> Any:
        """What job-take answers a worker; None for 204."""
        path = f"job-take/{worker}?token={self.server.token}{query}"
        status, told = self.raw("GET", path, key=None)
        assert status in (200, 204), (status, told)
        return told

    def post(self, verb: str, worker: str, job: str, body: Any) -> int:
        path = f"{verb}/{worker}/{job}?token={self.server.token}&isStream=false"
        return self.raw("POST", path, json.dumps(body).encode(), key=None)[0]

    def until(self, id: str, *states: str, within_s: float = 30.0) -> Any:
        """The status of a job once it is in one of these states."""
        deadline = time.monotonic() + within_s
        while True:
            facts = self.ask("GET", f"status/{id}")
            if facts["status"] in states:
                return facts
            assert time.monotonic() < deadline, facts
            time.sleep(0.02)


def write_handler(folder: Path, source: str, options: str = "") -> Path:
    """A worker's folder whose handler.py starts ``handler``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f'import runpod\n{source}\nrunpod.serverless.start({{"handler": handler{options}}})\n'
    (folder / "handler.py").write_text(text)
    return folder


def processes_with(word: str) -> list[int]:
    """Processes, this one aside, that have a word in their environment or command line."""
    found = []
    for process in psutil.process_iter():
        try:
            seen = [*process.cmdline(), *process.environ().values()]
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(word in text for text in seen):
            found.append(process.pid)
    return found


def none_left(word: str, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while processes_with(word):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
