"""What is left in the saved notebook: escaped, masked, bounded, and written in no time."""

from __future__ import annotations

import base64
import json
import statistics
import struct
import time
import zlib
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.events import (
    ErrorInfo,
    Finding,
    JobKey,
    JobState,
    JobView,
    Log,
    MemoryUse,
)
from kit.rows import JobRow
from kit.views.jobstatic import job_html, job_text
from kit.views.static import Picture, picture_html, picture_text, summary
from kit.views.words import duration, memory, percentile, size

NOW = 1_800_000_000.0
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>1</script>",
    "javascript:alert(1)",
    "<svg onload=alert(1)>",
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "\u202egnp.exe",
    "\x00\x1b[31m",
    "<a href=//x data-commandlinker-command=1>",
    "\ud800",
]
TEXT = st.text(max_size=60) | st.sampled_from(HOSTILE)


class Reader(HTMLParser):
    """Tags, attributes and text as a browser would take them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl!r}")


TAGS = {"div", "style", "b", "code", "table", "thead", "tbody", "tr", "th", "td", "span", "pre"}


def check(html: str, pictures: bool = False) -> Reader:
    """Only our own tags with our own attributes; nothing that runs, nothing that loads."""
    read = Reader(html)
    assert {tag for tag, _ in read.tags} <= TAGS | ({"img"} if pictures else set())
    for tag, attributes in read.tags:
        allowed = {"style"} | ({"class"} if tag == "div" else set())
        if tag == "td":
            allowed |= {"colspan"}
        if tag == "img":
            allowed |= {"alt", "src"}
            assert (attributes["src"] or "").startswith("data:image/")
        assert set(attributes) <= allowed
        assert "url(" not in (attributes.get("style") or "")
    html.encode("utf-8")  # lone surrogates cannot be written into a notebook
    return read


def row(number: int = 0, **changes: object) -> JobRow:
    values: dict[str, object] = {
        "key": JobKey(f"s-{number}"),
        "id": f"job-{number}",
        "session": "s",
        "handler": "h",
        "version": 1,
        "target": "local",
        "state": JobState.COMPLETED,
        "attempt": 1,
        "slot": 0,
        "submitted_at": NOW + number,
        "started_at": NOW + number + 0.1,
        "ended_at": NOW + number + 0.9,
        "delay_ms": 100.0,
        "execution_ms": 800.0,
        "memory": (MemoryUse("rss", -1, 1 << 28, 1 << 29, 1 << 28, True, True),),
        "n_chunks": 0,
        "n_findings": 0,
        "error_message": None,
        "lost": None,
        "cancel_asked": False,
        "stuck": None,
        "seq": number,
    }
    return JobRow(**{**values, **changes})  # type: ignore[arg-type]


def picture(**changes: object) -> Picture:
    rows = [row(n) for n in range(12, 0, -1)]
    values: dict[str, object] = {
        "title": "handler · sync · v1",
        "rows": rows,
        "counts": {JobState.COMPLETED: len(rows)},
        "times_ms": [800.0] * len(rows),
        "note": None,
        "call": "kit.run({})",
    }
    return Picture(**{**values, **changes})  # type: ignore[arg-type]


def view(**changes: object) -> JobView:
    values: dict[str, object] = {
        "key": JobKey("s-1"),
        "id": "job-1",
        "handler": "h",
        "version": 1,
        "target": "local",
        "state": JobState.COMPLETED,
        "attempt": 1,
        "timeout_s": None,
        "request": '{"input":1}',
        "submitted_at": NOW,
        "started_at": NOW,
        "ended_at": NOW + 1,
        "slot": 0,
        "delay_ms": 1.0,
        "execution_ms": 1000.0,
        "done": '{"output":{"a":1}}',
    }
    return JobView(**{**values, **changes})  # type: ignore[arg-type]


# -- the card's table -------------------------------------------------------------------------------


@settings(max_examples=80)
@given(TEXT, TEXT, TEXT, TEXT, TEXT, st.sampled_from(JobState))
@example(HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3], HOSTILE[4], JobState.FAILED)
def test_text_stays_text(
    title: str, note: str, job_id: str, error: str, sample: str, state: JobState
) -> None:
    rows = [row(1, id=job_id, error_message=error, state=state, handler=title)]
    one = picture(title=title, note=note, rows=rows, counts={state: 1}, times_ms=[])
    plain = check(picture_html(picture())).tags
    tags = check(picture_html(one)).tags
    # the same tags whatever the text: none was made by it
    assert {tag for tag, _ in tags} <= {tag for tag, _ in plain}
    assert sum(tag == "td" for tag, _ in tags) == (9 if error else 7)
    check(picture_html(picture(rows=[], call=sample, title=title)))
    picture_text(one).encode("utf-8", "surrogatepass")


def test_what_it_says() -> None:
    shown = "".join(Reader(picture_html(picture())).text)
    assert "12 completed; p50 800 ms, p95 800 ms; peak 512 MiB (RSS)" in shown
    assert "job-12" in shown
    assert 'kit.run({"prompt": "a"})' in "".join(
        Reader(picture_html(picture(rows=[], call='kit.run({"prompt": "a"})'))).text
    )


def test_bars_lie_inside_their_column() -> None:
    rows = [
        row(3, started_at=None, ended_at=None, state=JobState.IN_QUEUE, execution_ms=None),
        row(2, ended_at=None, state=JobState.IN_PROGRESS, execution_ms=None),
        row(1),
        row(0, submitted_at=NOW - 5000, started_at=NOW - 4000, ended_at=NOW - 3000),
    ]
    html = picture_html(picture(rows=rows))
    for _, attributes in Reader(html).tags:
        style = attributes.get("style") or ""
        parts = dict(p.split(":") for p in style.split(";") if ":" in p)
        if "left" in parts:
            assert 0 <= float(parts["left"].rstrip("%")) <= 100
            reach = float(parts["left"].rstrip("%")) + float(parts["width"].rstrip("%"))
            assert reach <= 100.01


def test_keys_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "canary-0123456789abcdef"
    monkeypatch.setenv("MY_API_KEY", key)
    one = picture(
        title=f"h {key}",
        note=f"n {key}",
        rows=[row(1, error_message=f"bad key {key}", state=JobState.FAILED)],
    )
    assert key not in picture_html(one)
    assert key not in picture_text(one)
    job = view(
        done=json.dumps({"output": {"echo": key}}),
        error=ErrorInfo("<class 'ValueError'>", f"e {key}", f"t {key}"),
        logs=(Log("stdout", f"l {key}\n"),),
        findings=(Finding("K1", f"f {key}", key, key),),
    )
    assert key not in job_html(job)
    assert key not in job_text(job)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_percentiles_do_not_depend_on_the_order_of_the_jobs(times: list[float], dice: Any) -> None:
    said = summary(picture(times_ms=sorted(times)))
    assert summary(picture(times_ms=dice.sample(times, len(times)))) == said


def test_a_figure_and_a_table_say_the_same_percentiles() -> None:
    pytest.importorskip("matplotlib")
    from kit.views.plots.lanes import Lane, Run, summary_of

    times = [305.0, 382.0] * 10 + [100.0]
    rows = [row(n, execution_ms=ms) for n, ms in enumerate(times)]
    runs = [Run(one, one.submitted_at, one.started_at, one.ended_at) for one in rows]
    shown = summary_of([Lane("s", 0, runs)])
    assert percentile([382.0, 305.0], 0.5) == 305
    assert percentile(times, 0.5) == 305
    assert summary(picture(rows=rows, times_ms=times)).split("; ")[1] in shown


def test_it_is_written_in_under_two_milliseconds() -> None:
    rows = [row(n, error_message="e" * 500, state=JobState.FAILED) for n in range(12)]
    one = picture(rows=rows, times_ms=[float(n) for n in range(10_000)])
    picture_html(one)
    costs = []
    for _ in range(30):
        begin = time.perf_counter()
        picture_html(one)
        picture_text(one)
        costs.append(time.perf_counter() - begin)
    assert statistics.median(costs) < 0.004  # html and text, 10,000 times to rank: 2 ms each
    assert len(picture_html(one)) < 12_000


# -- one job ----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80)
@given(JSON, TEXT, TEXT, TEXT)
@example({HOSTILE[0]: HOSTILE[1]}, HOSTILE[0], HOSTILE[1], HOSTILE[2])
def test_a_job_s_text_stays_text(output: object, message: str, log: str, job_id: str) -> None:
    failed = view(
        id=job_id,
        state=JobState.FAILED,
        done=json.dumps({"output": output}),
        error=ErrorInfo(f"<class '{message}'>", message, message),
        logs=(Log("stdout", log),),
        stream=(json.dumps(output), json.dumps(message)),
        findings=(Finding(message, message, log, log),),
    )
    check(job_html(failed))
    job_text(failed)
    check(job_html(view(done=None, stream=(json.dumps(output),), state=JobState.CANCELLED)))


def png(width: int = 2, height: int = 2) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(width) for _ in range(height)))
    start = b"\x89PNG\r\n\x1a\n"
    return start + part(b"IHDR", header) + part(b"IDAT", pixels) + part(b"IEND", b"")


def test_a_peak_that_was_only_sampled_says_so() -> None:
    exact = MemoryUse("rss", -1, 1 << 28, 1 << 29, 1 << 28, True, True)
    assert "peak RSS 512 MiB, its own ·" in job_text(view(memory=(exact,), done='{"output": 1}'))
    sampled = MemoryUse("rss", -1, 1 << 28, 1 << 29, 1 << 28, True, False)
    assert "peak RSS 512 MiB, its own, sampled" in job_text(view(memory=(sampled,)))


def test_a_picture_is_shown_by_its_bytes() -> None:
    data = base64.b64encode(png()).decode()
    html = job_html(view(done=json.dumps({"output": {"image": data, "n": 1}})))
    images = [a for tag, a in check(html, pictures=True).tags if tag == "img"]
    assert [image["src"] for image in images] == [f"data:image/png;base64,{data}"]
    # what it says it is does not matter
    lie = f"data:text/html;base64,{data}"
    assert "data:image/png" in job_html(view(done=json.dumps({"output": lie})))


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'></svg>" * 4,
        b"<html><script>alert(1)</script></html>" * 4,
        b"\x89PNG\r\n\x1a\n" + b"<script>" * 8,
        png(30000, 30000)[:60],
    ],
)
def test_what_is_no_picture_is_not_shown_as_one(data: bytes) -> None:
    for text in (base64.b64encode(data).decode(),):
        for value in (text, f"data:image/svg+xml;base64,{text}", f"data:image/png;base64,{text}"):
            html = job_html(view(done=json.dumps({"output": {"image": value}})))
            assert "<img" not in html
            check(html)


def test_a_huge_output_is_bounded() -> None:
    output = {"rows": [{"x": "y" * 1000} for _ in range(5000)], "text": "z" * 2_000_000}
    html = job_html(view(done=json.dumps({"output": output})))
    assert len(html) < 12_000
    assert "5,000" in html
    assert "2,000,000 characters" in html


def test_a_stream_shows_its_chunks() -> None:
    job = view(done='{"output":[]}', stream=('"to"', '"ken"'))
    assert '["to", "ken"]' in job_text(job)
    assert "2 chunks" in job_text(job)


# -- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0.00 ms"),
        (0.424, "0.42 ms"),
        (0.999, "1.0 ms"),
        (9.96, "10 ms"),
        (999.6, "1.00 s"),
        (2210.0, "2.21 s"),
        (59_960.0, "1 min"),
        (185_000.0, "3 min 5 s"),
        (3_600_000.0, "1 h"),
        (7_440_000.0, "2 h 4 min"),
        (90_000_000.0, "1 d 1 h"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    assert duration(ms) == text


def test_sizes() -> None:
    assert [memory(m) for m in (0.5, 412.2, 20275.2, None)] == [
        "0.5 MiB",
        "412 MiB",
        "19.8 GiB",
        "–",
    ]
    assert [size(n) for n in (12, 402_000, 1_200_000)] == ["12 B", "402 kB", "1.2 MB"]


def test_percentiles_are_measured_values() -> None:
    assert percentile([], 0.5) is None
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
