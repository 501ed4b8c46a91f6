"""A plan without writing, and an export from a button: what a card's export view is told."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kit
from kit import api
from kit.draft import ExportDraft, ExportOutcome
from kit.errors import UsageError
from kit.handler import HandlerVersion
from kit.session import Session
from kit.source.record import Cell
from tests.making import ended, handler_of, submit
from tests.test_input_editor import Page

SETUP = "import json\nSCALE = 2\nprint(SCALE)\nunused = 3"
HANDLER = '%%handler\ndef double(job):\n    return SCALE * job["input"]["n"]'


@pytest.fixture
def session(kit_home: Path, tmp_path: Path) -> Iterator[Session]:
    one = Session(kit_home)
    one.folder = lambda: tmp_path
    one.record.add(Cell(1, "a", SETUP, True, 1.0))
    one.record.add(Cell(2, "b", HANDLER, True, 2.0))
    names: dict[str, Any] = {}
    exec(SETUP + "\n" + HANDLER.partition("\n")[2], names)
    made = handler_of(names["double"], "double")
    import dataclasses

    info: HandlerVersion = dataclasses.replace(made.info, source=HANDLER, cell=2, line=2)
    one.add(dataclasses.replace(made, info=info))
    yield one
    one.close()


def draft(session: Session, path: str = "worker") -> ExportDraft:
    told: queue.Queue[ExportDraft] = queue.Queue()
    session.draft("double", path, told.put)
    return told.get(timeout=60)


def export(session: Session, **more: Any) -> ExportOutcome:
    told: queue.Queue[ExportOutcome] = queue.Queue()
    session.export("double", told.put, **more)
    return told.get(timeout=120)


def states(found: ExportDraft) -> dict[str, str]:
    return {file.name: file.state for file in found.files}


def test_a_draft_says_everything_and_writes_nothing(session: Session, tmp_path: Path) -> None:
    found = draft(session)
    assert list(tmp_path.glob("worker*")) == []
    assert (found.handler, found.path, found.refused) == ("double v1", "worker", None)
    assert "SCALE = 2" in found.code
    assert "unused" not in found.code
    assert set(states(found).values()) == {"new"}
    assert states(found)["handler.py"] == "new"
    assert found.diff is None
    fates = {choice.code: choice for choice in found.choices}
    assert fates["SCALE = 2"].kept
    assert fates["SCALE = 2"].place == "In [1], line 2"
    assert not fates["unused = 3"].kept
    assert all(choice.reason for choice in found.choices)


def test_after_an_export_it_shows_what_would_change(session: Session, tmp_path: Path) -> None:
    ended(submit(session, session.handler("double"), {"n": 3}))
    assert draft(session).jobs == 1
    outcome = export(session)
    assert (outcome.ok, outcome.verdict) == (True, "equal"), outcome
    assert [c.result for c in outcome.compared] == ["equal"]
    again = draft(session)
    assert (set(states(again).values()), again.diff, again.refused) == ({"same"}, "", None)
    session.record.add(Cell(3, "a", SETUP.replace("SCALE = 2", "SCALE = 5"), True, 3.0))
    changed = draft(session)
    assert states(changed)["handler.py"] == "changed"
    assert "-SCALE = 2" in (changed.diff or "")
    assert "+SCALE = 5" in (changed.diff or "")
    # the notebook answered 6, the worker would say 15
    different = export(session)
    assert (different.ok, different.verdict) == (True, "different")
    assert (different.compared[0].notebook, different.compared[0].worker) == ("6", "15")


def test_what_a_person_edited_is_in_the_way_by_name(session: Session, tmp_path: Path) -> None:
    assert export(session).ok
    (tmp_path / "worker" / "handler.py").write_text("# mine\n")
    found = draft(session)
    assert (found.edited, states(found)["handler.py"]) == (True, "edited")
    assert "handler.py (edited)" in (found.refused or "")
    assert "or tick `Replace it`: that replaces" in (found.refused or "")
    box = (Path(kit.__file__).parent / "views" / "exporting.js").read_text()
    assert '"Replace it; files' in box  # what the box is called
    refused = export(session)
    assert not refused.ok
    assert "or tick `Replace it`" in refused.sentence
    assert (tmp_path / "worker" / "handler.py").read_text() == "# mine\n"
    assert export(session, overwrite=True).ok
    assert "# mine" not in (tmp_path / "worker" / "handler.py").read_text()


@pytest.mark.parametrize(
    ("cell", "path", "says"),
    [
        (
            SETUP.replace("SCALE = 2", 'SCALE = 2; KEY = "rpa_' + "A1b2C3d4" * 4 + '"'),
            "worker",
            None,
        ),
        ("other = 1", "worker", "`SCALE`"),
        (SETUP, "a\nb", "control"),
        (SETUP, "/", "root of the disk"),
    ],
)
def test_what_would_be_refused_is_said_before(
    session: Session, tmp_path: Path, cell: str, path: str, says: str | None
) -> None:
    session.record.add(Cell(4, "a", cell, True, 4.0))
    found = draft(session, path)
    assert list(tmp_path.glob("worker*")) == []
    if says is None:  # the key is in a statement that nothing needs: it goes
        assert found.refused is None
        assert "rpa_" not in found.code
        return
    assert says in (found.refused or "")
    assert not found.files


def test_the_page_is_told_and_no_key_with_it(session: Session) -> None:
    key = "rpa_" + "A1b2C3d4" * 4
    session.record.add(Cell(5, "a", f'SCALE = len("{key}") * 2', True, 5.0))
    page = Page(session, "double")
    assert page.click("draft", path="worker", p="me")["ok"] is True
    told = page.wait("draft")
    assert told["p"] == "me"
    assert "secret" in told["refused"]
    assert any("SCALE" in code for _, _, _, code, _ in told["choices"])
    assert key not in repr(page.said)


def test_one_export_at_a_time_and_a_new_page_knows_its_outcome(session: Session) -> None:
    ended(submit(session, session.handler("double"), {"n": 3}))
    page = Page(session, "double")
    assert page.click("export", path="worker")["ok"] is True
    second = page.click("export", path="other")
    assert second["ok"] is False
    assert "under way" in second["s"]
    page.live.hear({"t": "hello"})
    page.wait("exporting")
    told = page.wait("exported")
    assert (told["ok"], told["verdict"], told["rows"][0][1]) == (True, "equal", "equal")
    page.live.hear({"t": "hello"})
    assert page.wait("exported", 2) == told
    assert page.click("export", path="../out\0side")["ok"] is True
    assert page.wait("exported", 3)["ok"] is False


def test_a_function_is_found_and_what_is_no_folder_says_the_call(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_session", session)
    double = session.handler("double")
    assert session.handler(double.function) is double
    for given in (double, double.function):
        with pytest.raises(UsageError, match=r'kit\.export\("worker", handler="double"\)'):
            kit.export(given)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r'kit\.verify\("worker", handler="double"\)'):
            kit.verify(given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"is the folder, not int"):
        kit.export(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="takes a name, not function"):
        kit.export("w", handler=lambda job: job)
    assert kit.export("w", handler=double.function, verify=False).handler == "double v1"
