"""Runs inside ``verify``'s clean process, never imported: ``python -u child.py SPEC``.

It executes ``handler.py`` as ``python -u handler.py`` would, with one difference: when the file
calls ``runpod.serverless.start``, the recorded jobs are run by the SDK's own ``handle_job``, and
what that would post is written down instead of sent. The kit itself is not imported here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

_PROGRESS_WAIT_S = 10.0


class _Report:
    """One JSON object a line, flushed, so that a crash leaves what came before it."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a", encoding="ascii")  # noqa: SIM115, PTH123

    def write(self, **fields: Any) -> None:
        self._file.write(json.dumps(fields) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


class _Session:
    """What ``rp_http`` touches of an HTTP session."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


def _run_jobs(config: dict[str, Any], spec: dict[str, Any], report: _Report) -> None:
    from runpod.serverless.modules import rp_http, rp_job

    posted: list[tuple[str, str]] = []

    async def transmit(_session: Any, url: str, body: str) -> None:
        body.encode("utf-8")  # as aiohttp does; a lone surrogate raises here
        kind = "stream" if url.startswith(rp_http.JOB_STREAM_URL) else "done"
        posted.append((kind, body))

    rp_http._transmit = transmit  # the last step before the network; all else is the SDK's
    config = {**config, "rp_args": {}}

    async def run_all() -> None:
        for index, job in enumerate(spec["jobs"]):
            report.write(event="start", index=index)
            began, lost = time.monotonic(), None
            try:
                await rp_job.handle_job(_Session(), config, json.loads(job))
            except BaseException as exc:  # what ends the real worker must not end the others' proof
                lost = f"{type(exc).__name__}: {exc}"
            _wait_for_progress()
            took = time.monotonic() - began
            report.write(event="end", index=index, posted=posted[:], lost=lost, took_s=took)
            posted.clear()

    asyncio.run(run_all())


def _wait_for_progress() -> None:
    """Let the SDK's progress threads finish: it starts one for each update."""
    deadline = time.monotonic() + _PROGRESS_WAIT_S
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None)
        if getattr(target, "__module__", "") == "runpod.serverless.modules.rp_progress":
            thread.join(max(0.0, deadline - time.monotonic()))


def main() -> None:
    """Run the file; every way out is a line of the report, or a missing one."""
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    report = _Report(spec["report"])
    # this script's folder is not part of the worker's path; the bundle's copy is
    sys.path[0] = spec["folder"]
    sys.argv = ["handler.py"]
    try:
        import runpod.serverless
    except ImportError as exc:
        report.write(event="no sdk", reason=str(exc))
        return

    def start(config: dict[str, Any]) -> None:
        report.write(event="loaded")
        _run_jobs(config, spec, report)
        report.write(event="done")
        sys.stdout.flush()
        os._exit(0)  # as the real start: nothing below it in the file runs

    runpod.serverless.start = start
    path = Path(spec["folder"], "handler.py")
    # a module of its own, so that nothing of this script is in the handler's namespace
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=str(path), __annotations__={})
    sys.modules["__main__"] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)  # noqa: S102
    except BaseException as exc:
        report.write(event="not loaded", reason=f"{type(exc).__name__}: {exc}")
        raise
    report.write(event="not started")


if __name__ == "__main__":
    main()
