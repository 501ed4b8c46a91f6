"""However large the payload: bounded, true to what is shown, and exact about what is not."""

from __future__ import annotations

import base64
import json
import math
import random
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import PayloadError
from kit.payload import encode
from kit.preview import CHARACTERS, DEPTH, ITEMS, LIMIT_BYTES, media_at, preview

FILM = base64.b64encode((Path(__file__).parent / "media" / "film.webm").read_bytes()).decode()
SEED = 20261122


def tree(value: object, **options: Any) -> Any:
    return json.loads(preview(json.dumps(value), **options))


def back(node: Any) -> Any:
    """The value of a tree in which nothing was left out."""
    if not isinstance(node, dict):
        return node
    if node["t"] == "array":
        assert node["n"] == len(node["v"])
        return [back(item) for item in node["v"]]
    if node["t"] == "object":
        assert node["n"] == len(node["k"]) == len(node["v"])
        return {back(key): back(item) for key, item in zip(node["k"], node["v"], strict=True)}
    if node["t"] == "string":
        assert node["tail"] == ""
        return node["head"]
    assert node["t"] == "number"
    return float(node["text"]) if node["text"].strip("-") in ("NaN", "Infinity") else int(node["text"])  # fmt: skip


def check(node: Any, value: Any, depth: int = 0) -> None:
    """A tree, cut or not, is true to the value."""
    if isinstance(value, (list, dict)):
        items = list(value.values()) if isinstance(value, dict) else value
        assert node["t"] == ("object" if isinstance(value, dict) else "array")
        assert node["n"] == len(items)
        assert len(node["v"]) <= min(len(items), ITEMS)
        if isinstance(value, dict):
            assert len(node["k"]) == len(node["v"])
            for key, name in zip(node["k"], value, strict=False):
                check(key, name)
        for child, item in zip(node["v"], items, strict=False):
            check(child, item, depth + 1)
    elif isinstance(node, dict) and node["t"] == "string":
        assert node["n"] == len(value)
        assert value.startswith(node["head"])
        assert value.endswith(node["tail"])
        assert len(node["head"]) + len(node["tail"]) < len(value)
    elif isinstance(node, dict) and node["t"] == "media":
        assert node["n"] == len(value)
    else:
        assert back(node) == value


def test_a_small_payload_is_whole() -> None:
    value = {
        "none": None,
        "bools": [True, False],
        "numbers": [0, -1.5, 1e300, 2**53, -(2**53)],
        "text": 'é中😀 </script> "\\ \u2028\x00',
        "empty": [[], {}, ""],
        "__proto__": {"constructor": 1},
        "t": "array",
        "n": 3,
        "nested": {"t": "media", "mime": "image/png"},
    }
    assert back(tree(value)) == value
    assert back(tree("x")) == "x"
    assert back(tree(7)) == 7
    assert tree([]) == {"t": "array", "n": 0, "v": []}
    assert tree({}) == {"t": "object", "n": 0, "k": [], "v": []}


def test_every_node_is_as_documented() -> None:
    value = [{"a": 1}, "x" * 20_000, 2**53 + 1, math.nan, -math.inf, FILM]
    array = tree(value)
    assert array["t"] == "array"
    assert array["v"][0] == {"t": "object", "n": 1, "k": ["a"], "v": [1]}
    cut = array["v"][1]
    assert (cut["t"], cut["n"]) == ("string", 20_000)
    assert len(cut["head"]) + len(cut["tail"]) == CHARACTERS
    assert array["v"][2:5] == [
        {"t": "number", "text": "9007199254740993"},
        {"t": "number", "text": "NaN"},
        {"t": "number", "text": "-Infinity"},
    ]
    assert array["v"][5] == {
        "t": "media",
        "at": [5],
        "mime": "video/webm",
        "bytes": 1746,
        "width": 64,
        "height": 48,
        "duration_s": 1.0,
        "n": len(FILM),
        "hidden": None,
    }


def test_a_key_that_occurs_twice_is_shown_twice() -> None:
    assert json.loads(preview('{"1": "a", "1": "b"}')) == {
        "t": "object",
        "n": 2,
        "k": ["1", "1"],
        "v": ["a", "b"],
    }


def test_what_is_not_json_is_shown_as_text() -> None:
    node = json.loads(preview("{oops"))
    assert node.pop("why").startswith("This is not JSON: Expecting property name")
    assert node == {"t": "text", "n": 5, "head": "{oops", "tail": ""}
    long = json.loads(preview("{" + "x" * 100_000 + "END"))
    assert (long["t"], long["n"], long["tail"][-3:]) == ("text", 100_004, "END")
    assert json.loads(preview("9" * 5000))["t"] == "text"
    assert json.loads(preview("[" * 100_000))["t"] == "text"


def test_half_characters_are_shown_as_escapes() -> None:
    text = preview('["\\ud800 x", {"\\udfff": 1}]')
    text.encode()
    assert json.loads(text)["v"][0] == "\\ud800 x"
    assert json.loads(text)["v"][1]["k"] == ["\\udfff"]
    json.loads(preview('"\ud800' + "é" * 50_000 + '"'))


