"""Proof: a worker's folder, real worker processes, and jobs that ran in the notebook."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kit.events import JobState, JobView
from kit.export.compare import EXACT, Tolerance, compare, differences, posted_of
from kit.export.constants import Constants, drift
from kit.export.inputs import NOTHING, ExampleInput
from kit.export.place import MANIFEST, about
from kit.export.report import Fits, Report, Row, Verdict
from kit.export.wanting import wanting
from kit.job import wire_of
from kit.posted import Case, Play, Played, Replay, error_of

#: jobs that are run, the newest, and the time their runs in the notebook may add up to
MAX_JOBS = 50
MAX_JOBS_S = 60.0
#: seconds until the file must have reached its start(): a model load may take minutes
LOAD_TIMEOUT_S = 900.0
#: seconds a job may take beside ten times its time in the notebook
JOB_TIMEOUT_S = 30.0
#: seconds for the file's import alone, where there is no job to run and so only constants to compare
ALONE_TIMEOUT_S = 60.0
_NOW_IT_RUNS = (
    "it failed in the notebook and not in the worker: if what it lacked is there now, run it again in "
    "the notebook and export again; a failed run counts no more once a newer one of its input completed"
)


def verify(
    folder: Path,
    files: Sequence[str] | None,
    jobs: Sequence[JobView],
    *,
    version: int | None,
    fits: Fits,
    play: Play,
    inputs: Sequence[ExampleInput] = (),
    tolerance: Tolerance = EXACT,
    constants: Constants | None = None,
    load_timeout_s: float = LOAD_TIMEOUT_S,
    job_timeout_s: float = JOB_TIMEOUT_S,
) -> Report:
    """Run a worker's handler on recorded jobs and compare what is posted.

    Blocks until the worker has ended; an interrupt ends it.

    Parameters
    ----------
    folder : Path
        The worker's.
    files : sequence of str or None
        Run a copy of these files and nothing else; None runs in the folder itself.
    jobs : sequence of JobView
        Recorded jobs, newest first.
    version : int or None
        Version of the handler that was exported; jobs of others ran other code. None takes all.
    fits : callable
        None if a second copy of the model fits, else the sentence why not.
    play : callable
        Runs cases through real workers.
    inputs : sequence of ExampleInput
        Further requests, which must end COMPLETED.
    tolerance : Tolerance
    constants : Constants or None
        The kernel's, compared with what the file computes once the worker has ended: its memory is
        free again then. Not looked at where the file runs in the folder itself.
    load_timeout_s : float
        Seconds until the file must have called start().
    job_timeout_s : float
        Seconds a job may take beside ten times what it took in the notebook.
    """
    chosen, rows = _choose(jobs, version)
    inputs = _new(inputs, chosen)
    if not chosen and not inputs:
        report = Report("not verified", _nothing_to_run(jobs, version), tuple(rows))
        if files is None or constants is None:
            return report
        why = fits()
        if why is not None:
            return dataclasses.replace(report, not_compared=why)
        with _copied(folder, files) as copy:
            found, why = drift(copy, constants, min(load_timeout_s, ALONE_TIMEOUT_S))
        return dataclasses.replace(report, drift=found, not_compared=why)
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
            f"{why_not.rstrip('.')}; free it in the notebook, or restart the kernel and run "
            "`kit test` on the folder, or verify on a pod",
            tuple(rows),
        )
    cases = [Case(job.id, job.request or "{}", len(job.progress)) for job in chosen]
    cases += [Case(f"test-{i}", given.request) for i, given in enumerate(inputs)]
    budget_s = _budget_s(chosen, job_timeout_s) + len(inputs) * 2 * job_timeout_s
    if files is None:
        replay = play(folder, cases, load_timeout_s, budget_s)
        report = _report(chosen, inputs, rows, replay, str(folder), tolerance)
        return dataclasses.replace(report, where=report.where + _without_env(folder))
    with _copied(folder, files) as copy:
        replay = play(copy, cases, load_timeout_s, budget_s)
        report = _report(chosen, inputs, rows, replay, str(copy), tolerance)
        if constants is None or replay.cold_start_s is None:
            return report
        # as long as the worker took to start, and more: that was an import too
        limit_s = min(load_timeout_s, 30.0 + 5 * replay.cold_start_s)
        found, why = drift(copy, constants, limit_s)
        return dataclasses.replace(report, drift=found, not_compared=why)


def _without_env(folder: Path) -> str:
    """What to say of a bundle from before exports recorded the variables that its image sets."""
    known = about(folder)
    if known is None or "env" in known:
        return ""
    try:
        text = (folder / "Dockerfile").read_text(errors="replace")
    except OSError:
        return ""
    if not any(line.startswith("ENV ") for line in text.splitlines()):
        return ""
    return ", without the variables that its Dockerfile sets: an older export did not record them"


@contextlib.contextmanager
def _copied(folder: Path, files: Iterable[str]) -> Iterator[Path]:
    """A copy of a worker's own files in a folder of its own, as an image has them."""
    with tempfile.TemporaryDirectory(prefix="kit-verify-") as temporary:
        copy = Path(temporary).resolve() / "worker"
        copy.mkdir()
        for name in (*files, *([MANIFEST] if (folder / MANIFEST).is_file() else ())):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, copy / name, follow_symlinks=False)
        yield copy


