"""The least that could do the same work: two loops in two threads and a table in SQLite.

No states, limits, cancel, output capture, memory, payload check, findings or views: what is left is
the price of the hops and the rows, and the kit's figures are told as a share of it.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?)"


def loop_in_thread(name: str) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=name, daemon=True).start()
    return loop


class Bare:
    """A queue on one loop, handlers on another, three events a job in a journal.

    Parameters
    ----------
    path : Path
        Of the SQLite file.
    handler : callable
        Sync or async, takes a job dict.
    concurrency : int
    """

    def __init__(self, path: Path, handler: Callable[[Any], Any], concurrency: int = 1) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE events (job INTEGER, kind TEXT, time REAL, data TEXT)")
        self._handler = handler
        self._async = asyncio.iscoroutinefunction(handler)
        self._free = concurrency
        self._waiting: deque[tuple[int, Any, Future[Any]]] = deque()
        self._ended: list[tuple[int, Any, Future[Any]]] = []
        self._count = 0
        self._control = loop_in_thread("bare-control")
        self._handlers = loop_in_thread("bare-handler")

    def run(self, value: Any) -> Future[Any]:
        """One job: a commit when queued, one when started, one at its end."""
        return self.map([value])[0]

    def map(self, values: list[Any]) -> list[Future[Any]]:
        now = time.time()
        jobs: list[tuple[int, Any, Future[Any]]] = []
        rows = []
        for value in values:
            self._count += 1
            jobs.append((self._count, value, Future()))
            rows.append((self._count, "queued", now, json.dumps(value)))
        self._commit(rows)
        self._control.call_soon_threadsafe(self._accept, jobs)
        return [future for _, _, future in jobs]

    def _commit(self, rows: list[tuple[int, str, float, str]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_INSERT, rows)
        self._db.execute("COMMIT")

    def _accept(self, jobs: list[tuple[int, Any, Future[Any]]]) -> None:
        self._waiting.extend(jobs)
        self._start()

    def _start(self) -> None:
        now, rows, started = time.time(), [], []
        while self._waiting and self._free:
            self._free -= 1
            job = self._waiting.popleft()
            rows.append((job[0], "started", now, "{}"))
            started.append(job)
        if rows:
            self._commit(rows)
            self._handlers.call_soon_threadsafe(self._call, started)

    def _call(self, jobs: list[tuple[int, Any, Future[Any]]]) -> None:
        for job in jobs:
            given = {"id": str(job[0]), "input": job[1]}
            if self._async:
                self._handlers.create_task(self._await(job, self._handler(given)))
            else:
                self._done(job, self._handler(given))

    async def _await(self, job: tuple[int, Any, Future[Any]], result: Awaitable[Any]) -> None:
        self._done(job, await result)

    def _done(self, job: tuple[int, Any, Future[Any]], output: Any) -> None:
        first = not self._ended
        self._ended.append((job[0], output, job[2]))
        if first:
            self._control.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        ended, self._ended = self._ended, []
        now = time.time()
        self._commit([(key, "completed", now, json.dumps(out)) for key, out, _ in ended])
        self._free += len(ended)
        self._start()
        for _, output, future in ended:
            future.set_result(output)
