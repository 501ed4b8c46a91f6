"""The proof in an environment of its own: what requirements.txt does not say is not there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kit.cleanenv import clean_play
from kit.cli import main
from kit.store import Store
from kit.verifying import verify_folder
from tests.install.environments import ROOT, skip_without_index

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HANDLER = """
import importlib.util
import sys

import runpod
{more}

def handler(job):
    here = [name for name in ("numpy", "IPython", "iniconfig", "kit") if importlib.util.find_spec(name)]
    return {{"here": here, "clean": sys.prefix != {prefix!r}}}

runpod.serverless.start({{"handler": handler}})
"""


def worker(folder: Path, more: str, requirements: str, expected: object) -> Path:
    folder.mkdir()
    (folder / "handler.py").write_text(HANDLER.format(more=more, prefix=sys.prefix))
    (folder / "requirements.txt").write_text(requirements)
    test = {"name": "a", "input": {"x": 1}, "expected_output": expected}
    (folder / "tests.json").write_text(json.dumps({"tests": [test]}))
    return folder


@pytest.mark.install
def test_a_worker_finds_what_its_requirements_say_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # kept between runs, as the other environments of the tests are
    monkeypatch.setenv("KIT_HOME", str(ROOT / "build" / "clean"))
    expected = {"here": ["iniconfig"], "clean": True}
    good = worker(tmp_path / "good", "import iniconfig", "iniconfig\n", expected)
    code = main(["test", str(good), "--clean-env"])
    told = capsys.readouterr()
    if code:
        skip_without_index(told.out)
    assert code == 0, told
    assert "in a clean environment of" in told.out

    # works here, and would not work in the image
    bad = worker(tmp_path / "bad", "import packaging.nothing_of_it, numpy", "iniconfig\n", {})
    assert main(["test", str(bad), "--clean-env"]) == 1
    told = capsys.readouterr()
    assert "No module named" in told.out
    assert "Collecting" not in told.err, "the same requirements, the same environment"


def test_pip_s_own_words_where_it_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("PIP_INDEX_URL", "http://127.0.0.1:9/"), ("PIP_RETRIES", "0"), ("PIP_NO_INPUT", "1"),
        ("PIP_CONFIG_FILE", "/dev/null"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    folder = worker(tmp_path / "w", "", "kit-t-there-is-no-such-thing==9\n", {})
    said: list[str] = []
    store = Store.open()
    try:
        report = verify_folder(folder, store, None, lambda: None, None, clean_play(said.append))
        assert report.verdict == "not verified"
        assert "No matching distribution found for " in report.reason
        assert said[0].startswith("making a clean environment in ")
        home = Path(said[0].removeprefix("making a clean environment in "))
        assert not home.exists(), "half an environment is left"
    finally:
        store.close()
