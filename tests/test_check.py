"""``# kit: not-a-secret``: what looks like a key and is none, said by the person who knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.errors import ExportError
from kit.export import export
from tests.executed import notebook
from tests.test_export import request_of

#: random enough to be refused
KEY = "qD8vX2mT" + "7LpZ4wRb9KcY6nHs3JgF5tVe"
HANDLER = "%%handler\ndef handler(job):\n    return len(str(VALUE))"


@pytest.mark.parametrize(
    "cell",
    [
        f'VALUE = "{KEY}"  # kit: not-a-secret',
        f'# kit: not-a-secret\nVALUE = "{KEY}"',
        f'VALUE = {{\n    "a": 1,\n    "id": "{KEY}",  # kit: not-a-secret\n}}',
        f'VALUE = """\nfirst\n{KEY}\n"""  # kit: not-a-secret',
        f'N = 1\nVALUE = f"""\n{{N}}\n{KEY}\n"""  # kit: not-a-secret',
    ],
)
def test_a_false_alarm_is_written_and_reported(tmp_path: Path, cell: str) -> None:
    bundle = export(request_of(notebook(cell, HANDLER), tmp_path / "w"))
    assert KEY in (tmp_path / "w" / "handler.py").read_text()
    [note] = [note for note in bundle.notes if "not-a-secret" in note]
    assert "random string of 32 characters in In [1], line" in note
    assert KEY not in repr(bundle)


@pytest.mark.parametrize(
    "cell",
    [
        f'VALUE = ["{KEY}"]\nOTHER = 1  # kit: not-a-secret\nVALUE.append(OTHER)',
        f'VALUE = ["# kit: not-a-secret", "{KEY}"]',
        f'VALUE = {{\n    "a": "{KEY}",\n    "b": 1,  # kit: not-a-secret\n}}',
    ],
)
def test_it_speaks_of_its_own_line_alone(tmp_path: Path, cell: str) -> None:
    with pytest.raises(
        ExportError, match=r'random string.*In \[1\], line 1.*os\.environ\["VALUE"\].*not-a-secret'
    ):
        export(request_of(notebook(cell, HANDLER), tmp_path / "w"))
    assert not (tmp_path / "w").exists()


def test_a_key_of_this_environment_is_never_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "plain words")
    book = notebook('VALUE = "plain words"  # kit: not-a-secret', HANDLER)
    with pytest.raises(ExportError, match=r"the value of SERVICE_API_KEY in In \[1\]"):
        export(request_of(book, tmp_path / "w"))
