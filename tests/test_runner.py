"""The wire table of RunPod's worker: what each kind of handler's result becomes, and what is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from kit.events import EventKind
from kit.guard import Guard
from kit.handler import HandlerKind, kind_of
from kit.outcome import sdk_version
from kit.runner import run
from tests.making import Heard, codes, handler_of, run_once

DONE, FAILED = EventKind.COMPLETED, EventKind.FAILED
_LOST: Any = object()


class Own(BaseException):
    """Not an Exception, not one of Python's own."""


class Mute(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


# -- one result, four ways to give it --------------------------------------------------------------


def plain(result: Callable[[], Any]) -> Callable[[Any], Any]:
    def handler(job: Any) -> Any:
        return result()

    return handler


def awaited(result: Callable[[], Any]) -> Callable[[Any], Any]:
    async def handler(job: Any) -> Any:
        await asyncio.sleep(0)
        return result()

    return handler


def gives_awaitable(result: Callable[[], Any]) -> Callable[[Any], Any]:
    inner = awaited(result)
    return lambda job: inner(job)


def called(result: Callable[[], Any]) -> Any:
    class Service:
        def __call__(self, job: Any) -> Any:
            return result()

    return Service()


def partly(result: Callable[[], Any]) -> Any:
    return functools.partial(lambda extra, job: result(), "extra")


WAYS = [plain, awaited, gives_awaitable, called, partly]


def raising(exc: Callable[[], BaseException]) -> Callable[[], Any]:
    def result() -> Any:
        raise exc()

    return result


#: name: (what the handler returns, the body posted, its kind, codes of findings)
TABLE: dict[str, tuple[Callable[[], Any], Any, EventKind, set[str]]] = {
    "a dict": (lambda: {"a": 1}, {"output": {"a": 1}}, DONE, set()),
    "None": (lambda: None, {"output": None}, DONE, set()),
    "text": (lambda: "ok", {"output": "ok"}, DONE, set()),
    "true": (lambda: True, {"output": True}, DONE, set()),
    "zero": (lambda: 0, {"output": 0}, DONE, set()),
    "a list": (lambda: [1, "é"], {"output": [1, "é"]}, DONE, set()),
    "an empty list": (list, {"output": []}, DONE, set()),
    "an empty dict": (dict, {}, DONE, {"K206"}),
    "output in output": (lambda: {"output": 1}, {"output": {"output": 1}}, DONE, set()),
    "error": (
        lambda: {"error": "nope", "partial": [1]},
        {"output": {"partial": [1]}, "error": "nope"},
        FAILED,
        set(),
    ),
    "error alone": (lambda: {"error": "nope"}, {"error": "nope"}, FAILED, set()),
    "an empty error": (lambda: {"error": ""}, {}, DONE, {"K203", "K206"}),
    "error None": (lambda: {"error": None, "a": 1}, {"output": {"a": 1}}, DONE, {"K203"}),
    "error 0": (lambda: {"error": 0, "a": 1}, {"output": {"a": 1}}, DONE, {"K203"}),
    "error a list": (lambda: {"error": ["a", "b"]}, {"error": ["a", "b"]}, FAILED, {"K204"}),
    "error a dict": (
        lambda: {"error": {"code": 5}, "x": 1},
        {"output": {"x": 1}, "error": {"code": 5}},
        FAILED,
        {"K204"},
    ),
    "errors": (lambda: {"errors": ["a"]}, {"output": {"errors": ["a"]}}, DONE, {"K205"}),
    "status error": (
        lambda: {"status": "error", "message": "m"},
        {"output": {"status": "error", "message": "m"}},
        DONE,
        {"K205"},
    ),
    "status FAILED": (
        lambda: {"status": "FAILED"},
        {"output": {"status": "FAILED"}},
        DONE,
        {"K205"},
    ),
    "refresh alone": (lambda: {"refresh_worker": True}, {"stopPod": True}, DONE, set()),
    "refresh": (
        lambda: {"refresh_worker": True, "x": 1},
        {"output": {"x": 1}, "stopPod": True},
        DONE,
        set(),
    ),
    "refresh false": (lambda: {"refresh_worker": False}, {}, DONE, {"K206"}),
    "refresh with error": (
        lambda: {"refresh_worker": 1, "error": "e"},
        {"error": "e", "stopPod": True},
        FAILED,
        set(),
    ),
    "a tuple": (lambda: (1, 2), {"output": [1, 2]}, DONE, {"K101"}),
    "int keys": (lambda: {1: "a"}, {"output": {"1": "a"}}, DONE, {"K102"}),
    "an int over 2**53": (lambda: {"n": 2**60}, {"output": {"n": 2**60}}, DONE, {"K105"}),
    # lost: nothing is posted, so the job fails here and says why
    "bytes": (lambda: {"image": b"x"}, _LOST, FAILED, {"K110"}),
    "a set": (lambda: {1}, _LOST, FAILED, {"K110"}),
    "a tuple as key": (lambda: {(1, 2): 3}, _LOST, FAILED, {"K110"}),
    "half a character": (lambda: {"t": "\ud800"}, _LOST, FAILED, {"K110"}),
    "an object": (lambda: {"o": object()}, _LOST, FAILED, {"K110"}),
    "an iterator": (lambda: iter([1]), _LOST, FAILED, {"K110"}),
    "a generator": (lambda: (n for n in [1]), _LOST, FAILED, {"K201"}),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", TABLE)
def test_what_a_handler_returns(case: str, way: Callable[[Any], Any]) -> None:
    result, body, kind, found = TABLE[case]
    outcome, chunks = run_once(way(result))
    assert not chunks
    assert outcome.kind is kind
    if body is _LOST:
        assert outcome.done is None
        assert outcome.lost
        assert outcome.error is not None
        assert outcome.error.message
    else:
        assert json.loads(outcome.done or "") == body
        assert outcome.lost is None
    assert codes(outcome) == found
    assert (outcome.error is not None) == (kind is FAILED)


def test_a_cycle_is_lost_and_its_place_named() -> None:
    def handler(job: Any) -> Any:
        loop: dict[str, Any] = {"a": [1]}
        loop["a"].append(loop)
        return loop

    outcome, _ = run_once(handler)
    assert (outcome.kind, outcome.done) == (FAILED, None)
    assert "$.output.a[1]" in (outcome.lost or "")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_is_not_a_number_is_posted_and_is_not_json(
    value: float, way: Callable[[Any], Any]
) -> None:
    outcome, _ = run_once(way(lambda: {"x": [value]}))
    assert outcome.kind is FAILED
    # what the worker would post, to the letter
    assert outcome.done == json.dumps({"output": {"x": [value]}}, ensure_ascii=False)
    assert "$.output.x[0]" in (outcome.lost or "")
    assert codes(outcome) == {"K106"}


def test_colliding_keys_are_posted_twice_and_said() -> None:
    outcome, _ = run_once(plain(lambda: {1: "a", "1": "b"}))
    assert outcome.done == '{"output": {"1": "a", "1": "b"}}'
    assert outcome.kind is DONE
    assert "K103" in codes(outcome)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_nesting_or_a_number_too_large_is_an_error_that_is_posted(
    way: Callable[[Any], Any],
) -> None:
    def deep() -> Any:
        value: Any = []
        for _ in range(100_000):
            value = [value]
        return value

    for result, name in ((deep, "RecursionError"), (lambda: 10**5000, "ValueError")):
        outcome, _ = run_once(way(result))
        assert outcome.kind is FAILED
        assert outcome.lost is None
        info = json.loads(json.loads(outcome.done or "")["error"])
        assert info["error_type"] == f"<class '{name}'>"


# -- what it raises --------------------------------------------------------------------------------

POSTED: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("bad input"),
    "KeyError": lambda: KeyError("prompt"),
    "without text": lambda: RuntimeError(),
    "not ASCII": lambda: ValueError("día 日 \u2028"),
    "half a character": lambda: ValueError("\ud800"),
    "NotImplementedError": lambda: NotImplementedError("later"),
    "StopIteration": lambda: StopIteration(3),
    "TimeoutError": lambda: asyncio.TimeoutError(),
    "OSError": lambda: OSError(28, "No space left on device"),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("case", POSTED)
def test_what_a_handler_raises(case: str, way: Callable[[Any], Any]) -> None:
    exc = POSTED[case]()
    outcome, _ = run_once(way(raising(POSTED[case])))
    assert outcome.kind is FAILED
    assert outcome.lost is None
    body = json.loads(outcome.done or "")
    assert set(body) == {"error"}
    info = json.loads(body["error"])
    assert list(info) == [
        "error_type", "error_message", "error_traceback", "hostname", "worker_id", "runpod_version",
    ]  # fmt: skip
    if case != "StopIteration" or way in (plain, called, partly):
        # inside a coroutine Python itself makes a RuntimeError of it
        assert info["error_type"] == str(type(exc))
        assert info["error_message"] == str(exc)
    assert info["runpod_version"] == sdk_version() != "unknown"
    assert (info["hostname"], info["worker_id"]) == ("unknown", "unknown")
    assert outcome.error is not None
    assert outcome.error.message == info["error_message"]
    assert __file__ in outcome.error.traceback
    assert f"{os.sep}kit{os.sep}" not in outcome.error.traceback


@pytest.mark.parametrize(
    "exc",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Own("x"), asyncio.CancelledError("mine")],
    ids=lambda exc: type(exc).__name__,
)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_the_worker_does_not_catch_is_lost(
    exc: BaseException, way: Callable[[Any], Any]
) -> None:
    outcome, _ = run_once(way(raising(lambda: exc)))
    assert (outcome.kind, outcome.done) == (FAILED, None)
    assert type(exc).__name__ in (outcome.lost or "")
    assert codes(outcome) == {"K207"}
    dies = isinstance(exc, (SystemExit, KeyboardInterrupt))
    assert ("the worker process ends" in (outcome.lost or "")) is dies


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_exception_whose_text_cannot_be_had_is_lost(way: Callable[[Any], Any]) -> None:
    # the worker's own str(err) raises in its `except` block, so it posts nothing
    outcome, _ = run_once(way(raising(Mute)))
    assert (outcome.kind, outcome.done) == (FAILED, None)
    assert "Mute raises RuntimeError" in (outcome.lost or "")
    assert codes(outcome) == {"K207"}
    assert outcome.error is not None
    assert outcome.error.message == "<Mute whose str() raises RuntimeError>"


def test_a_chained_exception_and_a_group_show_all_their_parts() -> None:
    def handler(job: Any) -> Any:
        try:
            {}["first"]
        except KeyError as exc:
            raise ValueError("second") from exc

    outcome, _ = run_once(handler)
    assert outcome.error is not None
    assert outcome.error.traceback.index("KeyError: 'first'") < outcome.error.traceback.index(
        "ValueError: second"
    )
    if hasattr(__builtins__, "ExceptionGroup") or "ExceptionGroup" in dir(__import__("builtins")):
        group = __import__("builtins").ExceptionGroup("both", [ValueError("a"), KeyError("b")])
        outcome, _ = run_once(plain(raising(lambda: group)))
        assert outcome.error is not None
        assert "ValueError: a" in outcome.error.traceback
        assert "KeyError: 'b'" in outcome.error.traceback


def test_endless_recursion_is_an_error_that_is_posted() -> None:
    def handler(job: Any) -> Any:
        return handler(job)

    outcome, _ = run_once(handler)
    assert outcome.kind is FAILED
    assert outcome.error is not None
    assert "RecursionError" in outcome.error.type
    assert len(outcome.error.traceback) < 10_000


def test_an_error_that_only_the_notebook_makes_is_explained() -> None:
    import sqlite3
    import threading

    made: list[sqlite3.Connection] = []
    maker = threading.Thread(target=lambda: made.append(sqlite3.connect(":memory:")))
    maker.start()
    maker.join()
    outcome, _ = run_once(lambda job: made[0].execute("select 1").fetchone())
    assert outcome.kind is FAILED
    assert codes(outcome) == {"K209"}


def test_a_nested_loop_fails_as_in_production_and_is_explained() -> None:
    def handler(job: Any) -> Any:
        inner = asyncio.sleep(0)
        try:
            return asyncio.run(inner)
        finally:
            inner.close()

    outcome, _ = run_once(handler)
    assert outcome.kind is FAILED
    assert outcome.error is not None
    assert "cannot be called from a running event loop" in outcome.error.message
    assert codes(outcome) == {"K208"}


@pytest.mark.parametrize("kind", list(HandlerKind))
def test_refresh_worker_of_start_is_added_to_success_and_failure(kind: HandlerKind) -> None:
    for fails in (False, True):
        outcome, _ = run_once(HANDLERS[kind](fails), refresh_worker=True)
        body = json.loads(outcome.done or "")
        assert body["stopPod"] is True
        assert ("error" in body) is fails


def test_the_environment_that_a_pod_sets_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_POD_HOSTNAME", "host-1")
    monkeypatch.setenv("RUNPOD_POD_ID", "pod-1")
    outcome, _ = run_once(plain(raising(lambda: ValueError("x"))))
    info = json.loads(json.loads(outcome.done or "")["error"])
    assert (info["hostname"], info["worker_id"]) == ("host-1", "pod-1")


# -- streams ---------------------------------------------------------------------------------------


def yielding(*parts: Any, then: BaseException | None = None) -> Callable[[Any], Iterator[Any]]:
    def handler(job: Any) -> Iterator[Any]:
        yield from parts
        if then is not None:
            raise then

    return handler


def yielding_async(
    *parts: Any, then: BaseException | None = None
) -> Callable[[Any], AsyncIterator[Any]]:
    async def handler(job: Any) -> AsyncIterator[Any]:
        for part in parts:
            await asyncio.sleep(0)
            yield part
        if then is not None:
            raise then

    return handler


STREAMS = [yielding, yielding_async]
both = pytest.mark.parametrize("stream", STREAMS, ids=["generator", "async generator"])


def _of(kind: HandlerKind) -> Callable[[bool], Callable[[Any], Any]]:
    def make(fails: bool) -> Callable[[Any], Any]:
        boom = ValueError("boom") if fails else None
        if kind is HandlerKind.GENERATOR:
            return yielding(1, then=boom)
        if kind is HandlerKind.ASYNC_GENERATOR:
            return yielding_async(1, then=boom)
        way = plain if kind is HandlerKind.SYNC else awaited
        return way(raising(lambda: ValueError("boom")) if fails else (lambda: {"a": 1}))

    return make


HANDLERS = {kind: _of(kind) for kind in HandlerKind}


@both
def test_a_stream_posts_its_chunks_and_then_an_empty_list(stream: Any) -> None:
    assert kind_of(stream("a")).streams
    outcome, chunks = run_once(stream("a", {"b": 1}, None))
    assert [json.loads(text) for text in chunks] == ["a", {"b": 1}, None]
    assert (outcome.kind, outcome.done) == (DONE, '{"output": []}')
    assert not outcome.findings


@both
def test_an_aggregated_stream_posts_all_chunks_again(stream: Any) -> None:
    outcome, chunks = run_once(stream("a", "b"), return_aggregate_stream=True)
    assert chunks == ['"a"', '"b"']
    assert json.loads(outcome.done or "") == {"output": ["a", "b"]}
    outcome, chunks = run_once(stream(), return_aggregate_stream=True)
    assert (chunks, outcome.done) == ([], '{"output": []}')


@both
def test_a_stream_that_raises_loses_its_aggregate_and_posts_a_plain_text(stream: Any) -> None:
    outcome, chunks = run_once(stream("a", then=ValueError("boom")), return_aggregate_stream=True)
    assert chunks == ['"a"']
    assert outcome.kind is FAILED
    body = json.loads(outcome.done or "")
    assert set(body) == {"error"}
    assert body["error"].startswith("handler: boom \ntraceback: Traceback (most recent call last):")
    assert body["error"].endswith("ValueError: boom\n")
    assert outcome.error is not None
    assert outcome.error.type == "<class 'ValueError'>"
    assert __file__ in outcome.error.traceback


@both
def test_a_chunk_with_error_ends_the_stream_as_failed(stream: Any) -> None:
    outcome, chunks = run_once(stream("a", {"error": ["e"], "ctx": 1}, "never"))
    assert chunks == ['"a"']
    assert (outcome.kind, outcome.done) == (FAILED, '{"error": "[\'e\']"}')
    assert codes(outcome) == {"K210"}
    assert "ctx" in outcome.findings[0].sentence


@both
def test_a_chunk_with_a_falsy_error_is_streamed(stream: Any) -> None:
    outcome, chunks = run_once(stream({"error": ""}, {"error": None}))
    assert chunks == ['{"error": ""}', '{"error": null}']
    assert outcome.kind is DONE


@both
def test_refresh_worker_in_a_chunk_refreshes_nothing(stream: Any) -> None:
    outcome, chunks = run_once(stream({"refresh_worker": True}))
    assert chunks == ['{"refresh_worker": true}']
    assert outcome.done == '{"output": []}'
    assert codes(outcome) == {"K211"}


@both
def test_a_chunk_that_cannot_be_sent_is_dropped_and_the_stream_goes_on(stream: Any) -> None:
    outcome, chunks = run_once(stream(1, b"x", {2}, 3))
    assert chunks == ["1", "3"]
    assert (outcome.kind, outcome.done) == (DONE, '{"output": []}')
    assert [f.code for f in outcome.findings] == ["K221"]

    # aggregated, the final body holds it too and is never posted
    outcome, chunks = run_once(stream(1, b"x"), return_aggregate_stream=True)
    assert chunks == ["1"]
    assert (outcome.kind, outcome.done) == (FAILED, None)
    assert "$.output[1]" in (outcome.lost or "")


@both
def test_a_chunk_that_is_not_a_number_is_sent_as_it_is(stream: Any) -> None:
    outcome, chunks = run_once(stream(float("nan"), 1))
    assert chunks == ["NaN", "1"]
    assert outcome.kind is DONE
    assert codes(outcome) == {"K106"}


@both
def test_half_a_character_or_a_cycle_in_a_chunk_loses_the_job(stream: Any) -> None:
    loop: list[Any] = []
    loop.append(loop)
    for part in ("\ud800", loop):
        outcome, chunks = run_once(stream(1, part, 2))
        assert chunks == ["1"]
        assert (outcome.kind, outcome.done) == (FAILED, None)
        assert codes(outcome) == {"K110"}


@both
def test_a_chunk_too_deep_or_too_long_is_an_error_that_is_posted(stream: Any) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for part, message in ((deep, "recursion"), (10**5000, "digits")):
        outcome, chunks = run_once(stream(1, part, 2))
        assert chunks == ["1"]
        assert outcome.kind is FAILED
        assert outcome.lost is None
        error = json.loads(outcome.done or "")["error"]
        assert error.startswith("handler: ")
        assert message in error


@both
@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), Own(), Mute()])
def test_what_the_worker_does_not_catch_loses_a_stream(stream: Any, exc: BaseException) -> None:
    outcome, chunks = run_once(stream(1, then=exc))
    assert chunks == ["1"]
    assert (outcome.kind, outcome.done) == (FAILED, None)
    assert outcome.lost


