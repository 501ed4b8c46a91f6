"""The report: one file, complete, bounded, and nothing in it but text and media told by their bytes."""

from __future__ import annotations

import base64
import json
import os
import struct
import time
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kit.absence import Absence
from kit.errors import UsageError
from kit.events import (
    Chunk,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Finding,
    Found,
    JobKey,
    Log,
    MemoryUse,
    Queued,
    Sample,
    Started,
)
from kit.span import Span
from kit.store import Store
from kit.views.report import Written, report
from kit.views.report.page import MARK

MIB = 2**20
VECTORS = [
    "<script>window.canary=1</script>",
    "<img src=x onerror=window.canary=1>",
    "</script><script>window.canary=1</script>",
    "</style><script>window.canary=1</script>",
    "</title></head><body onload=window.canary=1>",
    '"><svg onload=window.canary=1>',
    "javascript:window.canary=1",
    "data:text/html,<script>window.canary=1</script>",
    "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5jYW5hcnk9MSIvPg==",
    "http://canary.invalid/x.png",
    "<style>@import 'http://canary.invalid/y'</style>",
    "<base href=http://canary.invalid/><link rel=stylesheet href=z>",
    '<form id="job-1"><input name="nodeName"></form>',
    "\u202egpj.exe\u202c\x1b[31m\x00\u2028",
]


def png(width: int, height: int) -> str:
    """A picture of one colour in base64."""

    def part(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x20\x90\x60" * width) * height if width * height < 10**6 else b""
    data = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def job(
    key: str,
    at: float,
    *,
    input: object = None,
    output: object = None,
    error: str | None = None,
    log: str = "",
    finding: Finding | None = None,
    id: str | None = None,
    handler: str = "draw",
    chunks: tuple[str, ...] = (),
    target: str = "local",
) -> list[Event]:
    """Events of one job that ran for a second."""
    name = JobKey(key)
    queued = Queued(id or f"id-{key}", handler, 1, target)
    events = [
        Event(name, 1, EventKind.QUEUED, at, queued, json.dumps({"input": input})),
        Event(name, 1, EventKind.STARTED, at + 0.2, Started(0, 200.0)),
    ]
    events += [
        Event(name, 1, EventKind.CHUNK, at + 0.3, Chunk(n), json.dumps(chunk))
        for n, chunk in enumerate(chunks)
    ]
    if log:
        events.append(Event(name, 1, EventKind.LOG, at + 0.5, Log("stdout", log)))
    if finding is not None:
        events.append(Event(name, 1, EventKind.FINDING, at + 0.5, Found(finding)))
    memory = (MemoryUse("rss", -1, 100 * MIB, 180 * MIB, 110 * MIB, True, True),)
    info = (
        None if error is None else ErrorInfo("<class 'ValueError'>", error, f"Traceback\n{error}")
    )
    kind = EventKind.COMPLETED if error is None else EventKind.FAILED
    body = {"output": output} if error is None else {"error": error}
    ended = Ended(1000.0, info, None, memory)
    events.append(Event(name, 1, kind, at + 1.2, ended, json.dumps(body)))
    return events


def hostile(store: Store) -> None:
    """Every attack in every place where text is shown, and what a report holds besides."""
    now = time.time() - 60
    every = " ".join(VECTORS)
    for n, vector in enumerate(VECTORS):
        finding = Finding("K999", f"see {vector}", vector, vector)
        store.append(
            job(
                f"k{n}", now + n, input={vector: vector}, output={"v": vector, vector: [vector]},
                log=vector, finding=finding, id=vector + str(n), handler=vector,
                chunks=(vector,),
            )
        )  # fmt: skip
        store.append(job(f"e{n}", now + n + 20, error=every, id=f"job-{n}", log=every))
        store.put_span(Span(vector, vector, "load", now + n, now + n + 0.5, vector))
    store.append(job("p", now + 50, input={"n": 3}, output={"image": png(40, 30)}))
    store.append_samples([Sample(now + n / 4, "rss", -1, (100 + n) * MIB) for n in range(240)])


def write(store: Store, path: Path, **more: object) -> Written:
    absences = (Absence("vram", "No VRAM figure: <b>none</b>.", "no_driver"),)
    return report(store, path, version="1", session=None, absences=absences, **more)  # type: ignore[arg-type]


class Page(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.said)


#: everything the report is made of; a new element is to be thought about
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer"),
    *("h1", "h2", "h3", "p", "div", "span", "b", "a", "pre", "code", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img"),
    *("svg", "g", "rect", "line", "circle", "path", "text"),
}


def test_attacks_stay_text_everywhere(store: Store, tmp_path: Path) -> None:
    hostile(store)
    path = tmp_path / "run.html"
    write(store, path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)) == 2 * len(VECTORS) + 1
    for tag, attrs in page.elements:
        assert not [
            name for name in attrs if name.startswith("on") or (name == "name" and tag != "meta")
        ]
        for name in ("src", "href", "xlink:href", "action", "data", "srcdoc", "srcset"):
            value = attrs.get(name)
            if value is None:
                continue
            inside = value.startswith("#job-") and value[1:] in ids
            assert inside or (tag == "img" and value.startswith("data:image/png;base64,")), value
        assert "url(" not in (attrs.get("style") or "")
    css = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in css
    assert "@import" not in css
    assert text.count("</style>") == 1
    assert "<script" not in text
    assert "default-src 'none'" in text
    # and it is really said, not dropped
    assert page.text.count("<img src=x onerror=window.canary=1>") >= 5
    assert "<b>none</b>" in page.text
    assert not {"\u202e", "\x1b", "\x00", "\u2028"} & set(text)


