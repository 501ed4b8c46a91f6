"""Handlers and inputs for the parity with the real worker: one file per kind, one behaviour per input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: the head of every handler file; what it does is named by ``job["input"]["do"]``
COMMON = """
import asyncio, collections, enum, functools, math, time
import runpod


class Text(str):
    pass


class Number(enum.IntEnum):
    ONE = 1


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Base(BaseException):
    pass


def cycle():
    a = []
    a.append(a)
    return a


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def chunks():
    yield 1


VALUES = {
    "none": lambda: None, "true": lambda: True, "false": lambda: False, "zero": lambda: 0,
    "minus zero": lambda: -0.0, "float": lambda: 0.1 + 0.2, "huge float": lambda: 1e308,
    "tiny float": lambda: 5e-324, "big int": lambda: 2**53 + 1, "bigger int": lambda: 10**30,
    "empty text": lambda: "", "text": lambda: "plain", "umlaut": lambda: "\\u00e9\\u4e2d",
    "emoji": lambda: "\\U0001F600", "separator": lambda: "\\u2028\\u2029", "nul": lambda: "a\\x00b",
    "quotes": lambda: '"\\\\ \\n\\t</script>', "list": lambda: [1, "a", None], "empty list": lambda: [],
    "empty dict": lambda: {}, "dict": lambda: {"a": {"b": [1]}}, "tuple": lambda: (1, (2, 3)),
    "int keys": lambda: {1: "a", 2: "b"}, "colliding keys": lambda: {1: "a", "1": "b"},
    "odd keys": lambda: {True: 1, None: 2, 0.5: 3}, "__proto__": lambda: {"__proto__": {"x": 1}},
    "nested": lambda: nested(70), "long text": lambda: "x" * 300_000,
    "floats": lambda: [i / 7 for i in range(5_000)], "text subclass": lambda: Text("t"),
    "enum": lambda: Number.ONE, "ordered": lambda: collections.OrderedDict(b=1, a=2),
    "named tuple": lambda: collections.namedtuple("P", "x y")(1, 2),
    "output key": lambda: {"output": 1}, "status": lambda: {"status": "error"},
    "error text": lambda: {"error": "no", "partial": [1]}, "error alone": lambda: {"error": "no"},
    "error empty": lambda: {"error": ""}, "error none": lambda: {"error": None, "x": 1},
    "error list": lambda: {"error": ["a", "b"]}, "error dict": lambda: {"error": {"code": 5}, "x": 1},
    "error zero": lambda: {"error": 0}, "refresh": lambda: {"refresh_worker": True, "x": 1},
    "refresh alone": lambda: {"refresh_worker": True}, "no refresh": lambda: {"refresh_worker": False},
    "refresh and error": lambda: {"refresh_worker": True, "error": "no"},
}
HOSTILE = {
    "bytes": lambda: b"x", "set": lambda: {"a": {1}}, "object": object, "nan": lambda: math.nan,
    "infinity": lambda: {"x": [1, math.inf]}, "cycle": cycle, "surrogate": lambda: "\\ud800",
    "tuple key": lambda: {(1, 2): 3}, "generator": chunks, "deep": lambda: nested(100_000),
    "digits": lambda: 10**5000, "function": lambda: nested,
}


def fail(message):
    raise ValueError(message)


def chained():
    try:
        fail("first")
    except ValueError as exc:
        raise KeyError("second") from exc


def during():
    try:
        fail("first")
    except ValueError:
        raise LookupError("second")


def stops():
    raise StopIteration(5)


def odd():
    raise Odd


def base():
    raise Base("own")


def leaves():
    raise SystemExit(3)


def interrupts():
    raise KeyboardInterrupt


RAISES = {
    "value": lambda: fail("plain"), "umlaut": lambda: fail("\\u00e9 \\U0001F600 \\u2028"),
    "lines": lambda: fail("a\\nb"), "empty": lambda: fail(""), "chained": chained, "during": during,
    "zero": lambda: 1 / 0, "name": lambda: undefined, "stop": stops,
    "timeout": lambda: (_ for _ in ()).throw(asyncio.TimeoutError()),
    "memory": lambda: (_ for _ in ()).throw(MemoryError("out")),
}
ESCAPES = {"base": base}
DEADLY = {"exit": leaves, "interrupt": interrupts}
ALL = {**VALUES, **HOSTILE, **RAISES, **ESCAPES, **DEADLY}


def act(job):
    given = job["input"]
    what = given["do"]
    if what == "input":
        given["seen"] = True
        return given
    if what == "job":
        return {key: job[key] for key in sorted(job)}
    if what == "progress":
        for value in given["values"]:
            runpod.serverless.progress_update(job, value)
            time.sleep(0.05)
        return "done"
    return ALL[what]()
"""
STREAMS = """
PARTS = {
    "nothing": [], "one": ["a"], "words": ["a", "b", "c"], "mixed": [1, None, {"x": 1}, [2], True],
    "empty dict": [{}], "falsy error": [{"error": "", "x": 1}], "error": ["a", {"error": "no", "x": 1}, "b"],
    "error first": [{"error": {"code": 1}}, "b"], "refresh": [{"refresh_worker": True}, "b"],
    "umlaut": ["\\u00e9", "\\u2028"], "long": ["x" * 200_000] * 3, "many": list(range(200)),
    "tuple": [(1, 2)], "int keys": [{1: 2}], "nan": ["a", math.nan, "b"],
}


