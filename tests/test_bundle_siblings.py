"""Modules and data of the project travel with the handler: all it needs, and nothing it may not have."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.errors import ExportError
from kit.export import Bundle, export
from kit.export.project import is_plain, project_of
from kit.source.record import Cell
from tests.exporting import done, request_of
from tests.test_requirements import install

KEY = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"


class Project:
    """A folder with files, which is the working directory and on ``sys.path`` as in a kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, **files: str | bytes) -> None:
        for name, content in files.items():
            self.write(name, content)

    def write(self, name: str, content: str | bytes = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def export(self, *cells: str, inputs: tuple[object, ...] = (), **more: object) -> Bundle:
        request = request_of(done(*cells), self.folder / "worker", inputs, **more)
        return export(request)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Project(folder)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)) or not file:
            del sys.modules[name]


def copied(bundle: Bundle) -> set[str]:
    """What is in a bundle beside the files that every one has."""
    own = {
        *("handler.py", "requirements.txt", "Dockerfile", ".dockerignore", "README.md"),
        *("test_input.json", ".runpod/hub.json", ".runpod/tests.json", ".github/tests.json"),
        ".kit-export.json",
    }
    return set(bundle.files) - own


def notes(bundle: Bundle) -> str:
    return "\n".join(bundle.notes)


@pytest.mark.sdk
def test_a_project_with_packages_and_data_runs_as_a_worker(project: Project) -> None:
    """Transitive, relative and circular imports, a namespace, data of a package and by two kinds of path."""
    project.write("rp_schemas.py", "from tools_pkg import core\nLIMIT = core.LIMIT\n")
    project.write("tools_pkg/__init__.py", "from . import core\nfrom .deep.down import DOWN\n")
    project.write(
        "tools_pkg/core.py",
        "import json, pathlib\nimport tools_pkg, helpers_one\nHERE = pathlib.Path(__file__).parent\n"
        "TEXT = (HERE / 'templates' / 'a.txt').read_text()\n"
        "LABELS = json.loads(pathlib.Path('conf/labels.json').read_text())\nLIMIT = len(TEXT)\n"
        "def up(text):\n    from .late import late\n    return late(text) + LABELS[0] + helpers_one.NAME\n",
    )
    project.write("tools_pkg/late.py", "def late(text): return text.upper()\n")
    project.write("tools_pkg/unused.py", "import not_there_at_all\n")
    project.write("tools_pkg/deep/__init__.py")
    project.write("tools_pkg/deep/down.py", "from ..core import HERE\nDOWN = HERE.name\n")
    project.write("tools_pkg/templates/a.txt", "template")
    project.write("tools_pkg/templates/inner/b.bin", b"\0\xff")
    project.write("helpers_one.py", "import tools_pkg\nNAME = 'one'\n")
    project.write("spaced/part/leaf.py", "VALUE = 7\n")
    project.write("spaced/other/leaf.py", "import also_not_there\n")
    project.write("conf/labels.json", '["x"]')
    project.write("data/a.txt", "1")
    project.write("data/b c.txt", "2")
    bundle = project.export(
        "import os\nfrom rp_schemas import LIMIT\nfrom tools_pkg.core import up\nDATA = 'data'",
        """
        %%handler
        def handler(job):
            from spaced.part import leaf
            names = sorted(os.listdir(DATA))
            with open(f"data/{names[0]}") as file:
                return [up(job["input"]), LIMIT, leaf.VALUE, names, file.read()]
        """,
        inputs=("a",),
    )
    assert bundle.report.verdict == "equal", bundle
    assert copied(bundle) == {
        "rp_schemas.py", "tools_pkg/__init__.py", "tools_pkg/core.py", "tools_pkg/late.py",
        "tools_pkg/deep/__init__.py", "tools_pkg/deep/down.py", "tools_pkg/templates/a.txt",
        "tools_pkg/templates/inner/b.bin", "helpers_one.py", "spaced/part/leaf.py",
        "conf/labels.json", "data/a.txt", "data/b c.txt",
    }  # fmt: skip
    assert "is not copied" not in notes(bundle)
    docker = (bundle.path / "Dockerfile").read_text()
    for line in (
        "COPY tools_pkg/ /tools_pkg/",
        "COPY data/ /data/",
        "COPY handler.py helpers_one.py ",
    ):
        assert line in docker
    assert (bundle.path / "tools_pkg" / "templates" / "inner" / "b.bin").read_bytes() == b"\0\xff"