@cache
def large() -> dict[str, Any]:
    rng = random.Random(SEED)
    deep: Any = 0
    for level in range(880):
        deep = [deep, level] if level % 2 else {"inner": deep, "level": level}
    bushy: Any = "leaf"
    for _ in range(5):
        bushy = {f"k{i}": bushy for i in range(12)}
    return {
        "floats": [rng.random() for _ in range(300_000)],
        "dicts": [{"id": i, "name": f"name{i}", "v": [i] * 3} for i in range(40_000)],
        "one string": "x" * 25_000_000,
        "control characters": "\x01" * 1_000_000,
        "many strings": ["é" * 9_000 for _ in range(400)],
        "many keys": {f"key{i}": i for i in range(50_000)},
        "long keys": {f"{i}" + "k" * 10_000: "v" * 9000 for i in range(100)},
        "escaped keys": {f"{i}" + "\x01" * 500: "\x02" * 500 for i in range(600)},
        "deep": deep,
        "bushy": bushy,
        "wide and deep": [[[[list(range(30))] * 30] * 30] * 5],
        "big integers": [10**4000] * 500,
        "media": [FILM] * 300,
    }


@pytest.mark.parametrize("name", large())
def test_a_large_payload_is_cut_and_counted(name: str) -> None:
    value = large()[name]
    text = encode(value).text
    began = time.thread_time()
    shown = preview(text)
    assert time.thread_time() - began < 1
    assert 1000 < len(shown.encode()) <= LIMIT_BYTES
    check(json.loads(shown), value) if name != "big integers" else None
    for limit in (1_000, 5_000, 20_000):
        small = preview(text, limit_bytes=limit)
        assert len(small.encode()) <= limit
        check(json.loads(small), value) if name != "big integers" else None


def test_a_long_array_does_not_hide_what_stands_beside_it() -> None:
    rng = random.Random(SEED)
    value = {
        "embedding": [rng.random() for _ in range(200_000)],
        "text": "y" * 1_000_000,
        "meta": {"model": {"name": "tiny", "layers": [{"a": 1}, {"b": {"c": [1, 2, 3]}}]}},
        "seed": 7,
    }
    shown = tree(value, limit_bytes=20_000)
    assert shown["k"] == ["embedding", "text", "meta", "seed"]
    assert len(shown["v"][0]["v"]) > 50
    assert back(shown["v"][2]) == value["meta"]
    assert shown["v"][3] == 7


def test_what_is_left_out_can_be_asked_for() -> None:
    value = {"a": [{"x": list(range(2000))}], "s": "0123456789" * 5000, "v": [FILM]}
    text = json.dumps(value)
    whole = json.loads(preview(text))
    part = whole["v"][0]["v"][0]["v"][0]
    assert (part["n"], part["v"][-1]) == (2000, ITEMS - 1)
    more = json.loads(preview(text, at=[0, 0, 0], start=len(part["v"])))
    assert (more["n"], more["start"], more["v"][0], more["v"][-1]) == (2000, 500, 500, 999)
    last = json.loads(preview(text, at=[0, 0, 0], start=1999))
    assert last["v"] == [1999]
    assert json.loads(preview(text, at=[0, 0, 0], start=9999))["v"] == []
    chars = json.loads(preview(text, at=[1], start=7500))
    assert (chars["n"], chars["start"]) == (50_000, 7500)
    assert value["s"][7500:].startswith(chars["head"])  # type: ignore[attr-defined]
    rest = json.loads(preview(text, at=[1], start=49_990))
    assert (rest["head"], rest["tail"]) == ("0123456789", "")
    assert json.loads(preview(text, at=[0, 0, 0, 3])) == 3
    assert json.loads(preview(text, at=[2]))["v"][0]["at"] == [2, 0]
    for nowhere in ([3], [0, 5], [1, 0], [-1], [0, 0, 0, 0, 0]):
        with pytest.raises(PayloadError):
            preview(text, at=nowhere)


def test_the_bytes_of_media_come_by_its_place() -> None:
    text = json.dumps({"a": 1, "b": ["x", {"v": FILM}]})
    node = json.loads(preview(text))["v"][1]["v"][1]["v"][0]
    found = media_at(text, node["at"])
    assert found is not None
    media, data = found
    assert base64.b64encode(data).decode() == FILM
    assert (media.mime, len(data)) == (node["mime"], node["bytes"])
    assert media_at(text, [0]) is None
    assert media_at(json.dumps(FILM), []) == found
    with pytest.raises(PayloadError):
        media_at(text, [7])
    # the second of two equal keys is not the first
    assert media_at(f'{{"a": 1, "a": "{FILM}"}}', [1]) == found


def test_deep_containers_come_shut() -> None:
    value: Any = 0
    for _ in range(DEPTH + 20):
        value = [value]
    node = tree(value)
    depth = 0
    while node["v"]:
        node, depth = node["v"][0], depth + 1
    assert depth == DEPTH
    assert node == {"t": "array", "n": 1, "v": []}
    assert back(tree(value, at=[0] * DEPTH)) is not None


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
)
payloads = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=20), inner, max_size=10)
    ),
    max_leaves=60,
)


@settings(max_examples=200, deadline=None)
@given(payloads, st.integers(1_000, 4_000))
def test_any_payload_in_any_limit(value: Any, limit: int) -> None:
    shown = preview(encode(value).text, limit_bytes=limit)
    assert len(shown.encode()) <= limit
    check(json.loads(shown), value)
    assert back(tree(value)) == value


@settings(max_examples=500, deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    json.loads(preview(text))
