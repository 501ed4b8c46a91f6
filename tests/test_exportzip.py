"""The ``RunPod_worker`` exporter: by nbconvert's command, and from a real Jupyter server."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from kit import __version__
from kit.errors import ExportError
from kit.exportzip import UNPROVEN, bundle_files, packed
from kit.savedbook import read_book
from tests.executed import call, load
from tests.loaded_files import PROJECTS

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "only-for-this-test"
CELLS = (
    "%load_ext kit\nimport kit\nimport json, sys",
    "from words import TABLE\nSCALE = 3\nSCALE",
    "SCALE += 1",
    "!nvidia-smi",
    '%%handler --aggregate --input {"n": 2}\ndef handler(job):\n    yield json.dumps(SCALE * job["input"]["n"] + len(TABLE))',
    "job = kit.run({'n': 5})\nawait job",
    "def other(job):\n    return 1",
)


def book(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.cells.insert(2, nbformat.v4.new_markdown_cell("words"))
    nbformat.write(notebook, path)
    return path


def files_of(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def check(files: dict[str, str]) -> None:
    """The worker of ``CELLS``."""
    assert {"handler.py", "words.py", "requirements.txt", "Dockerfile", "README.md"} <= set(files)
    text = files["handler.py"]
    assert "Exported from my_work.ipynb" in text
    assert "SCALE += 1" in text
    assert '"return_aggregate_stream": True' in text
    assert "kit" not in text.replace("handler-kit", "")
    assert "other" not in text
    assert files["README.md"].splitlines()[2].startswith(f"> {UNPROVEN}.")
    assert "not verified: run kit.export() for the proven bundle" in files["README.md"]
    assert json.loads(files["test_input.json"]) == {"input": {"n": 2}}
    assert "handler.py test_input.json" in files["Dockerfile"]
    assert '"n": 2' in files["README.md"]
    assert "so there is no example" not in files["README.md"]
    sys.modules.pop("words", None)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with notebooks, good and bad."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "words.py").write_text("TABLE = [1, 2]\n")
    book(folder / "my_work.ipynb", *CELLS)
    handler = "%%handler\ndef handler(job):\n    return model(job)"
    book(folder / "unresolved.ipynb", "import json", handler)
    book(folder / "none.ipynb", "x = 1")
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which this checkout counts as installed: its entry points are found."""
    site = tmp_path_factory.mktemp("site")
    info = site / f"handler_kit-{__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: handler-kit\nVersion: {__version__}\n"
    )
    told = (ROOT / "pyproject.toml").read_text()
    [points] = re.findall(
        r'\[project\.entry-points\."(nbconvert\.exporters)"\]\n((?:\w.*\n)+)', told
    )
    (info / "entry_points.txt").write_text(f"[{points[0]}]\n{points[1].replace(chr(34), '')}")
    home = tmp_path_factory.mktemp("home")
    folders = {f"JUPYTER_{n}_DIR": str(home / n.lower()) for n in ("CONFIG", "DATA", "RUNTIME")}
    return {**os.environ, **folders, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}