def test_it_holds_what_a_person_looks_for(store: Store, tmp_path: Path) -> None:
    now = time.time() - 30
    finding = Finding("K101", "A tuple becomes a list.", "$.output.pair", "Send a list.")
    store.append(
        job("a", now, input={"prompt": "a dog"}, output={"image": png(40, 30)}, log="hello")
    )
    store.append(job("b", now + 2, output={"x": 1}, finding=finding))
    store.append(job("c", now + 4, output={"x": 1}, finding=finding))
    store.append(job("d", now + 6, error="no such thing"))
    store.append(job("e", now + 8, output=[], chunks=("one", "two")))
    store.put_span(Span("1", "weights", "load", now - 3, now - 1, "In [2]"))
    store.append_samples([Sample(now + n / 4, "rss", -1, (100 + n) * MIB) for n in range(40)])
    written = write(store, tmp_path / "run.html")
    assert (written.jobs, written.size_bytes) == (5, (tmp_path / "run.html").stat().st_size)
    assert repr(written).endswith("5 jobs, " + repr(written).rpartition(", ")[2])
    page = Page((tmp_path / "run.html").read_text(encoding="utf-8"))
    for said in (
        "draw v1", "4 completed", "1 failed", "weights, 2.00 s", "a dog", "hello", "no such thing",
        "ValueError: no such thing", "A tuple becomes a list.", "2 times, first in", "PNG 40 × 30",
        "200 ms", "180 MiB", "its own", "No VRAM figure", "load or setup", "slot 1", "setup",
        '"one"', "100 MiB",
    ):  # fmt: skip
        assert said in page.text, said
    assert sum(tag == "img" for tag, _ in page.elements) == 1
    unfolded = [attrs["id"] for tag, attrs in page.elements if tag == "details" and "open" in attrs]
    assert unfolded == [f"job-{n}" for n in range(1, 6)]
    links = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert links == {f"#job-{n}" for n in range(1, 6)}


def test_several_gpus_have_a_row_each(store: Store, tmp_path: Path) -> None:
    now = time.time() - 30
    store.append(job("a", now))
    gib = 2**30
    store.append_samples(
        [
            Sample(now + n / 5, kind, device, (device + 1) * gib + n * MIB, 24 * gib)
            for n in range(10)
            for device in (0, 1)
            for kind in ("vram", "torch_allocated", "torch_reserved")
        ]
    )
    write(store, tmp_path / "run.html", devices=("NVIDIA A", "NVIDIA B"))
    said = Page((tmp_path / "run.html").read_text(encoding="utf-8")).text
    for words in (
        "GPU 0 memory",
        "GPU 1 memory",
        "GPU 1: NVIDIA B",
        "device used",
        "size of the GPU",
    ):
        assert words in said
    assert "Memory of this process" not in said


