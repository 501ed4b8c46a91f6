"""Everything json.dumps makes valid JSON of is accepted as it is; everything else is refused by path."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import random
import sys
import textwrap
import threading
import time
import uuid
from subprocess import run
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import PayloadError
from kit.payload import (
    CHUNK_LIMIT_BYTES,
    RUN_LIMIT_BYTES,
    RUNSYNC_LIMIT_BYTES,
    Encoded,
    decode,
    encode,
    finding_of,
    size_findings,
)

SEED = 20261122
CODES = {"type", "nan", "cycle", "depth", "surrogate", "bigint", "size"}


def refused(value: object, root: str = "$") -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        encode(value, root)
    return caught.value


def encoded_or_error(value: object) -> Encoded | PayloadError:
    try:
        return encode(value)
    except PayloadError as error:
        return error


def codes(value: object) -> list[str]:
    return [finding.code for finding in encode(value).findings]


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def nested(depth: int, inner: object = 0) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


class Text(str):
    def __str__(self) -> str:
        return "a lie"

    def encode(self, *args: Any) -> bytes:  # type: ignore[override]
        raise AssertionError("the value's own code ran")

    isascii = encode  # type: ignore[assignment]


class Number(int):
    def __repr__(self) -> str:
        return "a lie"

    def __gt__(self, other: object) -> bool:
        raise AssertionError("the value's own code ran")

    __lt__ = __ge__ = __le__ = __gt__


class Real(float):
    def __repr__(self) -> str:
        return "a lie"

    def __ne__(self, other: object) -> bool:
        return False


class Items(list):  # type: ignore[type-arg]
    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("the value's own code ran")

    __len__ = copy = __getitem__  # type: ignore[assignment]


class Turned(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        return iter([(1, 2), "turned"])


class Broken(tuple):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise RuntimeError("no items")


class Colour(enum.IntEnum):
    RED = 1


class Mode(str, enum.Enum):
    FAST = "fast"


class Shown(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return [("shown", (1, 2))]


class Point(NamedTuple):
    x: int
    y: int


ACCEPTED: list[object] = [
    None,
    True,
    0,
    -1,
    2**53,
    2**53 + 1,
    10**4000,
    1.5,
    -0.0,
    1e308,
    5e-324,
    "",
    "é中😀",
    '\u2028\u2029\x00\x1f\x7f"\\/',
    "</script>",
    [],
    {},
    (),
    [[], {}, ()],
    {"__proto__": {"constructor": 1}},
    {"": ""},
    {None: 1, True: 2, False: 3, 1.5: 4, 7: 5},
    {1: "a", "1": "b"},
    {math.nan: 1, math.inf: 2, -math.inf: 3},
    (1, (2, [3, {"a": ()}])),
    Text("x"),
    [Text("é")],
    Number(7),
    [Number(2**60)],
    Real(2.5),
    [Real(2.5), 1],
    Items([1, [2]]),
    [Turned([1])],
    Turned(),
    {Text("k"): Text("v"), Number(3): Real(0.5)},
    Colour.RED,
    Mode.FAST,
    {Colour.RED: Mode.FAST},
    Point(1, 2),
    collections.OrderedDict(a=1, b=[2]),
    collections.defaultdict(list, a=[1]),
    collections.Counter("aab"),
    Shown(a=1),
    Shown(),
    [Shown(a=1)],
    nested(64),
    nested(65),
    nested(400),
]


# by number: pytest would run the values' own code to name the cases
@pytest.mark.parametrize("number", range(len(ACCEPTED)))
def test_the_text_is_that_of_json_dumps(number: int) -> None:
    value = ACCEPTED[number]
    encoded = encode(value)
    assert encoded.text == json.dumps(value, ensure_ascii=False)
    assert encoded.size_bytes == len(encoded.text.encode())
    json.loads(encoded.text, parse_constant=no_constant)


def test_numpy_floats_and_strings_travel_and_arrays_do_not() -> None:
    numpy = pytest.importorskip("numpy")
    assert encode({"a": numpy.float64(1.5), "b": numpy.str_("x")}).text == '{"a": 1.5, "b": "x"}'
    assert ".tolist()" in str(refused({"a": numpy.zeros(2)}))
    assert ".item()" in str(refused([numpy.int64(1)]))
    assert refused([numpy.float64("nan")]).code == "nan"


@dataclasses.dataclass
class Record:
    a: int


def generator() -> Any:
    yield 1


class Liar:
    __class__ = str  # type: ignore[assignment]


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__name__", "__qualname__"):
            raise RuntimeError("hostile")
        return super().__getattribute__(name)


class Hostile(metaclass=Meta):
    def __repr__(self) -> str:
        raise RuntimeError("hostile")


class Failing(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no items")


class Odd(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return ["ab"]


REFUSED: list[tuple[object, str, str, str]] = [
    (b"x", "type", "$", "base64"),
    ({"images": [1, 2, 3, b"x"]}, "type", "$.images[3]", "base64.b64encode(value).decode()"),
    (bytearray(b"x"), "type", "$", "base64"),
    ([memoryview(b"x")], "type", "$[0]", "base64"),
    ({1, 2}, "type", "$", "sorted(value)"),
    (frozenset(), "type", "$", "list"),
    ([1, {"a": 1j}], "type", "$[1].a", "value.real"),
    (generator(), "type", "$", "list(value)"),
    (range(3), "type", "$", "list(value)"),
    ({}.keys(), "type", "$", "list(value)"),
    (collections.deque([1]), "type", "$", "list(value)"),
    (collections.ChainMap({}), "type", "$", "dict(value)"),
    (Record(1), "type", "$", "dataclasses.asdict"),
    (datetime.date(2026, 1, 1), "type", "$", "isoformat"),
    (datetime.timedelta(1), "type", "$", "total_seconds"),
    (decimal.Decimal(1), "type", "$", "float(value)"),
    (pathlib.Path(), "type", "$", "str(path)"),
    (uuid.UUID(int=1), "type", "$", "str(value)"),
    (enum.Enum("E", "A").A, "type", "$", "member.value"),  # type: ignore[attr-defined]
    (ValueError("x"), "type", "$", "str(error)"),
    (int, "type", "$", "__name__"),
    (len, "type", "$", "calling"),
    (object(), "type", "$", "dict, list, string"),
    (Liar(), "type", "$", "dict"),
    ([Hostile()], "type", "$[0]", "dict"),
    ({"d": Failing(a=1)}, "type", "$.d", "plain dict"),
    ({"b": Broken([1])}, "type", "$.b", "plain list"),
    ([Odd(a=1)], "type", "$[0]", "plain dict"),
    ({(1, 2): 3}, "type", "$", "str(key)"),
    ({"a": {b"k": 1}}, "type", "$.a", "str(key)"),
    (math.nan, "nan", "$", "None or a number"),
    ({"a b": [math.inf]}, "nan", '$["a b"][0]', "isfinite"),
    ([-math.inf, b""], "nan", "$[0]", "None"),
    (Real(math.nan), "nan", "$", "None"),
    ([1.5] * 5000 + [math.nan], "nan", "$[5000]", "None"),
    ("\ud800", "surrogate", "$", "replace"),
    ({"a": ["x", "y\udfff"]}, "surrogate", "$.a[1]", "replace"),
    ({"a": {"\ud800k": 1}}, "surrogate", '$.a["\\ud800k"]', "replace"),
    (Text("\ud800"), "surrogate", "$", "replace"),
    (10**5000, "bigint", "$", "hex"),
    ({"a": [10**5000]}, "bigint", "$.a[0]", "hex"),
    ({10**5000: 1}, "bigint", "$", "hex"),
    ([[math.nan], b""], "nan", "$[0][0]", "None"),
    ([{"a": "\ud800"}, b""], "surrogate", "$[0].a", "replace"),
    ([[10**5000], b""], "bigint", "$[0][0]", "hex"),
    (nested(901), "depth", "$" + "[0]" * 12 + "…" + "[0]" * 4, "flatten"),
    (nested(100_000), "depth", "$" + "[0]" * 12 + "…" + "[0]" * 4, "flatten"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_a_refusal_says_what_where_and_what_to_do(number: int) -> None:
    value, code, path, remedy = REFUSED[number]
    error = refused(value)
    assert (error.code, error.path) == (code, path)
    what, _, todo = str(error).rpartition(": ")
    assert path in what
    assert remedy in todo
    assert str(error).endswith(".")
    assert "\n" not in str(error)
    assert len(str(error)) < 400


def test_paths_begin_at_the_root_that_was_given() -> None:
    assert refused({"image": b""}, "$.output").path == "$.output.image"
    assert encode({"image": (1,)}, "$.output").findings[0].place == "$.output.image"


class Fickle(dict):  # type: ignore[type-arg]
    """Answers differently each time."""

    calls = 0

    def items(self) -> Any:
        type(self).calls += 1
        return [("n", (1,) if self.calls % 2 else 1)]


def test_what_is_checked_is_what_is_written() -> None:
    for _ in range(4):
        encoded = encode([Fickle(a=1)])
        Fickle.calls += 1
        assert (encoded.text == '[{"n": [1]}]') == bool(encoded.findings), encoded


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", "$.a"),
        ("_a1", "$._a1"),
        ("1a", '$["1a"]'),
        ("", '$[""]'),
        ("a.b", '$["a.b"]'),
        ('"', '$["\\""]'),
        ("é", '$["\\u00e9"]'),
        ("\n\u202e", '$["\\n\\u202e"]'),
        (7, '$["7"]'),
        (None, "$.null"),
        ("k" * 100, f'$["{"k" * 28}...{"k" * 9}"]'),
    ],
)
def test_a_key_in_a_path_is_short_and_ascii(key: object, path: str) -> None:
    assert refused({key: b""}).path == path


def test_pillow_and_pandas_have_their_own_remedies() -> None:
    image = pytest.importorskip("PIL.Image")
    assert "save it to PNG and base64 it" in str(refused({"i": image.new("L", (1, 1))}))
    pandas = pytest.importorskip("pandas")
    assert 'to_dict("records")' in str(refused([pandas.DataFrame()]))


def cyclic() -> list[tuple[object, str]]:
    a: list[Any] = []
    a.append(a)
    b: dict[str, Any] = {"x": [1, 2]}
    b["x"].append({"back": b})
    c: list[Any] = [1]
    c += [c, c]
    d: Any = ([],)
    d[0].append(d)
    e = collections.OrderedDict[str, Any]()
    e["e"] = e
    return [(a, "$[0]"), (b, "$.x[2].back"), (c, "$[1]"), (d, "$[0][0]"), (e, "$.e")]


def test_a_cycle_is_named_where_it_closes() -> None:
    for value, path in cyclic():
        error = refused(value)
        assert (error.code, error.path) == ("cycle", path)


def test_shared_references_are_no_cycle() -> None:
    shared = [1, 2]
    value = {"a": shared, "b": [shared, shared]}
    assert encode(value).text == json.dumps(value)


def test_a_few_lists_that_stand_for_terabytes_are_refused_at_once() -> None:
    lists: list[Any] = [0]
    for _ in range(50):
        lists = [lists, lists]
    deep: list[Any] = [0]
    for _ in range(200):
        deep = [deep, deep]
    wide = [[1.5] * 100_000] * 100_000
    began = time.thread_time()
    for value in (lists, deep, wide):
        assert refused(value).code == "size"
    assert time.thread_time() - began < 3


FINDINGS: list[tuple[object, list[str]]] = [
    ({"a": [1, 1.5, "x", None, True, {}]}, []),
    ((1, 2), ["K101"]),
    ({"a": [(), ()]}, ["K101"]),
    ({1: 2}, ["K102"]),
    ({None: 2, True: 1}, ["K102"]),
    ({1: "a", "1": "b"}, ["K102", "K103"]),
    ({True: "a", "true": "b", "x": (1,)}, ["K101", "K102", "K103"]),
    (nested(64), []),
    (nested(65), ["K104"]),
    (2**53, []),
    (-(2**53), []),
    ([1, 2**53 + 1], ["K105"]),
    ({"a": -(2**53) - 1, "b": 1}, ["K105"]),
    ([Number(2**53 + 1)], ["K105"]),
    ({Text("a"): Text("b")}, []),
    (Colour.RED, []),
    (collections.OrderedDict(a=1), []),
]


@pytest.mark.parametrize("number", range(len(FINDINGS)))
def test_what_changes_on_the_way_is_a_finding(number: int) -> None:
    value, expected = FINDINGS[number]
    assert codes(value) == expected
    for finding in encode(value).findings:
        assert finding.sentence.endswith(".")
        assert finding.remedy.endswith(".")
        assert finding.place.startswith("$")


def test_a_finding_names_the_first_place_and_counts_the_rest() -> None:
    finding = encode({"ok": 1, "a": [(1,), {"b": ()}, Point(1, 2)]}).findings[0]
    assert finding.place == "$.a[0]"
    assert "(3 of them)" in finding.sentence
    assert "names" in encode([Point(1, 2)]).findings[0].sentence
    (deep,) = encode(nested(80)).findings
    assert "80 levels" in deep.sentence
    (big,) = encode([10**400]).findings
    assert len(big.sentence) < 120


@pytest.mark.parametrize(
    ("size_bytes", "what", "expected"),
    [
        (RUN_LIMIT_BYTES, "output", []),
        (RUN_LIMIT_BYTES + 1, "output", ["K107"]),
        (RUNSYNC_LIMIT_BYTES, "input", ["K107"]),
        (RUNSYNC_LIMIT_BYTES + 1, "input", ["K108"]),
        (CHUNK_LIMIT_BYTES, "chunk", []),
        (CHUNK_LIMIT_BYTES + 1, "chunk", ["K109"]),
    ],
)
def test_sizes_over_a_documented_limit(size_bytes: int, what: str, expected: list[str]) -> None:
    assert [finding.code for finding in size_findings(size_bytes, what)] == expected


def test_a_refusal_becomes_a_finding() -> None:
    nan = finding_of(refused({"a: b": math.nan}))
    assert (nan.code, nan.place) == ("K106", '$["a: b"]')
    assert nan.sentence == '$["a: b"] is NaN, which is not JSON.'
    assert nan.remedy.startswith("Send None or a number instead")
    assert finding_of(refused(b"")).code == "K110"


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ('{"a": [1, NaN]}', "nan", "$.a[1]"),
        ("-Infinity", "nan", "$"),
        ("{'a': 1}", "syntax", "$"),
        ("", "syntax", "$"),
        ("\ufeff{}", "syntax", "$"),
        ("[1,]", "syntax", "$"),
        ("1" * 5000, "bigint", "$"),
        ("[" * 100_000, "depth", "$"),
        ("[" * 100_000 + "]" * 100_000, "depth", "$"),
    ],
)
def test_decode_refuses_what_is_not_json(text: str, code: str, path: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(text)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_decode_says_line_and_column() -> None:
    with pytest.raises(PayloadError, match="line 2, column 8"):
        decode('{"a": 1,\n "b" : }')


def test_the_callers_depth_does_not_matter() -> None:
    def deep(frames: int) -> None:
        if frames:
            return deep(frames - 1)
        text = encode(nested(900)).text
        assert encode(decode(text)).text == text
        assert encode({"a": 1}).text == '{"a": 1}'
        return None

    text = encode(nested(900)).text
    assert text == "[" * 900 + "0" + "]" * 900
    used = len(__import__("inspect").stack())
    deep(sys.getrecursionlimit() - used - 60)


def test_handlers_may_replace_json() -> None:
    script = textwrap.dedent("""
        import kit.payload, json, threading
        def broken(*args, **kwargs): raise RuntimeError("replaced")
        for name in ("dumps", "loads", "JSONEncoder", "JSONDecoder", "JSONDecodeError"):
            setattr(json, name, broken)
        json.encoder.encode_basestring = json.encoder.c_make_encoder = broken
        threading.Thread = broken
        encoded = kit.payload.encode({"a": [1, (2, "x")], 3: 2**60})
        assert kit.payload.decode(encoded.text) == {"a": [1, [2, "x"]], "3": 2**60}
        deep = 0
        for _ in range(900): deep = [deep]
        assert kit.payload.decode(kit.payload.encode(deep).text) == deep
        try: kit.payload.decode("{")
        except kit.payload.PayloadError as error: print(error.code)
    """)
    done = run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "syntax\n", done.stderr


def test_a_value_that_changes_meanwhile_gives_json_or_a_refusal() -> None:
    value: dict[str, Any] = {"list": [1, 2], "dict": {"a": 1}}
    stop = threading.Event()

    def change() -> None:
        rng = random.Random(SEED)
        while not stop.is_set():
            value["dict"][str(rng.randrange(50))] = rng.choice(
                [1, 2**60, (1,), {"y": [1]}] * 30 + [b"x"]
            )
            value["dict"].pop(str(rng.randrange(50)), None)
            value["list"][:] = [rng.random()] * rng.randrange(50)

    thread = threading.Thread(target=change)
    thread.start()
    kinds = set()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                json.loads(encode(value).text, parse_constant=no_constant)
                kinds.add("encoded")
            except PayloadError as error:
                kinds.add(error.code)
    finally:
        stop.set()
        thread.join()
    assert kinds == {"encoded", "type"}


# -- mass ------------------------------------------------------------------------------------------

FAULTS: list[tuple[str, object]] = [
    ("type", b"x"),
    ("type", {1, 2}),
    ("type", object()),
    ("type", Record(1)),
    ("type", {(1,): 2}),
    ("nan", math.nan),
    ("nan", -math.inf),
    ("surrogate", "a\ud800"),
    ("bigint", 10**5000),
]
KEYS = ["a", "b", "c d", "__proto__", "é", "\u2028", "1", "true", "null", ""]
CHANGING_KEYS = [1, True, None, 1.0, math.inf, Text("a")]
LEAVES = [
    *(None, True, False, 0, -1, 2**53, 2**53 + 1, 2**63, 1.5, -0.0, 1e308, 5e-324),
    *("", "text", "é中😀", "\u2028\x00", "</script>", Text("x"), Number(3), Real(0.5)),
    *((), [], {}, Colour.RED, Mode.FAST),
]


def payload(rng: random.Random, budget: int) -> Any:
    """A payload that is accepted, of about ``budget`` values."""
    if budget <= 1:
        return rng.choice(LEAVES)
    parts = rng.randint(1, 6)
    items = [payload(rng, budget // parts) for _ in range(parts)]
    kind = rng.randrange(10)
    if kind < 4:
        return items
    if kind < 5:
        return tuple(items)
    if kind < 6:
        return Items(items)
    names = KEYS if kind < 9 else [*KEYS, *CHANGING_KEYS]
    pairs = {rng.choice(names): item for item in items}
    return collections.OrderedDict(pairs) if kind == 8 else pairs


def plant(rng: random.Random, value: Any, fault: object) -> tuple[Any, str]:
    """The value with a fault put somewhere in it (beside it where there is no room), and its path."""
    if type(value) not in (list, dict) or not value:
        return [value, fault], "$[1]"
    top, path = value, "$"
    while True:
        if type(value) is dict:
            key = rng.choice(list(value))
            name = json.loads(json.dumps({key: 0}, ensure_ascii=False)[1:].rpartition(": ")[0])
            path += (
                f".{name}" if name.isascii() and name.isidentifier() else f"[{json.dumps(name)}]"
            )
        else:
            key = rng.randrange(len(value))
            path += f"[{key}]"
        inner = value[key]
        if type(inner) in (list, dict) and inner and rng.random() < 0.8:
            value = inner
        else:
            value[key] = fault
            return top, path


def collides(value: Any) -> bool:
    if isinstance(value, dict):
        texts = [json.dumps({key: 0}) for key in value]
        return len(set(texts)) < len(texts) or any(map(collides, value.values()))
    return isinstance(value, (list, tuple)) and any(map(collides, iter(value)))


def test_100_000_seeded_payloads() -> None:
    rng = random.Random(SEED)
    accepted = rejected = 0
    slowest = 0.0
    for number in range(100_000):
        # shared leaves such as [] are shared by all payloads: never planted into
        value = payload(rng, rng.choice((1, 3, 6, 14)))
        fault = rng.random() < 0.3
        expected = ""
        if fault:
            expected, what = rng.choice(FAULTS)
            value, path = plant(rng, value, what)
        began = time.thread_time()
        verdict = encoded_or_error(value)
        slowest = max(slowest, time.thread_time() - began)
        at = f"seed {SEED}, payload {number}: {verdict}"
        if isinstance(verdict, PayloadError):
            rejected += 1
            assert fault, at
            assert (verdict.code, verdict.path) == (expected, path), at
        else:
            accepted += 1
            assert not fault, at
            assert verdict.text == json.dumps(value, ensure_ascii=False), at
            assert verdict.size_bytes == len(verdict.text.encode()), at
            found = {finding.code for finding in verdict.findings}
            # keys that are all strings cannot collide
            assert ("K103" in found) == ("K102" in found and collides(value)), at
            if not found:
                assert json.loads(verdict.text, parse_constant=no_constant) == value, at
    assert accepted > 60_000
    assert rejected > 20_000
    assert slowest < 1


def test_large_payloads_have_a_verdict_within_a_second() -> None:
    rng = random.Random(SEED)
    floats = [rng.random() for _ in range(250_000)]
    values: list[object] = [
        "x" * 25 * 2**20,
        "é" * 25 * 2**19,
        {"a": "x" * 25 * 2**20 + "\ud800"},
        {"a": floats, "b": b"x"},
        [*floats, math.nan],
        {"a": [2**60] * 150_000},
        [{"id": i, "v": 0.5} for i in range(80_000)] + [{1, 2}],
        [(0.5, 1.5)] * 60_000,
    ]
    for value in values:
        began = time.thread_time()
        encoded_or_error(value)
        took = time.thread_time() - began
        assert took < 1, f"{took:.2f} s"


# -- shrinking -------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(st.characters(codec=None))  # surrogates too
    | st.sampled_from([b"x", Text("t"), Colour.RED])
    # drawn this way because Hypothesis prints what it samples from
    | st.booleans().map(lambda over: 10 ** (5000 if over else 4000))
)
keys = st.text(max_size=3) | st.none() | st.booleans() | st.integers() | st.floats() | st.just(b"k")
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=2_000, deadline=None)
@given(values)
def test_accepted_is_what_json_dumps_makes_valid_json_of(value: Any) -> None:
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
        json.loads(text, parse_constant=no_constant)
    except (TypeError, ValueError, AssertionError):
        error = refused(value)
        assert error.code in CODES
        assert error.path.startswith("$")
    else:
        assert encode(value).text == text


# -- speed: ratios in one run ----------------------------------------------------------------------


def best(function: Any, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        function()
        times.append(time.thread_time() - began)
    return min(times)


def test_ten_megabytes_of_floats_cost_little_more_than_json_dumps() -> None:
    rng = random.Random(SEED)
    floats = [rng.random() for _ in range(500_000)]
    plain = best(lambda: json.dumps(floats, ensure_ascii=False), 5)
    assert best(lambda: encode(floats), 5) < 1.3 * plain


def test_a_trivial_dict_costs_a_few_microseconds() -> None:
    def thousand() -> None:
        for _ in range(1000):
            encode({"a": 1})

    assert best(thousand, 20) / 1000 < 6e-6
