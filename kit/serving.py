"""``kit.serve``: a RunPod endpoint on this machine, for any RunPod client."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kit.emulator.endpoint import Endpoint
from kit.emulator.live import Jobs, Live
from kit.emulator.pool import Pool, Scale
from kit.emulator.server import Server
from kit.emulator.ticket import Settings, Ticket
from kit.errors import UsageError
from kit.joblog import JobLog
from kit.startcheck import check_start

if TYPE_CHECKING:
    from kit.handler import Handler
    from kit.session import Session

_JOBS_KEPT = 1_000
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


class Logs:
    """What handlers printed, per job, the newest jobs only; and what workers printed between jobs."""

    def __init__(self, also: Callable[[Ticket | None, str], None] | None) -> None:
        self._also = also
        self._jobs: dict[str | None, JobLog] = {}

    def __call__(self, ticket: Ticket | None, text: str) -> None:
        id = None if ticket is None else ticket.id
        if id not in self._jobs:
            self._jobs[id] = JobLog()
            if len(self._jobs) > _JOBS_KEPT:
                del self._jobs[next(k for k in self._jobs if k is not None)]
        self._jobs[id].write("process", text)
        if self._also is not None:
            self._also(ticket, text)

    def text(self, id: str | None) -> str:
        """The log of one job, its first and last 64 kB; ``""`` if there is none."""
        log = self._jobs.get(id)
        return "" if log is None else log.text()


class Serving:
    """A running endpoint. ``stop()`` ends it, with every process it started; so does the kernel's end.

    Attributes
    ----------
    url : str
        ``http://127.0.0.1:PORT/v2/ENDPOINT``.
    base : str
        What RunPod's SDK reads from ``RUNPOD_ENDPOINT_BASE_URL``.
    endpoint : str
        The id to give to ``runpod.Endpoint``.
    what : str
        What it serves, in words.
    """

    def __init__(
        self,
        server: Server,
        endpoint: Endpoint,
        what: str,
        pool: Pool | None = None,
        logs: Logs | None = None,
    ) -> None:
        self._server, self._endpoint, self._pool, self._logs = server, endpoint, pool, logs
        self.endpoint, self.what = endpoint.id, what
        self.base = server.base
        self.url = f"{server.base}/{endpoint.id}"
        self._running = True

    @property
    def key(self) -> str:
        """The API key that clients must send, made at start. Not in the repr: a notebook is saved."""
        return self._server.key

    @property
    def cold_starts(self) -> tuple[float, ...]:
        """Seconds from start to ready of each worker process so far."""
        return () if self._pool is None else tuple(self._pool.cold_starts)

    def health(self) -> dict[str, Any]:
        """Counts of jobs and workers, as ``/health`` gives them."""

        async def ask() -> dict[str, Any]:
            return self._endpoint.health()

        return self._server.call(ask)

    def logs(self, job_id: str | None = None) -> str:
        """What the handler printed during a job; None for what workers printed between jobs.

        For a handler of the kernel the logs are those of its jobs, ``job.logs``; this is empty.
        """
        logs = self._logs
        if logs is None:
            return ""

        async def ask() -> str:
            return logs.text(job_id)

        return self._server.call(ask)

    def stop(self) -> None:
        """Close the port and end every worker; returns when nothing is left. Again does nothing."""
        self._running = False
        self._server.stop()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        if not self._running:
            return f"<stopped: {self.what} was at {self.url}>"
        return f"{self.what} at {self.url}\nits API key is the attribute `key`, not shown here since outputs are saved; .stop() ends it"


def serve(
    session: Session,
    path: str | os.PathLike[str] | None,
    handler: str | Handler | None,
    host: str,
    port: int,
    workers: tuple[int, int],
    idle_timeout_s: float,
) -> Serving:
    """See ``kit.serve``: a folder in real workers, or a handler of this session."""
    if path is not None:
        scale = Scale(workers[0], workers[1], idle_timeout_s)
        return serve_folder(session.folder() / os.fspath(path), host=host, port=port, scale=scale)
    name = session.handler(handler).name
    session.worker  # noqa: B018 - a handler must be runnable before the port is open
    jobs = Jobs(session.intake.taker(name), session.cancel, session.store.subscribe)
    return serve_live(jobs, name, host=host, port=port)


def serve_folder(
    path: Path,
    *,
    host: str,
    port: int,
    key: str | None = None,
    scale: Scale | None = None,
    settings: Settings | None = None,
    on_log: Callable[[Ticket | None, str], None] | None = None,
) -> Serving:
    """Serve a worker's folder with real ``python -u handler.py`` processes.

    Raises
    ------
    UsageError
        There is no such file, it is no Python, or nothing in it starts a worker.
    TargetError
        The port is taken.
    """
    file = path.resolve()
    if not (file.is_file() and file.suffix == ".py"):
        file = file / "handler.py"
    folder = file.parent
    if not file.is_file():
        raise UsageError(
            f"there is no handler.py in {path}: give a folder that kit.export wrote, or any "
            "folder with a worker's handler.py."
        )
    check_start(file)
    endpoint = Endpoint(_name(folder.name), settings)
    server = Server(host, port, key)
    server.start()

    logs = Logs(on_log)

    async def make() -> Pool:
        server.add(endpoint)
        command = [sys.executable, "-u", file.name]
        return Pool(endpoint, server.base, server.token, folder, scale, logs, command)

    try:
        pool = server.call(make)
    except BaseException:
        server.stop()
        raise
    return Serving(server, endpoint, f"{folder.name}/{file.name} in real workers", pool, logs)


def serve_live(
    jobs: Jobs,
    name: str,
    *,
    host: str,
    port: int,
    key: str | None = None,
    settings: Settings | None = None,
) -> Serving:
    """Serve a registered handler where the session runs its jobs."""
    endpoint = Endpoint(_name(name), settings)
    server = Server(host, port, key)
    server.start()

    async def make() -> None:
        server.add(endpoint)
        Live(endpoint, jobs)

    try:
        server.call(make)
    except BaseException:
        server.stop()
        raise
    return Serving(server, endpoint, f"handler {name} of this kernel")


def _name(text: str) -> str:
    return _ODD.sub("-", text).strip("-").lower() or "worker"
