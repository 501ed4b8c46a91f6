"""Whose kernel it is: a second notebook is refused or shares, a restarted one finds its model warm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit.errors import TargetError
from kit.events import JobState
from tests.making import ended, until
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel

MODEL = """
import os
def load():
    with open("loads.txt", "a") as file:
        file.write("x")
    return [os.getpid()]
"""
HANDLER = "%%handler handler\ndef handler(job):\n    return model[0]"


def notebook(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("JPY_SESSION_NAME", f"/somewhere/{name}.ipynb")
    desk = Desk(home)
    desk.cell(MODEL)
    desk.names["model"] = [0]
    desk.cell("model = load()", here=False)
    desk.cell(HANDLER)
    return desk


def test_a_second_notebook_is_refused_and_may_share_if_both_say_so(
    jupyter: Jupyter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = notebook(tmp_path / "1.db", "one", monkeypatch)
    two = notebook(tmp_path / "2.db", "two", monkeypatch)
    three = notebook(tmp_path / "3.db", "three", monkeypatch)
    try:
        monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/one.ipynb")
        one.connect(jupyter.url, jupyter.token, kernel="mine")
        pid = one.run(1).result(60)
        monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/two.ipynb")
        with pytest.raises(TargetError, match=r"belongs to one.ipynb on .*share=True on both"):
            two.connect(jupyter.url, jupyter.token, kernel="mine")
        with pytest.raises(TargetError, match=r"belongs to one\.ipynb"):
            two.connect(jupyter.url, jupyter.token, kernel="mine", share=True)
        assert one.run(1).result(60) == pid, "the refused one has harmed the first"

        two.connect(jupyter.url, jupyter.token, kernel="ours", share=True)
        monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/three.ipynb")
        three.connect(jupyter.url, jupyter.token, kernel="ours", share=True)
        # the same process, names apart
        three.cell("model = [load()[0], 'three']", here=False)
        three.cell("%%handler handler\ndef handler(job):\n    return model")
        shared = two.run(1).result(60)
        assert three.run(1).result(60) == [shared, "three"]
        assert two.run(1).result(60) == shared
    finally:
        for desk in (one, two, three):
            desk.close()


def test_a_restarted_notebook_finds_its_model_warm(
    jupyter: Jupyter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (jupyter.work / "loads.txt").unlink(missing_ok=True)
    first = notebook(tmp_path / "a.db", "again", monkeypatch)
    first.connect(jupyter.url, jupyter.token)
    pid = first.run(1).result(60)
    first.close()
    second = notebook(tmp_path / "b.db", "again", monkeypatch)
    try:
        second.connect(jupyter.url, jupyter.token)
        assert second.run(1).result(60) == pid
        assert (jupyter.work / "loads.txt").read_text() == "x"
        assert second.ran() == []
    finally:
        second.close()


def test_the_newer_kernel_of_a_notebook_takes_over_from_one_that_still_lives(
    jupyter: Jupyter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = notebook(tmp_path / "a.db", "taken", monkeypatch)
    second = notebook(tmp_path / "b.db", "taken", monkeypatch)
    try:
        first.connect(jupyter.url, jupyter.token)
        first.cell("import time")
        first.cell(
            "%%handler slow\nasync def slow(job):\n    import asyncio\n    await asyncio.sleep(60)"
        )
        job = first.run(1)
        until(lambda: job.state is JobState.IN_PROGRESS, "the start")
        second.connect(jupyter.url, jupyter.token)
        assert isinstance(second.run(1).result(60), int)
        job.cancel()
        assert ended(job).state is JobState.LOST
        assert "has taken the pod over" in (job.wire.lost or "")
        # and the older one does not take it back
        assert ended(first.run(1)).state is JobState.FAILED
        assert isinstance(second.run(1).result(60), int)
    finally:
        first.close()
        second.close()


#: a notebook whose kernel is killed: one job that streams, one that waits for it, one that is done
KILLED = """
import sys, time
import json
import subprocess
import sys
from pathlib import Path
from kit.events import JobState
from tests.making import until
from tests.pod.serving import Desk

