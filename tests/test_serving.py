"""``kit.serve()``: the notebook's own handler behind an endpoint."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import policy
from kit.errors import UsageError
from kit.serving import Serving
from kit.session import Session
from tests.making import handler_of, until


def ask(serving: Serving, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        f"{serving.url}/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {serving.key}"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as told:
        return json.loads(told.read())


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path / "home")
    yield made
    made.close()


def served(session: Session, function: Any, **options: Any) -> Serving:
    session.add(handler_of(function, **options))
    return session.serve(None, None, "127.0.0.1", 0, (0, 1), 5.0)


def test_a_request_is_a_job_of_the_session(session: Session) -> None:
    calls: list[Any] = []

    def handler(job: dict[str, Any]) -> Any:
        calls.append(job)
        return {"twice": job["input"] * 2}

    with served(session, handler) as serving:
        told = ask(serving, "POST", "runsync", {"input": 4, "webhook": "http://127.0.0.1:1/"})
        assert told["output"] == {"twice": 8}
        assert told["workerId"] == "kernel-0"
        [job] = session.store.rows(session=session.session_id)
        assert job.id == told["id"] == calls[0]["id"]
        assert calls[0]["webhook"] == "http://127.0.0.1:1/"
        # the handler of the next version answers the next request
        session.add(handler_of(lambda job: "v2", version=2))
        assert ask(serving, "POST", "runsync", {"input": 4})["output"] == "v2"
        assert serving.key not in repr(serving)
        assert serving.health()["jobs"]["completed"] == 2
    with pytest.raises(OSError):
        ask(serving, "GET", "health")


def test_chunks_progress_and_failures_arrive(session: Session) -> None:
    async def handler(job: dict[str, Any]) -> Any:
        for i in range(3):
            yield {"i": i}
            await asyncio.sleep(0.01)
        if job["input"]:
            raise ValueError("late")

    with served(session, handler, return_aggregate_stream=True) as serving:
        id = ask(serving, "POST", "run", {"input": 0})["id"]
        got: list[Any] = []
        while True:
            told = ask(serving, "GET", f"stream/{id}")
            got += [chunk["output"] for chunk in told["stream"]]
            if told["status"] == "COMPLETED" and not told["stream"]:
                break
        assert got == told["output"] == [{"i": 0}, {"i": 1}, {"i": 2}]
        failed = ask(serving, "POST", "runsync", {"input": 1})
        assert failed["status"] == "FAILED"
        assert failed["error"].startswith("handler: late \ntraceback: ")


def test_what_would_be_lost_says_so(session: Session) -> None:
    with served(session, lambda job: {1, 2}) as serving:
        told = ask(serving, "POST", "runsync", {"input": 1})
    assert told["status"] == "FAILED"
    assert "set" in told["error"]


def test_cancel_on_either_side_ends_both(session: Session) -> None:
    started = threading.Event()

    async def handler(job: dict[str, Any]) -> Any:
        started.set()
        await asyncio.sleep(1000)

    with served(session, handler) as serving:
        for by_client in (True, False):
            started.clear()
            id = ask(serving, "POST", "run", {"input": 1})["id"]
            assert started.wait(10)
            [row] = [r for r in session.store.rows() if r.id == id]
            if by_client:
                assert ask(serving, "POST", f"cancel/{id}")["status"] == "CANCELLED"
            else:
                session.cancel(row.key)
            assert session.wait(row.key, 10)
            assert str(session.view(row.key).state) == "CANCELLED"
            deadline = time.monotonic() + 5
            while ask(serving, "GET", f"status/{id}")["status"] != "CANCELLED":
                assert time.monotonic() < deadline


def test_an_input_the_kit_refuses_is_a_failed_job(session: Session) -> None:
    with served(session, lambda job: 1) as serving:
        request = {"input": 1, "policy": {"executionTimeout": 1}}
        with pytest.raises(urllib.error.HTTPError) as told:
            ask(serving, "POST", "run", request)
        assert told.value.code == 400
        told.value.close()


def test_serving_needs_a_handler_or_a_folder(session: Session, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no handler yet"):
        session.serve(None, None, "127.0.0.1", 0, (0, 1), 5.0)
    with pytest.raises(UsageError, match=r"no handler\.py"):
        session.serve(tmp_path, None, "127.0.0.1", 0, (0, 1), 5.0)


def test_closing_the_session_closes_the_port(tmp_path: Path) -> None:
    session = Session(tmp_path / "home")
    serving = served(session, lambda job: 1)
    session.close()
    with pytest.raises(OSError):
        ask(serving, "GET", "health")


def test_a_job_past_its_ttl_is_gone_whoever_sees_it_first(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(policy._RANGES, "ttl", (100, 1_000))

    async def handler(job: dict[str, Any]) -> Any:
        await asyncio.sleep(60)

    with served(session, handler) as serving:
        for _ in range(4):
            id = ask(serving, "POST", "run", {"input": 1, "policy": {"ttl": 150}})["id"]
            with pytest.raises(urllib.error.HTTPError, match="404"):
                until(lambda: ask(serving, "GET", f"status/{id}") is None)  # noqa: B023
