"""A whole export where it must not go: nothing outside is written or read, and the sentence is clear."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kit.errors import ExportError
from kit.export import Bundle, ExportRequest, export
from kit.export.place import MANIFEST
from tests.exporting import done, request_of
from tests.test_write import ALLOWED, REFUSED, sandbox, tree  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> ExportRequest:
    book = done("DATA = 'notes.txt'", "%%handler\ndef handler(job): return DATA")
    request = request_of(book, tmp_path_factory.mktemp("x"), [1])
    return dataclasses.replace(request, verify=False)


@pytest.mark.usefixtures("sandbox")
def test_whole_exports_to_hostile_targets(tmp_path: Path, request_: ExportRequest) -> None:
    for target in REFUSED:
        before = tree(tmp_path)
        with pytest.raises(ExportError) as refused:
            export(dataclasses.replace(request_, path=Path(target)))
        assert str(refused.value).isprintable(), target
        assert tree(tmp_path) == before, target
    rng = random.Random(3)
    for target in rng.sample(ALLOWED, 6):
        before = {k: v for k, v in tree(tmp_path).items() if not k.startswith("out/")}
        export(dataclasses.replace(request_, path=Path(target)))
        after = {k: v for k, v in tree(tmp_path).items() if not k.startswith("out/")}
        assert after == before, target


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, request_: ExportRequest) -> Bundle:
    return export(dataclasses.replace(request_, path=tmp_path_factory.mktemp("p") / "plain"))


NAMES = [
    "", "..", "../../x", "a/b", "a\nb", "\0", "$(id)", "`id`", "'", '"', "\\", "x" * 4000, "\ud800", "\u202e", "é", "-rf",
    "{x}", "%s", "# syntax=x", "</script>", '"""', "con", ".", "CMD [\"id\"]", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda n: repr(n)[:20])
def test_hostile_names_of_handler_and_notebook(
    tmp_path: Path, request_: ExportRequest, plain: Bundle, name: str
) -> None:
    version = dataclasses.replace(request_.handler, name=name)
    bundle = export(
        dataclasses.replace(
            request_, path=tmp_path / "w", handler=version, notebook=f"{name}.ipynb"
        )
    )
    assert {p.name for p in tmp_path.iterdir()} == {"w"}
    assert bundle.files == plain.files
    for file in ("Dockerfile", "requirements.txt", "test_input.json"):
        assert (tmp_path / "w" / file).read_bytes() == (plain.path / file).read_bytes()
    compile((tmp_path / "w" / "handler.py").read_bytes(), "handler.py", "exec")
    assert (tmp_path / "w" / MANIFEST).exists()
    repr(bundle)


def test_a_disk_that_cannot_be_written_leaves_the_old_bundle(
    tmp_path: Path, request_: ExportRequest
) -> None:
    """As another user than root, in a child: the folder is read-only, and then the old one is whole."""
    request = dataclasses.replace(request_, path=tmp_path / "w")
    export(request)
    before = tree(tmp_path)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from kit.errors import ExportError\n"
        "from kit.export.place import place_of\n"
        "from kit.export.write import write_bundle\n"
        "if os.geteuid() == 0:\n"
        "    os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    write_bundle(place_of(Path(sys.argv[1])), {'handler.py': 'new'}, {}, overwrite=True)\n"
        "except ExportError as exc:\n"
        "    print(exc)\n"
    )
    for parent in tmp_path.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    tmp_path.chmod(0o555)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w")],
        capture_output=True, text=True, env=environment, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    tmp_path.chmod(0o755)
    assert told.returncode == 0, told.stderr
    assert "cannot be written (Permission denied" in told.stdout
    assert "Nothing was changed." in told.stdout
    assert tree(tmp_path) == before


def test_half_a_character_in_a_recorded_input_is_written_as_json_escapes_it(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return len(job['input'])")
    request = request_of(book, tmp_path / "w", ["a\ud800b"], verify=False)
    export(request)
    for name in ("test_input.json", ".runpod/tests.json", ".github/tests.json"):
        value = json.loads((tmp_path / "w" / name).read_text("utf-8"))
        while not isinstance(value, str):
            value = value[0] if isinstance(value, list) else value.get("tests", value.get("input"))
        assert value == "a\ud800b"