def parts(job):
    given = job["input"]
    what = given["do"]
    if what in PARTS:
        yield from PARTS[what]
    elif what == "hostile":
        yield "before"
        yield ALL[given["value"]]()
        yield "after"
    elif what == "raises":
        yield "before"
        ALL[given["value"]]()
    elif what == "at once":
        ALL[given["value"]]()
        yield "never"
    elif what == "progress":
        runpod.serverless.progress_update(job, 1)
        time.sleep(0.05)
        yield "a"
        runpod.serverless.progress_update(job, {"at": 2})
        time.sleep(0.05)
    elif what == "returns":
        yield "a"
        return "ignored"
"""
#: kind to the text after COMMON
KINDS = {
    "sync": "def handler(job):\n    return act(job)\n",
    "async": "async def handler(job):\n    await asyncio.sleep(0)\n    return act(job)\n",
    "object": "class Handler:\n    def __call__(self, job):\n        return act(job)\nhandler = Handler()\n",
    "partial": "def takes(extra, job):\n    return act(job)\nhandler = functools.partial(takes, 1)\n",
    "gives awaitable": (
        "async def inner(job):\n    return act(job)\ndef handler(job):\n    return inner(job)\n"
    ),
    "generator": f"{STREAMS}\ndef handler(job):\n    yield from parts(job)\n",
    "async generator": f"{STREAMS}\nasync def handler(job):\n    for part in parts(job):\n"
    "        await asyncio.sleep(0)\n        yield part\n",
    "hidden generator": f"{STREAMS}\nhandler = functools.partial(lambda job: parts(job))\n",
}
VALUES = [
    "none", "true", "false", "zero", "minus zero", "float", "huge float", "tiny float", "big int",
    "bigger int", "empty text", "text", "umlaut", "emoji", "separator", "nul", "quotes", "list",
    "empty list", "empty dict", "dict", "tuple", "int keys", "colliding keys", "odd keys", "__proto__",
    "nested", "long text", "floats", "text subclass", "enum", "ordered", "named tuple", "output key",
    "status", "error text", "error alone", "error empty", "error none", "error list", "error dict",
    "error zero", "refresh", "refresh alone", "no refresh", "refresh and error",
]  # fmt: skip
HOSTILE = [
    "bytes", "set", "object", "nan", "infinity", "cycle", "surrogate", "tuple key", "generator", "deep",
    "digits", "function",
]  # fmt: skip
RAISES = ["value", "umlaut", "lines", "empty", "chained", "during", "zero", "name", "stop", "timeout",
          "memory"]  # fmt: skip
PARTS = ["nothing", "one", "words", "mixed", "empty dict", "falsy error", "error", "error first",
         "refresh", "umlaut", "long", "many", "tuple", "int keys", "nan", "progress", "returns"]  # fmt: skip


@dataclass(frozen=True)
class Group:
    """One handler file and the inputs it is given."""

    kind: str
    options: str
    inputs: tuple[dict[str, object], ...]
    #: what tells it from another one of this kind
    deadly: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}{self.options}{self.deadly and f', {self.deadly}'}"

    @property
    def source(self) -> str:
        start = f'runpod.serverless.start({{"handler": handler{self.options}}})\n'
        return f"{COMMON}\n{KINDS[self.kind]}\n{start}"


def _do(*names: str) -> Iterator[dict[str, object]]:
    return ({"do": name} for name in names)


_COMMON = [
    {"do": "input", "nested": {"x": [1]}}, {"do": "job"},
    {"do": "progress", "values": [1, {"x": "\u00e9"}, None]},
]  # fmt: skip
_STREAM = [
    *_do(*PARTS),
    *({"do": "hostile", "value": name} for name in ("bytes", "set", "cycle", "surrogate", "infinity",
                                                    "deep", "digits", "tuple key")),
    *({"do": "raises", "value": name} for name in ("value", "lines", "chained", "base")),
    {"do": "at once", "value": "zero"},
]  # fmt: skip
AGGREGATE = ', "return_aggregate_stream": True'
GROUPS = (
    Group(
        "sync",
        "",
        (*_COMMON, *_do(*VALUES, *HOSTILE, *RAISES, "text")),
    ),
    Group("async", "", (*_COMMON, *_do(*VALUES, *HOSTILE, *RAISES, "text"))),
    # each alone: a worker that died is started again after a pause, and then takes one at a time
    *(Group("sync", "", tuple(_do(how)), how) for how in ("base", "exit", "interrupt")),
    *(Group("async", "", tuple(_do(how)), how) for how in ("base", "exit")),
    *(
        Group(kind, "", ({"do": "raises", "value": "exit"},), "exit")
        for kind in ("generator", "async generator")
    ),
    Group("async", ', "concurrency_modifier": lambda n: 3', tuple(_do(*VALUES[:12], *RAISES[:3]))),
    Group("sync", ', "refresh_worker": True', tuple(_do("text", "set", "value", "error text"))),
    Group("object", "", tuple(_do("dict", "empty dict", "set", "value"))),
    Group("partial", "", tuple(_do("dict", "error text", "bytes", "zero"))),
    Group("gives awaitable", "", tuple(_do("dict", "refresh", "nan", "chained"))),
    Group("hidden generator", "", tuple(_do("one", "words"))),
    Group("generator", "", (*_STREAM, {"do": "one"})),
    Group("generator", AGGREGATE, tuple(_STREAM)),
    Group("async generator", "", (*_STREAM, {"do": "one"})),
    Group("async generator", AGGREGATE, tuple(_STREAM)),
)
