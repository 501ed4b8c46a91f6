"""Spans: model loads and setups on their way from the session to the page."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.events import Sample
from kit.session import Session
from kit.span import MAX_SPANS, Span, Spans
from kit.store import Store
from kit.views import codec
from kit.views.feed import Feed, Message
from kit.views.live import Live
from tests.making import until

NOW = 1_800_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "journal.db")
    yield store
    store.close()


def test_a_span_replaces_the_one_with_its_key() -> None:
    spans = Spans()
    spans.put(Span("a", "load", "load", NOW))
    spans.put(Span("b", "pod", "setup", NOW))
    position, found = spans.after(0)
    assert [span.key for span in found] == ["a", "b"]
    spans.put(Span("a", "load", "load", NOW, NOW + 2))
    again, fresh = spans.after(position)
    assert [(span.key, span.ended_at) for span in fresh] == [("a", NOW + 2)]
    assert spans.after(again) == (again, [])
    assert len(spans.after(0)[1]) == 2


def test_spans_are_bounded_and_the_oldest_leave() -> None:
    spans = Spans()
    for n in range(MAX_SPANS + 40):
        spans.put(Span(str(n), "x", "load", NOW + n, NOW + n))
    kept = spans.after(0)[1]
    assert len(kept) == MAX_SPANS
    assert kept[0].key == "40"


def test_a_listener_hears_of_each_put_until_it_stops() -> None:
    spans, heard = Spans(), []
    stop = spans.subscribe(lambda: heard.append(threading.current_thread().name))
    spans.put(Span("a", "x", "load", NOW))
    stop()
    stop()
    spans.put(Span("a", "x", "load", NOW))
    assert heard == [threading.current_thread().name]


def test_what_a_span_says_is_cut_masked_and_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_0123456789ABCDEF0123456789ABCDEF")
    packed = codec.pack_span(
        Span(
            "k",
            "x" * 500,
            "load",
            NOW,
            NOW - 5,
            "a\u202eb\x1b[31m\nline rpa_0123456789ABCDEF0123456789ABCDEF",
        )
    )
    key, label, kind, start, end, detail = packed
    assert (key, kind, start, end) == ("k", "load", NOW, NOW)  # it never ends before it began
    assert len(label) == 80
    assert "\u202e" not in detail
    assert "\x1b" not in detail
    assert "\nline " in detail
    assert "0123456789ABCDEF" not in detail


def test_a_page_gets_all_spans_first_and_then_what_changed(store: Store) -> None:
    spans = Spans()
    spans.put(Span("a", "load sdxl", "load", time.time() - 3, time.time(), "7 GiB"))
    told = Feed(store, None, None, spans)
    told.load()
    assert [s[1] for s in told.snapshot().content["spans"]] == ["load sdxl"]
    assert told.update() == []
    spans.put(Span("b", "pod", "setup", time.time()))
    [delta] = told.update()
    assert [s[0] for s in delta.content["spans"]] == ["b"]
    assert delta.size < 1000
    assert told.update() == []
    assert len(told.snapshot().content["spans"]) == 2  # a reload


def test_memory_beside_a_span_is_shown_also_before_the_first_job(store: Store) -> None:
    spans = Spans()
    began = time.time() - 2
    store.append_samples([Sample(began - 60, "rss", -1, 1 << 20)])
    store.append_samples([Sample(began + n / 10, "rss", -1, 1 << 28) for n in range(5)])
    told = Feed(store, None, None, spans)
    told.load()
    assert told.snapshot().content["n"][1] == 0
    spans.put(Span("a", "load", "load", began))
    [delta] = told.update()
    assert delta.content["n"][1] == 5 * codec.SAMPLE_BYTES
    assert told.awake  # it still lasts: more samples will come
    late = Feed(store, None, None, spans)
    late.load()
    assert late.snapshot().content["n"][1] == 5 * codec.SAMPLE_BYTES


def test_a_span_put_into_the_session_reaches_an_open_page(kit_home: Path) -> None:
    session = Session(kit_home)
    heard: list[Message] = []
    live = Live(session.store, session, None, lambda: {"head": {}, "note": None}, lambda: None)
    try:
        live.connect(heard.append)
        live.hear({"t": "hello"})
        until(lambda: [m for m in heard if m.content["t"] == "snapshot"], "a snapshot")
        session.spans.put(Span("a", "load sdxl", "load", time.time(), None, "on cuda:0"))
        deltas = until(lambda: [m for m in heard if m.content["t"] == "delta"], "a delta")
        assert json.dumps(deltas[0].content["spans"]).count("load sdxl") == 1
    finally:
        live.close()
        session.close()