@pytest.mark.sdk
@pytest.mark.parametrize("kept", [True, False], ids=["its own sys.path line", "flat"])
def test_modules_under_src(project: Project, monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    project.write(
        "src/volume_part.py",
        "import pathlib\nTEXT = (pathlib.Path(__file__).parent / 'v.txt').read_text()\n",
    )
    project.write("src/v.txt", "volume")
    if kept:
        first = "import sys\nsys.path.insert(0, 'src')\nimport volume_part"
    else:
        monkeypatch.syspath_prepend(str(project.folder / "src"))
        first = "import volume_part"
    bundle = project.export(
        first, "%%handler\ndef handler(job): return volume_part.TEXT", inputs=(1,)
    )
    assert bundle.report.verdict == "equal", bundle
    where = "src/" if kept else ""
    assert copied(bundle) == {f"{where}volume_part.py", f"{where}v.txt"}


def test_a_notebook_below_the_top_of_its_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("lib_of_mine/__init__.py", "from .more import X\n")
    project.write("lib_of_mine/more.py", "X = 1\n")
    project.write("shared/x.json", "{}")
    (project.folder / "notebooks").mkdir()
    monkeypatch.chdir(project.folder / "notebooks")
    bundle = project.export(
        "from lib_of_mine import X",
        "%%handler\ndef handler(job):\n    if job['input']: open('../shared/x.json')\n    return X",
    )
    assert copied(bundle) == {"lib_of_mine/__init__.py", "lib_of_mine/more.py"}
    assert "`../shared/x.json` (handler.py, line" in notes(bundle)
    assert "lies above the folder" in notes(bundle)


def test_a_package_that_loads_its_parts_by_name_comes_whole(project: Project) -> None:
    project.write(
        "plugs/__init__.py",
        "import importlib\ndef load(n): return importlib.import_module(f'.{n}', __package__)\n",
    )
    project.write("plugs/one.py", "import pathlib\nfrom . import two\n")
    project.write(
        "plugs/two.py", "import importlib\nbase = importlib.import_module('plain_base')\n"
    )
    project.write("plugs/three/four.py", "")
    project.write("plain_base.py", "")
    bundle = project.export(
        "import plugs", "%%handler\ndef handler(job): return plugs.load('one').__name__"
    )
    assert copied(bundle) == {
        "plugs/__init__.py", "plugs/one.py", "plugs/two.py", "plugs/three/four.py", "plain_base.py",
    }  # fmt: skip
    named = project.export(
        "import importlib",
        "%%handler\ndef handler(job): return str(importlib.import_module(job['input']))",
    )
    assert "handler.py imports modules whose names only the running program knows" in notes(named)


# -- what never travels -------------------------------------------------------------------------


def test_nothing_hidden_nothing_linked_out_and_no_environment(
    project: Project, tmp_path: Path
) -> None:
    project.write(".env", "A=1")
    project.write("conf/.hidden", "x")
    project.write("conf/server.pem", "x")
    project.write("conf/credentials.json", "{}")
    project.write("conf/plain.txt", "x")
    (tmp_path / "outside.txt").write_text("outside")
    (project.folder / "conf" / "link.txt").symlink_to(tmp_path / "outside.txt")
    (project.folder / "conf" / "inner.txt").symlink_to("plain.txt")
    (project.folder / "conf" / "up").symlink_to(tmp_path, target_is_directory=True)
    (project.folder / "linked.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "outside.py").write_text("X = 1\n")
    project.write("venv/lib/python3.11/site-packages/in_venv.py", "X = 1\n")
    os.mkfifo(project.folder / "conf" / "pipe")
    sys.path.insert(0, str(project.folder / "venv/lib/python3.11/site-packages"))
    try:
        bundle = project.export(
            "import os, pathlib, in_venv, linked\nTEXT = pathlib.Path('.env').read_text()",
            "%%handler\ndef handler(job): return [TEXT, os.listdir('conf'), in_venv.X, linked.X]",
        )
    finally:
        sys.path.pop(0)
    assert copied(bundle) == {"conf/plain.txt", "conf/inner.txt"}
    told = notes(bundle)
    assert "`.env` (handler.py, line" in told
    assert "is hidden or may hold keys and is not copied" in told
    assert "`conf/server.pem` is hidden or may hold keys" in told
    assert "`conf/credentials.json` is hidden" in told
    assert "`conf/link.txt` is a link that leads outside of the project" in told
    assert "`conf/pipe` is neither a file nor a folder" in told
    assert "`linked`" in told
    for path in bundle.path.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or b"outside" not in path.read_bytes()


def test_a_key_in_a_module_refuses_and_in_data_stays_here(project: Project) -> None:
    project.write("with_key.py", f"TOKEN = '{KEY}'\n")
    with pytest.raises(ExportError) as refused:
        project.export("import with_key", "%%handler\ndef handler(job): return len(with_key.TOKEN)")
    assert "Hugging Face" in str(refused.value)
    assert "line 1 of with_key.py" in str(refused.value)
    assert KEY not in str(refused.value)
    assert not (project.folder / "worker").exists()
    project.write("with_key.py", f"TOKEN = '{KEY}'  # kit: not-a-secret\n")
    bundle = project.export(
        "import with_key", "%%handler\ndef handler(job): return len(with_key.TOKEN)"
    )
    assert "line 1 of with_key.py is written" in notes(bundle)
    project.write("data.json", f'{{"token": "{KEY}"}}')
    project.write("fine.json", "{}")
    bundle = project.export(
        "%%handler\ndef handler(job): return len(open('data.json').read() + open('fine.json').read())"
    )
    assert copied(bundle) == {"fine.json"}
    assert "data.json looks as if it held a key (Hugging Face" in notes(bundle)
    assert KEY not in notes(bundle)


def test_the_value_of_a_key_inside_binary_data_is_found(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_T_HF_TOKEN", "quite-a-plain-looking-value")
    project.write("w.bin", b"\xff\xfe\0quite-a-plain-looking-value\0")
    project.write("v.bin", os.urandom(5000))
    bundle = project.export(
        "%%handler\ndef handler(job): return [open('w.bin','rb').read(), open('v.bin','rb').read()]"
    )
    assert copied(bundle) == {"v.bin"}
    assert "w.bin looks as if it held a key (the value of KIT_T_HF_TOKEN)" in notes(bundle)


def test_what_is_large_is_told(project: Project) -> None:
    project.write("small.bin", b"\0" * 1000)
    project.write("large.bin", b"\0" * 21_000_000)
    project.write("folder/one.bin", b"\0" * 11_000_000)
    project.write("folder/two.bin", b"\0" * 11_000_000)
    for number in range(501):
        project.write(f"many/{number}")
    bundle = project.export(
        "import os\nfrom pathlib import Path",
        "%%handler\ndef handler(job): return [open('small.bin'), open('large.bin'), os.listdir('folder'), "
        "list(Path('many').iterdir())]",
    )
    assert copied(bundle) == {"small.bin"}
    told = notes(bundle)
    assert "large.bin (21.0 MB) would make the bundle larger than 20 MB" in told
    assert "the folder `folder` (handler.py" in told
    assert "holds 2 files of 22 MB" in told
    assert "the folder `many` (handler.py" in told


def test_words_writes_and_machine_paths_are_no_data(project: Project) -> None:
    for name in ("prompt", "result.csv", "out.png", "image", "there.txt", "seen.txt"):
        project.write(name, "x")
    (project.folder / "input").mkdir()
    project.write("input/secretive.txt", "x")
    bundle = project.export(
        f"HERE = '{project.folder}/there.txt'\nSEEN = 'seen.txt'",
        """
        %%handler
        def handler(job):
            '''prompt'''
            what = job["input"]["prompt"] if "image" in job else job.get("input")
            open("result.csv", "w").write("x")
            open("out.png", mode="wb")
            if what == "image" or {"prompt": 1}: return {"image": "prompt"}
            return [HERE, open(SEEN).read(), open("absent.txt").read()]
        """,
    )
    assert copied(bundle) == {"seen.txt"}
    told = notes(bundle)
    assert "`there.txt` (handler.py" in told
    assert "path of this machine" in told
    assert "`absent.txt` is read (handler.py" in told
    assert "does not exist here" in told


def test_names_that_an_image_cannot_copy_are_told(project: Project) -> None:
    for name in ("a$b.txt", "a*b.txt", "-rf.txt", "new\nline.txt", "quo'te.txt", "fine é.txt"):
        project.write(f"odd/{name}", "x")
    bundle = project.export("import os", "%%handler\ndef handler(job): return os.listdir('odd')")
    assert copied(bundle) == {"odd/fine é.txt"}
    assert all(note.isprintable() for note in bundle.notes)
    assert notes(bundle).count("has a name that an image cannot copy safely") == 5
    assert "COPY odd/ /odd/" in (bundle.path / "Dockerfile").read_text()
    assert not is_plain("a/../b")
    assert not is_plain("/etc/passwd")
    assert not is_plain("x" * 500)


def test_the_bundle_does_not_copy_itself(project: Project) -> None:
    cells = (
        "import os",
        "%%handler\ndef handler(job): return os.listdir('worker') if job['input'] else 1",
    )
    assert copied(project.export(*cells)) == set()
    again = project.export(*cells)
    assert copied(again) == set()
    assert "is a bundle itself" in notes(again)


def test_a_folder_that_the_image_has_itself_is_told(project: Project) -> None:
    project.write("lib/__init__.py", "X = 1\n")
    bundle = project.export("import lib", "%%handler\ndef handler(job): return lib.X")
    assert "the folder `lib` would be copied over the image's own /lib" in notes(bundle)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "broken_part.py",
            "def f(:\n",
            "broken_part.py, which the handler imports, cannot be used: ",
        ),
        ("handler.py", "X = 1\n", "is also the name of the exported file"),
    ],
)
def test_a_module_that_cannot_travel_refuses_with_a_sentence(
    project: Project, name: str, text: str, said: str
) -> None:
    good = project.write(name, "X = 1\n")
    top = name.removesuffix(".py")
    book = done(f"import {top} as it", "%%handler\ndef handler(job): return it.X")
    good.write_text(text)
    with pytest.raises(ExportError) as refused:
        export(request_of(book, project.folder / "worker"))
    assert said in str(refused.value)
    assert not (project.folder / "worker").exists()


