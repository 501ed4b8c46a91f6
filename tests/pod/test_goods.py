"""Files and packages that a handler needs, sent and installed when asked; never outside, never twice."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from kit.errors import TargetError, UsageError
from kit.events import JobState
from tests.making import ended
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def shared(jupyter: Jupyter, tmp_path_factory: pytest.TempPathFactory):
    desk = Desk(tmp_path_factory.mktemp("home"))
    desk.connect(jupyter.url, jupyter.token)
    try:
        yield desk
    finally:
        desk.close()


def test_files_are_sent_once_and_again_when_they_change(
    jupyter: Jupyter, shared: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "deep").mkdir(parents=True)
    big = os.urandom(3_500_000)
    (tmp_path / "data" / "big.bin").write_bytes(big)
    (tmp_path / "data" / "deep" / "words.txt").write_text("a")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "empty").touch()
    pod = shared.pods[0]
    assert pod.put("data", "run.sh", tmp_path / "empty") == [
        "data/big.bin", "data/deep/words.txt", "run.sh", "empty"
    ]  # fmt: skip
    assert (jupyter.work / "data" / "big.bin").read_bytes() == big
    assert os.access(jupyter.work / "run.sh", os.X_OK)
    assert pod.put("data", "run.sh") == []
    (tmp_path / "data" / "deep" / "words.txt").write_text("b")
    assert pod.put("data", "run.sh") == ["data/deep/words.txt"]
    assert (jupyter.work / "data" / "deep" / "words.txt").read_text() == "b"
    assert not list(jupyter.work.rglob("*.kit-part"))


def test_nothing_is_written_outside_the_server_s_folder(
    jupyter: Jupyter, shared: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outside = jupyter.work.parent / "outside"
    outside.mkdir()
    (jupyter.work / "link").symlink_to(outside)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "x").write_text("x")
    pod = shared.pods[0]
    with pytest.raises(TargetError, match="outside the server's folder"):
        pod.put("link/x")
    with pytest.raises(UsageError, match="outside the server's folder"):
        pod.put("../x")
    with pytest.raises(UsageError, match="there is no nothing in "):
        pod.put("nothing")
    assert not list(outside.iterdir())


def test_what_the_pod_cannot_write_is_said_and_the_older_file_stays(
    jupyter: Jupyter, shared: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # a device that is always full, where root is not stopped by permissions
    (jupyter.work / ".full.kit-part").symlink_to("/dev/full")
    (jupyter.work / "full").write_text("older")
    (tmp_path / "full").write_text("newer")
    with pytest.raises(TargetError, match="could not write full: No space left on device"):
        shared.pods[0].put("full")
    assert (jupyter.work / "full").read_text() == "older"


def wheel(folder: Path, name: str) -> Path:
    """A package of one line, made by hand."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "value = 'there'\n")
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")
    return path


def test_a_missing_package_is_installed_when_asked_and_the_job_then_runs(
    jupyter: Jupyter, tmp_path: Path, kit_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the pod's pip finds this one package in a folder and installs it into another
    target = tmp_path / "site"
    wheel(tmp_path, "kit_there_only")
    desk = Desk(kit_home)
    try:
        pod = desk.connect(jupyter.url, jupyter.token, kernel="install")
        desk.cell(
            "import os, sys\n"
            f"os.environ.update(PIP_NO_INDEX='1', PIP_FIND_LINKS={str(tmp_path)!r}, "
            f"PIP_TARGET={str(target)!r})\n"
            f"sys.path.insert(0, {str(target)!r})"
        )
        here = [path for path in __import__("sys").path if path != str(target)]
        monkeypatch.setattr("sys.path", here)  # only the pod has it
        desk.names["kit_there_only"] = None
        desk.cell("import kit_there_only", here=False)
        desk.cell("%%handler uses\ndef uses(job):\n    return kit_there_only.value")
        job = desk.run(1)
        assert ended(job).state is JobState.FAILED
        assert "pod.install()" in str(job.error)
        unproven = {"verify": False, "overwrite": True}
        bundle = desk.session.export_to(tmp_path / "out", **unproven)
        requirements = tmp_path / "out" / "requirements.txt"
        assert "kit_there_only" not in requirements.read_text()
        assert ["`kit_there_only` is not known" in one.reason for one in bundle.questions] == [True]
        install = pod.install()
        assert ended(install, 120).state is JobState.COMPLETED, install.logs
        assert install.output == {"installed": ["kit_there_only"]}
        assert "kit_there_only-1.0" in install.logs.replace("kit-there-only", "kit_there_only")
        assert desk.run(1).result(60) == "there"
        bundle = desk.session.export_to(tmp_path / "out", **unproven)
        assert "kit_there_only==1.0\n" in requirements.read_text()
        assert not bundle.questions
        assert any(f"has the version on {pod.name}" in note for note in bundle.notes)
        assert ended(pod.install(), 60).output == {"installed": []}
        wrong = pod.install("surely-not-there-9")
        assert ended(wrong, 120).state is JobState.FAILED
        assert "surely-not-there-9" in wrong.logs
        with pytest.raises(UsageError, match="not '--index-url"):
            pod.install("--index-url=http://x")
    finally:
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_TARGET"):
            os.environ.pop(name, None)
        desk.close()
