"""``kit.load``: a worker's file as a notebook, and that notebook as a worker again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import textwrap
import tokenize
from pathlib import Path
from typing import Any

import nbformat
import pytest

from kit.cli import main
from kit.errors import UsageError
from kit.source.cut import cut
from kit.workerfile import load_file
from tests.loaded_files import PROJECTS, Project

ROOT = Path(__file__).resolve().parent.parent
SMALL = "import runpod\n\n\ndef handler(job):\n    return 1\n\n\nrunpod.serverless.start({'handler': handler})\n"


def code(path: Path) -> str:
    """All code cells of a notebook, one below the other."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def written(folder: Path, source: str, name: str = "handler.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(source))
    return path


# -- there and back --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Each project as its file, as the jobs of its notebook, and as exported from that."""
    folder = tmp_path_factory.mktemp("projects")
    given = folder / "projects.json"
    given.write_text(
        json.dumps(
            [
                {
                    "source": p.worker.source,
                    "inputs": p.worker.inputs,
                    "files": p.files,
                    "env": p.env,
                }
                for p in PROJECTS
            ]
        )
    )
    command = [sys.executable, "-m", "tests.roundtrip", str(given), str(folder)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    results: list[dict[str, Any]] = json.loads(ran.stdout.splitlines()[-1])
    for number, result in enumerate(results):
        path = folder / str(number) / "exported" / "handler.py"
        result["text"] = path.read_text() if path.exists() else ""
    return results


@pytest.mark.kernel
@pytest.mark.parametrize("index", range(len(PROJECTS)), ids=lambda i: PROJECTS[i].worker.name)
def test_a_file_its_notebook_and_the_export_of_that_post_the_same(
    told: list[dict[str, Any]], index: int
) -> None:
    result, project = told[index], PROJECTS[index]
    for step in ("file", "notebook", "exported"):
        assert result[step] is not None
        assert "error" not in result[step], result[step]["error"]
    file, notebook, exported = (result[s]["value"] for s in ("file", "notebook", "exported"))
    assert len(file["wires"]) == len(project.worker.inputs)
    assert notebook["wires"] == file["wires"]
    assert exported["wires"] == file["wires"]
    assert exported["options"] == file["options"]
    for fragment in project.worker.keep:
        assert fragment in result["text"]
    assert notebook["cells"][-1] == "handler"


def test_there_are_enough_of_them() -> None:
    assert len(PROJECTS) >= 20
    assert len({p.worker.name for p in PROJECTS}) == len(PROJECTS)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda p: p.worker.name)
def test_every_line_and_comment_is_in_a_cell(project: Project, tmp_path: Path) -> None:
    path = written(tmp_path, project.worker.source)
    loaded = load_file(path)
    notebook = nbformat.read(loaded.path, as_version=4)
    told = "\n".join(cell.source for cell in notebook.cells)
    have = [line.strip() for line in told.split("\n")]
    source = path.read_text()
    opened = ("if __name__ ==", "def main():", '"""Starts it."""', "main()")
    about = cut(source).about
    for line in source.split("\n"):
        if line.strip() and not line.strip().startswith(opened) and about not in line:
            assert have.count(line.strip()) >= 1, line
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            assert token.string in told
    assert load_file(path, overwrite=True) == loaded
    assert nbformat.read(loaded.path, as_version=4) == notebook


# -- what a person gets ----------------------------------------------------------------------------