def test_a_home_folder_under_version_control_is_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert project_of(tmp_path / "work" / "deep").root == tmp_path / "work" / "deep"
    (tmp_path / "work" / "pyproject.toml").write_text("")
    assert project_of(tmp_path / "work" / "deep").root == tmp_path / "work"
    assert project_of(tmp_path).root == tmp_path


def test_every_literal_way_to_name_a_file(project: Project) -> None:
    """One path a line; the odd ones out are no literals and must not break anything."""
    lines: list[Callable[[str], str]] = [
        lambda p: f"open({p!r})",
        lambda p: f"open(file={p!r})",
        lambda p: f"Path({p!r}).read_text()",
        lambda p: f"(Path('.') / {p!r}).open()",
        lambda p: f"Path('.', {p!r})",
        lambda p: f"Path().joinpath({p!r})",
        lambda p: f"os.path.join('d', {p[2:]!r})",
        lambda p: f"os.path.join(os.getcwd(), {p!r})",
        lambda p: f"str(Path.cwd() / {p!r})",
        lambda p: f"os.path.abspath({p!r})",
        lambda p: f"BASE / {p[2:]!r}",
        lambda p: f"np.load({p!r})",
        lambda p: f"Image.open({p!r})",
        lambda p: f"json.load(open({p!r}))",
        lambda p: f"dict(path={p!r})",
        lambda p: f"Path('d/x').with_name({p[2:]!r})",
        lambda p: f"[{p!r}]",
        lambda p: f"(lambda: {p!r})",
    ]
    body = ["import os, json", "from pathlib import Path", "BASE = Path('d')", "def touch():"]
    for number, line in enumerate(lines):
        name = f"d/{number}.txt"
        project.write(name, str(number))
        body.append(f"    yield {line(name)}")
    body += ["    yield Path(job) / 'x', open(f'{job}'), Path(), Path(3), os.path.join(), open()"]
    project.write("names_files.py", "\n".join(body) + "\n")
    bundle = project.export(
        "import names_files", "%%handler\ndef handler(job): return str(names_files)"
    )
    assert copied(bundle) == {"names_files.py", *(f"d/{n}.txt" for n in range(len(lines)))}


