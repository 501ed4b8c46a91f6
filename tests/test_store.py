"""The journal keeps what it accepted, refuses what contradicts it, and knows the state of each job."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit import schema
from kit import writer as writer_module
from kit.errors import StoreError
from kit.events import (
    REAL_ENDS,
    CancelAsked,
    Chunk,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Finding,
    Found,
    JobKey,
    JobState,
    JobView,
    Log,
    MemoryUse,
    Progress,
    Queued,
    Sample,
    Started,
    Stuck,
)
from kit.fold import fold
from kit.handler import HandlerKind, HandlerVersion
from kit.span import Span
from kit.store import JobRow, Store

NIGHTLY = bool(os.environ.get("KIT_NIGHTLY"))
ROOT = Path(__file__).resolve().parent.parent


def queued(key: str, attempt: int = 1, payload: str | None = '{"input":1}', **data: Any) -> Event:
    facts = {"job_id": f"id-{key}", "handler": "h", "version": 1, "target": "local", **data}
    return Event(JobKey(key), attempt, EventKind.QUEUED, time.time(), Queued(**facts), payload)


def event(key: str, kind: EventKind, data: Any, payload: str | None = None, at: int = 1) -> Event:
    return Event(JobKey(key), at, kind, time.time(), data, payload)


def job(key: str, payload: str = '{"input":1}', done: str = '{"output":1}') -> list[Event]:
    return [
        queued(key, payload=payload),
        event(key, EventKind.STARTED, Started(0, 0.25)),
        event(key, EventKind.COMPLETED, Ended(execution_ms=1.5), done),
    ]


def same(row: JobRow, view: JobView) -> None:
    """A row of the projection against the fold of the events."""
    for field in dataclasses.fields(JobRow):
        if field.name in ("session", "n_chunks", "n_findings", "error_message"):
            continue
        assert getattr(row, field.name) == getattr(view, field.name), field.name
    assert row.n_chunks == len(view.stream)
    assert row.n_findings == len(view.findings)
    assert row.error_message == (view.error.message if view.error else None)


# -- what comes back ------------------------------------------------------------------------------

texts = st.text(max_size=20)
#: what Python may hold in a str, lone surrogates included
any_texts = st.text(st.characters(exclude_categories=()), max_size=20)
ms = st.none() | st.floats(0, 1e9)
uses = st.builds(
    MemoryUse,
    st.sampled_from(["vram", "rss"]),
    st.integers(-1, 8),
    *[st.integers(0, 2**50)] * 3,
    st.booleans(),
    st.booleans(),
)
ends = st.builds(
    Ended,
    ms,
    st.none() | st.builds(ErrorInfo, any_texts, any_texts, any_texts),
    st.none() | any_texts,
    st.lists(uses, max_size=2).map(tuple),
)
payloads = st.none() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.dumps(value, ensure_ascii=False))
DATA: dict[EventKind, st.SearchStrategy[Any]] = {
    EventKind.QUEUED: st.builds(
        Queued, any_texts, any_texts, st.integers(1, 99), texts, st.none() | st.floats(0.01, 1e6)
    ),
    EventKind.STARTED: st.builds(Started, st.integers(0, 99), st.floats(0, 1e9)),
    EventKind.PROGRESS: st.just(Progress()),
    EventKind.CHUNK: st.builds(Chunk, st.integers(0, 10**6)),
    EventKind.LOG: st.builds(Log, st.sampled_from(["stdout", "stderr"]), any_texts),
    EventKind.FINDING: st.builds(Found, st.builds(Finding, texts, any_texts, any_texts, any_texts)),
    EventKind.CANCEL_ASKED: st.just(CancelAsked()),
    EventKind.STUCK: st.builds(Stuck, any_texts),
    **dict.fromkeys([*REAL_ENDS, EventKind.LOST], ends),
}


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(list(DATA)))
    return Event(
        JobKey(draw(st.sampled_from("abc"))),
        draw(st.integers(1, 3)),
        kind,
        draw(st.floats(0, 4e9)),
        draw(DATA[kind]),
        draw(payloads),
    )


@settings(max_examples=2000 if NIGHTLY else 150, deadline=None)
@given(batches=st.lists(st.lists(any_event(), max_size=12), max_size=6))
def test_rows_and_views_are_the_fold_of_whatever_was_accepted(
    batches: list[list[Event]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    store = Store.open(folder / "journal.sqlite")
    try:
        accepted: list[Event] = []
        for batch in batches:
            accepted += store.append(batch)
        assert [e.seq for e in accepted] == list(range(1, len(accepted) + 1))
        stored = store.after(0)
        assert [dataclasses.replace(e, payload=None) for e in stored] == [
            dataclasses.replace(e, payload=None) for e in accepted
        ]
        for kept, given_ in zip(stored, accepted, strict=True):
            # a lone surrogate comes back as its escape: other text, the same JSON
            assert (kept.payload is None) == (given_.payload is None)
            if kept.payload is not None and given_.payload is not None:
                assert json.loads(kept.payload) == json.loads(given_.payload)
        rows = {row.key: row for row in store.rows(payloads=True)}
        for key in map(JobKey, "abc"):
            view = fold(e for e in stored if e.job_key == key)
            assert store.view(key) == view
            assert (view is None) == (key not in rows)
            if view is not None:
                same(rows[key], view)
        assert store.views(map(JobKey, "cba")) == [
            store.view(JobKey(key)) for key in "cba" if JobKey(key) in rows
        ]
        for key, attempt in {(e.job_key, e.attempt) for e in accepted}:
            kinds = [e.kind for e in accepted if (e.job_key, e.attempt) == (key, attempt)]
            assert sum(kind in REAL_ENDS for kind in kinds) <= 1
            assert kinds.count(EventKind.LOST) <= 1
            assert kinds.count(EventKind.QUEUED) <= 1
    finally:
        store.close()


class Sessions(RuleBasedStateMachine):
    """Two sessions that come and go on one journal, against a dict of what must be so."""

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[str, list[Event]] = {}
        self.state: dict[str, JobState] = {}
        self.attempt: dict[str, int] = {}
        self.owner: dict[str, int] = {}
        self.chunks: dict[str, int] = {}
        self.open: list[Store | None] = [None, None]
        self.n = 0

    @initialize(folder=st.builds(lambda: _folder()))
    def begin(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite"
        self.open[0] = Store.open(self.path)

    def any_store(self, data: st.DataObject) -> tuple[int, Store]:
        which = data.draw(st.sampled_from([i for i, s in enumerate(self.open) if s is not None]))
        store = self.open[which]
        assert store is not None
        return which, store

    def put(self, store: Store, *events: Event) -> list[Event]:
        accepted = store.append(events)
        for e in accepted:
            self.events.setdefault(e.job_key, []).append(e)
        return accepted

    def a_job(self, data: st.DataObject, *states: JobState) -> str | None:
        keys = [key for key, state in self.state.items() if not states or state in states]
        return data.draw(st.sampled_from(keys)) if keys else None

    @precondition(lambda self: any(self.open))
    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        which, store = self.any_store(data)
        self.n += 1
        key = f"k{self.n}"
        assert len(self.put(store, queued(key))) == 1
        self.state[key], self.attempt[key] = JobState.IN_QUEUE, 1
        self.owner[key], self.chunks[key] = which, 0

    @precondition(lambda self: any(self.open) and self.state)
    @rule(data=st.data())
    def queue_again(self, data: st.DataObject) -> None:
        """The same attempt delivered twice changes nothing; a newer one begins anew."""
        which, store = self.any_store(data)
        key = self.a_job(data)
        assert key is not None
        assert self.put(store, queued(key, attempt=self.attempt[key])) == []
        if self.state[key].final:
            self.attempt[key] += 1
            assert len(self.put(store, queued(key, attempt=self.attempt[key]))) == 1
            self.state[key], self.owner[key] = JobState.IN_QUEUE, which
            self.chunks[key] = 0

    @precondition(lambda self: any(self.open) and self.state)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        _, store = self.any_store(data)
        key = self.a_job(data)
        assert key is not None
        self.put(store, event(key, EventKind.STARTED, Started(0, 1.0), at=self.attempt[key]))
        if self.state[key] is JobState.IN_QUEUE:
            self.state[key] = JobState.IN_PROGRESS

    @precondition(lambda self: any(self.open) and self.state)
    @rule(data=st.data(), old=st.booleans())
    def stream(self, data: st.DataObject, old: bool) -> None:
        _, store = self.any_store(data)
        key = self.a_job(data)
        assert key is not None
        at = self.attempt[key] - old
        self.put(store, event(key, EventKind.CHUNK, Chunk(0), "1", at=at))
        self.put(store, event(key, EventKind.LOG, Log("stdout", "x"), at=at))
        # one that was given up may be heard of again
        if not old and (not self.state[key].final or self.state[key] is JobState.LOST):
            self.chunks[key] += 1

    @precondition(lambda self: any(self.open) and self.state)
    @rule(data=st.data(), kind=st.sampled_from(sorted(REAL_ENDS)))
    def end(self, data: st.DataObject, kind: EventKind) -> None:
        """A real end is taken once, LOST or not; every later one is refused."""
        _, store = self.any_store(data)
        key = self.a_job(data)
        assert key is not None
        ended = self.state[key].final and self.state[key] is not JobState.LOST
        again = event(key, kind, Ended(1.0), '{"output":1}', at=self.attempt[key])
        assert len(self.put(store, again, again)) == (0 if ended else 1)
        if not ended:
            self.state[key] = JobState[kind.name]

    @precondition(lambda self: any(self.open) and self.state)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        _, store = self.any_store(data)
        key = self.a_job(data)
        assert key is not None
        lost = event(key, EventKind.LOST, Ended(lost="gone"), at=self.attempt[key])
        assert len(self.put(store, lost)) == (0 if self.state[key].final else 1)
        if not self.state[key].final:
            self.state[key] = JobState.LOST

    @rule(which=st.sampled_from([0, 1]))
    def come_or_go(self, which: int) -> None:
        """A session that ends leaves its unfinished jobs to the next one that opens."""
        store = self.open[which]
        if store is not None:
            store.close()
            self.open[which] = None
            return
        opened = self.open[which] = Store.open(self.path)
        for key, state in self.state.items():
            gone = self.open[self.owner[key]] is None or self.owner[key] == which
            if gone and not state.final:
                self.state[key] = JobState.LOST
        known = {e.seq for events in self.events.values() for e in events}
        for e in opened.after(0):
            if e.seq not in known:
                assert e.kind is EventKind.LOST
                self.events[e.job_key].append(e)

    @precondition(lambda self: any(self.open))
    @invariant()
    def the_journal_agrees(self) -> None:
        for store in filter(None, self.open):
            rows = {row.key: row for row in store.rows()}
            assert {key: row.state for key, row in rows.items()} == self.state
            for key, row in rows.items():
                view = fold(self.events[key])
                assert view is not None
                same(row, dataclasses.replace(view, request=None, done=None))
                assert (row.n_chunks, row.attempt) == (self.chunks[key], self.attempt[key])

    def teardown(self) -> None:
        for store in filter(None, self.open):
            store.close()


def _folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(dir=Sessions.base))  # type: ignore[attr-defined]


def test_sessions_against_a_model(tmp_path: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Sessions.base = tmp_path  # type: ignore[attr-defined]
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=20_000 if NIGHTLY else 60,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# -- append ---------------------------------------------------------------------------------------


class Counting:
    """A connection that counts its statements; each gives the GIL away once or twice."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.count = 0

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.count += 1
        return self.connection.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def during(self, work: Callable[[], Any]) -> int:
        self.count = 0
        work()
        return self.count


