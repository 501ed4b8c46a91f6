"""``%%kit_load``: the line, and what a load cell comes to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.errors import UsageError
from kit.events import MemoryUse
from kit.line import HelpAsked, parse_load
from kit.loading import Load, cost_of
from kit.ownlines import load_of, transform
from kit.session import Session

MIB, GIB = 2**20, 2**30


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


def cell(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_a_label_is_words_or_nothing() -> None:
    assert parse_load("") == ""
    assert parse_load("  sdxl,   fp16 ") == "sdxl, fp16"
    assert len(parse_load("x" * 500)) == 80
    for text in ("?", "-h", "--help"):
        with pytest.raises(HelpAsked):
            parse_load(text)
    with pytest.raises(UsageError, match="has no option --wait"):
        parse_load("--wait 3")


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("%%kit_load\nx = 1\n", "\nx = 1\n"),
        ("# why\n\n%%kit_load sdxl\nx = 1\n", "# why\n\n\nx = 1\n"),
        ("%%kit_load m\n%%handler h\ndef h(job): ...\n", "\n\ndef h(job): ...\n"),
        ("%%handler h\n# why\n%%kit_load m\ndef h(job): ...\n", "\n# why\n\ndef h(job): ...\n"),
        # what does not parse is for the magic, which IPython finds on the first line only
        ("# why\n%%kit_load --no\nx = 1\n", "%%kit_load --no\n# why\nx = 1\n"),
        ("%%kit_load --help", "%%kit_load --help\n\n"),
        ("%%kit_load m\n%%handler --no\nx = 1\n", "%%handler --no\n\nx = 1\n"),
        # not on top, or something else
        ("x = 1\n%%kit_load\n", "x = 1\n%%kit_load\n"),
        ("%%kit_loads\nx = 1\n", "%%kit_loads\nx = 1\n"),
        ("%%time\n%%kit_load\n", "%%time\n%%kit_load\n"),
    ],
)
def test_the_line_is_taken_off_and_line_numbers_stay(typed: str, runs: str) -> None:
    once = transform(cell(typed))
    assert "".join(once) == runs
    assert transform(once) == once, "IPython calls it more than once"


def test_the_label_is_read_from_the_cell_as_typed() -> None:
    assert load_of("# c\n%%kit_load  sdxl \nx") == "sdxl"
    assert load_of("%%kit_load\nx") == ""
    assert load_of("%%handler\nx") is None


def test_a_load_is_timed_measured_and_kept(session: Session) -> None:
    time.sleep(0.05)
    load = Load(session, "weights", 3)
    (running,) = session.store.spans(session=session.session_id)
    assert (running.label, running.kind, running.ended_at) == ("weights", "load", None)
    block = bytearray(200 * MIB)
    said = load.end()
    (span,) = session.store.spans()
    assert span == session.spans.after(0)[1][0], "the screen and the journal say the same"
    assert span.key == running.key
    assert span.started_at == running.started_at
    assert span.ended_at is not None
    assert 0 < span.ended_at - span.started_at < 60
    where, cost = span.detail.split("\n")
    assert where == "In [3]"
    assert "peak" in cost
    assert said.startswith("weights: ")
    assert cost in said
    assert any(sample.time >= span.started_at for sample in samples_soon(session))
    assert len(block) == 200 * MIB
    rows = session.store.spans(since=span.started_at + 1)
    assert rows == []


def samples_soon(session: Session) -> list[object]:
    from tests.making import until

    until(lambda: session.store.samples(), "the samples of the load")
    return list(session.store.samples())  # type: ignore[arg-type]


def test_a_load_that_failed_says_so_and_one_without_a_name_has_its_cell_s(session: Session) -> None:
    said = Load(session, "", None).end("the cell raised MemoryError")
    (span,) = session.store.spans()
    assert span.label == "load a cell"
    assert span.detail.endswith("the cell raised MemoryError")
    assert said.endswith("the cell raised MemoryError")


def test_a_secret_in_a_label_is_not_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "c4n4ryc4n4ryc4n4ryc4n4ry")
    Load(session, "with hf_c4n4ryc4n4ryc4n4ryc4n4ry", 1).end()
    assert "c4n4ry" not in str(session.store.spans())


def test_what_a_load_cost_in_words() -> None:
    use = MemoryUse("vram", 1, 412 * MIB, 20 * GIB, 19 * GIB, own=True, exact=True)
    assert cost_of(use) == "GPU 1 412 MiB to 19.0 GiB (+18.6 GiB), peak 20.0 GiB"
    less = MemoryUse("rss", -1, 400 * MIB, 400 * MIB, 100 * MIB, own=False, exact=False)
    assert cost_of(less) == (
        "RSS 400 MiB to 100 MiB (-300 MiB), peak 400 MiB, sampled, jobs ran beside it"
    )
