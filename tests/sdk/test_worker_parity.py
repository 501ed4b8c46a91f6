"""The kit's runner against the real worker process: what is posted is the same, case by case.

The files run in ``python -u handler.py`` behind the emulator and, in this process, through the kit's
own queue and runner. Bodies are compared as JSON values. Of an error's traceback the SDK's own frames
are left out, and nothing else of any body.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from kit.emulator.replay import play
from kit.events import JobState, JobView
from kit.handler import Options
from kit.job import Wire, wire_of
from kit.posted import Case, Played
from kit.request import make
from kit.sdk import SdkHook
from kit.session import Session
from tests.making import ended, handler_of
from tests.sdk.worker_cases import GROUPS, Group

pytestmark = [pytest.mark.sdk, pytest.mark.slow, pytest.mark.timeout(600)]

#: the rules below are those of this version
KNOWN = "1.12.0"
HERE = importlib.metadata.version("runpod")
#: what a newer SDK may change, so that a failure names it
HINT = f"runpod {HERE}; the kit's rules are those of {KNOWN}"
_FRAME = re.compile(r'^  File "(?P<file>.*)", line \d+, in ')


def requests(group: Group) -> list[Case]:
    return [
        Case(
            f"case-{index}", json.dumps({"input": given}),
            len(given.get("values", ())) or 2 * (given["do"] == "progress"),  # type: ignore[arg-type]
        )
        for index, given in enumerate(group.inputs)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for index, group in enumerate(GROUPS):
        folder = tmp_path_factory.mktemp(f"group{index}")
        (folder / "handler.py").write_text(group.source, encoding="utf-8")
        made[group.name] = folder
    return made


@pytest.fixture(scope="module")
def played(folders: dict[str, Path]) -> dict[str, tuple[Played, ...]]:
    """Every case through the real worker; three at a time, each has a cold start."""

    def run(group: Group) -> tuple[Played, ...]:
        replay = play(folders[group.name], requests(group), 120.0, 300.0)
        assert not replay.why, (group.name, replay.why)
        return replay.played

    with ThreadPoolExecutor(3) as threads:
        return dict(zip([g.name for g in GROUPS], threads.map(run, GROUPS)))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path / "home")
    yield made
    made.close()


def run_here(
    session: Session, folder: Path, group: Group, played: tuple[Played, ...]
) -> list[JobView]:
    """Every case through the kit, from the same file, registered by its own start() call."""
    file = folder / "handler.py"
    configs: list[dict[str, Any]] = []
    hook = SdkHook(configs.append, session.progress)
    hook.install()
    try:
        exec(compile(file.read_text("utf-8"), str(file), "exec"), {"__name__": "__main__"})
        [config] = configs
        function = config.pop("handler")
        handler = handler_of(function, **{k: config[k] for k in config})
        assert handler.options == Options(**config)
        session.add(handler)
        views = []
        for case, theirs in zip(requests(group), played):
            # the worker names itself in its errors: as it was there
            worker = worker_of(theirs)
            os.environ["RUNPOD_POD_ID"] = os.environ["RUNPOD_POD_HOSTNAME"] = worker
            request = {"id": case.id, **json.loads(case.request)}
            job = session.intake.submit(make(request=request), None, None, None)
            views.append(ended(job).view)
    finally:
        hook.remove()
        os.environ.pop("RUNPOD_POD_ID", None)
        os.environ.pop("RUNPOD_POD_HOSTNAME", None)
    return views


def worker_of(played: Played) -> str:
    found = re.search(r'"worker_id\\": \\"([^"\\]+)', "".join(body for _, body in played.posted))
    return found[1] if found else "unknown"


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=False)


def without_sdk(trace: str) -> list[str]:
    """Lines of a traceback without the SDK's frames."""
    kept: list[str] = []
    skipping = False
    for line in trace.splitlines():
        frame = _FRAME.match(line)
        if frame:
            skipping = "/runpod/serverless/" in frame["file"]
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line)
    return [line for line in kept if not line.startswith("Traceback (most recent call last)")]


def plain(body: Any) -> Any:
    """A body with the traceback of a raised exception as the lines that are the handler's."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, str):
        return body
    if error.startswith('{"error_type"'):
        info = json.loads(error)
        info["error_traceback"] = without_sdk(info["error_traceback"])
        return {**body, "error": info}
    head, found, trace = error.partition(" \ntraceback: ")
    return {**body, "error": [head, without_sdk(trace)]} if found else body


def difference(wire: Wire, played: Played) -> str:
    """What is not the same; empty if all is."""
    done = [json.loads(b) for kind, b in played.posted if kind == "done"]
    progress = [b for b in done if isinstance(b, dict) and b.get("status") == "IN_PROGRESS"]
    final = [b for b in done if b not in progress] if progress else done
    stream = [json.loads(b) for kind, b in played.posted if kind == "stream"]
    if [text(s) for s in wire.stream] != [text(s) for s in stream]:
        return f"stream: {list(wire.stream)!r:.500} here, {stream!r:.500} there"
    if sorted(map(text, wire.progress)) != sorted(map(text, progress)):
        return f"progress: {wire.progress} here, {progress} there"
    mine = [] if wire.done is None else [wire.done]
    if [text(plain(b)) for b in mine] != [text(plain(b)) for b in final]:
        return f"final: {text([plain(b) for b in mine])[:1500]} here, {text(list(map(plain, final)))[:1500]} there ({played.lost})"
    return ""


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_what_is_posted_is_the_same(
    group: Group, folders: dict[str, Path], played: dict[str, tuple[Played, ...]], session: Session
) -> None:
    theirs = played[group.name]
    views = run_here(session, folders[group.name], group, theirs)
    wrong = []
    for given, view, there in zip(group.inputs, views, theirs):
        assert there.ran
        found = difference(wire_of(view), there)
        if found:
            wrong.append(f"{given}: {found}")
        # where the worker loses a result, the kit has said so
        lost = not any(
            kind == "done" and '"status": "IN_PROGRESS"' not in body for kind, body in there.posted
        )
        if lost and not (view.state is JobState.FAILED and view.lost and view.findings):
            wrong.append(f"{given}: the worker lost it ({there.lost}), the kit did not say so")
    assert not wrong, f"{HINT}\n" + "\n".join(wrong)


def test_there_are_enough_cases() -> None:
    assert sum(len(group.inputs) for group in GROUPS) >= 200


def test_the_rules_are_those_of_the_sdk_that_is_installed() -> None:
    import inspect

    from runpod.serverless.modules import rp_http, rp_job, rp_scale

    # if one of these goes, the table of the runner is about another SDK
    assert "isinstance(job_output, dict)" in inspect.getsource(rp_job.run_job), HINT
    assert "traceback: {traceback.format_exc()}" in inspect.getsource(rp_job.run_job_generator), (
        HINT
    )
    assert "except (TypeError, RuntimeError)" in inspect.getsource(rp_http._handle_result), HINT
    assert "jobs_needed <= 0" in inspect.getsource(rp_scale.JobScaler.get_jobs), HINT