def test_an_append_is_one_statement_whatever_its_size(store: Store) -> None:
    counting = store._writer.connection = Counting(store._writer.connection)  # type: ignore[assignment]
    store.append(job("a"))
    assert counting.during(lambda: store.append(job("b")[:1])) == 1
    many = [e for i in range(writer_module.ROWS // 3) for e in job(f"many-{i}")]
    assert counting.during(lambda: store.append(many)) == 1
    most = [e for i in range(2 * writer_module.ROWS) for e in job(f"most-{i}")]
    assert counting.during(lambda: store.append(most)) == 2 + 6
    assert store.count() == 2 + len(many) // 3 + len(most) // 3
    samples = [Sample(time.time(), "rss", -1, i) for i in range(1000)]
    assert counting.during(lambda: store.append_samples(samples)) == 1


def test_reading_takes_few_statements(store: Store) -> None:
    store.append([e for i in range(5000) for e in job(f"k{i}")])
    counting = store._reader = Counting(store._reader)  # type: ignore[assignment]
    assert counting.during(lambda: store.after(0)) < 12
    assert counting.during(lambda: store.rows()) < 12
    assert counting.during(lambda: store.view(JobKey("k77"))) == 1
    assert counting.during(lambda: store.states([JobKey("k1"), JobKey("k2")])) == 1


def test_a_batch_is_kept_whole_or_not_at_all(store: Store) -> None:
    good = [e for i in range(writer_module.ROWS) for e in job(f"k{i}")]
    bad = event("bad", EventKind.CHUNK, Chunk(0), "1")
    with pytest.raises(StoreError):
        store.append([*good, dataclasses.replace(bad, time=float("nan"))])
    assert store.after(0) == []
    assert store.count() == 0
    assert len(store.append(good)) == len(good)


def test_refused_events_are_not_handed_to_anybody(store: Store) -> None:
    heard: list[Event] = []
    store.subscribe(heard.extend)
    accepted = store.append([*job("a"), *job("a"), *job("b")])
    # the second QUEUED and COMPLETED are refused; a second STARTED means nothing and is kept
    assert [(e.job_key, e.kind.value) for e in accepted] == [
        ("a", "queued"),
        ("a", "started"),
        ("a", "completed"),
        ("a", "started"),
        ("b", "queued"),
        ("b", "started"),
        ("b", "completed"),
    ]
    assert heard == accepted == store.after(0)
    assert store.append(job("a")[2:]) == []
    assert heard == accepted


def test_an_old_attempt_cannot_end_the_new_one(store: Store) -> None:
    store.append([*job("a")[:2], event("a", EventKind.LOST, Ended(lost="gone")), queued("a", 2)])
    late = event("a", EventKind.COMPLETED, Ended(1.0), '{"output":1}', at=1)
    assert len(store.append([late])) == 1
    view = store.view(JobKey("a"))
    assert view is not None
    assert (view.state, view.attempt, view.seq) == (JobState.IN_QUEUE, 2, 5)


def test_threads_see_one_order(store: Store) -> None:
    heard: list[int] = []
    store.subscribe(lambda events: heard.extend(e.seq for e in events))

    def work(n: int) -> None:
        for i in range(200):
            for e in job(f"t{n}-{i}"):
                store.append([e])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == list(range(1, 8 * 200 * 3 + 1))
    assert store.count(JobState.COMPLETED) == 1600


def test_nobody_s_last_event_is_left_undelivered(store: Store) -> None:
    """Two threads append once each, many times: the one that finds the other handing over."""
    heard: list[int] = []
    store.subscribe(lambda events: heard.extend(e.seq for e in events))
    gate = threading.Barrier(3)

    def work(n: int) -> None:
        for i in range(300):
            gate.wait()
            store.append([queued(f"t{n}-{i}")])
            gate.wait()

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    for i in range(300):
        gate.wait()
        gate.wait()
        assert heard == list(range(1, 2 * i + 3))
    for thread in threads:
        thread.join()


def test_a_subscriber_may_append_raise_and_leave(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def fails(events: Sequence[Event]) -> None:
        raise ValueError("mine")

    def answers(events: Sequence[Event]) -> None:
        for e in events:
            heard.append(f"begin {e.kind}")
            if e.kind is EventKind.QUEUED:
                store.append([event(e.job_key, EventKind.STARTED, Started(0, 0.0))])
            heard.append(f"end {e.kind}")

    leave = [store.subscribe(fails), store.subscribe(answers)]
    store.append([queued("secret-payload", payload='"hunter2"')])
    # not nested: what it appended comes after what it was given
    assert heard == ["begin queued", "end queued", "begin started", "end started"]
    assert "a subscriber of the journal failed" in caplog.text
    assert "hunter2" not in caplog.text
    for one in leave:
        one()
    store.append(job("b"))
    assert len(heard) == 4


@pytest.mark.fresh
def test_nothing_of_a_job_stays_in_memory(store: Store) -> None:
    def jobs(start: int, count: int) -> None:
        for i in range(start, start + count, 100):
            store.append(
                [e for j in range(i, i + 100) for e in job(f"k{j}", '"' + "x" * 500 + '"')]
            )

    jobs(0, 2000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        jobs(2000, 4000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4000 * 20  # a reference alone would be 8 bytes a job


# -- payloads -------------------------------------------------------------------------------------


def files_of(store: Store) -> list[Path]:
    folder = store.path.with_name(f"{store.path.stem}.payloads")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_large_payloads_are_files_by_hash(store: Store) -> None:
    small = json.dumps("x" * (256 * 1024 - 2))
    large = json.dumps("é" * 150_000, ensure_ascii=False)  # 300 kB only as UTF-8
    other = json.dumps("z" * 300_000)
    store.append([*job("a", small, large), *job("b", large, other)])
    assert len(files_of(store)) == 2
    for key, request, done in (("a", small, large), ("b", large, other)):
        view = store.view(JobKey(key))
        assert view is not None
        assert (view.request, view.done) == (request, done)
        (row,) = store.rows(keys=[JobKey(key)], payloads=True)
        assert (row.request, row.done) == (request, done)
    assert store.last_request("h") == large
    chunk = event("c", EventKind.CHUNK, Chunk(0), other)
    store.append([queued("c"), chunk])
    assert store.rows(keys=[JobKey("c")])[0].n_chunks == 1


def test_pages_shrink_where_a_page_would_be_too_big(store: Store) -> None:
    store.append([event("a", EventKind.LOG, Log("stdout", "x" * 10_000)) for _ in range(600)])
    if sys.version_info >= (3, 11):
        store._reader.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
    assert [e.seq for e in store.after(0)] == list(range(1, 601))
    assert [e.seq for e in store.after(10, limit=30)] == list(range(11, 41))


def drop(store: Store) -> None:
    store._writer.written = 10**9
    store.tend()


def test_the_cap_drops_the_oldest_payloads_and_keeps_events(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite", cap_bytes=3_000_000)
    big = [json.dumps(f"{i}" * 400_000) for i in range(8)]
    store.append([queued("waiting", payload=big[0])])
    for i in range(1, 8):
        store.append(job(f"k{i}", payload=big[i], done=json.dumps("d" * 100_000)))
        drop(store)
    assert len(store.after(0)) == 1 + 7 * 3
    requests = {row.key: row.request for row in store.rows(payloads=True)}
    assert requests["waiting"] == big[0], "a job that has not run keeps its request"
    assert requests["k1"] is None
    assert requests["k7"] == big[7]
    kept = [key for key, text in requests.items() if text is not None]
    assert kept == [f"k{i}" for i in range(7, 7 - len(kept) + 1, -1)] + ["waiting"]
    total = sum(path.stat().st_size for path in files_of(store)) + 700_000
    assert total < 3_300_000
    assert len(files_of(store)) == len(kept)
    view = store.view(JobKey("k1"))
    assert view is not None
    assert (view.state, view.request) == (JobState.COMPLETED, None)
    assert store.notes == ()
    # once it has run, what it was given may go as well
    store.append([event("waiting", EventKind.COMPLETED, Ended(1.0), '{"output":1}')])
    for i in range(8, 12):
        store.append(job(f"k{i}", payload=json.dumps(f"{i % 10}" * 700_000)))
        drop(store)
    assert store.rows(keys=[JobKey("waiting")], payloads=True)[0].request is None
    store.close()


def test_a_file_that_a_newer_job_uses_stays(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite", cap_bytes=1_200_000)
    shared, other = json.dumps("s" * 500_000), json.dumps("o" * 500_000)
    store.append(job("old", payload=shared))
    store.append(job("other", payload=other))
    store.append(job("new", payload=shared))
    store.append(job("newest", payload=json.dumps("n" * 400_000)))
    drop(store)
    requests = {row.key: row.request for row in store.rows(payloads=True)}
    assert requests["old"] is None
    assert requests["other"] is None
    assert requests["new"] == shared
    # and comes back whole if it is needed again after it went
    store.append(job("again", payload=other))
    assert store.last_request("h") == other
    store.close()


def test_a_file_that_is_dropped_while_it_is_appended_again_comes_back(tmp_path: Path) -> None:
    path, text = tmp_path / "journal.sqlite", json.dumps("x" * 500_000)
    store, other = Store.open(path), Store.open(path, cap_bytes=10_000)
    store.append(job("old", payload=text))
    again = job("again", payload=text)
    prepared = store._writer.prepare(again)  # finds the file there, and another session ...
    drop(other)
    assert files_of(store) == []
    with store._writer.lock:
        store._writer.insert(again, prepared)
    assert store.rows(keys=[JobKey("again")], payloads=True)[0].request == text
    other.close()
    store.close()


def test_files_that_no_event_uses_are_removed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite")
    text = json.dumps("x" * 300_000)
    bad = dataclasses.replace(queued("b"), time=float("nan"))
    with pytest.raises(StoreError):  # the same transaction cannot keep the other event
        store.append([queued("a", payload=text), bad])
    assert files_of(store) == []
    store.append([queued("a", payload=text)])
    (used,) = files_of(store)
    orphan, young, half = (used.with_name(c * 64) for c in "abc")
    half = half.with_suffix(".123.tmp")
    for path in (orphan, young, half):
        path.write_text("{}")
    for path in (orphan, half, used):
        os.utime(path, (1, 1))
    # a file is in the folder of its first two digits
    for path, name in ((orphan, "aa"), (young, "bb"), (half, "cc")):
        (used.parent.parent / name).mkdir(exist_ok=True)
        path.rename(used.parent.parent / name / path.name)
    store.tend()
    assert files_of(store) == sorted([used, used.parent.parent / "bb" / young.name])
    store.close()


def test_a_cap_that_cannot_be_kept_refuses_no_event(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(job("a", payload=json.dumps("x" * 300_000)))
    (used,) = files_of(store)
    used.unlink()
    used.mkdir()  # cannot be removed as a file
    store.cap_bytes, store._writer.written = 1000, 10**9
    assert len(store.append(job("b"))) == 3
    assert "nothing was dropped" in caplog.text
    assert store.count(JobState.COMPLETED) == 2
    assert not store._writer.connection.in_transaction


def test_after_the_payloads_the_samples_go_and_then_the_logs(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite", cap_bytes=1_500_000)
    store.append(job("a", payload=json.dumps("x" * 200_000)))
    store.append([event("a", EventKind.LOG, Log("stderr", "line\n" * 2000)) for _ in range(200)])
    store.append_samples([Sample(float(i), "rss", -1, i) for i in range(20_000)])
    for _ in range(3):
        drop(store)
    assert store.samples() == []
    view = store.view(JobKey("a"))
    assert view is not None
    assert view.request is None
    assert len(view.logs) == 200
    assert view.logs[0] == Log("stderr", "[dropped to stay under the cap of the store]\n")
    assert view.logs[-1].text.startswith("line\n")
    store.cap_bytes = 10_000
    for _ in range(3):
        drop(store)
    assert "over its cap" in store.notes[0]
    assert len(store.after(0)) == 203
    store.close()


def test_the_cap_is_kept_even_if_nobody_tends(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite", cap_bytes=20_000_000)
    for i in range(80):
        store.append(job(f"k{i}", payload=json.dumps(f"{i:02}" * 1_000_000)))
    # looked at each 64 MB
    assert sum(path.stat().st_size for path in files_of(store)) < 20_000_000 + 66_000_000
    store.close()


def test_the_cap_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_CAP_GB", "0.5")
    store = Store.open(tmp_path / "journal.sqlite")
    assert store.cap_bytes == 500_000_000
    store.close()
    monkeypatch.setenv("KIT_CAP_GB", "much")
    with pytest.raises(StoreError, match="KIT_CAP_GB is 'much'"):
        Store.open(tmp_path / "journal.sqlite")


# -- read -----------------------------------------------------------------------------------------


def test_rows_by_every_filter(store: Store, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "journal.sqlite")
    store.append([queued("a"), queued("b", handler="g", version=2), *job("c")])
    other.append([queued("d", target="process"), *job("e")])

    def keys(**filters: Any) -> str:
        return "".join(row.key for row in store.rows(**filters))

    assert keys() == "edcba"
    assert keys(newest_first=False) == "abcde"
    assert keys(limit=2) == "ed"
    assert keys(limit=2, newest_first=False) == "ab"
    assert keys(limit=0) == ""
    assert keys(session=store.session_id) == "cba"
    assert keys(session=other.session_id, state=JobState.COMPLETED) == "e"
    assert keys(session="nobody") == ""
    assert keys(handler="g") == "b"
    assert keys(version=1, state=[JobState.IN_QUEUE]) == "da"
    assert keys(state=[]) == ""
    assert keys(target="process") == "d"
    assert keys(keys=[JobKey("a"), JobKey("zz")]) == "a"
    assert keys(handler="' OR 1=1 --") == ""
    assert store.count() == 5
    assert store.count(JobState.COMPLETED) == 2
    assert store.count([JobState.COMPLETED, JobState.IN_QUEUE], store.session_id) == 3
    assert store.states([JobKey("e"), JobKey("zz"), JobKey("a")]) == ["COMPLETED", "IN_QUEUE"]
    assert {row.session for row in store.rows()} == {store.session_id, other.session_id}
    assert [e.job_key for e in store.after(0, session=other.session_id)] == ["d", "e", "e", "e"]
    other.close()


def test_last_request_is_that_of_the_latest_attempt(store: Store) -> None:
    assert store.last_request("h") is None
    store.append([queued("a", payload='{"input":1}'), queued("b", payload='{"input":2}')])
    assert store.last_request("h") == '{"input":2}'
    store.append([queued("a", 2, payload='{"input":3}')])
    assert store.last_request("h") == '{"input":3}'
    assert store.last_request("h", session="nobody") is None
    assert store.last_request("g") is None


def test_samples_in_order_of_time_page_by_page(store: Store) -> None:
    # 20,000, many with one time: a page ends in the middle of them
    times = [1e9 + i // 7000 + (i % 3) * 0.1 for i in range(20_000)]
    given_ = [Sample(at, "vram", 0, i, 100, i / 20_000) for i, at in enumerate(times)]
    store.append_samples(given_)
    assert store.samples() == sorted(given_, key=lambda s: s.time)
    assert store.samples(since=1e9 + 1, until=1e9 + 1) == [s for s in given_ if s.time == 1e9 + 1]
    assert store.samples(session="nobody") == []
    assert len(store.samples(session=store.session_id)) == 20_000
    store.append_samples([Sample(2e9, "rss", -1, 5)])
    assert store.samples(since=1.5e9) == [Sample(2e9, "rss", -1, 5)]


def version(name: str, number: int, **facts: Any) -> HandlerVersion:
    base: dict[str, Any] = {
        "name": name,
        "version": number,
        "kind": HandlerKind.ASYNC_GENERATOR,
        "expression": "handler",
        "options": (("return_aggregate_stream", "True"),),
        "source": "def handler(job):\n    return 'é\ud800'\n",
        "cell": 3,
        "line": 1,
        "lines_changed": None,
        "example": "{}",
        "registered_at": 1.5,
    }
    return HandlerVersion(**{**base, **facts})


def test_handler_versions_come_back(store: Store, tmp_path: Path) -> None:
    store.register(version("h", 1))
    store.register(version("g", 1))
    store.register(version("h", 2, cell=None, lines_changed=4, options=()))
    assert store.handlers() == [
        version("h", 1),
        version("g", 1),
        version("h", 2, cell=None, lines_changed=4, options=()),
    ]
    other = Store.open(tmp_path / "journal.sqlite")
    other.register(version("h", 1, cell=9))
    assert other.handlers(other.session_id) == [version("h", 1, cell=9)]
    assert len(other.handlers()) == 4
    other.close()


def test_times_come_back_exactly(store: Store) -> None:
    times = [1763800000.1234567, 1.1, 0.1, 1e-300, 4294967295.9999995, 2.0**52 + 0.5, 0.0]
    given_ = [event("a", EventKind.PROGRESS, Progress(), "1") for _ in times]
    store.append([dataclasses.replace(e, time=t) for e, t in zip(given_, times, strict=True)])
    assert [e.time for e in store.after(0)] == times


# -- sessions -------------------------------------------------------------------------------------


def test_what_a_session_left_unfinished_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Store.open(path)
    first.append([queued("waits"), *job("runs")[:2], *job("done")])
    second = Store.open(path)
    assert {row.state for row in second.rows()} == {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    first.close()
    heard: list[Event] = []
    second.subscribe(heard.extend)
    assert second.recover() == 2
    assert second.recover() == 0
    assert second.states([JobKey("waits"), JobKey("runs"), JobKey("done")]) == [
        JobState.LOST,
        JobState.LOST,
        JobState.COMPLETED,
    ]
    assert [(e.job_key, e.kind) for e in heard] == [("waits", "lost"), ("runs", "lost")]
    lost = second.rows(keys=[JobKey("runs")])[0].lost
    assert lost is not None
    assert f"session {first.session_id}" in lost
    # somebody else was running it after all
    late = event("runs", EventKind.COMPLETED, Ended(5.0), '{"output":2}')
    assert len(second.append([late])) == 1
    assert second.append([late]) == []
    assert second.states([JobKey("runs")]) == [JobState.COMPLETED]
    second.close()


def test_a_job_that_is_run_again_belongs_to_the_one_who_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Store.open(path)
    first.append([queued("a")])
    first.close()
    second, third = Store.open(path), Store.open(path)
    second.append([queued("a", 2)])
    assert third.recover() == 0
    assert third.rows()[0].session == second.session_id
    second.close()
    assert third.recover() == 1
    third.close()


def test_many_unfinished_jobs_are_lost_at_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Store.open(path)
    first.append([queued(f"k{i}") for i in range(10_000)])
    first.close()
    began = time.perf_counter()
    second = Store.open(path)
    assert time.perf_counter() - began < 2.0
    assert second.count(JobState.LOST) == 10_000
    second.close()


def test_locks_of_the_dead_do_not_pile_up(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.sqlite")
    folder = tmp_path / "journal.locks"
    old, young = folder / "s0000000", folder / "s0000001"
    old.touch()
    young.touch()
    os.utime(old, (1, 1))
    os.utime(folder / store.session_id, (1, 1))
    store.recover()
    assert sorted(path.name for path in folder.iterdir()) == sorted(["s0000001", store.session_id])
    store.close()
    assert [path.name for path in folder.iterdir()] == ["s0000001"]


def test_data_version_tells_of_others_only(store: Store, tmp_path: Path) -> None:
    before = store.data_version()
    store.append(job("a"))
    assert store.data_version() == before
    other = Store.open(tmp_path / "journal.sqlite")
    other.append(job("b"))
    assert store.data_version() != before
    other.close()


def test_a_closed_journal_says_so(store: Store) -> None:
    store.close()
    store.close()
    for use in (
        lambda: store.append(job("a")),
        lambda: store.append_samples([Sample(1.0, "rss", -1, 1)]),
        lambda: store.register(version("h", 1)),
        lambda: store.after(0),
        lambda: store.rows(),
        lambda: store.data_version(),
        lambda: store.recover(),
    ):
        with pytest.raises(StoreError, match="is closed"):
            use()
    store.tend()
    assert store.mirror_if_idle() is False


FORK = """
import gc, os, sys, threading
from pathlib import Path
from kit.errors import StoreError
from kit.events import *
from kit.store import Store

store = Store.open(Path(sys.argv[1]))
def queued(n):
    return Event(JobKey(f"k{n}"), 1, EventKind.QUEUED, 1.0, Queued("id", "h", 1, "local"), "{}")
store.append([queued(0)])
stop = threading.Event()
def busy():  # so that SQLite's mutexes are held at the fork
    n = 1
    while not stop.is_set():
        store.append([queued(n + i) for i in range(100)])
        n += 100
thread = threading.Thread(target=busy)
thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        refused = 0
        for use in (lambda: store.append([queued(10**9)]), lambda: store.view("k0"), store.recover):
            try:
                use()
            except StoreError as error:
                refused += "fork" in str(error)
        store.tend()
        store.close()
        del use, thread
        store = None  # closes the connections, if they were to be closed
        os._exit(0) if refused == 3 else os._exit(9)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()

def descriptors():
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if
             os.path.exists(f"/proc/self/fd/{fd}")] if os.path.isdir("/proc/self/fd") else []
    return sum("journal.sqlite" in link for link in links)

child = os.fork()
if child == 0:  # nothing runs: now they could be closed, and SQLite says that they must not be
    before = descriptors()
    store = None
    gc.collect()
    os._exit(0 if descriptors() == before else 7)
assert os.waitpid(child, 0)[1] == 0
n = store.count()
assert store.view("k1000000000") is None
assert n == len({row.key for row in store.rows()})
print("ok", n)
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_never_touches_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok ")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()


# -- refusals at the door -------------------------------------------------------------------------


def test_a_journal_of_a_newer_kit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Store.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer kit"):
        Store.open(path)
    assert list((tmp_path / "journal.locks").iterdir()) == []


def test_a_journal_of_an_older_kit_is_opened_and_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    store = Store.open(path)
    store.append(job("old"))
    store.append_samples([Sample(2.0, "rss", -1, 5)])
    before = store.rows(payloads=True)
    store.close()
    connection = sqlite3.connect(path)
    connection.executescript(  # as tables 1 were
        "DROP TABLE spans; CREATE TABLE old AS SELECT id, time, session, kind, device, used_bytes,"
        " total_bytes, utilization FROM samples; DROP TABLE samples; ALTER TABLE old RENAME TO"
        " samples; PRAGMA user_version=1"
    )
    connection.close()
    first, second = Store.open(path), Store.open(path)
    assert first.rows(payloads=True) == before
    there = Sample(3.0, "rss", -1, 6, target="pod:there")
    first.append_samples([there])
    assert second.samples() == [Sample(2.0, "rss", -1, 5), there]
    span = Span("load-1", "model", "load", 1.0, 2.5, "In [1]")
    first.put_span(span)
    assert second.spans() == [span]
    for opened in (first, second):
        opened.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_spans_come_back_in_order_of_time(store: Store, tmp_path: Path) -> None:
    late = Span("b", "second \ud800 <b>\0", "setup", 1774747800.123456, None, "one\ntwo")
    early = Span("a", "first", "load", 1774747700.1)
    for span in (late, early):
        store.put_span(span)
    ended = dataclasses.replace(early, ended_at=1774747701.2, detail="done")
    store.put_span(ended)
    # what UTF-8 cannot hold is written as it is in JSON
    late = dataclasses.replace(late, label="second \\ud800 <b>\0")
    assert store.spans() == [ended, late]
    assert store.spans(since=1774747750.0) == [late]
    other = Store.open(tmp_path / "journal.sqlite")
    other.put_span(ended)
    assert other.spans(session=other.session_id) == [ended]
    assert len(store.spans()) == (3 if other.path == store.path else 2)
    other.close()


def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"my own notes, not a database\n" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(path)
    assert path.read_bytes() == b"my own notes, not a database\n" * 100


def test_a_new_journal_is_private(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "home" / "journal.sqlite")
    store.append(job("a", payload=json.dumps("x" * 300_000)))
    for path in (tmp_path / "home").rglob("*"):
        reachable = path.parent.stat().st_mode & 0o077 == 0
        assert reachable or path.stat().st_mode & 0o077 == 0, path
    assert store.path.stat().st_mode & 0o077 == 0
    store.close()


def test_unknown_keys_of_a_newer_kit_are_ignored(store: Store) -> None:
    store.register(version("h", 1))
    store.append([queued("a")])
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE handlers SET data = json_set(data, '$.colour', 'blue')")
        connection.execute("UPDATE events SET data = json_set(data, '$.colour', 'blue')")
    connection.close()
    assert store.handlers()[0].name == "h"
    assert store.after(0)[0].kind is EventKind.QUEUED