def test_the_return_value_of_a_generator_is_ignored_and_said() -> None:
    def handler(job: Any) -> Any:
        yield 1
        return {"error": "lost"}

    outcome, chunks = run_once(handler)
    assert (chunks, outcome.done) == (["1"], '{"output": []}')
    assert codes(outcome) == {"K202"}


@both
def test_an_abandoned_generator_is_closed_at_once(stream: Any) -> None:
    closed: list[str] = []

    def sync(job: Any) -> Any:
        try:
            yield {"error": "e"}
            yield "never"
        finally:
            closed.append("closed")

    async def asynchronous(job: Any) -> Any:
        try:
            yield {"error": "e"}
            yield "never"
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    run_once(sync if stream is yielding else asynchronous)
    assert closed == ["closed"]


@pytest.mark.parametrize(
    "maker",
    [
        lambda: type("Service", (), {"__call__": lambda self, job: (n for n in [1])})(),
        lambda: lambda job: yielding(1)(job),
        lambda: lambda job: yielding_async(1)(job),
    ],
    ids=["object", "returned", "returned async"],
)
def test_what_only_returns_a_generator_does_not_stream(maker: Callable[[], Any]) -> None:
    function = maker()
    assert kind_of(function) is HandlerKind.SYNC
    outcome, chunks = run_once(function)
    assert (chunks, outcome.kind, outcome.done) == ([], FAILED, None)
    assert codes(outcome) == {"K201"}


