"""Whose kernel it is: a second notebook is refused or shares, a restarted one finds its model warm."""

from __future__ import annotations

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
