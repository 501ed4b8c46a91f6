"""Tables of the journal: typed, in UTC, the same under pandas 2 and 3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import kit
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
    Progress,
    Queued,
    Sample,
    Started,
    Stuck,
)
from kit.session import Session
from kit.span import Span
from kit.store import Store
from kit.views.eventframe import events_frame
from kit.views.frame import jobs_frame, samples_frame
from tests.making import handler_of

MIB = 2**20
#: 2026-03-29 01:30:00.25 UTC: half an hour after the clocks went forward in Berlin
T0 = 1774747800.25

#: the promise: these columns in this order, of these types
COLUMNS = {
    "id": "string",
    "handler": "category",
    "version": "Int64",
    "target": "category",
    "state": "category",
    "submitted_at": "datetime64[us, UTC]",
    "started_at": "datetime64[us, UTC]",
    "ended_at": "datetime64[us, UTC]",
    "delay_time_ms": "Float64",
    "execution_time_ms": "Float64",
    "memory_kind": "category",
    "memory_before_mib": "Float64",
    "memory_peak_mib": "Float64",
    "memory_after_mib": "Float64",
    "memory_own": "boolean",
    "input": "object",
    "output": "object",
    "error": "string",
    "findings": "Int64",
}


def rss(before: int, peak: int, after: int) -> MemoryUse:
    return MemoryUse("rss", -1, before * MIB, peak * MIB, after * MIB, own=True, exact=True)


def vram(device: int, before: int, peak: int, after: int, own: bool) -> MemoryUse:
    return MemoryUse("vram", device, before * MIB, peak * MIB, after * MIB, own=own, exact=False)


def queued(key: str, at: float, *, value: object = None, handler: str = "classify") -> Event:
    return Event(
        JobKey(key),
        1,
        EventKind.QUEUED,
        at,
        Queued(f"id-{key}", handler, 3, "local"),
        json.dumps({"id": f"id-{key}", "input": value}),
    )


def started(key: str, at: float, slot: int = 0) -> Event:
    return Event(JobKey(key), 1, EventKind.STARTED, at, Started(slot, 1.5))


def ended(key: str, at: float, kind: EventKind, body: object, **facts: object) -> Event:
    text = None if body is None else json.dumps(body)
    return Event(JobKey(key), 1, kind, at, Ended(execution_ms=250.5, **facts), text)  # type: ignore[arg-type]


def a_day(store: Store) -> None:
    """One job of each sort."""
    store.append(
        [
            queued("done", T0, value={"prompt": "a dog", "tags": ["x", "y"]}),
            started("done", T0 + 0.0015),
            Event(JobKey("done"), 1, EventKind.LOG, T0 + 0.1, Log("stdout", "hello\n")),
            Event(JobKey("done"), 1, EventKind.CHUNK, T0 + 0.1, Chunk(0), '"a"'),
            Event(JobKey("done"), 1, EventKind.PROGRESS, T0 + 0.2, Progress(), "50"),
            Event(
                JobKey("done"),
                1,
                EventKind.FINDING,
                T0 + 0.2,
                Found(Finding("K103", "A tuple becomes a list.", "$.output", "Return a list.")),
            ),
            ended(
                "done",
                T0 + 0.252,
                EventKind.COMPLETED,
                {"output": {"label": 7, "scores": [0.5, 0.5]}},
                memory=(vram(0, 100, 900, 300, True), vram(1, 10, 20, 10, False)),
            ),
            queued("failed", T0 + 1, value=[1, 2], handler="slow"),
            started("failed", T0 + 1.1, slot=1),
            ended(
                "failed",
                T0 + 1.4,
                EventKind.FAILED,
                {"error": "{}"},
                error=ErrorInfo("<class 'ValueError'>", "no such colour", "Traceback"),
                memory=(rss(50, 80, 60),),
            ),
            queued("running", T0 + 2, value=None),
            started("running", T0 + 2.1),
            Event(JobKey("running"), 1, EventKind.STUCK, T0 + 2.5, Stuck("it sleeps in C")),
            queued("waiting", T0 + 3, value="text"),
        ]
    )


# -- jobs -----------------------------------------------------------------------------------------


def test_the_columns_are_the_promised_ones_and_typed(store: Store) -> None:
    for fill in (lambda _: None, a_day):
        fill(store)
        frame = jobs_frame(store)
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS
        assert list(frame.columns) == list(COLUMNS)


def test_every_fact_of_a_job_is_in_its_row(store: Store) -> None:
    a_day(store)
    frame = jobs_frame(store).set_index("id")
    assert list(frame.index) == ["id-waiting", "id-running", "id-failed", "id-done"]
    done = frame.loc["id-done"]
    assert (done.handler, done.version, done.target, done.state) == (
        "classify",
        3,
        "local",
        "COMPLETED",
    )
    assert done.submitted_at == pd.Timestamp("2026-03-29T01:30:00.250Z")
    assert done.started_at == pd.Timestamp("2026-03-29T01:30:00.251500Z")
    assert (done.delay_time_ms, done.execution_time_ms) == (1.5, 250.5)
    assert done.input == {"prompt": "a dog", "tags": ["x", "y"]}
    assert done.output == {"label": 7, "scores": [0.5, 0.5]}
    assert done.findings == 1
    assert pd.isna(done.error)
    failed = frame.loc["id-failed"]
    assert (failed.error, failed.output, failed.input) == ("no such colour", None, [1, 2])


def test_memory_is_the_sum_over_devices_and_its_own_only_if_it_is_on_all(store: Store) -> None:
    a_day(store)
    frame = jobs_frame(store).set_index("id")
    names = [
        "memory_kind",
        "memory_before_mib",
        "memory_peak_mib",
        "memory_after_mib",
        "memory_own",
    ]
    assert frame.loc["id-done", names].tolist() == ["vram", 110, 920, 310, False]
    assert frame.loc["id-failed", names].tolist() == ["rss", 50, 80, 60, True]
    assert frame.loc["id-waiting", names].isna().all()


def test_what_has_not_happened_is_missing_and_not_zero(store: Store) -> None:
    a_day(store)
    waiting = jobs_frame(store).set_index("id").loc["id-waiting"]
    for name in ("started_at", "ended_at", "delay_time_ms", "execution_time_ms", "error"):
        assert pd.isna(waiting[name]), name
    assert waiting.output is None
    assert waiting.input == "text"


def test_every_state_is_a_category_so_that_counts_show_the_empty_ones(store: Store) -> None:
    a_day(store)
    counts = jobs_frame(store).state.value_counts()
    assert counts["IN_QUEUE"] == 1
    assert counts["TIMED_OUT"] == 0
    assert len(counts) == 7


def test_filters_keep_only_what_was_asked(store: Store) -> None:
    a_day(store)
    assert jobs_frame(store, limit=2).id.tolist() == ["id-waiting", "id-running"]
    assert jobs_frame(store, limit=0).empty
    assert jobs_frame(store, handler="slow").id.tolist() == ["id-failed"]
    assert jobs_frame(store, state="FAILED").id.tolist() == ["id-failed"]
    assert jobs_frame(store, state=["FAILED", "COMPLETED"]).id.tolist() == ["id-failed", "id-done"]
    assert jobs_frame(store, version=4).empty
    assert jobs_frame(store, session="s0000000").empty
    assert len(jobs_frame(store, session=store.session_id, target="local")) == 4
    with pytest.raises(ValueError, match="NO_STATE"):
        jobs_frame(store, state="NO_STATE")


def test_keys_give_just_those_jobs_in_their_order(store: Store) -> None:
    a_day(store)
    keys = [JobKey("failed"), JobKey("waiting"), JobKey("done")]
    assert jobs_frame(store, keys=keys).id.tolist() == ["id-failed", "id-waiting", "id-done"]
    assert jobs_frame(store, keys=[]).empty


def test_lists_of_one_length_stay_lists(store: Store) -> None:
    store.append([queued(str(i), T0 + i, value=[i, i]) for i in range(3)])
    assert jobs_frame(store).input.tolist() == [[2, 2], [1, 1], [0, 0]]


def test_what_a_job_lost_by_its_kernel_says_is_its_error(store: Store) -> None:
    lost = Event(
        JobKey("j"), 1, EventKind.LOST, T0 + 1, Ended(None, None, "its kernel is gone", ())
    )
    store.append([queued("j", T0), started("j", T0 + 0.1), lost])
    row = jobs_frame(store).iloc[0]
    assert (row.state, row.error) == ("LOST", "its kernel is gone")


def test_frames_can_be_worked_with(store: Store) -> None:
    a_day(store)
    frame = jobs_frame(store)
    assert frame.groupby("handler", observed=True).execution_time_ms.mean()["classify"] == 250.5
    wait = (frame.started_at - frame.submitted_at).dt.total_seconds()
    assert wait.dropna().tolist() == pytest.approx([0.1, 0.1, 0.0015], abs=2e-6)
    assert frame.submitted_at.dt.tz_convert("Europe/Berlin").dt.hour.iloc[-1] == 3


@pytest.mark.slow
def test_a_thousand_of_a_hundred_thousand_jobs_take_less_than_200_ms(store: Store) -> None:
    text = "x" * 1000
    for start in range(0, 100_000, 10_000):
        batch = []
        for i in range(start, start + 10_000):
            at, key = T0 + i / 1000, f"k{i}"
            batch.append(queued(key, at, value=text))
            batch.append(started(key, at + 0.001))
            batch.append(ended(key, at + 0.002, EventKind.COMPLETED, {"output": i}))
        store.append(batch)
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        frame = jobs_frame(store, limit=1000)
        took.append(time.perf_counter() - begin)
    assert len(frame) == 1000
    assert frame.output.iloc[0] == 99_999
    assert min(took) < 0.2, took
    begin = time.perf_counter()
    tail = events_frame(store, limit=100)
    assert time.perf_counter() - begin < 0.2
    assert tail.seq.tolist() == list(range(299_901, 300_001))


# -- events ---------------------------------------------------------------------------------------


def test_events_are_typed_and_say_what_happened(store: Store) -> None:
    assert events_frame(store).empty
    a_day(store)
    frame = events_frame(store)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "seq": "Int64",
        "time": "datetime64[us, UTC]",
        "key": "string",
        "attempt": "Int64",
        "kind": "category",
        "slot": "Int64",
        "chunk": "Int64",
        "delay_time_ms": "Float64",
        "execution_time_ms": "Float64",
        "text": "string",
        "payload": "string",
    }
    assert frame.seq.tolist() == list(range(1, 15))
    by_kind = frame.drop_duplicates("kind").set_index("kind")
    assert by_kind.text["queued"] == "classify v3 on local"
    assert by_kind.text["log"] == "hello\n"
    assert by_kind.text["finding"] == "K103 A tuple becomes a list."
    assert by_kind.text["failed"] == "no such colour"
    assert by_kind.text["stuck"] == "it sleeps in C"
    assert by_kind.chunk["chunk"] == 0
    assert by_kind.payload["progress"] == "50"
    assert by_kind.delay_time_ms["started"] == 1.5
    assert frame.slot.dropna().tolist() == [0, 1, 0]


@pytest.mark.parametrize("limit", [0, 1, 5, 14, 99])
def test_a_limit_gives_the_last_events(store: Store, limit: int) -> None:
    a_day(store)
    assert events_frame(store, limit=limit).seq.tolist() == list(range(1, 15))[-limit or 14 :]


def test_the_last_events_are_found_behind_many_of_other_jobs(store: Store) -> None:
    # the newest job began long before the newest events
    store.append([queued("old", T0), started("old", T0 + 1)])
    chunks = [Event(JobKey("old"), 1, EventKind.CHUNK, T0 + i, Chunk(i), "1") for i in range(500)]
    store.append(chunks)
    store.append([queued(str(i), T0 + 600 + i) for i in range(100)])
    assert events_frame(store, limit=150).seq.tolist() == list(range(453, 603))
    assert events_frame(store, limit=150, session=store.session_id).seq.iloc[-1] == 602
    assert events_frame(store, limit=150, session="s0000000").empty


def test_the_last_events_of_a_session_are_found_among_those_of_another(
    store: Store, tmp_path: Path
) -> None:
    other = Store.open(tmp_path / "journal.sqlite")
    for i in range(20):
        store.append([queued(f"mine-{i}", T0 + i)])
        other.append([queued(f"other-{i}-{n}", T0 + i) for n in range(9)])
    other.close()
    frame = events_frame(store, limit=15, session=store.session_id)
    assert frame.key.tolist() == [f"mine-{i}" for i in range(5, 20)]


# -- samples --------------------------------------------------------------------------------------


def test_samples_are_typed_and_in_mib(store: Store) -> None:
    types = {
        "time": "datetime64[us, UTC]",
        "kind": "category",
        "target": "category",
        "device": "Int64",
        "used_mib": "Float64",
        "total_mib": "Float64",
        "utilization": "Float64",
    }
    assert {n: str(k) for n, k in samples_frame(store).dtypes.items()} == types
    store.append_samples(
        [
            Sample(T0, "rss", -1, 64 * MIB),
            Sample(T0, "vram", 1, 512 * MIB, 1024 * MIB, 0.5),
            Sample(T0 + 1, "torch_allocated", 1, 0, 1024 * MIB, target="pod:there"),
        ]
    )
    frame = samples_frame(store)
    assert {n: str(k) for n, k in frame.dtypes.items()} == types
    assert frame.kind.tolist() == ["rss", "vram", "torch_allocated"]
    assert frame.used_mib.tolist() == [64, 512, 0]
    assert frame.target.tolist() == ["local", "local", "pod:there"]
    assert frame.device.isna().tolist() == [True, False, False]
    assert frame.total_mib.isna().tolist() == [True, False, False]
    assert frame.utilization.isna().tolist() == [True, False, True]
    assert len(samples_frame(store, since=T0 + 0.5)) == 1
    assert len(samples_frame(store, until=T0 + 0.5, session=store.session_id)) == 2


def test_model_loads_stand_among_the_events(store: Store) -> None:
    store.append([queued("a", T0), started("a", T0 + 2), queued("b", T0 + 5)])
    store.put_span(Span("load-1", "model", "load", T0 + 3, T0 + 4.5, "In [2]\nRSS 1 MiB to 2 MiB"))
    store.put_span(Span("pod-1", "pod", "setup", T0 - 1))
    frame = events_frame(store, session=store.session_id)
    assert list(frame["kind"]) == ["setup", "queued", "started", "load", "queued"]
    load = frame.iloc[3]
    assert load["key"] == "load-1"
    assert load["execution_time_ms"] == pytest.approx(1500.0)
    assert load["text"] == "model: In [2]; RSS 1 MiB to 2 MiB"
    assert frame["seq"].isna().tolist() == [True, False, False, True, False]
    assert frame["execution_time_ms"].isna().tolist() == [True, True, True, False, True]
    assert list(events_frame(store, limit=2)["kind"]) == ["load", "queued"]
    assert list(events_frame(store, limit=1)["kind"]) == ["queued"]
    assert frame.dtypes.astype(str)["seq"] == "Int64"


# -- what the docstrings promise -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jobs", "events", "samples"])
def test_every_column_is_documented_with_its_type(store: Store, name: str) -> None:
    frames = {"jobs": jobs_frame, "events": events_frame, "samples": samples_frame}
    documented = getattr(kit, name).__doc__.partition("Returns")[2]
    types = frames[name](store).dtypes.astype(str)
    for column, kind in types.items():
        _, found, behind = documented.partition(f"``{column}``")
        assert found, f"{column} is not documented"
        first = min((behind.find(one), one) for one in set(types) if one in behind)[1]
        assert first == kind, f"{column} is {kind}"


# -- errors that say nothing alone -----------------------------------------------------------------


def test_an_error_whose_text_says_nothing_has_its_type(session: Session) -> None:
    def fails(job: dict[str, Any]) -> Any:
        if job["input"] == "key":
            return job["input"]["n"] if False else {}["n"]
        if job["input"] == "bare":
            raise RuntimeError
        if job["input"] == "given":
            return {"error": "'quoted'"}
        raise ValueError("no digit in this picture")

    batch = session.intake.map(["key", "bare", "given", "plain"], session_handler(session, fails))
    batch._source.wait_all([job.key for job in batch.jobs], 30)
    assert batch.frame()["error"].tolist() == [
        "KeyError: 'n'",
        "RuntimeError",
        "'quoted'",
        "no digit in this picture",
    ]


# -- outputs as columns ----------------------------------------------------------------------------


def session_handler(session: Session, function: Any) -> str:
    handler = handler_of(function, function.__name__)
    session.add(handler)
    return handler.name


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path / "kit")
    yield made
    made.close()


def test_a_batch_s_outputs_become_typed_columns(session: Session) -> None:
    outputs = [
        {"label": "a", "n": 1, "p": 1, "ok": True, "box": {"x": 1, "y": {"z": 2}}, "big": 2**70},
        {"label": "b", "n": 2, "p": 0.5, "ok": None, "tags": ["t"], "box": {}, "mixed": 1},
        "text alone",
        {"a.b": 1, "a": {"b": 2}, "": 3, "mixed": "x"},
    ]

    def gives(job: dict[str, Any]) -> Any:
        return outputs[job["input"]]

    batch = session.intake.map(range(4), session_handler(session, gives))
    batch.result(30)
    plain, frame = batch.frame(), batch.frame(flatten=True)
    assert list(frame.columns[: len(plain.columns)]) == list(plain.columns)
    added = frame[frame.columns[len(plain.columns) :]]
    assert {name: str(kind) for name, kind in added.dtypes.items()} == {
        "output.label": "string",
        "output.n": "Int64",
        "output.p": "Float64",
        "output.ok": "boolean",
        "output.box.x": "Int64",
        "output.box.y.z": "Int64",
        "output.big": "object",
        "output.tags": "object",
        "output.box": "object",
        "output.mixed": "object",
        'output."a.b"': "Int64",
        "output.a.b": "Int64",
        'output.""': "Int64",
    }
    assert added.iloc[2].isna().all()
    assert added['output."a.b"'].tolist()[3] == 1
    assert added["output.a.b"].tolist()[3] == 2
    assert added["output.tags"][1] == ["t"]
    assert frame["output"][2] == "text alone"
    # a type does not hang on which of the values are there
    some = session.intake.map([0], "gives")
    some.result(30)
    alone = some.frame(flatten=True)
    for name in ("output.label", "output.n", "output.box.x", "output.ok"):
        assert alone[name].dtype == frame[name].dtype
    empty = session.intake.map([], "gives")
    assert list(empty.frame(flatten=True).columns) == list(plain.columns)