@both
def test_a_partial_of_a_generator_streams(stream: Any) -> None:
    outcome, chunks = run_once(functools.partial(stream(1, 2)))
    assert (chunks, outcome.done) == (["1", "2"], '{"output": []}')


def test_chunks_wait_where_the_reader_is_behind() -> None:
    waited: list[int] = []

    class Slow:
        def chunk(self, text: str) -> Any:
            return self._wait(int(text)) if int(text) % 2 else None

        async def _wait(self, number: int) -> None:
            await asyncio.sleep(0)
            waited.append(number)

    coroutine = run(handler_of(yielding(*range(6))), "s-1", "job-1", '{"input": 1}', Slow(), None)
    assert asyncio.run(coroutine).kind is DONE
    assert waited == [1, 3, 5]


# -- what it gets ----------------------------------------------------------------------------------


def test_the_handler_gets_the_request_and_its_id_and_nothing_else() -> None:
    seen: list[Any] = []
    request = json.dumps({"input": {"a": 1}, "webhook": "https://example.com/"})
    coroutine = run(handler_of(seen.append), "s-1", "job-7", request, None, Guard())  # type: ignore[arg-type]
    asyncio.run(coroutine)
    assert seen == [{"id": "job-7", "input": {"a": 1}, "webhook": "https://example.com/"}]


