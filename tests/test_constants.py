"""The kernel's values against what the exported file computes, in a clean process."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from kit.export import export
from kit.export.constants import Constants, constants_of, drift
from kit.export.draft import outcome_of
from kit.export.simple import fingerprint
from tests.executed import notebook
from tests.exporting import request_of

SIMPLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        keys = {(type(k), k): v for k, v in b.items()}
        return len(a) == len(b) and all(
            (type(k), k) in keys and same(v, keys[type(k), k]) for k, v in a.items()
        )
    return bool(a == b)


@given(a=SIMPLE, b=SIMPLE)
def test_fingerprints_are_equal_where_values_are(a: Any, b: Any) -> None:
    one, two = fingerprint(a, "s"), fingerprint(b, "s")
    assert one is not None
    assert two is not None
    assert (one[0] == two[0]) == same(a, b)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, [object()], {"a": len}, range(3), [0] * 5_000, "x" * 2_000_000, 10**5_000],
    ids=lambda v: str(type(v)),
)
def test_what_is_not_simple_has_none(value: Any) -> None:
    assert fingerprint(value, "s") is None
    loop: list[Any] = []
    loop.append(loop)
    assert fingerprint(loop, "s") is None


def test_only_numbers_are_shown() -> None:
    shown = [
        fingerprint(v, "s") for v in (3, math.inf, None, "key-1234", b"key", ["key"], {"k": 1})
    ]
    assert [one[1] for one in shown if one] == [
        "3", "inf", "None", "a str of 8 characters", "a bytes of 3 bytes", "a list of 1 items",
        "a dict of 1 items",
    ]  # fmt: skip
    assert fingerprint("a", "1") != fingerprint("a", "2")


def of(**values: Any) -> Constants:
    return constants_of({name: f"In [1], {name}" for name in values}, values)


def test_a_file_is_asked_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(
        "import os, beside\nprint('noise')\nA = 1\nB = 'x'\nC = [1, (2, None)]\nD = beside.VALUE\n"
        "E = object()\nF = b'a'\nif __name__ == '__main__':\n    raise SystemExit('started')\n"
    )
    (tmp_path / "beside.py").write_text("VALUE = 2.5\n")
    found, why = drift(
        tmp_path, of(A=1, B="y", C=[1, (2, None)], D=2.5, E=3, F=b"a", G=4, H=object()), 60
    )
    assert why == ""
    assert [one.sentence() for one in found] == [
        "`B` (In [1], B) is another str of 1 characters in the kernel",
        "`E` (In [1], E) is 3 in the kernel; the exported code computes no simple value",
        "`G` (In [1], G) is 4 in the kernel; the exported code computes nothing",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beside.py", "handler.py"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("1 / 0", "importing handler.py failed: ZeroDivisionError: division by zero"),
        ("import os\nos._exit(0)", "handler.py ended the process when it was imported"),
        ("import threading\nthreading.Event().wait()", "took longer than 1 s"),
    ],
)
def test_a_file_that_cannot_be_asked_is_told(tmp_path: Path, source: str, why: str) -> None:
    (tmp_path / "handler.py").write_text(source)
    found, told = drift(tmp_path, of(A=1), 1.0 if "Event" in source else 60.0)
    assert found == ()
    assert why in told
    assert drift(tmp_path, of(A=object()), 60) == ((), "")


@pytest.mark.sdk
def test_an_export_names_the_constants_that_differ(tmp_path: Path) -> None:
    book = notebook(
        "import os\nSCALE = 2\nNAME = 'first'\nSEEN = 0\nWIDTH = int(os.environ.get('KIT_T_WIDTH', 7))",
        "def double(x):\n    global SEEN\n    SEEN += 1\n    return x * 2",
        "%%handler\ndef handler(job): return [double(job['input']), NAME, SCALE > 0, WIDTH]",
    )
    # as an edited cell would that was run and then deleted with what the record had of it
    book.namespace["SCALE"] = 3
    request = request_of(book, tmp_path / "w", [1, 2], namespace=book.namespace)
    assert book.namespace["SEEN"] == 2, "a job changes it: that is no constant"
    report = export(request).report
    assert report.verdict == "equal", report
    assert [(one.name, one.kernel, one.worker) for one in report.drift] == [("SCALE", "3", "2")]
    assert "1 constant not as in the kernel" in report.sentence()
    assert "`SCALE` (In [1], line 2) is 3 in the kernel" in repr(report)
    assert "SCALE" in report._repr_mimebundle_()["text/html"]
    # a secret from the environment is compared, and shown nowhere
    assert "first" not in repr(report)
    # without a job to run the file is imported all the same
    request = dataclasses.replace(request, jobs=())
    bundle = export(request)
    assert bundle.report.verdict == "not verified"
    assert [one.name for one in bundle.report.drift] == ["SCALE"]
    assert "export again; 1 constant not as in the kernel" in bundle.sentence()
    assert outcome_of(bundle).notes == tuple(one.sentence() for one in bundle.report.drift)
    full = export(dataclasses.replace(request, fits=lambda: "the model is too big.")).report
    assert (full.drift, full.not_compared) == ((), "the model is too big.")
    unproven = export(dataclasses.replace(request, verify=False)).report
    assert "constants were not compared: it was exported with verify=False" in repr(unproven)
