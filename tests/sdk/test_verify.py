"""``kit.verify`` and ``kit test``: the notebook's jobs through a real worker, compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.errors import ExportError
from kit.export.inputs import inputs_beside
from tests.emulating import none_left, write_handler
from tests.notebook_kernel import Kernel, kernel_in

pytestmark = [pytest.mark.sdk, pytest.mark.kernel]
ROOT = Path(__file__).resolve().parents[2]

HANDLER = """%%handler scale --no-run
import runpod
FACTOR = 3

def scale(job):
    x = job["input"]
    if x == "progress":
        runpod.serverless.progress_update(job, {"at": 1})
        return "done"
    if x == "set":
        return {1}
    if x == "nan":
        return float("nan")
    if x == "text":
        raise ValueError("not a number")
    return {"scaled": x * FACTOR, "third": x / 3}
"""
REPORT = """
told = {"verdict": report.verdict, "why": report.reason, "seconds": report.seconds,
        "cold": report.cold_start_s, "passed": report.passed, "text": repr(report),
        "rows": [[r.state, r.result, r.path, r.reason] for r in report.rows]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nb")


@pytest.fixture(scope="module")
def kernel(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    home = tmp_path_factory.mktemp("home")
    os.environ["KIT_HOME"] = str(home)
    with kernel_in(folder) as kernel:
        kernel.run(HANDLER)
        kernel.run(
            "for x in ['progress', 'set', 'nan', 'text', *range(46)]:\n"
            "    kit.run(x)\n    kit.run(x)\n"
        )
        kernel.run("bundle = kit.export(verify=False)")
        yield kernel


def test_fifty_jobs_are_equal_within_the_time(kernel: Kernel, folder: Path) -> None:
    told = kernel.run("report = kit.verify()\n" + REPORT)
    assert told["verdict"] == "equal", told["text"]
    assert told["passed"]
    equal = [row for row in told["rows"] if row[1] == "equal"]
    assert len(equal) == 50
    assert {row[0] for row in equal} == {"COMPLETED", "FAILED"}
    assert ["COMPLETED", "completed", "", ""] in told["rows"]  # test_input.json
    # the model load counts apart
    assert told["seconds"] - told["cold"] < 15
    assert none_left(str(folder / "worker"))


def test_a_difference_is_found_and_a_tolerance_accepts_it(kernel: Kernel, folder: Path) -> None:
    file = folder / "worker" / "handler.py"
    text = file.read_text()
    try:
        file.write_text(text.replace("FACTOR = 3", "FACTOR = 3.0000000001"))
        told = kernel.run("report = kit.verify()\n" + REPORT)
        assert told["verdict"] == "different"
        assert any(row[2] == "done.output.scaled" for row in told["rows"])
        told = kernel.run("report = kit.verify(absolute=1e-6)\n" + REPORT)
        assert told["verdict"] == "equal", told["text"]
        file.write_text(text.replace("FACTOR = 3", "FACTOR = 4"))
        told = kernel.run("report = kit.verify(absolute=1e-6)\n" + REPORT)
        assert told["verdict"] == "different"
        file.write_text("raise RuntimeError('no weights')\n" + text)
        told = kernel.run("report = kit.verify()\n" + REPORT)
        assert told["verdict"] in ("different", "not verified")
        assert not told["passed"]
        assert "no weights" in told["text"]
    finally:
        file.write_text(text)


def test_export_ends_with_it(kernel: Kernel) -> None:
    told = kernel.run("report = kit.export('other').report\n" + REPORT)
    assert told["verdict"] == "equal", told["text"]
    assert "recorded jobs" in told["text"]
    assert told["cold"] > 0


def test_nothing_is_started_where_a_second_copy_does_not_fit(kernel: Kernel) -> None:
    told = kernel.run(
        """
from kit.events import Sample
import time
s = kit.api.session()
GIB = 2**30
s.store.append_samples([Sample(time.time(), "vram", 0, 20 * GIB, 24 * GIB, None)])
report = kit.verify()
"""
        + REPORT
    )
    assert told["verdict"] == "not verified"
    assert "20,480 MiB on GPU 0 and 4,096 MiB are free" in told["why"]
    assert told["seconds"] == 0


def kit_test(folder: Path, *options: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "kit.cli", "test", str(folder), *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout + ran.stderr


def test_kit_test_finds_the_recorded_jobs_of_a_bundle(
    kernel: Kernel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = kernel.run("told = os.environ['KIT_HOME']")
    monkeypatch.setenv("KIT_HOME", home)
    code, text = kit_test(folder / "worker")
    assert code == 0, text
    # the bundle's own tests are among the recorded jobs, and are not run twice
    assert "equal: 50 recorded jobs and 1 test input through a real worker" in text


@pytest.mark.parametrize(
    ("tests", "code", "says"),
    [
        ({"test_input.json": {"input": 2}}, 0, "completed: 1 test input"),
        ({"test_input.json": {"input": "x"}}, 1, "bad operand"),
        ({".runpod/tests.json": {"tests": [{"name": "two", "input": 2}]}}, 0, "1 test input"),
        ({".github/tests.json": [{"input": 2, "expected_output": -2.0000001}]}, 1, "expected_output"),
        ({".github/tests.json": [{"input": 2, "expected_output": -2}]}, 0, "completed"),
        ({}, 1, "not verified"),
        ({"test_input.json": []}, 1, "not an object"),
        (None, 2, "no handler.py"),
    ],
)  # fmt: skip
def test_exit_codes_fit_for_ci(
    tmp_path: Path, tests: dict[str, Any] | None, code: int, says: str
) -> None:
    worker = tmp_path / "w"
    worker.mkdir()
    if tests is not None:
        write_handler(worker, 'def handler(job):\n    return -job["input"]')
    for name, body in (tests or {}).items():
        (worker / name).parent.mkdir(exist_ok=True)
        (worker / name).write_text(json.dumps(body))
    began = time.monotonic()
    given, text = kit_test(worker)
    assert given == code, text
    assert time.monotonic() - began < 60
    assert says in text
    assert none_left(str(worker))


def test_a_handler_that_dies_takes_only_its_own_job(tmp_path: Path) -> None:
    source = (
        "import os\ndef handler(job):\n    if job['input'] == 2:\n        os._exit(7)\n"
        "    return job['input']"
    )
    folder = write_handler(tmp_path / "w", source)
    (folder / "tests.json").write_text(json.dumps([{"input": i} for i in range(5)]))
    code, text = kit_test(folder)
    assert code == 1
    assert "different: 1 of 5 test inputs, first in job tests.json: 2" in text
    assert "ended with code 7" in text


def test_broken_test_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "tests.json").write_text("{")
    with pytest.raises(ExportError, match=r"tests\.json cannot be read"):
        inputs_beside(tmp_path)
    (tmp_path / "tests.json").write_text('[{"in": 1}]')
    with pytest.raises(ExportError, match="test 0"):
        inputs_beside(tmp_path)