def test_a_changed_input_is_said_and_harms_nothing() -> None:
    def handler(job: Any) -> Any:
        job["input"]["a"].append(2)
        return len(job["input"]["a"])

    for _ in range(2):
        outcome, _ = run_once(handler, {"a": [1]})
        assert outcome.done == '{"output": 2}'
        assert codes(outcome) == {"K213"}
    outcome, _ = run_once(lambda job: job["input"], {"a": [1]})
    assert codes(outcome) == set()


def test_an_array_like_value_in_the_input_does_not_break_the_comparison() -> None:
    class Array:
        def __eq__(self, other: object) -> Any:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    def handler(job: Any) -> Any:
        job["input"]["a"] = Array()
        return 1

    outcome, _ = run_once(handler, {"a": [1]})
    assert outcome.kind is DONE
    assert codes(outcome) == {"K213"}


def test_a_result_that_is_too_large_for_the_platform_is_said() -> None:
    outcome, _ = run_once(plain(lambda: "x" * 10_000_001))
    assert outcome.kind is DONE
    assert codes(outcome) == {"K107"}
    outcome, _ = run_once(plain(lambda: "x" * 20_000_001))
    assert codes(outcome) == {"K108"}
    outcome, chunks = run_once(yielding("x" * 1_000_001, "x" * 1_000_001))
    assert len(chunks) == 2
    assert [f.code for f in outcome.findings] == ["K109"]


