"""Every notebook of the project is executed in a real kernel, and each of its handlers exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebook_kernel import Kernel, kernel_in

ROOT = Path(__file__).resolve().parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.sdk]

EXPORT = """
_s = kit.api.session()
_names = list(_s.handlers)
told = []
for _n in _names:
    _b = kit.export(f"exported-{_n}", handler=_n)
    told.append([_n, _b.report.verdict, str(_b.report), [d.reason for d in _b.questions],
                 len(_b.kept), [x.name for x in _b.report.drift], sorted(_b.files)])
"""


def exported(kernel: Kernel) -> list[Any]:
    told = kernel.run(EXPORT)
    assert isinstance(told, list)
    return told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_project_notebook_is_exported_and_equal(path: Path, tmp_path: Path) -> None:
    with kernel_in(tmp_path) as kernel:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", ()):
                kernel.run(cell.source)
        rows = exported(kernel)
    assert rows, "a notebook of the project has a handler"
    for name, verdict, report, questions, kept, drift, files in rows:
        assert verdict == "equal", f"{name}: {report}"
        assert questions == []
        assert drift == []
        assert kept > 0
        assert "handler.py" in files


def test_a_constant_the_kernel_has_otherwise_is_named(tmp_path: Path) -> None:
    with kernel_in(tmp_path) as kernel:
        kernel.run("SCALE = 2\nNAME = 'a'")
        kernel.run("%%handler scaled --no-run\ndef scaled(job): return [SCALE > 0, NAME]")
        kernel.run("get_ipython().user_ns['SCALE'] = 3")
        kernel.run("kit.run({}).result()")
        [[_, verdict, report, _, _, drift, _]] = exported(kernel)
    assert verdict == "equal", report
    assert drift == ["SCALE"]
    assert "is 3 in the kernel; the exported code computes 2" in report