def nbconvert(env: dict[str, str], cwd: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nbconvert", "--to", "RunPod_worker", *words]
    return subprocess.Popen(command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)


def test_the_command(work: Path, installed: dict[str, str], tmp_path: Path) -> None:
    before = (work / "my_work.ipynb").read_bytes()
    # from another folder: what lies beside the notebook is found all the same
    ran = nbconvert(installed, tmp_path, str(work / "my_work.ipynb"), f"--output-dir={tmp_path}")
    refused = nbconvert(installed, tmp_path, str(work / "none.ipynb"))  # at the same time
    said = refused.communicate(timeout=120)[1]
    told = ran.communicate(timeout=120)[1]
    assert ran.returncode == 0, told
    check(files_of((tmp_path / "my_work.zip").read_bytes()))
    assert (work / "my_work.ipynb").read_bytes() == before
    assert {path.name for path in work.iterdir() if path.suffix} == {
        "words.py", "my_work.ipynb", "unresolved.ipynb", "none.ipynb",
    }  # fmt: skip
    assert refused.returncode == 1
    *_, last = said.splitlines()
    assert "none.ipynb makes no worker: no cell of this notebook registers a handler: put" in last
    assert "Traceback" not in said


# -- in a Jupyter server -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(
    work: Path, installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0"]
    command += [
        "--ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={work}",
    ]
    command += ["--ServerApp.jpserver_extensions={}"]
    log = tmp_path_factory.mktemp("log") / "stderr"
    with log.open("w") as said:
        running = subprocess.Popen(command, cwd=work, env=installed, stderr=said)
    try:
        yield until_it_answers(running, log)
    finally:
        running.terminate()
        running.wait(60)


def until_it_answers(running: subprocess.Popen[bytes], log: Path) -> str:
    """Its address; it says where it listens shortly before it does."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        try:
            if found and get(f"{found[0]}/api")[0] == 200:
                return found[0]
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the server did not start\n{log.read_text()}")


def get(url: str) -> tuple[int, bytes, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"token {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=120) as told:
            return told.status, told.read(), told.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), ""


def test_the_address_behind_the_menu(server: str, installed: dict[str, str]) -> None:
    status, listed, _ = get(f"{server}/api/nbconvert")
    assert status == 200
    assert json.loads(listed)["RunPod_worker"] == {"output_mimetype": "application/zip"}
    address = f"{server}/nbconvert/RunPod_worker/my_work.ipynb?download=true"
    status, first, kind = get(address)
    assert status == 200
    assert kind.startswith("application/zip")
    check(files_of(first))
    assert get(address)[1] == first, "the same notebook, the same bytes"
    status, page, _ = get(f"{server}/nbconvert/RunPod_worker/unresolved.ipynb?download=true")
    assert status == 500
    assert b"unresolved.ipynb makes no worker: the file would not have" in page
    assert b"`model` (used in code cell 2, line 2)" in page
    assert b"no cell of the notebook defines it. Define it in plain code in a cell, save" in page
    status, page, _ = get(f"{server}/nbconvert/RunPod_worker/none.ipynb?download=true")
    assert status == 500
    assert b"no cell of this notebook registers a handler" in page


# -- without running anything --------------------------------------------------------------------


def test_the_worker_answers_as_the_notebook_would(work: Path) -> None:
    notebook = nbformat.read(work / "my_work.ipynb", as_version=4)
    files = bundle_files(notebook, "my_work.ipynb", work)
    sys.path.insert(0, str(work))
    try:
        exported = load(files["handler.py"].decode())
        assert call(exported, "handler", {"n": 2}) == ["10"]
    finally:
        sys.path.remove(str(work))
        sys.modules.pop("words", None)
    assert packed(files) == packed(dict(reversed(files.items())))


@pytest.mark.parametrize("index", range(len(PROJECTS)), ids=lambda i: PROJECTS[i].worker.name)
def test_a_pasted_worker_is_known_without_running_it(index: int) -> None:
    worker = PROJECTS[index].worker
    found = read_book(["x = 1", worker.source, "print(x)"])
    assert found.handler.cell == 2
    compile(found.handler.expression, "x", "eval")
    for fragment in worker.keep:
        if fragment.startswith('"return_aggregate'):
            assert ("return_aggregate_stream", "True") in found.handler.options


@pytest.mark.parametrize(
    ("cells", "expression", "options"),
    [
        (["%%handler\ndef only(job): pass\ndef two(a, b): pass"], "only", ()),
        (["%%handler make(1) --refresh\nx = 1"], "make(1)", (("refresh_worker", "True"),)),
        (
            ["%%handler\ndef a(job): pass", "%%handler\ndef b(job): pass", "def c(job): pass"],
            "b",
            (),
        ),
        (["%%handler\nhandler = partial(f, 1)\ndef g(job): pass"], "handler", ()),
        (
            ["%%handler --concurrency 2\n%time x = 1\n!ls\ndef a(job): pass"],
            "a",
            (("concurrency_modifier", "lambda current: 2"),),
        ),
    ],
)
def test_which_function_is_the_handler(
    cells: list[str], expression: str, options: tuple[tuple[str, str], ...]
) -> None:
    found = read_book(cells).handler
    assert (found.expression, found.options) == (expression, options)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([], "no cell of this notebook registers a handler"),
        (
            ["%%handler\ndef a(job): pass\ndef b(job): pass"],
            r"code cell 1 .*any of a, b could be it",
        ),
        (["1", "%%handler\nx = 1"], r"code cell 2 .*it defines none"),
        (["%%handler --nope\ndef a(job): pass"], "code cell 1: %%handler has no option --nope"),
    ],
)
def test_what_cannot_be_told_is_said_with_its_cell(cells: list[str], sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence):
        read_book(cells)
