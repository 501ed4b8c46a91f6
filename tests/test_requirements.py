"""requirements.txt: distributions of imports in the versions installed, and what cannot be said."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kit.export.requirements import requirements


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder of installed distributions that this interpreter sees."""
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    sys.path.remove(str(tmp_path))
    importlib.invalidate_caches()


def install(
    site: Path, name: str, version: str, files: dict[str, str], direct_url: object = None
) -> None:
    """Lay down a distribution as pip would."""
    info = site / f"{name.replace('-', '_')}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))


def lines(source: str) -> list[str]:
    return requirements(source).text.splitlines()


def version(name: str) -> str:
    return importlib.metadata.version(name)


def test_import_names_become_distributions_with_exact_versions() -> None:
    source = (
        "import numpy as np\nfrom sklearn.svm import SVC\nfrom PIL import Image\nimport os, json"
    )
    assert lines(source) == [
        f"numpy=={version('numpy')}",
        f"pillow=={version('pillow')}",
        f"runpod=={version('runpod')}",
        f"scikit-learn=={version('scikit-learn')}",
    ]


def test_runpod_is_always_there_and_the_standard_library_never() -> None:
    assert lines("import os, sys, json, asyncio.subprocess\nfrom concurrent import futures") == [
        f"runpod=={version('runpod')}"
    ]


def test_imports_inside_functions_count_and_in_strings_do_not() -> None:
    assert f"numpy=={version('numpy')}" in lines("def f():\n    import numpy.linalg")
    assert lines("x = 'import numpy'  # import numpy") == [f"runpod=={version('runpod')}"]


def test_a_local_build_is_asked_for_by_its_public_version(site: Path) -> None:
    install(site, "torchlike", "2.6.0+cu124", {"torchlike/__init__.py": ""})
    found = requirements("import torchlike")
    line = found.text.splitlines()[1]
    assert line.startswith("torchlike==2.6.0  # ")
    assert "+cu124" in line
    assert "://" not in found.text
    assert any("cu124" in note and "index" in note for note in found.notes)
    # pip reads the line as the public version, and not as an option
    assert str(Requirement(line.partition(" #")[0]).specifier) == "==2.6.0"


def test_namespaces_go_to_the_distribution_that_has_the_module(site: Path) -> None:
    install(site, "goo-storage", "1.0", {"goo/cloud/storage/__init__.py": ""})
    install(site, "goo-auth", "2.0", {"goo/auth/__init__.py": "", "goo/cloud/plain.py": ""})
    assert lines("from goo.cloud import storage")[0] == "goo-storage==1.0"
    assert lines("import goo.auth.x")[0] == "goo-auth==2.0"
    assert lines("from goo.cloud.plain import f")[0] == "goo-auth==2.0"


def test_two_distributions_of_one_module_are_both_named(site: Path) -> None:
    install(site, "see-vee", "1.0", {"cv9/__init__.py": ""})
    install(site, "see-vee-headless", "1.0", {"cv9/__init__.py": ""})
    found = requirements("import cv9")
    assert found.text.splitlines()[1:] == ["see-vee==1.0", "see-vee-headless==1.0"]
    assert any("several distributions" in note for note in found.notes)


def test_git_installs_keep_their_commit(site: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    url = {"url": "https://example.org/a/b.git", "vcs_info": {"vcs": "git", "commit_id": commit}}
    install(site, "fromgit", "1.0", {"fromgit.py": ""}, url)
    line = lines("import fromgit")[0]
    assert line == f"fromgit @ git+https://example.org/a/b.git@{commit}"
    assert Requirement(line).url


@pytest.mark.parametrize(
    "url",
    [
        {"url": "file:///somewhere", "dir_info": {"editable": True}},
        {"url": "https://user:pw@example.org/x\nevil", "vcs_info": {"vcs": "git", "commit_id": "abcdef0"}},
        {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "$(rm)"}},
        {"url": "ext::sh -c x", "vcs_info": {"vcs": "git", "commit_id": "abcdef0"}},
    ],
)  # fmt: skip
def test_folders_and_odd_urls_become_comments(site: Path, url: object) -> None:
    install(site, "local-one", "1.0", {"local_one.py": ""}, url)
    found = requirements("import local_one")
    assert found.text.splitlines()[0].startswith("# local-one==1.0 ")
    assert any("local-one" in note for note in found.notes)


def test_a_wheel_from_a_file_is_asked_of_the_index(site: Path) -> None:
    install(
        site, "wheel-one", "1.0+x", {"wheel_one.py": ""}, {"url": "file:///w", "archive_info": {}}
    )
    found = requirements("import wheel_one")
    assert found.text.splitlines()[1] == "wheel-one==1.0"
    assert any("file" in note for note in found.notes)


def test_modules_beside_the_notebook_are_reported(site: Path) -> None:
    (site / "rp_schemas.py").write_text("INPUT = {}")
    (site / "handlers").mkdir()
    found = requirements("from rp_schemas import INPUT\nimport handlers.one\nimport rp_schemas")
    assert found.local == ("rp_schemas", "handlers")
    assert sum("rp_schemas" in note for note in found.notes) == 1
    assert found.text == f"runpod=={version('runpod')}\n"


def test_what_nobody_provides_is_reported_unless_it_is_optional() -> None:
    assert any("no_such_module" in n for n in requirements("import no_such_module").notes)
    optional = "try:\n    import no_such_module\nexcept ImportError:\n    no_such_module = None"
    assert requirements(optional).notes == ()


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("evil", "1.0 --index-url http://x"),
        ("evil", "1.0\n-r other"),
        ("evil", "1.0; python_version<'3'"),
        ("evil", ""),
        ("-r x", "1.0"),
        ("a b", "1.0"),
        ("a;b", "1.0"),
        ("evil @ git+ssh://x", "1.0"),
        ("evil", "$(id)"),
        ("evil", "1.0+" + "x\" --extra-index-url 'y"),
        ("evil[a]", "1"),
        ("evil", "1.0 # syntax="),
    ],
)  # fmt: skip
def test_hostile_metadata_adds_no_option_and_no_line(site: Path, name: str, version: str) -> None:
    info = site / f"{name.replace('/', '')}-1.dist-info"
    info.mkdir()
    (site / "evilmod.py").write_text("")
    (info / "RECORD").write_text("evilmod.py,,\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n")
    found = requirements("import evilmod")
    lines_ = found.text.splitlines()
    assert len(lines_) == 2
    assert found.notes or lines_[0] == "evil==1.0"
    for line in lines_:
        assert not line.startswith("-")
        code = line.partition(" #")[0].strip()
        if code and not code.startswith("#"):
            assert Requirement(code).url is None
            assert Requirement(code).marker is None
            assert not Requirement(code).extras


def test_pip_reads_what_is_written(tmp_path: Path) -> None:
    """The whole file, by pip's own parser, without a network: everything is installed already."""
    text = requirements("import numpy, sklearn, PIL, IPython, runpod").text
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps",
         "--quiet", "-r", str(path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