def test_an_async_handler_that_blocks_its_loop_is_told() -> None:
    async def blocks(job: Any) -> Any:
        await asyncio.sleep(0)
        time.sleep(1.05)  # noqa: ASYNC251 - what the finding is about
        return 1

    async def waits(job: Any) -> Any:
        await asyncio.sleep(1.05)
        return 1

    outcome, _ = run_once(blocks)
    assert codes(outcome) == {"K225"}
    assert "blocked its loop for 1." in outcome.findings[0].sentence
    assert codes(run_once(waits)[0]) == set()


def test_findings_of_a_cell_s_handler_say_where_it_stands() -> None:
    handler = handler_of(_yields_and_returns)
    for cell, line, place in ((None, None, ""), (7, None, "In [7]"), (7, 3, "In [7], line 3")):
        info = dataclasses.replace(handler.info, cell=cell, line=line)
        placed = dataclasses.replace(handler, info=info)
        outcome = asyncio.run(run(placed, "s-1", "job-1", '{"input": 1}', Heard(), Guard()))
        places = {found.code: found.place for found in outcome.findings}
        # a finding that knows its own place keeps it
        assert places == {"K202": place, "K102": "$.at"}


def _yields_and_returns(job: Any) -> Any:
    yield {"at": {1: "a"}}
    return 1
