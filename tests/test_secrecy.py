"""A key in the environment and in an exception reaches no file that a session writes."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from kit import api
from kit.errors import JobFailed
from kit.registration import Cell, register
from kit.request import make
from kit.session import Session
from kit.startoptions import Line

CANARY = "rpa_CANARY7Q2M9XK4T8V1W5Z3B6N0D"
CODE = """import os, sys
KEY = "CANARY"
def handler(job):
    print("using", os.environ["RUNPOD_API_KEY"])
    print("again", KEY, file=sys.stderr)
    if job["input"] == "exit":
        raise SystemExit(f"bad key {KEY}")
    raise ValueError(f"bad key {os.environ['RUNPOD_API_KEY']} {KEY}")
""".replace("CANARY", CANARY)
STREAM = CODE.replace("    raise ValueError", "    yield 1\n    raise ValueError")


@pytest.mark.parametrize("code", [CODE, STREAM], ids=["returns", "yields"])
def test_no_key_in_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", CANARY)
    session = Session(tmp_path / "journal.sqlite")
    space: dict[str, object] = {}
    exec(compile(code, "<cell>", "exec"), space)
    handler = register(Cell(code, code, 3), Line(), space)
    session.add(handler)
    job = session.intake.submit(make({"a": 1}))
    with pytest.raises(JobFailed) as failed:
        job.result(20)
    gone = session.intake.submit(make("exit"))
    with pytest.raises(JobFailed):
        gone.result(20)
    webhook = f"https://example.invalid/hook?token={CANARY}"
    request = {"input": 1, "webhook": webhook, "s3Config": {"accessSecret": CANARY}}
    with pytest.raises(JobFailed):
        session.intake.submit(make(request=request)).result(20)
    said = [str(failed.value), repr(job), str(job.error), job.logs, str(job.wire), str(gone.error)]
    session.close()
    assert "again" in job_logs(said)
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert len(written) > 10_000
    for form in (CANARY, base64.b64encode(CANARY.encode()).decode(), CANARY[::-1]):
        assert form.encode() not in written
        assert not any(form in text for text in said)
    assert CANARY in os.environ["RUNPOD_API_KEY"]
    assert api._session is None


def job_logs(said: list[str]) -> str:
    return said[3]
