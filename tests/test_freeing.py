"""``kit.free()`` and the memory that jobs leave behind, on this process's own memory."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.freeing import Freed, Regained, free
from kit.session import Session
from tests.making import codes, ended, submit, until

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("last_exc", "last_value", "last_type", "last_traceback"):
        monkeypatch.delattr(sys, name, raising=False)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


class Shell:
    """What IPython has of an exception, for a session outside of it."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}
        self.last_execution_result: Any = None


@linux
@pytest.mark.fresh
def test_the_last_exception_gives_its_memory_back_and_the_figure_says_how_much(
    session: Session,
) -> None:
    def fails() -> None:
        batch = np.ones(300 * MIB, dtype=np.uint8)
        raise ValueError(len(batch))

    try:
        fails()
    except ValueError as error:
        sys.last_value, sys.last_traceback = error, error.__traceback__
    freed = free(session)
    [rss] = freed.regained
    assert rss.name == "RSS"
    assert 290 < rss.mib < 340, freed
    assert freed.done[0].startswith("the last exception")
    assert "regained" in repr(freed)
    assert not hasattr(sys, "last_value")
    again = free(session)
    assert not any("exception" in what for what in again.done)
    assert abs(again.regained[0].mib) < 30


def test_what_it_may_not_drop_is_named_with_the_way_out(session: Session) -> None:
    def fails() -> None:
        batch = bytearray(50 * MIB)
        raise ValueError(len(batch))

    shell = session.errors.ip = Shell()
    try:
        fails()
    except ValueError as error:
        shell.user_ns["errors"] = [error]
    shell.user_ns["model"] = np.ones(100 * MIB, dtype=np.uint8)
    shell.user_ns["_oh"] = {7: bytearray(20 * MIB)}
    held = free(session).held
    assert held[0] == "`errors[0]` (ValueError) keeps `batch` of fails(), 50 MiB: del errors"
    assert held[1] == "`model`, 100 MiB: del model"
    assert held[2] == "`Out[7]`, 20 MiB: %reset -f out"


def test_a_large_last_input_is_left_to_the_journal_and_still_runs_again(session: Session) -> None:
    def length(job: dict[str, Any]) -> int:
        return len(job["input"])

    ended(submit(session, length, "x" * 500_000))
    assert any("inputs kept for the next run" in what for what in free(session).done)
    assert not any("inputs kept" in what for what in free(session).done)
    key = session.run("length")
    until(lambda: session.view(key).state.final, "the job on the last input")
    assert session.view(key).done == '{"output": 500000}'


def test_running_jobs_and_words(session: Session) -> None:
    go = threading.Event()

    def slow(job: dict[str, Any]) -> None:
        go.wait(60)

    job = submit(session, slow)
    until(lambda: session.worker.running(), "the job to run")
    held = free(session).held
    go.set()
    assert "1 job still running" in held
    ended(job)
    freed = Freed((Regained("GPU 0", 2048.0, 512.0), Regained("RSS", 1.0, 9.0)), ("gc",), ("x",))
    assert repr(freed).splitlines() == [
        "GPU 0  1.5 GiB regained (2.0 GiB to 512 MiB)",
        "RSS    8.0 MiB more in use (1.0 MiB to 9.0 MiB)",
        "done   gc",
        "held   x",
    ]


# -- findings -------------------------------------------------------------------------------------

KEPT: list[Any] = []


@linux
@pytest.mark.fresh
def test_a_job_that_keeps_memory_is_told_and_a_failed_one_s_exception_is_named(
    session: Session,
) -> None:
    shell = session.errors.ip = Shell()
    shell.user_ns["errors"] = errors = []

    def predict(size: int) -> None:
        batch = np.ones(size, dtype=np.uint8)
        raise ValueError(len(batch))

    def guarded(job: dict[str, Any]) -> int:
        try:
            predict(job["input"] * MIB)
        except ValueError as error:
            errors.append(error)
            raise RuntimeError("no") from None
        return 1

    def keeps(job: dict[str, Any]) -> int:
        KEPT.append(np.ones(200 * MIB, dtype=np.uint8))
        return len(KEPT)

    time.sleep(0.05)
    job = ended(submit(session, keeps))
    [note] = [note for note in job.findings if note.code == "K233"]
    assert "more are in use in this process" in note.sentence
    KEPT.clear()
    time.sleep(0.05)
    job = ended(submit(session, guarded, 220))
    [note] = [note for note in job.findings if note.code == "K234"]
    assert "`errors[0]` holds a ValueError whose frames keep 220 MiB" in note.sentence
    assert "`batch` of predict()" in note.sentence


@linux
@pytest.mark.fresh
def test_two_hundred_clean_jobs_of_many_kinds_raise_no_alarm(session: Session) -> None:
    import zlib

    def clean(job: dict[str, Any]) -> int:
        n, size = job["input"], 150 * MIB if job["input"] < 10 else 8 * MIB
        if n % 5 == 0:
            return len(bytearray(size))
        if n % 5 == 1:
            return int(np.ones(size // 8).sum())
        if n % 5 == 2:
            return len([str(i) for i in range(size // 1000)])
        if n % 5 == 3:
            return len(zlib.compress(bytes(size // 4), 1))
        return len({i: [i] for i in range(size // 1000)})

    first = ended(submit(session, clean, 0))
    handler = session.handlers["clean"]
    jobs = [first, *(ended(submit(session, handler, i)) for i in range(1, 200))]
    assert all(job.memory and job.memory[0].own for job in jobs)
    assert not {code for job in jobs for code in codes(job)} & {"K230", "K233", "K234"}


# -- breakpoint() ---------------------------------------------------------------------------------


def test_a_forgotten_breakpoint_fails_as_in_production_and_is_told(session: Session) -> None:
    found = sys.breakpointhook

    def stops(job: dict[str, Any]) -> int:
        breakpoint()  # noqa: T100 - the forgotten one
        return 1

    job = ended(submit(session, stops))
    assert job.state == "FAILED"
    assert job.error is not None
    assert job.error.type == "<class 'bdb.BdbQuit'>"
    assert codes(job) >= {"K235"}
    session.close()
    assert sys.breakpointhook is found
