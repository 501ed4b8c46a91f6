"""The third door: ``pip install`` into the environment of a JupyterLab that is already running.

It moves neither torch nor numpy, breaks nothing that was there, and after one reload of the page the
card lives.
"""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from pathlib import Path

import nbformat
import pytest

from tests.install.environments import ROOT, Environment, wheel
from tests.install.lab import TOKEN, Lab, browser_page, outputs, run_cell

pytestmark = [
    pytest.mark.install,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

NUMPY = "1.26.4"
#: pictures for a person to look at
SHOTS = ROOT / "build" / "screenshots"
CELLS = (
    "import numpy; numpy.__version__",
    "%load_ext kit",
    '%%handler double --input {"n": 21}\ndef double(job):\n    return {"twice": 2 * job["input"]["n"]}',
    "str(kit.run({'n': 4}).result(30)), kit.jobs()['state'].tolist()",
)


def stand_in(folder: Path, name: str, version: str) -> Path:
    """A wheel that is nothing but a name and a version: to pip's resolver it is the real one.

    The real torch is 200 MB to 3 GB; whether pip would move it depends on these two lines alone.
    """
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: kit\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def lab_exports_workers(lab: Lab) -> None:
    """The address behind *File > Save and Export Notebook As* gives the saved notebook's worker."""
    for address in ("api/nbconvert", "nbconvert/RunPod_worker/pod.ipynb"):
        with urllib.request.urlopen(f"{lab.url}/{address}?token={TOKEN}", timeout=120) as told:
            data = told.read()
        if address == "api/nbconvert":
            assert "RunPod_worker" in json.loads(data)
            continue
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert "def double(job)" in archive.read("handler.py").decode()
            assert "not verified" in archive.read("README.md").decode()


def test_the_kit_moves_nothing_and_lives_after_one_reload(tmp_path: Path) -> None:
    environment = Environment("running-lab", [f"numpy=={NUMPY}", "jupyterlab"])
    environment = environment.copy(tmp_path / "environment")
    work = tmp_path / "work"
    work.mkdir()
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(notebook, work / "pod.ipynb")
    environment.pip("install", "--no-deps", stand_in(tmp_path, "torch", "2.4.1"))
    before = environment.freeze()
    assert before["numpy"] == NUMPY
    assert "handler-kit" not in before

    lab = Lab(environment, work, tmp_path / "home")
    try:
        with browser_page() as page:
            lab.open(page, "pod.ipynb")
            (version,) = run_cell(page, 0)
            assert NUMPY in version["data"]["text/plain"]

            environment.pip("install", "--no-compile", wheel(tmp_path))
            after = environment.freeze()
            moved = {n: (v, after.get(n)) for n, v in before.items() if after.get(n) != v}
            print("moved:", moved or "nothing")
            assert not {"numpy", "torch"} & set(moved)
            assert all(new is not None for _, new in moved.values()), "something was removed"
            assert "handler-kit" in after
            environment.pip("check")

            # the server that was running before delivers workers, too
            lab_exports_workers(lab)

            # before the reload the page has no widget manager: the card says so and shows a picture
            run_cell(page, 1)
            early = run_cell(page, 2)
            page.wait_for_timeout(4_000)
            told = json.dumps(outputs(page, 2)) + page.inner_text(".jp-Notebook")
            assert "eload" in told, early
            page.screenshot(path=SHOTS / "before-reload.png")

            page.reload()
            lab.settle(page)
            run_cell(page, 2)
            card = page.locator(".kit-card").first
            card.wait_for(timeout=20_000)
            assert "COMPLETED" in json.dumps(run_cell(page, 3))
            # two jobs of the handler cell, and the one of the last cell as it happens
            page.wait_for_function(
                "card => /double/.test(card.innerText) && /3\\s+completed/.test(card.innerText)",
                arg=card.element_handle(),
                timeout=15_000,
            )
            page.screenshot(path=SHOTS / "after-reload.png")
    finally:
        lab.close()
