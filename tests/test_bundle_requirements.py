"""requirements.txt beyond plain imports: builds and their index, origins, pip lines, what nobody imports."""

from __future__ import annotations

import ast
import importlib.metadata
import random
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kit.export.indexes import TORCH_INDEX, index_of, is_plain_url
from kit.export.owners import owners
from kit.export.piplines import Wish, wishes_of
from kit.export.requirements import Requirements, requirements
from tests.test_requirements import install, version


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed distributions that this interpreter sees."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def lines(found: Requirements) -> list[str]:
    """Without runpod's, which is always there."""
    return [line for line in found.text.splitlines() if not line.startswith("runpod")]


def asked(source: str, *pip_lines: str, **more: object) -> Requirements:
    return requirements([ast.parse(source)], wishes=wishes_of(pip_lines), **more)  # type: ignore[arg-type]


# -- builds -------------------------------------------------------------------------------------


def test_a_build_of_torch_names_its_index(site: Path) -> None:
    install(site, "torch", "2.6.0+cu124", {"torch/__init__.py": ""})
    install(site, "torchvision", "0.21.0+cu124", {"torchvision/__init__.py": ""})
    found = requirements("import torch, torchvision")
    assert lines(found) == [
        f"--extra-index-url {TORCH_INDEX}cu124", "torch==2.6.0+cu124", "torchvision==0.21.0+cu124",
    ]  # fmt: skip
    assert found.notes == ()


@pytest.mark.parametrize("build", ["cpu", "cu118", "rocm6.2", "xpu"])
def test_the_builds_that_pytorch_has(site: Path, build: str) -> None:
    assert index_of("torch", build, ()) == f"{TORCH_INDEX}{build}"
    for hostile in ("cu124\n-r x", "cu 124", "../x", "git1a2b3c", "cu124 --pre", "CPU", ""):
        assert index_of("torch", hostile, ()) == ""
    assert index_of("numpy", build, ()) == ""


def test_an_index_of_the_notebooks_own_pip_line_or_of_pips_configuration(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "fastthing", "1.0+cu121", {"fastthing.py": ""})
    assert any("local build" in note for note in requirements("import fastthing").notes)
    mine = "https://wheels.example.org/whl/cu121"
    found = asked("import fastthing", f"fastthing --index-url {mine}", "-q other-one==2")
    assert lines(found)[:2] == [f"--extra-index-url {mine}", "fastthing==1.0+cu121"]
    monkeypatch.setenv(
        "PIP_EXTRA_INDEX_URL",
        "https://user:pw@private.example.org/cu121 https://pip.example.org/cu121/",
    )
    assert lines(requirements("import fastthing")) == [
        "--extra-index-url https://pip.example.org/cu121/", "fastthing==1.0+cu121",
    ]  # fmt: skip
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://pip.example.org/simple")
    assert "--extra-index-url" not in requirements("import fastthing").text


def test_urls_that_may_be_written() -> None:
    assert is_plain_url("https://download.example.org:8443/whl/cu124/")
    for url in ("http://x.org/a", "https://u:p@x.org/a", "https://x.org/a?token=b", "https://x.org/a b", "file:///a", "https://x.org/a\n-r b", "https://x.org/$(id)", "https://"):  # fmt: skip
        assert not is_plain_url(url), url


# -- origins ------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_git_with_a_folder_and_a_wheel_by_its_address(site: Path) -> None:
    git = {"url": "https://example.org/a/b.git", "subdirectory": "python/pkg", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}  # fmt: skip
    install(site, "fromgit", "1.0", {"fromgit.py": ""}, git)
    wheel = {"url": "https://example.org/w/fromwheel-1.0-py3-none-any.whl", "archive_info": {}}
    install(site, "fromwheel", "1.0+cu12", {"fromwheel.py": ""}, wheel)
    secret = {
        "url": "https://u:p@example.org/x.git",
        "vcs_info": {"vcs": "git", "commit_id": COMMIT},
    }
    install(site, "withuser", "1.0", {"withuser.py": ""}, secret)
    found = requirements("import fromgit, fromwheel, withuser")
    assert lines(found) == [
        f"fromgit @ git+https://example.org/a/b.git@{COMMIT}#subdirectory=python/pkg",
        "fromwheel @ https://example.org/w/fromwheel-1.0-py3-none-any.whl",
        "# withuser==1.0 is installed from a folder of this machine",
    ]
    assert found.git
    assert all(Requirement(line).url for line in lines(found)[:2])
    assert "u:p" not in found.text + str(found.notes)


