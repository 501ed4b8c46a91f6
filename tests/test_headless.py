"""``kit export notebook.ipynb``: real kernels, real workers, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from kit.cli import main
from kit.errors import UsageError

pytestmark = pytest.mark.kernel

GOOD = (
    "%load_ext kit\nimport json",
    "N = 1",
    "N = N + 1",
    "N = N + 1",
    "OFFSET = 100\nprint(json.load(open('offset.json')), 'loud' * 1000)",
    '%%handler --input {"x": 1}\ndef handler(job):\n    return {"n": N + OFFSET + job["input"]["x"]}',
    "job = kit.run({'x': 2})\nbroken = kit.run({})\njob.result(30)",
    "import time, threading\nlate = kit.run({'x': 3})",
)


def book(path: Path, *cells: str, language: str = "python") -> Path:
    notebook = nbformat.v4.new_notebook()
    spec = {"name": "python3", "display_name": "x", "language": language}
    notebook.metadata["kernelspec"] = spec
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("words"))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def export(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kit.cli", "export", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)


def test_a_notebook_is_run_in_its_own_folder_and_its_handler_proven(tmp_path: Path) -> None:
    path = book(tmp_path / "deep" / "my.ipynb", *GOOD)
    (path.parent / "offset.json").write_text("100")
    before = path.read_bytes()
    ran = export("deep/my.ipynb", "-o", "out/worker", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["ok"]
    assert told["problems"] == []
    # the job without `x` fails, which kit.run leaves to the notebook
    assert told["jobs"] == {"COMPLETED": 3, "FAILED": 1}
    assert told["bundle"]["verdict"] == "equal"
    assert told["bundle"]["path"] == str(tmp_path / "out" / "worker")
    assert [cell["number"] for cell in told["cells"]] == list(range(1, len(GOOD) + 1))
    # a line for each cell, and nothing that they printed
    lines = ran.stderr.splitlines()
    assert [line.split("]")[0] for line in lines[:-1]] == [f"In [{n}" for n in range(1, 9)]
    assert "loud" * 30 not in ran.stderr
    text = (tmp_path / "out" / "worker" / "handler.py").read_text()
    assert text.count("N = N + 1") == 2, "two cells with the same source are two"
    assert "Exported from my.ipynb" in text
    assert path.read_bytes() == before
    assert {p.name for p in path.parent.iterdir()} == {"my.ipynb", "offset.json"}


def test_what_fails_is_said_with_its_cell(tmp_path: Path) -> None:
    worker = tmp_path / "worker"
    handler = '%%handler --input {}\ndef handler(job):\n    return job["input"]["x"]'
    ran = export(book(tmp_path / "a.ipynb", "%load_ext kit", handler), "--no-verify", cwd=tmp_path)
    assert ran.returncode == 1
    assert "kit export: the job of In [2] is FAILED: KeyError: 'x'." in ran.stderr
    assert "handler v1 exported to" in ran.stdout
    old = {path.name: path.read_bytes() for path in worker.rglob("*") if path.is_file()}

    ran = export(book(tmp_path / "b.ipynb", "x = 1", "y", "z = 2"), cwd=tmp_path)
    assert ran.returncode == 1
    assert "kit export: In [2] raised NameError: name 'y' is not defined." in ran.stderr
    assert "In [3]" not in ran.stderr
    assert ran.stdout == ""

    ran = export(book(tmp_path / "c.ipynb", "import os", "os._exit(3)"), cwd=tmp_path)
    assert ran.returncode == 1
    assert "In [2] ended the kernel" in ran.stderr
    assert {path.name: path.read_bytes() for path in worker.rglob("*") if path.is_file()} == old


def test_a_wrong_call_is_another_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.ipynb").write_text("{")
    (tmp_path / "handler.py").write_text("x = 1")
    julia = book(tmp_path / "j.ipynb", "1", language="julia")
    for arguments, sentence in (
        ([str(tmp_path / "none.ipynb")], "cannot be read: No such file"),
        ([str(tmp_path / "no.ipynb")], "is no notebook"),
        ([str(tmp_path / "handler.py")], "kit load"),
        ([str(julia)], "is for julia"),
        (
            [str(book(tmp_path / "k.ipynb", "1")), "--kernel", "klingon"],
            "no kernel called 'klingon'",
        ),
        ([str(julia), "--cell-timeout", "-1"], "not a number from 0 on"),
    ):
        assert main(["export", *arguments]) == 2, sentence
        assert sentence in capsys.readouterr().err
    handler = "%%handler\ndef handler(job):\n    return 1"
    two = [handler, handler.replace("handler(job)", "last(job)")]
    ran = export(book(tmp_path / "2.ipynb", *two), "-o", "two", "--no-verify", cwd=tmp_path)
    assert "the notebook has 2 handlers: `last`, the last, is exported" in ran.stderr
    assert "not `handler`; --handler NAME for another" in ran.stderr
    ran = export(book(tmp_path / "h.ipynb", handler), "--handler", "other", cwd=tmp_path)
    assert ran.returncode == 2
    assert "there is no handler called 'other'. Registered: handler." in ran.stderr
    assert not (tmp_path / "worker").exists()


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    path = book(tmp_path / "a.ipynb", "import os; open('pid', 'w').write(str(os.getpid()))",
                "import time; time.sleep(600)")  # fmt: skip
    command = [sys.executable, "-m", "kit.cli", "export", str(path)]
    running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    line = running.stderr.readline()
    assert line.startswith("In [1]")
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    running.send_signal(signal.SIGINT)
    told = running.communicate(timeout=60)[1]
    assert running.returncode == 130, told
    assert "Traceback" not in told
    deadline = time.monotonic() + 30
    while kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "worker").exists()


def test_without_nbclient_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "nbclient.py").write_text("raise ImportError('gone', name='nbclient')")
    path = book(tmp_path / "a.ipynb", "1")
    env: dict[str, Any] = {**os.environ}
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{env['PYTHONPATH']}"
    command = [sys.executable, "-m", "kit.cli", "export", str(path)]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "nbclient is not installed: `pip install nbclient`" in ran.stderr


def test_the_options_are_those_of_kit_export() -> None:
    import inspect

    import kit
    from kit.exportline import ExportWords, magic_parser, words_of

    assert set(ExportWords().keywords()) == set(inspect.signature(kit.export).parameters) - {"path"}
    words = "there --handler h --overwrite --no-verify --clean-env --files requirements,readme"
    words += " --base-image a/b:1 --env A=1 --env B=x=y --package ffmpeg --requirement numpy<2"
    given = magic_parser().parse_args(words.split())
    assert given.path == "there"
    assert words_of(given) == ExportWords(
        handler="h", overwrite=True, verify=False, clean_env=True,
        files=("requirements", "readme"), base_image="a/b:1", env={"A": "1", "B": "x=y"},
        packages=("ffmpeg",), requirements=("numpy<2",),
    )  # fmt: skip
    assert words_of(magic_parser().parse_args([])) == ExportWords()
    for wrong in (["--env", "A"], ["--overwrit"], ["a", "b"]):
        with pytest.raises(UsageError, match="See %kit export --help"):
            magic_parser().parse_args(wrong)
