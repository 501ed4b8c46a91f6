"""Proof: the exported file, in a clean process, through the real SDK, on jobs that ran here."""

from __future__ import annotations

import collections
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from kit.events import JobState, JobView
from kit.export.compare import compare, posted_of
from kit.export.report import Fits, Report, Row
from kit.job import wire_of
from kit.secret import redact

#: jobs that are run, the newest, and the time their runs in the notebook may add up to
MAX_JOBS = 20
MAX_JOBS_S = 60.0
#: seconds until the file must have reached its start(): a model load may take minutes
LOAD_TIMEOUT_S = 900.0
#: seconds a job may take beside ten times its time in the notebook
JOB_TIMEOUT_S = 30.0
_TAIL_BYTES = 4_000
_CHILD = Path(__file__).with_name("child.py")


def verify(
    folder: Path,
    files: Sequence[str],
    jobs: Sequence[JobView],
    *,
    version: int | None,
    fits: Fits,
    load_timeout_s: float = LOAD_TIMEOUT_S,
    job_timeout_s: float = JOB_TIMEOUT_S,
) -> Report:
    """Run a bundle's handler on recorded jobs and compare what would be posted.

    Blocks until the clean process has ended; an interrupt ends it. The bundle itself is only read.

    Parameters
    ----------
    folder : Path
        The bundle.
    files : sequence of str
        Its files; these are copied, nothing else.
    jobs : sequence of JobView
        Recorded jobs, newest first.
    version : int or None
        Version of the handler that was exported; jobs of others ran other code. None takes all.
    fits : callable
        None if a second copy of the model fits, else the sentence why not.
    load_timeout_s : float
        Seconds until the file must have called start().
    job_timeout_s : float
        Seconds a job may take beside ten times what it took in the notebook.
    """
    chosen, rows = _choose(jobs, version)
    if not chosen:
        return Report("not verified", _nothing_to_run(jobs, version), tuple(rows))
    if importlib.util.find_spec("runpod") is None:
        return Report(
            "not verified",
            "runpod is not installed here; `pip install runpod`, then export again",
            tuple(rows),
        )
    why_not = fits()
    if why_not is not None:
        return Report(
            "not verified",
            f"{why_not.rstrip('.')}; free it in the notebook, or restart the kernel, run the "
            "cells and a small job, and export again",
            tuple(rows),
        )
    with tempfile.TemporaryDirectory(prefix="kit-verify-") as temporary:
        copy = Path(temporary).resolve() / "worker"
        copy.mkdir()
        for name in files:
            shutil.copyfile(folder / name, copy / name, follow_symlinks=False)
        began = time.monotonic()
        run = _Run(copy, [_request(job) for job in chosen])
        run.wait(load_timeout_s, _budget_s(chosen, job_timeout_s))
        seconds = time.monotonic() - began
    return _report(chosen, rows, run, seconds)


def _request(job: JobView) -> str:
    """The job as the worker takes it: RunPod's id, and the request's own keys unchanged."""
    request = json.loads(job.request or "{}")
    return json.dumps({"id": job.id, **request}, ensure_ascii=False)


def _choose(jobs: Iterable[JobView], version: int | None) -> tuple[list[JobView], list[Row]]:
    """Jobs that can be compared, oldest first, and rows for those that cannot."""
    chosen: list[JobView] = []
    rows: list[Row] = []
    seen: set[tuple[str | None, str | None]] = set()
    spent_s = 0.0
    for job in jobs:
        if version is not None and job.version != version:
            continue
        reason = ""
        if job.state in (JobState.CANCELLED, JobState.TIMED_OUT, JobState.LOST):
            reason = "it was stopped, and where that happens is chance"
        elif not job.state.final:
            continue
        elif job.request is None or (job.done is None and job.lost is None):
            reason = "the store no longer has its payload"
        elif (job.request, job.done) in seen:
            continue  # the same once more proves nothing more
        elif len(chosen) >= MAX_JOBS or (chosen and spent_s > MAX_JOBS_S):
            continue
        if reason:
            rows.append(Row(job.id, str(job.state), "not run", reason=reason))
            continue
        seen.add((job.request, job.done))
        spent_s += (job.execution_ms or 0.0) / 1000
        chosen.append(job)
    return chosen[::-1], rows


def _nothing_to_run(jobs: Sequence[JobView], version: int | None) -> str:
    if version is not None and not any(job.version == version for job in jobs):
        return f"no job of v{version} has run yet; run one and export again"
    return "no job of it has ended on its own; run one and export again"