def test_an_editable_install_of_another_folder_is_told_by_its_name(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its wheel lists no modules: only direct_url.json says whose they are."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "src").mkdir()
    (elsewhere / "src" / "edited_pkg.py").write_text("")
    origin = {"url": elsewhere.as_uri(), "dir_info": {"editable": True}}
    install(site, "edited-dist", "0.3", {"__editable__.pth": str(elsewhere / "src")}, origin)
    monkeypatch.syspath_prepend(str(elsewhere / "src"))
    found = requirements("import edited_pkg")
    assert lines(found) == ["# edited-dist==0.3 is installed from a folder of this machine"]
    assert any("publish it, or copy it into the image" in note for note in found.notes)
    assert found.local == ()
    # one inside the project is copied, and then no requirement
    assert lines(requirements([ast.parse("import edited_pkg")], siblings={"edited_pkg"})) == []


# -- what the notebook installs -----------------------------------------------------------------


def test_pip_lines_give_extras_and_plug_ins_and_leave_out_the_notebooks_own(site: Path) -> None:
    install(site, "bigmodel", "4.5.0", {"bigmodel/__init__.py": ""})
    install(site, "accel-erate", "1.1", {"accel_erate/__init__.py": ""})
    install(site, "plotting", "2.0", {"plotting/__init__.py": ""})
    found = asked(
        "import bigmodel",
        "-q -U 'bigmodel[vision,torch]>=4' accel_erate ipywidgets",
        "--upgrade pip plotting handler-kit # a comment",
        "absent-thing[x]==3.1",
        notebook={"bigmodel", "plotting", "numpy"},
    )
    assert lines(found) == [
        "absent-thing[x]==3.1", "accel-erate==1.1", "bigmodel[torch,vision]==4.5.0",
    ]  # fmt: skip
    assert (
        "installed by the notebook and left out, because nothing that was kept imports it: plotting."
        in found.notes
    )
    assert any("installs absent-thing, which is not there in this kernel" in n for n in found.notes)


def test_what_a_bundle_cannot_follow_is_told() -> None:
    wishes = wishes_of(
        [
            "-r requirements.txt",
            "-e ./mine",
            "$PACKAGE {name}",
            "./local.whl",
            "numpy --index-url http://user:secretword@x.org/simple",
            "'unclosed",
            "uninstall -y torch",
            "--find-links /wheels --no-binary :all: scipy",
            "'numpy; python_version < \"3\"' && pip install other",
        ]
    )
    told = "\n".join(wishes.notes)
    for word in ("-r requirements.txt", "-e ./mine", "$PACKAGE", "{name}", "./local.whl", "`--index-url`", "'unclosed", "--find-links /wheels"):  # fmt: skip
        assert word in told, word
    assert "secretword" not in told
    assert [w.name for w in wishes.packages] == ["numpy", "scipy", "numpy"]
    assert wishes.indexes == []


def test_a_url_is_known_by_what_was_installed_from_it(site: Path) -> None:
    git = {"url": "https://example.org/a/b.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    install(site, "plugin-git", "1.0", {"plugin_git.py": ""}, git)
    found = asked("x = 1", "git+https://example.org/a/b.git@main", "git+https://example.org/other")
    assert lines(found) == [f"plugin-git @ git+https://example.org/a/b.git@{COMMIT}"]
    assert any("installs something from a URL" in note for note in found.notes)


def test_a_person_s_own_requirements_hold(site: Path) -> None:
    install(site, "bigmodel", "4.5.0", {"bigmodel/__init__.py": ""})
    also = [Wish("bigmodel", specifier="<5"), Wish("numpy"), Wish("not-here-at-all", ("x",))]
    found = asked("import bigmodel", also=also)
    assert lines(found) == ["bigmodel<5", "not-here-at-all[x]", f"numpy=={version('numpy')}"]


def test_owners_are_what_importlib_says_and_are_read_again_after_an_install(site: Path) -> None:
    mine, theirs = owners(), importlib.metadata.packages_distributions()
    for top, names in theirs.items():
        if top.isidentifier() and not top.startswith("_") and top in mine:
            assert set(mine[top]) == set(names), top
    wanted = {t for t in theirs if (s := sys.modules.get(t)) is not None and hasattr(s, "__path__")}
    assert wanted <= set(mine)
    assert "late_pkg" not in mine
    install(site, "late-dist", "1.0", {"late_pkg/__init__.py": ""})
    assert owners()["late_pkg"] == ("late-dist",)


# -- what nobody imports ------------------------------------------------------------------------


def test_what_a_library_asks_for_only_when_it_runs(site: Path) -> None:
    install(site, "accelerate", "1.1", {"accelerate/__init__.py": ""})
    install(site, "openpyxl", "3.1", {"openpyxl/__init__.py": ""})
    found = requirements(
        "m = load('x', device_map='auto', load_in_8bit=True, low_cpu_mem_usage=False)\n"
        "t = frame.read_excel('x')"
    )
    assert lines(found) == ["accelerate==1.1", "openpyxl==3.1"]
    assert found.notes == ("`load_in_8bit=` needs bitsandbytes, which is not installed here.",)
    assert lines(requirements("m = load('x', device_map=None)")) == []


def test_type_checking_imports_are_no_requirement() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n"
    assert lines(requirements(source)) == []
    assert lines(requirements("import importlib\nx = importlib.import_module('numpy.linalg')")) == [
        f"numpy=={version('numpy')}"
    ]


# -- hostile lines ------------------------------------------------------------------------------

BITS = [
    "--index-url", "http://x", "-r", "x.txt", "\n", "\r", ";", "$(id)", "`id`", "'", '"', "\\", "@", "git+ssh://x/y",
    "git+https://u:p@x/y", "numpy", "==1.0", "[a]", "--hash=sha256:0", "\u2028", "\0", " ", "#", "é", "=", "--", "-", "e",
    "file:///etc/passwd", "python_version<'3'", "{x}", "*", ">1,<2", "\x1b[31m", "x" * 600,
]  # fmt: skip


def test_hostile_pip_lines_never_reach_the_file(tmp_path: Path) -> None:
    seed = 11
    rng = random.Random(seed)
    every = []
    for _ in range(300):
        line = "".join(rng.choice(BITS) + rng.choice(["", " "]) for _ in range(rng.randint(1, 6)))
        every.append(line)
        notes = wishes_of([line]).notes
        assert all(note.isprintable() for note in notes), f"seed {seed}: {line!r}"
        assert "u:p" not in str(notes), f"seed {seed}: {line!r}"
    found = requirements([], wishes=wishes_of(every))
    whole = found.text.splitlines()
    for written in whole:
        assert not written.startswith("-"), f"seed {seed}: {written!r}"
        assert Requirement(written).url is None, f"seed {seed}: {written!r}"
    assert all(note.isprintable() for note in found.notes)
    # and pip itself reads every line that came of it as a requirement
    path = tmp_path / "requirements.txt"
    path.write_text("".join(f"{line}\n" for line in whole))
    code = (
        "import sys\nfrom pip._internal.req import parse_requirements\n"
        "from pip._internal.network.session import PipSession\n"
        "from pip._internal.req.constructors import install_req_from_parsed_requirement as made\n"
        "print(len([made(r) for r in parse_requirements(sys.argv[1], session=PipSession())]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(whole) > 3