url, token, home = sys.argv[1:]
desk = Desk(Path(home))
desk.connect(url, token)
desk.cell("import asyncio, os")
desk.cell('''
%%handler handler
async def handler(job):
    with open("runs.txt", "a") as file:
        file.write(f"{job['input']} ")
    n = 0
    while job["input"] == "stream" and not os.path.exists("enough"):
        print(f"line {n}")
        yield n
        n += 1
        await asyncio.sleep(0.002)
''')
desk.run("done").result(60)
job = desk.run("stream")
desk.run("waits")
until(lambda: len(job.stream) > 20, "the stream")
print("ready", flush=True)
time.sleep(600)
"""


def test_jobs_of_a_killed_kernel_go_on_and_the_next_hears_of_them(
    jupyter: Jupyter, kit_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/killed.ipynb")
    (jupyter.work / "runs.txt").unlink(missing_ok=True)
    command = [sys.executable, "-c", KILLED, jupyter.url, jupyter.token, str(kit_home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as former:
        try:
            assert former.stdout is not None
            assert former.stdout.readline() == "ready\n"
        finally:
            former.kill()
    second = Desk(kit_home)
    try:
        store = second.session.store
        rows = {row.request: row for row in store.rows(payloads=True)}
        done, stream, waits = (
            rows[f'{{"input": "{name}"}}'] for name in ("done", "stream", "waits")
        )
        assert [done.state, stream.state, waits.state] == [
            JobState.COMPLETED, JobState.LOST, JobState.LOST,
        ]  # fmt: skip
        second.connect(jupyter.url, jupyter.token)
        assert second.pods[0].target.former == 2
        second.cell("%%handler other\ndef other(job):\n    return 5")
        assert second.run(1, "other").result(60) == 5, "it has no room beside them"
        # let go of in good order, and taken up again
        second.close()
        second = Desk(kit_home)
        store = second.session.store
        second.connect(jupyter.url, jupyter.token)
        seen = len(store.view(stream.key).stream)
        until(lambda: len(store.view(stream.key).stream) > seen, "more of the stream")
        (jupyter.work / "enough").touch()
        until(lambda: store.view(waits.key).state is JobState.COMPLETED, "the end of the last")
        view = store.view(stream.key)
        assert view.state is JobState.COMPLETED
        assert [json.loads(chunk) for chunk in view.stream] == list(range(len(view.stream)))
        said = "".join(log.text for log in view.logs).splitlines()
        assert said == [f"line {n}" for n in range(len(view.stream))]
        assert store.view(waits.key).started_at is not None
        assert (jupyter.work / "runs.txt").read_text().split() == ["done", "stream", "waits"]
    finally:
        second.close()


def test_a_job_that_nobody_knows_any_more_is_ended_there(
    jupyter: Jupyter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = notebook(tmp_path / "a.db", "forgotten", monkeypatch)
    first.connect(jupyter.url, jupyter.token)
    first.cell(
        "%%handler slow\nasync def slow(job):\n"
        "    import asyncio\n    try:\n        await asyncio.sleep(60)\n"
        "    finally:\n        open('stopped.txt', 'w').close()"
    )
    job = first.run(1)
    until(lambda: job.state is JobState.IN_PROGRESS, "the start")
    first.close()
    other = notebook(tmp_path / "c.db", "somebody", monkeypatch)
    second = notebook(tmp_path / "b.db", "forgotten", monkeypatch)  # with another journal
    try:
        monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/somebody.ipynb")
        kernel = first.pods[0].target._kernel
        with pytest.raises(
            TargetError, match=r"belongs to forgotten.ipynb .* 1 of its jobs still run"
        ):
            other.connect(jupyter.url, jupyter.token, kernel=kernel)
        monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/forgotten.ipynb")
        second.connect(jupyter.url, jupyter.token)
        assert second.pods[0].target.former == 0
        until((jupyter.work / "stopped.txt").exists, "its end")
        assert isinstance(second.run(1).result(60), int)
    finally:
        other.close()
        second.close()
