"""What the kit says would be posted is what RunPod's own SDK posts, case by case.

Both sides get the same handlers and inputs. The SDK's side is its own ``handle_job`` in a process
without the kit, posting over HTTP. Where it posts nothing the kit must have said so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.events import JobState
from kit.handler import kind_of
from kit.job import Job
from kit.outcome import sdk_version
from kit.request import make
from kit.sdk import SdkHook
from kit.session import Session
from tests.making import ended, handler_of

pytestmark = pytest.mark.sdk

HERE = Path(__file__).resolve().parent
#: the version whose rules the kit states; another one may have changed them
KNOWN = "1.12.0"


def load_cases() -> Any:
    spec = importlib.util.spec_from_file_location("cases", HERE / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cases"] = module
    spec.loader.exec_module(module)
    return module


CASES = load_cases().CASES


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the SDK posted for every case; one process runs them all."""
    out = tmp_path_factory.mktemp("sdk") / "posted.jsonl"
    env = {k: v for k, v in os.environ.items() if not k.startswith("RUNPOD_")}
    # as on RunPod: every output goes into the log, as JSON
    env.update(RUNPOD_LOG_LEVEL="DEBUG", RUNPOD_ENDPOINT_ID="ep")
    ran = subprocess.run(
        [sys.executable, str(HERE / "worker.py"), str(HERE / "cases.py"), str(out)],
        env=env, capture_output=True, text=True, timeout=200, cwd=out.parent,
    )  # fmt: skip
    lines = out.read_text().splitlines() if out.exists() else []
    found = {one["name"]: one for one in map(json.loads, lines)}
    missing = [name for name in CASES if name not in found]
    assert not missing, f"the SDK's process ended in case {missing[0]!r}: {ran.stderr[-2000:]}"
    return found


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Job]]:
    """The jobs of all cases in the kit."""
    session = Session(tmp_path_factory.mktemp("kit"))
    hook = SdkHook(lambda config: None, session.progress)
    hook.install()
    jobs = {}
    try:
        for name, case in CASES.items():
            session.add(handler_of(case.handler, "handler", **case.config))
            request = {"id": f"job-{name.replace(' ', '-')}", "input": case.input, **case.more}
            jobs[name] = ended(session.intake.submit(make(request=request)), 60)
        yield jobs
    finally:
        hook.remove()
        session.close()


def tree(text: str) -> Any:
    """JSON text as a value that keeps double keys and tells NaN from NaN."""
    return json.loads(
        text,
        object_pairs_hook=lambda pairs: ("object", tuple(pairs)),
        parse_constant=lambda name: ("not JSON", name),
        parse_float=lambda digits: ("float", digits),
    )


def from_the_handler_on(text: str) -> str:
    """A traceback without the caller's frames: each part from the first frame in the cases' file."""
    # a part is what one exception brought; parts are told apart by unindented lines
    kept, ours = [], False
    for line in text.splitlines():
        if line == "Traceback (most recent call last):":
            continue  # stands above the caller's frames, where the handler has none
        if not line.startswith(" "):
            ours = False
            kept.append(line)
            continue
        if line.startswith("  File "):
            ours = ours or "cases.py" in line
        if ours:
            # how often recursion fits on the stack depends on who called
            kept.append(re.sub(r"repeated \d+ more", "repeated N more", line))
    return "\n".join(kept)


def comparable(body: str) -> Any:
    """A body with its tracebacks cut to the handler's own frames."""
    value = json.loads(body)
    if isinstance(value, dict) and isinstance(value.get("error"), str):
        error = value["error"]
        if error.startswith('{"error_type"'):
            info = json.loads(error)
            info["error_traceback"] = from_the_handler_on(info["error_traceback"])
            return {**value, "error": info}
        if error.startswith("handler: ") and "\ntraceback: " in error:
            head, _, trace = error.partition("\ntraceback: ")
            return {**value, "error": [head, from_the_handler_on(trace)]}
    return tree(body)


def rule(name: str) -> str:
    """What a difference means."""
    return (
        f"case {name!r}: runpod {sdk_version()} does something else than the kit, which states the "
        f"rules of {KNOWN} (kit/runner.py, kit/streaming.py, kit/handler.py)"
    )


@pytest.mark.parametrize("name", CASES)
def test_the_same_is_posted(name: str, theirs: dict[str, Any], ours: dict[str, Job]) -> None:
    posted = theirs[name]["posted"]
    view = ours[name].view
    done = [(flag, body) for kind, flag, body in posted if kind == "done"]
    progress = [body for _, body in done if '"status": "IN_PROGRESS"' in body]
    finals = [(flag, body) for flag, body in done if body not in progress]

    chunks = [body for kind, _, body in posted if kind == "stream"]
    sent = [tree(f'{{"output": {text}}}') for text in view.stream]
    assert sent == [tree(b) for b in chunks], rule(name)

    # each update is a thread of its own there: they arrive in any order
    told = [f'{{"status": "IN_PROGRESS", "output": {text}}}' for text in view.progress]
    assert sorted(map(repr, map(tree, told))) == sorted(map(repr, map(tree, progress))), rule(name)

    if not finals:
        assert view.done is None, rule(name)
        assert view.lost, "the SDK posts nothing for this job, and the kit has not said so"
        assert view.state is JobState.FAILED
        return
    ((flag, body),) = finals
    assert view.done is not None, f"{rule(name)}: it posts {body[:200]}"
    assert comparable(view.done) == comparable(body), rule(name)
    assert flag == ("true" if kind_of(CASES[name].handler).streams else "false")
    failed = "error" in json.loads(body) or "NaN" in body
    assert view.state is (JobState.FAILED if failed else JobState.COMPLETED)


def test_losing_cases_are_all_there(theirs: dict[str, Any]) -> None:
    """So that the branch above is not empty: what the SDK loses without a word, and how it ends."""
    lost = {
        name: one["escaped"]
        for name, one in theirs.items()
        if not any(kind == "done" and "IN_PROGRESS" not in body for kind, _, body in one["posted"])
    }
    expected = {
        "bytes": "", "set": "", "tuple key": "", "object result": "",
        "generator result": "", "generator object": "",
        "cycle": "ValueError", "surrogate": "UnicodeEncodeError",
        "raises exit": "SystemExit", "raises interrupt": "KeyboardInterrupt",
        "raises own": "Own", "raises own later": "Own", "raises mute": "RuntimeError",
        "raises cancelled": "CancelledError",
        "stream raises exit": "SystemExit", "stream raises own": "Own",
        "stream raises mute": "RuntimeError",
        "stream unsendable aggregate": "",
        "stream surrogate": "UnicodeEncodeError", "stream cycle": "ValueError",
        "odd text": "RuntimeError", "nan and a surrogate": "UnicodeEncodeError",
        "nan and bytes": "", "stream odd text": "RuntimeError", "stream own get": "RuntimeError",
        "stream undecided error": "ValueError", "stream nan and a cycle": "ValueError",
        "stream nan and a surrogate": "UnicodeEncodeError", "id taken": "KeyError",
        "id taken, refresh": "KeyError", "all taken": "KeyError", "stream id changed": "",
    }  # fmt: skip
    assert lost == expected, rule("lost")