def _budget_s(jobs: Iterable[JobView], each_s: float) -> float:
    return sum(each_s + 10 * (job.execution_ms or 0.0) / 1000 for job in jobs)


class _Run:
    """The clean process: its own group, a tail of what it printed, the lines of its report."""

    def __init__(self, copy: Path, jobs: Sequence[str]) -> None:
        self.copy = copy
        self.failure = ""
        self._report = copy.parent / "report.jsonl"
        self._report.touch()
        spec = copy.parent / "spec.json"
        text = json.dumps({"folder": str(copy), "report": str(self._report), "jobs": list(jobs)})
        spec.write_text(text, "ascii")
        # what makes the SDK a worker, or a local test, is the kernel's own affair
        env = {k: v for k, v in os.environ.items() if not k.startswith("RUNPOD_WEBHOOK_")}
        env.setdefault("RUNPOD_DEBUG_LEVEL", "ERROR")
        self._tail: collections.deque[bytes] = collections.deque()
        self._process = subprocess.Popen(
            [sys.executable, "-u", str(_CHILD), str(spec)],
            cwd=copy,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), name="kit-verify", daemon=True
        )
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        size = 0
        while data := os.read(pipe.fileno(), 65536):
            self._tail.append(data[-_TAIL_BYTES:])
            size += len(self._tail[-1])
            while size - len(self._tail[0]) >= _TAIL_BYTES:
                size -= len(self._tail.popleft())

    def wait(self, load_timeout_s: float, jobs_timeout_s: float) -> None:
        """Wait until the process ended or its time is over; its group never outlives this call."""
        deadline = time.monotonic() + load_timeout_s
        loaded = False
        try:
            while True:
                try:
                    self._process.wait(0.05)
                    break
                except subprocess.TimeoutExpired:
                    pass
                if not loaded and self._report.stat().st_size:
                    loaded = True
                    deadline = time.monotonic() + jobs_timeout_s
                if time.monotonic() > deadline:
                    what = "its recorded jobs" if loaded else "loading"
                    limit = jobs_timeout_s if loaded else load_timeout_s
                    self.failure = f"it had not finished {what} after {limit:.0f} s"
                    break
        finally:
            try:  # children that it left behind too
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            self._process.wait()
            self._reader.join(1.0)
            if not self._reader.is_alive():
                assert self._process.stdout is not None
                self._process.stdout.close()
        self.lines: list[dict[str, Any]] = []
        for line in self._report.read_text("ascii").splitlines():
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                break  # cut off by the kill

    def ended(self, index: int) -> dict[str, Any] | None:
        """What the process reported of one job."""
        for line in self.lines:
            if line["event"] == "end" and line["index"] == index:
                return line
        return None

    def why(self) -> str:
        """Why not everything was run; ``""`` if it was."""
        events = {line["event"]: line for line in self.lines}
        if "done" in events:
            return ""
        if "no sdk" in events:
            return f"runpod cannot be imported there: {events['no sdk']['reason']}"
        if "not loaded" in events:
            reason = f"handler.py cannot be loaded there: {events['not loaded']['reason']}"
        elif "not started" in events:
            return "handler.py ended without calling runpod.serverless.start"
        elif self.failure:
            reason = self.failure
        else:
            code = self._process.returncode
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
            reason = f"its process ended {how}"
        tail = b"".join(self._tail)[-_TAIL_BYTES:].decode(errors="replace").strip()
        tail = tail.replace(str(self.copy), "worker")
        # what a handler prints is shown, and a notebook's outputs are saved
        return redact(f"{reason}. Last output:\n{tail}" if tail else reason)


def _report(chosen: Sequence[JobView], rows: list[Row], run: _Run, seconds: float) -> Report:
    why = run.why()
    for index, job in enumerate(chosen):
        line = run.ended(index)
        if line is None:
            rows.append(Row(job.id, str(job.state), "not run", reason="the process ended before"))
            continue
        posted = posted_of([(kind, body) for kind, body in line["posted"]], line["lost"])
        difference, normalised = compare(wire_of(job), posted, str(run.copy))
        row = Row(job.id, str(job.state), "equal", normalised=normalised)
        if difference is not None:
            row = Row(
                job.id,
                str(job.state),
                "different",
                difference.path,
                difference.notebook,
                difference.worker,
                normalised=normalised,
            )
        rows.append(row)
    if any(row.result == "different" for row in rows):
        return Report("different", why, tuple(rows), seconds)
    if why:
        return Report("not verified", why, tuple(rows), seconds)
    return Report("equal", "", tuple(rows), seconds)
