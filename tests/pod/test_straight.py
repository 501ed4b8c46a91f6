"""The same handler on a pod, from the same cell, with the model warm between edits."""

from __future__ import annotations

from pathlib import Path

import pytest

import kit
from kit.errors import JobFailed, TargetError, UsageError
from kit.events import JobState
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel

SETUP = """
import os
loads = []
class Model:
    def __init__(self, factor):
        self.factor, self.pid = factor, os.getpid()
        with open("loads.txt", "a") as file:
            file.write(f"{factor}\\n")
    def __call__(self, x):
        return self.factor * x
"""


def loads(jupyter: Jupyter) -> list[str]:
    path = jupyter.work / "loads.txt"
    return path.read_text().split() if path.exists() else []


def test_a_handler_runs_there_and_an_edit_loads_no_model(jupyter: Jupyter, desk: Desk) -> None:
    desk.connect(jupyter.url, jupyter.token)
    desk.cell(SETUP, id="setup")
    desk.cell("model = Model(2)", here=False, id="model")
    desk.cell(
        """
        %%handler times
        def times(job):
            return {"y": model(job["input"]), "folder": os.getcwd(), "pid": os.getpid()}
        """,
        id="handler",
    )
    first = desk.run(4).result(60)
    assert first["y"] == 8
    assert first["folder"] == str(jupyter.work)
    assert first["pid"] in jupyter.children()
    assert loads(jupyter) == ["2"]

    # an edit of the handler runs the handler, and nothing else
    desk.cell(
        """
        %%handler times
        def times(job):
            return {"z": model(job["input"]) + 1}
        """,
        id="handler",
    )
    assert desk.run(4).result(60) == {"z": 9}
    assert desk.ran() == ["def times(job):"]
    assert loads(jupyter) == ["2"]

    # an edit of the model cell costs exactly that
    desk.cell("model = Model(3)", here=False, id="model")
    assert desk.run(4).result(60) == {"z": 13}
    assert desk.ran() == ["model = Model(3)"]
    assert loads(jupyter) == ["2", "3"]

    # and so does an edit of the class it is made of
    desk.cell(SETUP.replace("self.factor * x", "self.factor * x + 100"), id="setup")
    assert desk.run(4).result(60) == {"z": 113}
    assert desk.ran() == ["class Model:", "model = Model(3)"]

    # nothing changed: nothing runs
    before = desk.pods[-1].plan()
    assert desk.run(5).result(60) == {"z": 116}
    assert desk.pods[-1].plan() is before
    assert "its text changed" in repr(before)


def test_what_happens_is_in_the_journal_as_for_any_job(jupyter: Jupyter, desk: Desk) -> None:
    pod = desk.connect(jupyter.url, jupyter.token, kernel="journal")
    desk.cell(
        """
        %%handler shout
        def shout(job):
            print("hello from", job["id"])
            for n in range(2):
                yield {"n": n, "big": 2**60}
        """
    )
    job = desk.run({"a": 1})
    assert desk.session.wait(job.key, 60)
    assert job.state is JobState.COMPLETED
    assert job.stream == [{"n": 0, "big": 2**60}, {"n": 1, "big": 2**60}]
    assert job.logs == f"hello from {job.id}\n"
    assert {note.code for note in job.findings} >= {"K105"}
    assert job.delay_time_ms is not None
    assert job.execution_time_ms is not None
    row = desk.session.store.rows(keys=[job.key])[0]
    assert row.target == pod.name == f"pod:127.0.0.1:{jupyter.port}/journal"
    assert job.memory


def test_a_failure_is_the_handler_s_own_with_its_cell(jupyter: Jupyter, desk: Desk) -> None:
    desk.connect(jupyter.url, jupyter.token, kernel="failure")
    desk.cell(
        """
        # a comment above

        %%handler fails
        def fails(job):
            here = job["input"]
            return 1 / here
        """
    )
    job = desk.run(0)
    with pytest.raises(JobFailed, match="ZeroDivisionError"):
        job.result(60)
    assert job.error is not None
    assert 'File "In [1]", line 6, in fails' in job.error.traceback
    assert "return 1 / here" in job.error.traceback


def test_a_missing_module_names_itself_and_the_way_out(jupyter: Jupyter, desk: Desk) -> None:
    desk.connect(jupyter.url, jupyter.token, kernel="missing")
    desk.cell("import surely_not_here_7", here=False)
    desk.names["surely_not_here_7"] = None
    desk.cell("%%handler needs\ndef needs(job):\n    return surely_not_here_7.x")
    job = desk.run(1)
    with pytest.raises(JobFailed, match=r"has no `surely_not_here_7`: pod.install\(\)"):
        job.result(60)
    # once the cell is mended, so is the pod
    desk.cell("%%handler needs\ndef needs(job):\n    return 5")
    assert desk.run(1).result(60) == 5


def test_a_pod_that_cannot_be_used_says_why_at_once(jupyter: Jupyter, desk: Desk) -> None:
    with pytest.raises(TargetError, match="does not take this token"):
        desk.connect(jupyter.url, "wrong-token-123")
    with pytest.raises(TargetError, match="nothing listens there") as caught:
        desk.connect("http://127.0.0.1:9", "x")
    assert caught.type is TargetError
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not any("concurrent" in str(frame.path) for frame in caught.traceback)
    with pytest.raises(TargetError, match="is unknown"):
        desk.connect("https://no-such-host.invalid", "x")
    with pytest.raises(UsageError, match="would send the token readably"):
        kit.Pod("http://example.com:8888", token="x")
    with pytest.raises(UsageError, match="there are two slashes"):
        kit.Pod("http:/127.0.0.1:8888", token="x")
    assert kit.Pod("127.0.0.1:8888", token="x").address.base == "http://127.0.0.1:8888"
    with pytest.raises(TargetError, match=r"kit.use\(kit.Pod\(url") as told:
        desk.session.use(f"{jupyter.url}?token={jupyter.token}")
    assert jupyter.token not in str(told.value)
    with pytest.raises(TargetError, match="there is no target 'pod'"):
        desk.session.use("pod")


def test_the_token_shows_nowhere(jupyter: Jupyter, desk: Desk, kit_home: Path) -> None:
    pod = desk.connect(f"{jupyter.url}/lab/tree/x?token={jupyter.token}", None, kernel="token")
    desk.cell("%%handler echo\ndef echo(job):\n    print(job)\n    return job['input']")
    job = desk.run(f"it is {jupyter.token}")
    job.result(60)
    shown = [repr(pod), repr(pod.address), str(vars(pod)), repr(pod.target), job.logs, pod.name]
    assert not [text for text in shown if jupyter.token in text]
