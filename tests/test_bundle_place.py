"""Whose folder it is: another handler's worker, a second export, the diff to the first."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from pathlib import Path

import pytest

from kit.emulator.replay import play
from kit.errors import ExportError
from kit.events import JobState
from kit.export import export
from kit.export.choices import choose
from kit.export.diff import changes_of, old_files, summary
from kit.export.place import MANIFEST, place_of
from kit.export.verify import verify
from kit.export.write import write_bundle
from tests.exporting import done, request_of

ONE = "%%handler\ndef one(job):\n    return 1"
TWO = "%%handler\ndef two(job):\n    return 2"


def test_two_handlers_do_not_take_each_others_folder(tmp_path: Path) -> None:
    one = request_of(done(ONE), tmp_path / "worker", expression="one")
    two = request_of(done(TWO), tmp_path / "worker", expression="two")
    export(one)
    before = (tmp_path / "worker" / "handler.py").read_bytes()
    with pytest.raises(ExportError) as refused:
        export(two)
    assert "holds the worker of `one`, not of `two`" in str(refused.value)
    assert 'kit.export("worker-two")' in str(refused.value)
    assert (tmp_path / "worker" / "handler.py").read_bytes() == before
    export(one)  # its own is replaced without a question
    export(dataclasses.replace(two, overwrite=True))
    assert "def two" in (tmp_path / "worker" / "handler.py").read_text()


def test_the_name_of_the_remedy_is_a_folder_whatever_the_handler_is_called(tmp_path: Path) -> None:
    one = request_of(done(ONE), tmp_path / "worker", expression="one")
    export(one)
    odd = dataclasses.replace(one.handler, name='../../"x\n`y`')
    with pytest.raises(ExportError) as refused:
        export(dataclasses.replace(one, handler=odd))
    assert str(refused.value).isprintable()
    assert 'kit.export("worker-x--y")' in str(refused.value)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    request = request_of(done("import os\nN = os.getenv('N', '3')", ONE), tmp_path / "a", [1, 2], expression="one", verify=False)  # fmt: skip
    export(request)
    export(dataclasses.replace(request, path=tmp_path / "b"))
    one = {
        p.relative_to(tmp_path / "a"): p.read_bytes()
        for p in (tmp_path / "a").rglob("*")
        if p.is_file()
    }
    two = {
        p.relative_to(tmp_path / "b"): p.read_bytes()
        for p in (tmp_path / "b").rglob("*")
        if p.is_file()
    }
    assert one == two


def test_a_second_export_shows_what_it_changes(tmp_path: Path) -> None:
    request = request_of(done(ONE), tmp_path / "w", [1], expression="one", verify=False)
    first = export(request)
    assert not first.diff()
    assert "since the last export" not in repr(first)
    assert not export(request).diff()
    changed = request_of(done("LIMIT = 4", ONE.replace("1", "LIMIT")), tmp_path / "w", [1], expression="one", verify=False)  # fmt: skip
    bundle = export(changed)
    text = str(bundle.diff())
    assert "--- a/handler.py\n+++ b/handler.py\n" in text
    assert "\n-    return 1\n" in text
    assert "\n+LIMIT = 4\n" in text
    assert "handler.py +" in repr(bundle)
    assert "bundle.diff()" in repr(bundle)
    html = bundle.diff()._repr_mimebundle_()
    assert "LIMIT = 4" in html["text/html"]
    assert html["text/plain"] == repr(bundle.diff())


def test_a_diff_of_files_that_come_go_and_are_no_text() -> None:
    old = {"a": b"one\ntwo", "gone": b"x\n", "bin": b"\0\1", "same": b"s"}
    new = {"a": b"one\nthree\n", "bin": b"\0\2\3", "same": b"s", "dir/new": b"<b>\n"}
    changes = changes_of(old, new)
    assert [(c.name, c.kind) for c in changes] == [
        ("a", "changed"), ("bin", "changed"), ("dir/new", "new"), ("gone", "gone"),
    ]  # fmt: skip
    assert "-two\n\\ No newline at end of file\n+three\n" in changes[0].text
    assert changes[1].text == "bin is changed (2 to 3 bytes)\n"
    assert summary(changes) == "a +1 -1, bin, new dir/new, gone gone"
    assert changes_of({}, new) == ()


def test_files_below_folders_are_known_and_edits_refused_by_path(tmp_path: Path) -> None:
    files = {"handler.py": "h", "pkg/a.py": "a", "pkg/sub/b.txt": "b", ".runpod/hub.json": "{}"}
    place = place_of(tmp_path / "w")
    write_bundle(place, files, {}, overwrite=False)
    folder = tmp_path / "w"
    write_bundle(place, files, {}, overwrite=False)
    for spoil, name in [
        (lambda: (folder / "pkg/a.py").write_text("mine"), "pkg/a.py (edited)"),
        (lambda: (folder / "pkg/new.py").write_text("mine"), "pkg/new.py"),
        (lambda: (folder / "pkg/sub/more").mkdir(), "pkg/sub/more"),
        (lambda: (folder / ".runpod/x").symlink_to("/etc"), ".runpod/x"),
    ]:
        spoil()
        with pytest.raises(ExportError) as refused:
            write_bundle(place, {"handler.py": "new"}, {}, overwrite=False)
        assert name in str(refused.value)
        assert (folder / "handler.py").read_text() == "h"
        write_bundle(place, files, {}, overwrite=True)
        # what is somebody's own stays, also beside our files
        if "edited" not in name:
            path = folder / name
            assert path.is_symlink() or path.exists()
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    write_bundle(place, {"handler.py": "new"}, {}, overwrite=False)
    assert {p.name for p in folder.iterdir()} == {"handler.py", MANIFEST}
    (folder / "pkg").mkdir()
    (folder / "pkg" / "mine.txt").write_text("mine")
    write_bundle(place, files, {}, overwrite=True)
    write_bundle(place, {"handler.py": "third"}, {}, overwrite=True)
    assert (folder / "pkg" / "mine.txt").read_text() == "mine"
    assert not (folder / "pkg" / "a.py").exists()


def test_a_manifest_of_somebody_else_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "link").symlink_to("../secret")
    names = ["../secret", "link", "/etc/passwd", "a//b", "."]
    (tmp_path / "w" / MANIFEST).write_text(json.dumps({"files": dict.fromkeys(names, "x")}))
    assert old_files(tmp_path / "w", ["link", "handler.py"]) == {}


@pytest.mark.sdk
def test_what_is_lost_on_both_sides_proves_nothing(tmp_path: Path) -> None:
    book = done('%%handler\ndef handler(job):\n    return {1, 2} if job["input"] == "set" else 1')
    lost = export(request_of(book, tmp_path / "w", ["set"]))
    assert lost.report.verdict == "not verified"
    assert not lost.report.passed
    assert "the recorded job posts no result, here or in the worker" in lost.report.sentence()
    assert lost.report.rows[0].silent
    request = request_of(book, tmp_path / "w", ["set", "plain"])
    assert [job.state for job in request.jobs] == [JobState.COMPLETED, request.jobs[1].state]
    both = export(request)
    assert both.report.verdict == "equal"
    assert both.report.sentence() == (
        "equal: 2 recorded jobs through a real worker; 1 of them posts no result on either side"
    )


@pytest.mark.sdk
def test_jobs_that_end_between_two_looks_at_the_worker_are_proven(tmp_path: Path) -> None:
    """The pool notes a cold start at its next tick; a quick job has ended by then."""
    request = request_of(done("%%handler\ndef handler(job): return 1"), tmp_path / "w", [1])
    rarely = functools.partial(play, tick_s=60.0)
    report = export(dataclasses.replace(request, play=rarely)).report
    assert report.verdict == "equal", report
    assert report.cold_start_s is not None


GREETS = (
    "import os\nPREFIX = os.environ['GREETING']",
    "%%handler\ndef greet(job):\n    return [PREFIX, os.environ['GREETING'], os.environ.get('TONE')]",
)


@pytest.mark.sdk
def test_a_worker_has_the_variables_of_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREETING", 'how"dy $X')
    book = done(*GREETS)
    request = request_of(
        book, tmp_path / "wm", [1], expression="greet",
        choices=choose(env={"GREETING": 'how"dy $X'}),
    )  # fmt: skip
    bare = dataclasses.replace(request, path=tmp_path / "bare", choices=choose(), verify=False)
    made, without = export(dataclasses.replace(request, verify=False)), export(bare)
    assert json.loads((made.path / MANIFEST).read_text())["env"] == {"GREETING": 'how"dy $X'}
    # another shell, without the notebook's variables
    monkeypatch.delenv("GREETING")
    monkeypatch.setenv("TONE", "")
    monkeypatch.delenv("TONE")
    for files in (None, made.files[:-1]):
        report = verify(made.path, files, request.jobs, version=1, fits=lambda: None, play=play)
        assert report.verdict == "equal", report
    report = verify(without.path, None, request.jobs, version=1, fits=lambda: None, play=play)
    assert report.verdict == "not verified"
    assert "has no environment variable GREETING: write `%env GREETING=...`" in report.reason
    # a bundle of before exports recorded them: what the proof had instead is said
    assert report.where == ""
    known = json.loads((made.path / MANIFEST).read_text())
    del known["env"]
    (made.path / MANIFEST).write_text(json.dumps(known))
    monkeypatch.setenv("GREETING", 'how"dy $X')
    report = verify(made.path, None, request.jobs, version=1, fits=lambda: None, play=play)
    assert "a real worker, without the variables that its Dockerfile sets" in report.sentence()


@pytest.mark.sdk
def test_a_variable_that_a_job_wants_is_named_and_other_keys_are_not(tmp_path: Path) -> None:
    book = done(
        "import os\nos.environ['ONLY_HERE_X'] = 'x'",
        "%%handler\ndef f(job):\n    return os.environ[job['input']] + os.environ['ONLY_HERE_X']",
    )
    request = request_of(book, tmp_path / "w", ["PATH", "absent"], expression="f", verify=False)
    folder = export(request).path
    text = (folder / "handler.py").read_text().replace("os.environ['ONLY_HERE_X'] = 'x'", "")
    (folder / "handler.py").write_text(text)
    os.environ.pop("ONLY_HERE_X")
    report = verify(folder, None, request.jobs, version=1, fits=lambda: None, play=play)
    rows = {row.notebook[:9]: row for row in report.rows}
    assert report.verdict == "different", report
    assert [row.result for row in report.rows] == ["different", "equal"], rows
    assert "no environment variable ONLY_HERE_X" in report.rows[0].reason


@pytest.mark.sdk
def test_a_run_that_failed_for_want_of_something_counts_until_a_newer_one(tmp_path: Path) -> None:
    there = tmp_path / "there"
    book = done(
        f"from pathlib import Path\nTHERE = {str(there)!r}",
        "%%handler\ndef f(job):\n    return Path(THERE).read_text()",
    )
    first = request_of(book, tmp_path / "w", [1], expression="f", verify=False)
    there.write_text("now")
    again = request_of(book, tmp_path / "w", [2, 1], expression="f", verify=False)
    folder = export(first).path
    run = {"version": 1, "fits": lambda: None, "play": play}
    report = verify(folder, None, first.jobs, **run)  # type: ignore[arg-type]
    assert report.verdict == "different"
    assert "run it again in the notebook and export again" in report.rows[0].reason
    newer = tuple(dataclasses.replace(job, id=f"new-{job.id}") for job in again.jobs)
    report = verify(folder, None, (*newer, *first.jobs), **run)  # type: ignore[arg-type]
    assert report.verdict == "equal", report
    assert len(report.rows) == 2
