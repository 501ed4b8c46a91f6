"""Events, their codec and the fold that turns them into a job's state."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from kit.codec import decode, encode
from kit.events import (
    ENDS,
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
    Log,
    MemoryUse,
    Progress,
    Queued,
    Started,
    Stuck,
)
from kit.fold import fold

text = st.text(st.characters(codec="utf-8"), max_size=20)
ms = st.floats(0, 1e9, allow_nan=False)
count = st.integers(0, 2**40)
uses = st.builds(
    MemoryUse,
    kind=st.sampled_from(["vram", "rss"]),
    device=st.integers(-1, 15),
    before=count,
    peak=count,
    after=count,
    own=st.booleans(),
    exact=st.booleans(),
)
ended = st.builds(
    Ended,
    execution_ms=st.none() | ms,
    error=st.none() | st.builds(ErrorInfo, text, text, text),
    lost=st.none() | text,
    memory=st.lists(uses, max_size=3).map(tuple),
)
data_of = {
    EventKind.QUEUED: st.builds(Queued, text, text, st.integers(1, 99), text, st.none() | ms),
    EventKind.STARTED: st.builds(Started, st.integers(0, 99), ms),
    EventKind.PROGRESS: st.just(Progress()),
    EventKind.CHUNK: st.builds(Chunk, count),
    EventKind.LOG: st.builds(Log, text, text),
    EventKind.FINDING: st.builds(Found, st.builds(Finding, text, text, text, text)),
    EventKind.CANCEL_ASKED: st.just(CancelAsked()),
    EventKind.STUCK: st.builds(Stuck, text),
    **dict.fromkeys(ENDS, ended),
}
kinds_and_data = st.sampled_from(list(EventKind)).flatmap(
    lambda kind: st.tuples(st.just(kind), data_of[kind])
)


@given(kinds_and_data)
def test_data_survives_its_codec(kind_and_data) -> None:
    kind, data = kind_and_data
    written = encode(data)
    assert decode(kind, written) == data
    # what is written by hand says the same as the general way
    general = json.loads(json.dumps(dataclasses.asdict(data)))
    assert all(general[name] == value for name, value in json.loads(written).items())


def test_unknown_keys_of_a_newer_kit_are_ignored() -> None:
    assert decode(EventKind.STARTED, '{"slot":1,"delay_ms":2.0,"new":3}') == Started(1, 2.0)


KEY = JobKey("s-1")


def story(*steps, attempt: int = 1):
    events = [
        Event(
            KEY, attempt, EventKind.QUEUED, 1.0, Queued("id", "handler", 3, "local"), '{"input":1}'
        )
    ]
    for kind, data, payload in steps:
        events.append(Event(KEY, attempt, kind, 1.0 + len(events), data, payload))
    return [dataclasses.replace(e, seq=n) for n, e in enumerate(events, 1)]


def test_a_job_that_ran() -> None:
    view = fold(
        story(
            (EventKind.STARTED, Started(2, 5.0), None),
            (EventKind.CHUNK, Chunk(0), '"a"'),
            (EventKind.PROGRESS, Progress(), "1"),
            (EventKind.LOG, Log("stdout", "hi"), None),
            (EventKind.COMPLETED, Ended(7.5), '{"output":[]}'),
        )
    )
    assert view is not None
    assert (view.state, view.slot, view.delay_ms, view.execution_ms) == ("COMPLETED", 2, 5.0, 7.5)
    assert (view.stream, view.progress, view.logs[0].text) == (('"a"',), ("1",), "hi")
    assert (view.done, view.request, view.seq) == ('{"output":[]}', '{"input":1}', 6)


def test_nothing_after_the_end_reopens_a_job() -> None:
    view = fold(
        story(
            (EventKind.STARTED, Started(0, 0.0), None),
            (EventKind.FAILED, Ended(1.0, ErrorInfo("", "no")), "{}"),
            (EventKind.PROGRESS, Progress(), "9"),
            (EventKind.CHUNK, Chunk(0), "9"),
            (EventKind.STARTED, Started(1, 0.0), None),
            (EventKind.COMPLETED, Ended(2.0), "{}"),
            (EventKind.LOST, Ended(None, None, "gone"), None),
        )
    )
    assert view is not None
    assert (view.state, view.slot, view.stream, view.progress) == (JobState.FAILED, 0, (), ())


def test_a_real_end_replaces_lost_and_lost_replaces_nothing() -> None:
    lost = (EventKind.LOST, Ended(None, None, "its kernel is gone"), None)
    real = (EventKind.COMPLETED, Ended(2.0), '{"output":1}')
    assert fold(story(lost)).state is JobState.LOST  # type: ignore[union-attr]
    both = fold(story(lost, real))
    assert both is not None
    assert (both.state, both.lost) == (JobState.COMPLETED, None)
    assert fold(story(real, lost)).state is JobState.COMPLETED  # type: ignore[union-attr]


def test_a_retry_starts_afresh_and_late_news_of_the_first_attempt_is_dropped() -> None:
    first = story((EventKind.CHUNK, Chunk(0), "1"), (EventKind.FAILED, Ended(1.0), None))
    again = story((EventKind.CHUNK, Chunk(0), "2"), attempt=2)
    late = [Event(KEY, 1, EventKind.CHUNK, 9.0, Chunk(1), "3")]
    view = fold([*first, *again, *late])
    assert view is not None
    assert (view.attempt, view.state, view.stream) == (2, JobState.IN_QUEUE, ("2",))


def test_without_a_queued_event_there_is_no_job() -> None:
    assert fold([Event(KEY, 1, EventKind.STARTED, 1.0, Started(0, 0.0))]) is None
