"""The binary snapshot and its deltas: equal to fold, small, cheap, never twice, never missed."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.events import (
    CancelAsked,
    Chunk,
    Data,
    Ended,
    ErrorInfo,
    Event,
    EventKind,
    Finding,
    Found,
    JobKey,
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
from kit.store import Store
from kit.views import codec, feed, table
from kit.views.feed import Feed, Message
from kit.views.series import SampleLog
from kit.views.table import JobTable

NOW = 1_800_000_000.0
UUID = "7f3c2a90-11aa-4b7c-9a2e-77aa88bb99cc"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "journal.db")
    yield store
    store.close()


def job(
    store: Store, number: int, *, handler: str = "h", at: float | None = None, live: bool = False
) -> list[Event]:
    """Events of one job, whole or still running."""
    key, begun = JobKey(f"{store.session_id}-{number}"), time.time() if at is None else at
    memory = (MemoryUse("rss", -1, 1 << 28, 3 << 28, 1 << 28, True, True),)
    events = [
        Event(key, 1, EventKind.QUEUED, begun, Queued(UUID, handler, 2, "local"), '{"input":1}'),
        Event(key, 1, EventKind.STARTED, begun + 0.25, Started(number % 4, 250.0)),
    ]
    if not live:
        end = Ended(750.0, None, None, memory)
        events.append(Event(key, 1, EventKind.COMPLETED, begun + 1.0, end, '{"output":1}'))
    return events


class Page:
    """What a page knows after the messages it got: the rules of board.js, in short."""

    def __init__(self) -> None:
        self.rows: dict[int, codec.Row] = {}
        self.samples: list[tuple[float, ...]] = []
        self.ticks: dict[int, list[float]] = {}
        self.generation = -1
        self.live: list[Message] = []

    def hear(self, messages: Sequence[Message]) -> None:
        for message in messages:
            content = message.content
            if content["t"] == "snapshot":
                self.rows, self.samples, self.ticks = {}, [], {}
                self.generation = content["g"]
            elif content["t"] == "live":
                self.live.append(message)
                continue
            rows, samples, ticks = content["n"]
            data = message.buffers[0]
            assert len(data) == rows + samples + ticks
            for row in codec.unpack_rows(data[:rows]):
                self.rows[row.number] = row
            self.samples += list(codec.SAMPLE.iter_unpack(data[rows : rows + samples]))
            for number, ms in codec.TICK.iter_unpack(data[rows + samples :]):
                self.ticks.setdefault(number, []).append(ms)


def same(one: codec.Row, other: codec.Row) -> bool:
    return all(a == b or (a != a and b != b) for a, b in zip(one, other, strict=True))


# -- records ----------------------------------------------------------------------------------------


def test_a_record_is_64_bytes_and_comes_back() -> None:
    values = (7, 2, 5, 3, 1, 4, 900, NOW, 1.5, 2.5, 4.0, 512.0, 1, 2, 3, 1)
    row = codec.Row(*values, codec.short_id(UUID))
    packed = codec.pack_row(row)
    assert len(packed) == codec.ROW_BYTES == 64
    back = codec.unpack_rows(packed)[0]
    assert back[:-1] == row[:-1]
    assert back.id.rstrip(b"\0") == b"7f3c2a90"


def test_numbers_beyond_their_field_are_clipped() -> None:
    row = codec.Row(
        0, 2, 0, 10**6, 10**6, 10**6, 10**12, NOW, 0, 0, 0, 0, 10**6, 10**6, 999, 999, b""
    )
    back = codec.unpack_rows(codec.pack_row(row))[0]
    assert (back.version, back.slot, back.findings, back.chunks) == (65535, 32767, 65535, 2**32 - 1)
    assert (back.handler, back.target, back.attempt) == (65535, 255, 255)


@given(st.text())
def test_an_id_fits_and_is_printable_text(job_id: str) -> None:
    short = codec.short_id(job_id)
    assert len(short) <= 18
    assert short.decode("utf-8").isprintable()


def test_ids_that_differ_only_at_the_end_stay_apart() -> None:
    assert codec.short_id("batch-of-tuesday-00001") != codec.short_id("batch-of-tuesday-00002")
    assert codec.short_id("job-17") == b"job-17"


# -- the table and fold -----------------------------------------------------------------------------

_DATA: st.SearchStrategy[tuple[EventKind, Data]] = st.one_of(
    st.builds(
        lambda s, d: (EventKind.STARTED, Started(s, d)), st.integers(0, 9), st.floats(0, 1e4)
    ),
    st.just((EventKind.CHUNK, Chunk(0))),
    st.just((EventKind.PROGRESS, Progress())),
    st.just((EventKind.LOG, Log("stdout", "x"))),
    st.just((EventKind.FINDING, Found(Finding("K1", "so")))),
    st.just((EventKind.CANCEL_ASKED, CancelAsked())),
    st.just((EventKind.STUCK, Stuck("no"))),
    st.builds(
        lambda kind, ms, n: (kind, Ended(ms, None, None, _uses(n))),
        st.sampled_from(
            [
                EventKind.COMPLETED,
                EventKind.FAILED,
                EventKind.CANCELLED,
                EventKind.TIMED_OUT,
                EventKind.LOST,
            ]
        ),
        st.none() | st.floats(0, 1e6),
        st.integers(0, 2),
    ),
)


def _uses(n: int) -> tuple[MemoryUse, ...]:
    return tuple(MemoryUse("vram", k, 0, (k + 1) << 30, 0, k == 0, True) for k in range(n))


@settings(max_examples=200)
@given(st.lists(st.tuples(_DATA, st.integers(1, 2)), max_size=14), st.booleans())
def test_records_follow_the_rules_of_fold(
    steps: list[tuple[tuple[EventKind, Data], int]], retried: bool
) -> None:
    key = JobKey("k")
    events = [Event(key, 1, EventKind.QUEUED, NOW, Queued(UUID, "h", 1, "local"), "{}", 1)]
    for n, ((kind, data), attempt) in enumerate(steps):
        if retried and n == 5:
            again = Queued(UUID, "h", 3, "local")
            events.append(Event(key, 2, EventKind.QUEUED, NOW + 50, again, "{}", len(events) + 1))
        payload = "1" if kind in (EventKind.CHUNK, EventKind.PROGRESS) else None
        events.append(Event(key, attempt, kind, NOW + n, data, payload, len(events) + 1))
    jobs = JobTable(None)
    jobs.apply(events, "s")
    view = fold(events)
    assert view is not None
    row = jobs.row(0)
    assert codec.STATES[row.state] == view.state
    assert row.attempt == view.attempt
    assert row.version == view.version
    assert row.chunks == len(view.stream)
    assert row.findings == len(view.findings)
    assert row.slot == (-1 if view.slot is None else view.slot)
    assert bool(row.flags & codec.CANCEL_ASKED) == view.cancel_asked
    assert bool(row.flags & codec.STUCK) == (view.stuck is not None)
    took = math.nan if view.execution_ms is None else view.execution_ms
    assert row.execution == pytest.approx(took, rel=1e-6, nan_ok=True)
    assert (0 in jobs.live) == (not view.state.final)
    other = JobTable(None)
    other.put_view(view, "s")
    assert other.row(0)[1:7] == row[1:7]
    assert other.row(0).id == row.id


def test_counts_and_times_are_those_of_the_rows(store: Store) -> None:
    told = Feed(store)
    store.append([e for n in range(7) for e in job(store, n, live=n > 4)])
    told.load()
    assert told.table.times() == [750.0] * 5
    assert told.table.counts()[codec.COMPLETED] == 5
    assert told.table.counts()[codec.IN_PROGRESS] == 2
    assert JobTable(None).times() == []


def test_a_view_opens_with_what_the_projection_says(store: Store) -> None:
    store.append([e for n in range(300) for e in job(store, n, live=n % 7 == 0)])
    key = JobKey("odd")
    odd = [
        Event(key, 1, EventKind.QUEUED, NOW, Queued("\ud800\u202e" * 9, "other", 99999, "pod:a")),
        Event(key, 1, EventKind.STARTED, NOW + 1, Started(40_000, 0.1)),
        Event(key, 1, EventKind.CANCEL_ASKED, NOW + 1, CancelAsked()),
        Event(key, 1, EventKind.STUCK, NOW + 1, Stuck("it sleeps")),
        Event(key, 1, EventKind.FAILED, NOW + 2, Ended(3.5, ErrorInfo("E", "m"), None, _uses(3))),
        Event(JobKey("lost"), 1, EventKind.QUEUED, NOW, Queued("x", "h", 1, "local")),
        Event(JobKey("lost"), 1, EventKind.LOST, NOW, Ended(None, None, "gone", ())),
    ]
    store.append(odd)
    told = Feed(store)
    told.load(all_sessions=True)
    jobs = JobTable(None)
    for row in sorted(store.rows(), key=lambda row: row.submitted_at):
        jobs.put(row)
    assert (told.table.keys, told.table.live) == (jobs.keys, jobs.live)
    for index in range(len(jobs)):
        one, other = jobs.row(index), told.table.row(index)
        names = (told.table.handlers, told.table.sessions, told.table.targets)
        by_name = (jobs.handlers, jobs.sessions, jobs.targets)
        assert [n.all[c] for n, c in zip(names, other[12:15], strict=True)] == [
            n.all[c] for n, c in zip(by_name, one[12:15], strict=True)
        ]
        assert (other[:8], other[15:]) == (one[:8], one[15:])
        assert other[8:12] == pytest.approx(one[8:12], rel=1e-6, nan_ok=True)


def test_a_card_keeps_only_its_handler() -> None:
    jobs = JobTable("a")
    for name in ("a", "b"):
        jobs.apply([Event(JobKey(name), 1, EventKind.QUEUED, NOW, Queued("1", name, 1, "x"))], "s")
    assert jobs.keys == ["a"]


# -- snapshot and deltas ----------------------------------------------------------------------------


def test_snapshot_and_deltas_say_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Feed(store, "h")
    store.subscribe(told.receive)
    told.load()
    page = Page()
    page.hear([told.snapshot()])
    for number in range(30):
        store.append(job(store, number, live=number % 3 == 0))
        store.append_samples([Sample(time.time(), "rss", -1, number << 20)])
        page.hear(told.update())
    fresh = Page()
    late = Feed(store, "h")
    late.load()
    fresh.hear([late.snapshot()])
    assert len(page.rows) == len(fresh.rows) == 30
    for number, row in fresh.rows.items():
        assert same(page.rows[number], row)
    assert [s[:4] for s in page.samples] == [s[:4] for s in fresh.samples]
    assert len(page.samples) == 30


def test_after_a_reload_the_page_has_the_whole_history(store: Store) -> None:
    told = Feed(store, "h")
    store.subscribe(told.receive)
    told.load()
    key = JobKey(f"{store.session_id}-0")
    store.append(job(store, 0, live=True))
    store.append([Event(key, 1, EventKind.CHUNK, time.time(), Chunk(n), '"x"') for n in range(20)])
    told.update()
    page = Page()
    page.hear([told.snapshot()])
    assert page.rows[0].chunks == 20
    assert len(page.ticks[0]) == 20


def test_events_that_come_while_loading_count_once(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    store.append(job(store, 0, live=True))
    key = JobKey(f"{store.session_id}-0")
    finding = Event(key, 1, EventKind.FINDING, time.time(), Found(Finding("K1", "so")))

    # the rows are read, and at the same moment an event is committed that they contain
    accepted = store.append([finding])
    told.load()
    told.receive(accepted)
    told.update()
    assert told.table.row(0).findings == 1
    more = store.append([finding])
    assert more
    told.update()
    assert told.table.row(0).findings == 2


def test_another_handler_s_job_makes_no_message(store: Store) -> None:
    told = Feed(store, "h")
    store.subscribe(told.receive)
    told.load()
    told.snapshot()
    store.append(job(store, 0, handler="other"))
    assert told.update() == []


@pytest.mark.parametrize("loaded", [100, 10_000])
def test_an_update_costs_under_a_millisecond_and_a_kilobyte(store: Store, loaded: int) -> None:
    told = Feed(store, "h")
    store.subscribe(told.receive)
    told.load()
    begun = time.time() - loaded
    for at in range(0, loaded, 1000):
        numbers = range(at, min(at + 1000, loaded))
        store.append([e for n in numbers for e in job(store, n, at=begun + n)])
    told.snapshot()
    costs, sizes = [], []
    for turn in range(40):
        store.append([e for n in range(5) for e in job(store, loaded + 5 * turn + n)])
        store.append_samples([Sample(time.time(), "rss", -1, 1 << 28)])
        begin = time.perf_counter()
        messages = told.update()
        costs.append(time.perf_counter() - begin)
        sizes.append(sum(message.size for message in messages))
    assert max(sizes) < 1000
    assert statistics.median(costs) < 1e-3


def test_a_burst_is_spread_and_nothing_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_ROWS", 50)
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    page = Page()
    page.hear([told.snapshot()])
    store.append([e for n in range(180) for e in job(store, n)])
    turns = 0
    while True:
        page.hear(told.update())
        turns += 1
        if not told.backlog:
            break
    assert turns == 4
    assert len(page.rows) == 180
    assert {codec.STATES[row.state].value for row in page.rows.values()} == {"COMPLETED"}


def test_old_jobs_leave_the_view_and_indexes_start_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_JOBS", 40)
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    before = told.generation
    store.append([e for n in range(41) for e in job(store, n, live=n == 40)])
    [snapshot] = told.update()
    assert snapshot.content["t"] == "snapshot"
    assert snapshot.content["older"] == 20
    assert told.generation == before + 1
    page = Page()
    page.hear([snapshot])
    assert sorted(page.rows) == list(range(21))
    assert told.key(told.generation, 20) == f"{store.session_id}-40"
    assert told.table.live == {20}
    store.append(job(store, 40)[2:])  # its end finds its new place
    page.hear(told.update())
    assert codec.STATES[page.rows[20].state].value == "COMPLETED"


@pytest.mark.parametrize("index", [-1, 5, None, "0", True, 1.0, [0]])
def test_a_page_that_speaks_of_nothing_gets_nothing(store: Store, index: object) -> None:
    told = Feed(store)
    store.append(job(store, 0))
    store.append(job(store, 1))
    told.load()
    assert told.key(told.generation, 0) is not None
    assert told.key(told.generation, index) is None
    assert told.key(told.generation - 1, 0) is None


# -- the watched job --------------------------------------------------------------------------------


def test_text_of_the_watched_job_comes_once(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    store.append(job(store, 0, live=True))
    key = JobKey(f"{store.session_id}-0")

    def chunk(n: int) -> None:
        store.append([Event(key, 1, EventKind.CHUNK, time.time(), Chunk(n), f'"{n}"')])

    chunk(0)  # committed, and not yet seen by the feed
    view: JobView | None = store.view(key)
    assert view is not None
    assert view.stream == ('"0"',)
    told.update()
    told.watched[0] = view.seq
    chunk(1)
    store.append([Event(key, 1, EventKind.LOG, time.time(), Log("stdout", "hello\n"))])
    page = Page()
    page.hear(told.update())
    chunk(2)
    page.hear(told.update())
    assert [text for m in page.live for text in m.content["chunks"]] == ['"1"', '"2"']
    assert [log for m in page.live for log in m.content["logs"]] == [["stdout", "hello\n"]]


def test_text_already_in_the_detail_is_not_sent_again(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    store.append(job(store, 0, live=True))
    told.update()
    key = JobKey(f"{store.session_id}-0")
    store.append([Event(key, 1, EventKind.CHUNK, time.time(), Chunk(0), '"0"')])
    view = store.view(key)
    assert view is not None
    told.watched[0] = view.seq
    assert [m.content["t"] for m in told.update()] == ["delta"]


def test_a_flood_of_text_is_counted_not_sent(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    store.append(job(store, 0, live=True))
    told.update()
    told.watched[0] = 0
    key = JobKey(f"{store.session_id}-0")
    text = '"' + "x" * 998 + '"'
    store.append([Event(key, 1, EventKind.CHUNK, time.time(), Chunk(n), text) for n in range(500)])
    live = [m for m in told.update() if m.content["t"] == "live"]
    assert live[0].size < 2 * feed.MAX_LIVE_TEXT
    assert len(live[0].content["chunks"]) + live[0].content["missed"] == 500
    assert len(live[0].content["chunks"]) == 32


def test_ticks_are_thinned_alike(store: Store) -> None:
    jobs = JobTable(None)
    key = JobKey("k")
    jobs.apply([Event(key, 1, EventKind.QUEUED, NOW, Queued("1", "h", 1, "x"))], "s")
    jobs.apply([Event(key, 1, EventKind.STARTED, NOW, Started(0, 0.0))], "s")
    for n in range(2000):
        jobs.apply([Event(key, 1, EventKind.CHUNK, NOW + n / 100, Chunk(n), "1")], "s")
        jobs.take_ticks()
    kept = list(jobs.ticks[0])
    assert len(kept) <= table.MAX_TICKS
    assert kept == sorted(kept)
    assert kept[0] == 0
    jobs.apply([Event(key, 1, EventKind.CHUNK, NOW, Chunk(0), "1")] * 10_000, "s")
    assert len(jobs.take_ticks()) <= table.MAX_NEW_TICKS * codec.TICK_BYTES


# -- other kernels ----------------------------------------------------------------------------------


def test_all_sessions_are_seen_and_their_ends_too(store: Store) -> None:
    other = Store.open(store.path)
    try:
        other.append(job(other, 0, live=True))
        told = Feed(store)
        store.subscribe(told.receive)
        told.load(all_sessions=True)
        page = Page()
        page.hear([told.snapshot()])
        assert len(page.rows) == 1
        assert told.poll() is False
        other.append(job(other, 1))
        other.append(job(other, 0)[2:])
        store.append(job(store, 0))
        assert told.poll() is True
        page.hear(told.update())
        states = sorted(codec.STATES[row.state].value for row in page.rows.values())
        assert states == ["COMPLETED"] * 3
        assert {row.session for row in page.rows.values()} == {0, 1}
        told.load(all_sessions=False)
        assert told.table.keys == [f"{store.session_id}-0"]
    finally:
        other.close()


# -- memory -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=400), st.integers(1, 3))
def test_thinned_samples_keep_the_peak_and_the_order(used: list[int], lines: int) -> None:
    log = SampleLog(limit=64)
    for n, value in enumerate(used):
        log.add([Sample(NOW + n, "vram", k, value << 20, 1 << 40) for k in range(lines)])
    assert len(log) <= 64
    seen = list(codec.SAMPLE.iter_unpack(bytes(log.packed)))
    assert max(s[4] for s in seen) == max(used)
    for device in range(lines):
        times = [s[0] for s in seen if s[2] == device]
        assert times == sorted(times)
        assert times[-1] == NOW + len(used) - 1


def test_a_sample_is_never_taken_twice() -> None:
    log = SampleLog()
    batch = [Sample(NOW, "vram", 0, 1), Sample(NOW, "torch_allocated", 0, 1)]
    assert len(log.add(batch)) == 2 * codec.SAMPLE_BYTES
    assert log.add(batch) == b""


def test_samples_of_a_pod_come_later_and_stay_its_own() -> None:
    log = SampleLog()
    log.add([Sample(NOW, "rss", -1, 1)])
    late = Sample(NOW - 2, "rss", -1, 2, target="pod:there")
    assert log.since <= late.time
    fresh = list(codec.SAMPLE.iter_unpack(log.add([Sample(NOW, "rss", -1, 1), late])))
    assert [(time, place) for time, _, _, place, *_ in fresh] == [(late.time, 1)]
    assert log.places == ["local", "pod:there"]
    assert log.add([late]) == b""
    # one that was away sends what it kept; one that went is not asked about for ever
    log.add([Sample(NOW + 30, "rss", -1, 1)])
    assert log.since == late.time
    log.add([Sample(NOW + 300, "rss", -1, 1)])
    assert log.since > NOW + 290


def test_receiving_is_safe_from_many_threads(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()

    def write(first: int) -> None:
        for number in range(first, first + 100):
            store.append(job(store, number))

    threads = [threading.Thread(target=write, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    page = Page()
    page.hear([told.snapshot()])
    while any(thread.is_alive() for thread in threads) or told.backlog:
        page.hear(told.update())
    assert len(page.rows) == 400
    assert all(row.state == codec.COMPLETED for row in page.rows.values())


# -- progress, and jobs that hold a text ------------------------------------------------------------


def test_the_last_progress_of_a_live_job_is_told_once(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    store.append(job(store, 0, live=True))
    key = JobKey(f"{store.session_id}-0")

    def progress(text: str) -> None:
        store.append([Event(key, 1, EventKind.PROGRESS, time.time(), Progress(), text)])

    told.update()
    for text in ('{"progress":10}', '{"progress":20}'):
        progress(text)
    [delta] = told.update()
    assert delta.content["p"] == [[0, 0.2]]
    assert told.update() == []
    for text in ('"20 %"', '"loading"', "[1]", "1e999", '"' + "x" * 9000 + '"'):
        progress(text)
        assert told.update() == []
    assert told.snapshot().content["p"] == [[0, 0.2]]
    store.append(job(store, 0)[2:])
    told.update()
    assert told.snapshot().content["p"] == []


def test_progress_of_many_jobs_is_spread_over_updates(store: Store) -> None:
    told = Feed(store)
    store.subscribe(told.receive)
    told.load()
    store.append([e for n in range(40) for e in job(store, n, live=True)])
    told.update()
    for n in range(40):
        key = JobKey(f"{store.session_id}-{n}")
        store.append([Event(key, 1, EventKind.PROGRESS, time.time(), Progress(), "0.5")])
    seen: list[int] = []
    turns = 0
    while turns == 0 or told.backlog:
        messages = told.update()
        assert all(m.size < 1000 for m in messages)
        seen += [index for m in messages for index, _ in m.content.get("p", [])]
        turns += 1
    assert sorted(seen) == list(range(40))
    assert turns == 3


def held(store: Store, text: str, **where: str) -> list[str]:
    """Numbers of the jobs that hold a text, looked for in small slices."""
    keys: list[str] = []
    before: int | None = None
    while True:
        some, before = store.matching(text, before=before, jobs=3, **where)
        keys += some
        if before is None:
            return [key.rpartition("-")[2] for key in keys]


def test_a_text_is_found_wherever_a_person_saw_it(store: Store) -> None:
    def add(number: int, *more: Event, request: str = "{}", body: str = "{}") -> None:
        key, at = JobKey(f"{store.session_id}-{number}"), time.time()
        first = Event(key, 1, EventKind.QUEUED, at, Queued(f"id-{number}", "h", 1, "x"), request)
        error = ErrorInfo("<class 'KeyError'>", "no such Style")
        kind = EventKind.FAILED if number == 3 else EventKind.COMPLETED
        end = Ended(1.0, error if number == 3 else None)
        store.append([first, *more, Event(key, 1, kind, at, end, body)])

    key = JobKey(f"{store.session_id}-4")
    add(0, request='{"input":{"prompt":"a Lighthouse"}}')
    add(1, body='{"output":"50% \\"grün\\" a_b"}')
    add(2, request='{"input":"lighthouse axb"}')
    add(3)
    add(4, Event(key, 1, EventKind.LOG, time.time(), Log("stdout", 'line "one"\nlighthouse')))
    assert held(store, "lighthouse") == ["4", "2", "0"]  # the newest first
    assert held(store, "no such style") == ["3"]
    assert held(store, "stdout") == []  # a name of ours, not a text of theirs
    assert held(store, "50%") == ["1"]
    assert held(store, "a_b") == ["1"]
    assert held(store, '"grün"') == ["1"]
    assert held(store, 'line "one"') == ["4"]
    assert held(store, "ID-2") == ["2"]
    assert held(store, "nothing of the kind") == []
    assert held(store, "lighthouse", handler="other") == []
    assert held(store, "lighthouse", session="other") == []


def test_only_the_latest_attempt_is_looked_at(store: Store) -> None:
    key, at = JobKey(f"{store.session_id}-0"), time.time()
    queued = Queued("id", "h", 1, "x")
    lost = Ended(None, None, "gone")
    store.append(
        [
            Event(key, 1, EventKind.QUEUED, at, queued, '"before"'),
            Event(key, 1, EventKind.LOST, at, lost),
        ]
    )
    store.append([Event(key, 2, EventKind.QUEUED, at + 1, queued, '"after"')])
    assert held(store, "before") == []
    assert held(store, "after") == ["0"]
