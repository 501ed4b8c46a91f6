"""The reference a person holds: what it says to a name it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.job import Job
from kit.session import Session
from tests.making import ended, submit


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    session = Session(tmp_path)

    def echo(job: dict[str, Any]) -> Any:
        return job["input"]

    yield ended(submit(session, echo, 1))
    session.close()


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("status", "state"),
        ("outptu", "output"),
        ("log", "logs"),
        ("duration", "execution_time_ms"),
        ("execution_time", "execution_time_ms"),
        ("findngs", "findings"),
        ("stop", "cancel()"),
        ("wait", "result()"),
    ],
)
def test_a_near_name_is_told(job: Job, asked: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{asked}'") as raised:
        getattr(job, asked)
    assert str(raised.value).endswith(f"did you mean `job.{meant}`?")
    getattr(job, meant.removesuffix("()"))


@pytest.mark.parametrize("asked", ["banana", "shape", "_repr_html_", "_state", "__array__", "x"])
def test_others_are_refused_without_a_guess(job: Job, asked: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute") as raised:
        getattr(job, asked)
    assert "did you mean" not in str(raised.value)
    assert not hasattr(job, asked)
