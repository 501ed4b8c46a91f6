"""Handlers and inputs for the parity test. Runs in two processes: with the kit, and without it.

Every handler is written as a worker's file would have it. The names of the cases say what they are
about; the same input goes to both sides.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field
from typing import Any

from runpod.serverless import progress_update


@dataclass(frozen=True)
class Case:
    """One handler on one request."""

    handler: Any
    input: Any = None
    #: other keys of the request
    more: dict[str, Any] = field(default_factory=dict)
    #: keys of start() besides the handler
    config: dict[str, Any] = field(default_factory=dict)


class Own(BaseException): ...


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Service:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def handle(self, job: Any) -> Any:
        return job["input"] * self.factor

    def stream(self, job: Any) -> Any:
        for number in range(job["input"]):
            yield number * self.factor

    def __call__(self, job: Any) -> Any:
        return [self.factor, job["input"]]


class Streamer:
    def __call__(self, job: Any) -> Any:
        yield 1


def gives(value: Any) -> Any:
    """A handler that returns what a function makes: most of the wire table needs no more."""

    def handler(job: Any) -> Any:
        return value()

    return handler


def echo(job: Any) -> Any:
    return job["input"]


async def echo_later(job: Any) -> Any:
    await asyncio.sleep(0.001)
    return job["input"]


def whole_job(job: Any) -> Any:
    return job


def raises(job: Any) -> Any:
    kinds = {
        "value": ValueError("bad prompt"),
        "empty": RuntimeError(),
        "key": KeyError("prompt"),
        "unicode": ValueError("día 日 \u2028 \x00"),
        "surrogate": ValueError("\ud800"),
        "os": FileNotFoundError(2, "No such file or directory", "model.bin"),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "own": Own("x"),
        "mute": Mute(),
        "cancelled": asyncio.CancelledError(),
    }
    raise kinds[job["input"]]


async def raises_later(job: Any) -> Any:
    await asyncio.sleep(0)
    return raises(job)


def raises_deep(job: Any) -> Any:
    def inner() -> Any:
        try:
            return {}[job["input"]]
        except KeyError as exc:
            raise ValueError("outer") from exc

    return inner()


def recurses(job: Any) -> Any:
    return recurses(job)


def nested_loop(job: Any) -> Any:
    coroutine = asyncio.sleep(0)
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()


def needs_two(job: Any, model: Any) -> Any:
    return model


def changes_input(job: Any) -> Any:
    job["input"]["list"].append(2)
    job["more"] = True
    return job["input"]


def cycle() -> Any:
    loop: dict[str, Any] = {"a": []}
    loop["a"].append(loop)
    return loop


def deep(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def yields(job: Any) -> Any:
    yield from job["input"]


async def yields_later(job: Any) -> Any:
    for part in job["input"]:
        await asyncio.sleep(0)
        yield part


def yields_and_returns(job: Any) -> Any:
    yield 1
    return {"error": "lost"}


def yields_what_cannot_be_sent(job: Any) -> Any:
    yield 1
    yield b"bytes"
    yield {1, 2}
    yield 3


def yields_surrogate(job: Any) -> Any:
    yield 1
    yield "\ud800"
    yield 2


def yields_cycle(job: Any) -> Any:
    yield 1
    yield cycle()


def yields_deep(job: Any) -> Any:
    yield 1
    yield deep(100_000)
    yield 2


def yields_nan(job: Any) -> Any:
    yield float("nan")
    yield 1


def yields_and_raises(job: Any) -> Any:
    yield 1
    raises(job)


async def yields_and_raises_later(job: Any) -> Any:
    yield 1
    await asyncio.sleep(0)
    raises(job)


def reports(job: Any) -> Any:
    for number in range(job["input"]):
        progress_update(job, {"step": number})
    return "done"


async def reports_and_yields(job: Any) -> Any:
    for number in range(job["input"]):
        progress_update(job, f"{number}%")
        yield number


def returns_coroutine(job: Any) -> Any:
    return echo_later(job)


def returns_generator(job: Any) -> Any:
    return (n for n in job["input"])


class Odd(str):
    """Text whose own methods fail: the worker writes every output into its log."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Unspeakable(Odd):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class OwnGet(dict):  # type: ignore[type-arg]
    def get(self, *_: Any) -> Any:
        raise RuntimeError("no get")


class Undecided:
    def __bool__(self) -> bool:
        raise ValueError("neither")


class Stubborn:
    def __await__(self) -> Any:
        return 5


def yields_one(job: Any, value: Any) -> Any:
    yield 1
    yield value()
    yield 2