def test_each_machine_has_a_row_of_its_own(store: Store, tmp_path: Path) -> None:
    now = time.time() - 30
    pod = "pod:<gpu>.example"
    store.append(job("a", now) + job("b", now, target=pod))
    for target, mib in (("local", 300), (pod, 900)):
        store.append_samples(
            [Sample(now + n / 5, "rss", -1, mib * MIB, target=target) for n in range(10)]
        )
    write(store, tmp_path / "run.html")
    said = Page((tmp_path / "run.html").read_text(encoding="utf-8")).text
    for words in ("Process memory, this kernel", f"Process memory, {pod}", f"process on {pod}."):
        assert words in said


def test_an_empty_report_says_what_to_do(store: Store, tmp_path: Path) -> None:
    write(store, tmp_path / "run.html")
    said = Page((tmp_path / "run.html").read_text(encoding="utf-8")).text
    assert "No jobs yet. Run one:" in said


def test_bombs_and_large_payloads_are_bounded(store: Store, tmp_path: Path) -> None:
    now = time.time() - 60
    store.append(job("a", now, output={"image": png(30_000, 30_000)}))
    store.append(job("b", now + 2, output={"text": "x" * 3_000_000, "many": list(range(300_000))}))
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    store.append(job("c", now + 4, output=deep, log="\x1b[31mred\n" * 50_000))
    written = write(store, tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert written.size_bytes < 120_000
    assert "30000 x 30000, not shown" in text
    assert "<img" not in text
    assert "3,000,000 characters" in text


def test_keys_are_masked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "rpa_C4N4RYC4N4RYC4N4RYC4N4RYC4N4RY"
    monkeypatch.setenv("RUNPOD_API_KEY", key)
    finding = Finding("K101", key, key, key)
    store.append(
        job(
            "a",
            time.time(),
            input={"k": key},
            output={"v": key},
            log=f"key {key}\n",
            finding=finding,
        )
    )
    store.append(job("b", time.time(), error=f"refused {key}", id=key, handler=key[:20]))
    store.put_span(Span("1", key, "load", time.time() - 1, time.time(), key))
    write(store, tmp_path / "run.html")
    assert key not in (tmp_path / "run.html").read_text(encoding="utf-8")


# -- the file ---------------------------------------------------------------------------------------


def test_only_an_earlier_report_is_replaced(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    write(store, path)
    assert path.read_bytes().startswith(MARK)
    write(store, path)
    for other in (b"<!doctype html>\nmine", b"", MARK[:-1]):
        path.write_bytes(other)
        with pytest.raises(UsageError, match="is no report of the kit"):
            write(store, path)
        assert path.read_bytes() == other
    write(store, path, overwrite=True)
    assert path.read_bytes().startswith(MARK)
    assert sorted(p.name for p in tmp_path.glob("*html*")) == ["run.html"], (
        "nothing is left beside it"
    )
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(
    store: Store, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    link = tmp_path / "run.html"
    link.symlink_to(mine)
    with pytest.raises(UsageError, match="is no report"):
        write(store, link)
    write(store, link, overwrite=True)
    assert mine.read_text() == "mine"
    assert not link.is_symlink()


def test_places_that_are_none_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: name a file"):
        write(store, tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        write(store, tmp_path / "no" / "run.html")


def test_a_write_that_fails_leaves_what_there_was(store: Store, tmp_path: Path) -> None:
    path = tmp_path / ("r" * 250)  # the file beside it has a shorter name
    write(store, path)
    before = path.read_bytes()
    for bad in (tmp_path / ("r" * 300), tmp_path / "a\0b"):
        with pytest.raises(UsageError, match="cannot be"):
            write(store, bad)
    if Path("/proc/self").is_dir():  # a folder where nobody can make a file, root included
        with pytest.raises(UsageError, match="cannot be written"):
            write(store, Path("/proc/run.html"))
    assert path.read_bytes() == before
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
