"""A file that no worker could be made of is refused at once, not at the first request."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from kit.cli import main
from kit.errors import UsageError
from kit.serving import serve_folder
from kit.startcheck import check_start
from tests.loaded_files import PROJECTS, Project

START = "import runpod\nrunpod.serverless.start({'handler': lambda job: job['input']})\n"


@pytest.mark.parametrize("project", PROJECTS, ids=lambda p: p.worker.name)
def test_workers_pass(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "handler.py"
    path.write_text(project.worker.source)
    check_start(path)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"bad.py": "def handler(job)\n    return 1\n"},
            r"bad\.py is no Python, line 1: expected ':'",
        ),
        ({"bad.py": "x = '\0'\n"}, r"bad\.py is no Python"),
        ({"bad.py": "def handler(job):\n    return 1\n"}, r"never calls runpod\.serverless\.start"),
        (
            {"bad.py": "import other\nimport bad\n", "other.py": "from bad import x\n"},
            r"never calls runpod\.serverless\.start",
        ),
    ],
)
def test_what_cannot_start_is_refused(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=sentence) as told:
        serve_folder(tmp_path / "bad.py", host="127.0.0.1", port=0)
    assert "\n" not in str(told.value)
    assert main(["serve", str(tmp_path / "bad.py")]) == 2


@pytest.mark.parametrize(
    "files",
    [
        {"handler.py": "from app import main\nmain()\n", "app.py": f"def main():\n    {START.splitlines()[1]}\n"},
        {"handler.py": "import src.app\n", "src/__init__.py": "", "src/app.py": "from . import go\n", "src/go.py": START},
        {"handler.py": "from runpod.serverless import start as go\ngo({'handler': print})\n"},
        {"handler.py": "import runpy\nrunpy.run_path('x')\n"},
        {"handler.py": "from broken import *\n", "broken.py": "x = (\n"},
    ],
    ids=["imported", "package", "renamed", "unseen", "broken neighbour"],
)  # fmt: skip
def test_what_may_start_is_not(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    check_start(tmp_path / "handler.py")


@pytest.mark.sdk
def test_a_worker_s_file_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(START)
    with serve_folder(tmp_path / "app.py", host="127.0.0.1", port=0) as serving:
        request = urllib.request.Request(
            f"{serving.url}/runsync?wait=60000",
            json.dumps({"input": {"a": 1}}).encode(),
            {"Authorization": f"Bearer {serving.key}"},
        )
        with urllib.request.urlopen(request, timeout=90) as told:
            assert json.loads(told.read())["output"] == {"a": 1}
        assert "app.py in real workers" in repr(serving)