def one(value: Any) -> Any:
    return functools.partial(yields_one, value=value)


def keeps_id(job: Any) -> Any:
    return job.pop("id")


def keeps_all(job: Any) -> Any:
    given = dict(job)
    job.clear()
    raise ValueError(str(given["input"]))


def renames(job: Any) -> Any:
    yield 1
    job["id"] = "other"
    yield 2


def cleans_up_badly(job: Any) -> Any:
    try:
        yield 1
        yield {"error": "stop"}
    finally:
        raise ValueError("while cleaning up")


async def cleans_up_badly_later(job: Any) -> Any:
    try:
        yield {"error": "stop"}
    finally:
        raise SystemExit(3)


def cleans_up_never(job: Any) -> Any:
    try:
        yield {"error": "stop"}
    finally:
        yield 2


def tells(job: Any) -> Any:
    """progress_update as it is misused: the input for the job, no job, what cannot be written."""
    what = job["input"]
    update = {
        "input": lambda: (what, 1), "id": lambda: (job["id"], 1), "none": lambda: (None, 1),
        "nan": lambda: (job, {"x": float("nan")}), "bytes": lambda: (job, b"x"),
        "digits": lambda: (job, 10**5000), "other": lambda: ({"id": "another"}, 1),
        "copy": lambda: ({"id": job["id"]}, 1),
    }[what]()  # fmt: skip
    progress_update(*update)
    return "done"


AGGREGATE = {"return_aggregate_stream": True}
REFRESH = {"refresh_worker": True}