def test_the_projects_own_editable_install_is_copied_and_no_requirement(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("src/mine_pkg/__init__.py", "X = 1\n")
    site = tmp_path / "site"
    site.mkdir()
    origin = {"url": project.folder.as_uri(), "dir_info": {"editable": True}}
    install(site, "mine-dist", "0.1", {"__editable__.pth": str(project.folder / "src")}, origin)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(project.folder / "src"))
    bundle = project.export("from mine_pkg import X", "%%handler\ndef handler(job): return X")
    assert copied(bundle) == {"mine_pkg/__init__.py"}
    assert "mine" not in (bundle.path / "requirements.txt").read_text()


def test_a_package_with_very_much_data_is_told(project: Project) -> None:
    project.write("data_pkg/__init__.py", "X = 1\n")
    for number in range(600):
        project.write(f"data_pkg/files/{number}.txt")
    bundle = project.export("import data_pkg", "%%handler\ndef handler(job): return data_pkg.X")
    assert copied(bundle) == {"data_pkg/__init__.py"}
    assert "data_pkg/files holds more than 500 files" in notes(bundle)


def test_a_file_that_a_cell_wrote_and_that_goes_along_is_no_question(project: Project) -> None:
    project.write("kit_t_written.py", "def up(x): return x + 1\n")
    book = done("import kit_t_written", "%%handler\ndef handler(job): return kit_t_written.up(1)")
    for number, name in enumerate(("kit_t_written.py", "notes.txt", '"'), 10):
        book.record.add(Cell(number, name, f"%%writefile -a {name}\nx", True, 1.0))
    bundle = export(request_of(book, project.folder / "worker"))
    fates = {d.statement.magic.line: d for d in bundle.dropped if d.statement.magic is not None}
    assert fates["-a kit_t_written.py"].reason == "wrote `kit_t_written.py`, which goes along"
    assert [line for line, d in fates.items() if d.question] == ["-a notes.txt", '-a "']
