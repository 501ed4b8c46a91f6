"""RunPod's own clients and plain curl against ``kit serve`` and ``kit.serve()``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulating import none_left, write_handler

pytestmark = pytest.mark.sdk
ROOT = Path(__file__).resolve().parents[2]

HANDLER = '''
import asyncio

async def handler(job):
    """Streams as many words as asked for."""
    n = job["input"]["n"]
    if n < 0:
        await asyncio.sleep(1000)
    for i in range(n):
        yield f"word {i}"
'''
CLIENT = """
import asyncio, json, sys
import runpod
from runpod import AsyncioEndpoint, AsyncioJob
from runpod.http_client import AsyncClientSession

name, key = sys.argv[1:]
endpoint = runpod.Endpoint(name, api_key=key)
told = {}
told["sync"] = endpoint.run_sync({"input": {"n": 2}}, timeout=60)
job = endpoint.run({"n": 3})
told["stream"] = list(job.stream())
told["output"] = job.output(timeout=30)
told["status"] = job.status()
stuck = endpoint.run({"n": -1})
while stuck.status() != "IN_PROGRESS":
    pass
told["cancel"] = stuck.cancel()["status"]
told["cancelled"] = stuck.status()
told["purge"] = endpoint.purge_queue()
told["health"] = endpoint.health()

async def main():
    async with AsyncClientSession() as session:
        endpoint = AsyncioEndpoint(name, session, api_key=key)
        job = await endpoint.run({"n": 1})
        told["async output"] = await job.output(60)
        job = await endpoint.run({"n": 2})
        told["async stream"] = [chunk async for chunk in job.stream()]
        told["async health"] = sorted(await endpoint.health())
asyncio.run(main())
try:
    runpod.Endpoint(name, api_key="wrong").run_sync({"n": 1})
except RuntimeError as exc:
    told["wrong key"] = str(exc)[:16]
print(json.dumps(told))
"""


def kit(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kit.cli", *arguments], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_handler(tmp_path / "my worker", HANDLER, ', "return_aggregate_stream": True')


@pytest.fixture
def served(folder: Path) -> Iterator[dict[str, str]]:
    process = kit("serve", str(folder), "--json", "--idle-timeout", "60")
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert time.monotonic() - began < 10
    assert none_left(str(folder))


def test_the_sdk_s_clients_work_unmodified(served: dict[str, str]) -> None:
    env = {**os.environ, "RUNPOD_ENDPOINT_BASE_URL": served["base"]}
    ran = subprocess.run(
        [sys.executable, "-c", CLIENT, served["endpoint_id"], served["api_key"]],
        env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    words = [f"word {i}" for i in range(3)]
    assert told == {
        "sync": words[:2],
        "stream": words,
        "output": words,
        "status": "COMPLETED",
        "cancel": "CANCELLED",
        "cancelled": "CANCELLED",
        "purge": {"removed": 0, "status": "completed"},
        "health": told["health"],
        "async output": words[:1],
        "async stream": words[:2],
        "async health": ["jobs", "workers"],
        "wrong key": "401 Unauthorized",
    }
    assert told["health"]["jobs"]["completed"] == 2


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_what_kit_serve_prints_works_as_it_stands(folder: Path) -> None:
    (folder / "test_input.json").write_text(json.dumps({"input": {"n": 2}}))
    process = kit("serve", str(folder))
    assert process.stdout is not None
    try:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline().rstrip("\n"))
        assert lines[0].startswith("endpoint  http://127.0.0.1:")
        assert lines[0].endswith("/v2/my-worker")
        assert lines[1].startswith("api key   ")
        curl = next(line for line in lines if line.startswith("curl "))
        told = json.loads(subprocess.check_output(["bash", "-c", curl], text=True))
        assert told["output"] == ["word 0", "word 1"]
        start = lines.index("import os")
        snippet = "\n".join(lines[start : lines.index("", start)])
        shown = subprocess.check_output([sys.executable, "-c", snippet], text=True)
        assert shown.strip() == "['word 0', 'word 1']"
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert none_left(str(folder))


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["serve", "nowhere"], ["nonsense"], ["serve", ".", "--port", "x"],
                  ["serve", "{folder}", "--workers-max", "0"]],
)  # fmt: skip
def test_usage_is_2(arguments: list[str], folder: Path) -> None:
    process = kit(*[a.format(folder=folder) for a in arguments])
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors.strip()
    assert "Traceback" not in errors


def test_logs_are_kept_per_job(tmp_path: Path) -> None:
    from kit.serving import serve_folder
    from tests.test_serving import ask

    source = (
        "import os\nprint('loading')\ndef handler(job):\n    print('job', job['input'])\n"
        "    os.write(1, b'x' * job['input'])\n"
    )
    folder = write_handler(tmp_path / "w", source)
    with serve_folder(folder, host="127.0.0.1", port=0) as serving:
        small = ask(serving, "POST", "runsync", {"input": 3})["id"]
        large = ask(serving, "POST", "runsync", {"input": 2_000_000})["id"]
        assert serving.logs(small) == "job 3\nxxx"
        text = serving.logs(large)
        assert len(text) < 140_000
        assert "characters are not kept" in text
        assert "loading" in serving.logs()
        assert serving.logs("nobody") == ""
        assert len(serving.cold_starts) == 1