CASES: dict[str, Case] = {
    # what is returned
    "dict": Case(echo, {"a": 1, "é": ["日", None, True, 1.5]}),
    "none": Case(echo, None),
    "text": Case(echo, "text \u2028 \x00 \U0001f600"),
    "bool": Case(echo, False),
    "numbers": Case(echo, [0, -1, 2**70, 1e300, -0.0, 0.1]),
    "empty dict": Case(echo, {}),
    "empty list": Case(echo, []),
    "async": Case(echo_later, {"a": 1}),
    "returns a coroutine": Case(returns_coroutine, {"a": 1}),
    "object": Case(Service(3), 4),
    "method": Case(Service(3).handle, 4),
    "partial": Case(functools.partial(Service.handle, Service(5)), 4),
    "whole request": Case(
        whole_job, 1, {"webhook": "https://example.com/x", "policy": {"ttl": 10_000}}
    ),
    "input changed": Case(changes_input, {"list": [1]}),
    "error": Case(echo, {"error": "nope", "partial": [1]}),
    "error alone": Case(echo, {"error": "nope"}),
    "error empty": Case(echo, {"error": ""}),
    "error none": Case(echo, {"error": None, "a": 1}),
    "error list": Case(echo, {"error": ["a", "b"]}),
    "error dict": Case(echo, {"error": {"code": 5}, "x": 1}),
    "errors": Case(echo, {"errors": ["a"]}),
    "refresh": Case(echo, {"refresh_worker": True, "x": 1}),
    "refresh alone": Case(echo, {"refresh_worker": True}),
    "refresh false": Case(echo, {"refresh_worker": False, "x": 1}),
    "refresh and error": Case(echo, {"refresh_worker": True, "error": "e"}),
    "refresh in start": Case(echo, {"a": 1}, config=REFRESH),
    "refresh in start, raises": Case(raises, "value", config=REFRESH),
    "output in output": Case(echo, {"output": {"a": 1}}),
    # what changes on the way
    "tuple": Case(gives(lambda: (1, (2, 3)))),
    "int keys": Case(gives(lambda: {2: "a", None: "b", True: "c", 1.5: "d"})),
    "colliding keys": Case(gives(lambda: {1: "a", "1": "b"})),
    "deep": Case(gives(lambda: deep(100))),
    # what is posted and is no JSON
    "nan": Case(gives(lambda: {"x": [float("nan"), float("inf"), -float("inf")]})),
    # what never arrives
    "bytes": Case(gives(lambda: {"image": b"x"})),
    "set": Case(gives(lambda: {1, 2})),
    "cycle": Case(gives(cycle)),
    "surrogate": Case(gives(lambda: {"text": "\ud800"})),
    "tuple key": Case(gives(lambda: {(1, 2): 3})),
    "object result": Case(gives(object)),
    "generator result": Case(returns_generator, [1, 2]),
    "generator object": Case(Streamer(), 1),
    # what is raised
    "raises": Case(raises, "value"),
    "raises empty": Case(raises, "empty"),
    "raises key": Case(raises, "key"),
    "raises unicode": Case(raises, "unicode"),
    "raises surrogate": Case(raises, "surrogate"),
    "raises os": Case(raises, "os"),
    "raises later": Case(raises_later, "value"),
    "raises a chain": Case(raises_deep, "k"),
    "raises exit": Case(raises, "exit"),
    "raises interrupt": Case(raises, "interrupt"),
    "raises own": Case(raises, "own"),
    "raises own later": Case(raises_later, "own"),
    "raises mute": Case(raises, "mute"),
    "raises cancelled": Case(raises_later, "cancelled"),
    "recursion": Case(recurses),
    "too deep": Case(gives(lambda: deep(100_000))),
    "too many digits": Case(gives(lambda: 10**5000)),
    "nested loop": Case(nested_loop),
    "needs two": Case(needs_two, 1),
    # streams
    "stream": Case(yields, ["a", {"b": 1}, None, 0, ""]),
    "stream later": Case(yields_later, ["a", {"b": 1}]),
    "stream empty": Case(yields, []),
    "stream empty aggregate": Case(yields, [], config=AGGREGATE),
    "stream aggregate": Case(yields, ["a", "b"], config=AGGREGATE),
    "stream later aggregate": Case(yields_later, [1, 2], config=AGGREGATE),
    "stream method": Case(Service(2).stream, 3),
    "stream partial": Case(functools.partial(yields), [1]),
    "stream refresh": Case(yields, [1], config=REFRESH),
    "stream error": Case(yields, [1, {"error": "e", "ctx": 1}, 2], config=AGGREGATE),
    "stream error dict": Case(yields_later, [1, {"error": {"code": 5}}, 2]),
    "stream error falsy": Case(yields, [{"error": ""}, {"error": None}, 2]),
    "stream refresh chunk": Case(yields, [{"refresh_worker": True}]),
    "stream returns": Case(yields_and_returns),
    "stream raises": Case(yields_and_raises, "value", config=AGGREGATE),
    "stream raises later": Case(yields_and_raises_later, "value"),
    "stream raises exit": Case(yields_and_raises, "exit"),
    "stream raises own": Case(yields_and_raises_later, "own"),
    "stream raises mute": Case(yields_and_raises, "mute"),
    "stream unsendable": Case(yields_what_cannot_be_sent),
    "stream unsendable aggregate": Case(yields_what_cannot_be_sent, config=AGGREGATE),
    "stream surrogate": Case(yields_surrogate),
    "stream cycle": Case(yields_cycle),
    "stream deep": Case(yields_deep),
    "stream nan": Case(yields_nan),
    # progress
    "progress": Case(reports, 20),
    "stream progress": Case(reports_and_yields, 5),
    **{
        f"progress misused: {what}": Case(tells, what)
        for what in ("input", "id", "none", "nan", "bytes", "digits", "other", "copy")
    },
    # what the worker does with a result before it sends it
    "odd text": Case(gives(lambda: Odd("x"))),
    "odd text inside": Case(gives(lambda: {"a": [Odd("x")]})),
    "unspeakable text": Case(gives(lambda: Unspeakable("x"))),
    "own get": Case(gives(lambda: OwnGet(a=1))),
    "stubborn": Case(gives(Stubborn)),
    "nan and a surrogate": Case(gives(lambda: [float("nan"), "\ud800"])),
    "nan and bytes": Case(gives(lambda: [float("nan"), b"x"])),
    "nan and digits": Case(gives(lambda: [float("nan"), 10**5000])),
    "stream odd text": Case(one(lambda: Odd("x"))),
    "stream odd text inside": Case(one(lambda: {"a": Odd("x")}), config=AGGREGATE),
    "stream own get": Case(one(lambda: OwnGet(a=1))),
    "stream undecided error": Case(one(lambda: {"error": Undecided()})),
    "stream nan and a cycle": Case(one(lambda: [float("nan"), cycle()])),
    "stream nan and a surrogate": Case(one(lambda: [float("nan"), "\ud800"])),
    # what it reads from the job again
    "id taken": Case(keeps_id),
    "id taken, refresh": Case(keeps_id, config=REFRESH),
    "all taken": Case(keeps_all, 1),
    "stream id changed": Case(renames),
    # a stream that is abandoned
    "stream clean-up raises": Case(cleans_up_badly, config=AGGREGATE),
    "stream clean-up exits": Case(cleans_up_badly_later),
    "stream clean-up yields": Case(cleans_up_never),
}