def test_cells_are_what_a_person_would_have_typed_into_which(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '''
        """Finds words.

        In texts.
        """
        import os
        import runpod

        # how many
        LIMIT = int(os.environ.get("KIT_T_LIMIT", 3))


        class Finder:
            def setup(self):
                self.ready = True


        FINDER = Finder()
        FINDER.setup()


        def handler(job):
            return job["input"]


        runpod.serverless.start({"handler": handler, "refresh_worker": True})
        ''',
    )
    (tmp_path / "test_input.json").write_text('{"input": {"a": 1}}')
    loaded = load_file(path)
    assert loaded.path == tmp_path / "handler.ipynb"
    assert loaded.cells == ("imports", "config", "helpers", "model", "handler")
    notebook = nbformat.read(loaded.path, as_version=4)
    about, kit, *cells = [cell.source for cell in notebook.cells]
    assert about.startswith("# handler.py\n\nFinds words.\n\nIn texts.\n")
    assert kit == "%load_ext kit"
    assert cells[0] == "import os\nimport runpod"
    assert cells[1].startswith("# how many\nLIMIT")
    assert cells[3] == "FINDER = Finder()\nFINDER.setup()"
    assert cells[4].startswith("%%handler --input-file test_input.json\ndef handler(job):")
    assert '"refresh_worker": True' in cells[4]
    assert [cell.id for cell in notebook.cells][2:] == list(loaded.cells)


def test_it_shows_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, SMALL, "a & <b>.py")
    loaded = load_file(path)
    assert str(loaded.path) in repr(loaded)
    page = loaded._repr_mimebundle_()["text/html"]
    assert "<a" not in page
    assert "<b>" not in page
    monkeypatch.chdir(tmp_path)
    page = loaded._repr_mimebundle_()["text/html"]
    assert '<a href="a%20%26%20%3Cb%3E.ipynb"' in page
    assert "<b>" not in page


def test_a_notebook_in_the_way_is_not_touched(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    mine = tmp_path / "handler.ipynb"
    mine.write_text("my own")
    with pytest.raises(UsageError, match=r"handler\.ipynb is there already"):
        load_file(path)
    assert mine.read_text() == "my own"
    other = load_file(path, tmp_path / "other.ipynb")
    assert "%%handler" in code(other.path)
    load_file(path, overwrite=True)
    assert "%%handler" in code(mine)
    assert path.read_text() == SMALL
    assert {p.name for p in tmp_path.iterdir()} == {"handler.py", "handler.ipynb", "other.ipynb"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "handler.py",
            b"def handler(job)\n    return 1\n",
            "no Python that could be loaded, line 1",
        ),
        ("handler.py", b"x = 1\n", r"does not call runpod\.serverless\.start"),
        ("handler.py", b"\xff\xfe\x00", "no Python that could be loaded"),
        ("handler.py", b"x = '\x00'\n", "no Python that could be loaded"),
        ("handler.py", b"# coding: klingon\nx = 1\n", "no Python that could be loaded"),
        ("handler.py", b"(" * 5_000, "no Python that could be loaded"),
        (None, b"", "cannot be read"),
    ],
)
def test_what_is_no_worker_is_refused_in_one_sentence(
    tmp_path: Path, name: str | None, content: bytes, sentence: str
) -> None:
    if name is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=sentence) as told:
        load_file(tmp_path)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.glob("*.ipynb"))


def test_encodings_and_line_ends(tmp_path: Path) -> None:
    text = "# -*- coding: latin-1 -*-\r\n# gr\u00fcn\r\n" + SMALL.replace("\n", "\r\n")
    (tmp_path / "handler.py").write_bytes(text.encode("latin-1"))
    told = code(load_file(tmp_path).path)
    assert "# gr\u00fcn\n" in told
    assert "\r" not in told


def test_a_local_of_main_that_means_something_else_stays_where_it_is() -> None:
    source = textwrap.dedent(
        """
        import runpod

        config = {"a": 1}

        def handler(job):
            return config

        def main():
            config = {"handler": handler}
            runpod.serverless.start(config)

        main()
        """
    )
    handler = cut(source).pieces[-1].text
    assert "def main():\n    config = " in handler
    assert handler.endswith("main()")


def test_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, SMALL)
    assert main(["load", str(path)]) == 0
    assert "handler.ipynb: handler.py as cells (imports, handler)" in capsys.readouterr().out
    assert main(["load", str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["load", str(path), "--overwrite"]) == 0
    assert main(["load", str(path), "-o", str(tmp_path / "x.ipynb")]) == 0
    assert (tmp_path / "x.ipynb").read_bytes() == (tmp_path / "handler.ipynb").read_bytes()
    assert main(["load", str(path), "-o", str(tmp_path / "x.txt")]) == 2