def _choose(jobs: Iterable[JobView], version: int | None) -> tuple[list[JobView], list[Row]]:
    """Jobs that can be compared, oldest first, and rows for those that cannot."""
    chosen: list[JobView] = []
    rows: list[Row] = []
    seen: set[tuple[str | None, str | None]] = set()
    completed: set[str] = set()
    ids: set[str] = set()
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
        elif job.state is JobState.FAILED and _input_text(job) in completed:
            continue  # what it lacked is there now: a newer run of the same input completed
        elif job.id in ids:
            reason = "another job with its id was run"
        elif len(chosen) >= MAX_JOBS or (chosen and spent_s > MAX_JOBS_S):
            continue
        if reason:
            rows.append(Row(job.id, str(job.state), "not run", reason=reason))
            continue
        seen.add((job.request, job.done))
        if job.state is JobState.COMPLETED:
            completed.add(_input_text(job))
        ids.add(job.id)
        spent_s += (job.execution_ms or 0.0) / 1000
        chosen.append(job)
    return chosen[::-1], rows


def _input_text(job: JobView) -> str:
    return json.dumps(json.loads(job.request or "{}").get("input"), sort_keys=True)


def _new(inputs: Sequence[ExampleInput], chosen: Sequence[JobView]) -> list[ExampleInput]:
    """Test inputs that prove more than what is run anyway: the bundle's tests are recorded jobs."""
    seen = [json.loads(job.request or "{}").get("input") for job in chosen]
    kept: list[ExampleInput] = []
    for given in inputs:
        value = json.loads(given.request).get("input")
        if given.name == "test_input.json" or given.expected is not NOTHING or value not in seen:
            kept.append(given)
            seen.append(value)
    return kept


def _nothing_to_run(jobs: Sequence[JobView], version: int | None) -> str:
    if version is not None and not any(job.version == version for job in jobs):
        return f"no job of v{version} has run yet; run one and export again"
    return "no job of it has ended on its own; run one and export again"


def _budget_s(jobs: Iterable[JobView], each_s: float) -> float:
    return sum(each_s + 10 * (job.execution_ms or 0.0) / 1000 for job in jobs)


def _report(
    chosen: Sequence[JobView],
    inputs: Sequence[ExampleInput],
    rows: list[Row],
    replay: Replay,
    folder: str,
    tolerance: Tolerance,
) -> Report:
    played = iter(replay.played)
    rows += [_row(job, next(played), folder, tolerance) for job in chosen]
    rows += [_input_row(given, next(played), folder, tolerance) for given in inputs]
    results = {row.result for row in rows}
    compared = any(row.result == "equal" and not row.silent for row in rows)
    verdict: Verdict = "equal" if compared else "completed"
    why = replay.why.replace(folder, "worker")
    said = wanting(Path(folder), why)
    why = f"{said}. {why}" if said else why
    if not compared and not why and "completed" not in results:
        silent = sum(row.silent for row in rows)
        jobs = "the recorded job posts" if silent == 1 else f"all {silent} recorded jobs post"
        why = f"{jobs} no result, here or in the worker: run one that gives a result, and export again"
        why = why if silent else "nothing was run"
    if results & {"different", "failed"}:
        verdict = "different"
    elif why or not results & {"equal", "completed"}:
        verdict, why = "not verified", why or "nothing was run"
    return Report(
        verdict, why, tuple(rows), replay.seconds, replay.cold_start_s, where=replay.where
    )


def _row(job: JobView, played: Played, folder: str, tolerance: Tolerance) -> Row:
    state = str(job.state)
    if not played.ran:
        return Row(job.id, state, "not run", reason=played.lost or "no worker got to it")
    posted = posted_of(played.posted, played.lost)
    difference, normalised = compare(wire_of(job), posted, folder, tolerance)
    if difference is None:
        silent = job.done is None and not posted.done
        return Row(job.id, state, "equal", normalised=normalised, silent=silent)
    why = wanting(Path(folder), _failure(played))
    if job.state is JobState.FAILED and posted.done and not _failure(played):
        why = _NOW_IT_RUNS
    return Row(
        job.id, state, "different", difference.path, difference.notebook, difference.worker,
        why, normalised,
    )  # fmt: skip


def _failure(played: Played) -> str:
    """``KeyError: 'x'`` of a job that failed in the worker; ``""`` of one that did not."""
    posted = posted_of(played.posted, played.lost)
    body: Any = json.loads(posted.done[-1]) if posted.done else {}
    if not isinstance(body, dict) or "error" not in body:
        return ""
    error = error_of(body["error"])
    return f"{error.type}: {error.message}\n{error.traceback}"


def _input_row(given: ExampleInput, played: Played, folder: str, tolerance: Tolerance) -> Row:
    if not played.ran:
        return Row(given.name, "", "not run", reason=played.lost or "no worker got to it")
    posted = posted_of(played.posted, played.lost)
    if not posted.done:
        why = played.lost or "no result was posted"
        return Row(given.name, "FAILED", "failed", reason=why)
    body: Any = json.loads(posted.done[-1])
    if "error" in body:
        said = wanting(Path(folder), _failure(played))
        message = error_of(body["error"]).message
        return Row(given.name, "FAILED", "failed", reason=f"{message}; {said}" if said else message)
    if given.expected is not NOTHING:
        found = next(differences(given.expected, body.get("output"), "output", tolerance), None)
        if found is not None:
            return Row(
                given.name, "COMPLETED", "failed", found.path, found.notebook, found.worker,
                reason="it is not the expected_output",
            )  # fmt: skip
    return Row(given.name, "COMPLETED", "completed")
