"""What a person may ask of a payload: the answers are true, bounded, and the same from afar."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.difference import MOST, difference
from kit.errors import PayloadError
from kit.events import Ended, Event, EventKind, JobKey, Queued, Started
from kit.inspector import KEPT, Answer, Ask, Inspector
from kit.preview import entries_of, is_object, value_at, value_of
from kit.search import COUNTED, search
from kit.secret import Secret
from kit.sparkline import POINTS, line_of
from kit.store import Store
from kit.views.aside import NEAR_CHARS, Aside
from kit.views.rivals import compare_message, rivals

FILM = (Path(__file__).parent / "media" / "film.webm").read_bytes()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.text("ab\u00e9\ud800", max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)


def near(ask: Ask, text: str) -> Answer:
    inspector = Inspector()
    inspector.put(ask.name, text)
    return inspector.answer(ask)


# -- search -----------------------------------------------------------------------------------------


def places(value: Any, needle: str, at: tuple[int, ...] = ()) -> list[tuple[tuple[int, ...], bool]]:
    """Where a text stands, told by the shortest program that can."""
    found = []
    if isinstance(value, (dict, list)):
        for position, (key, item) in enumerate(entries_of(value)):
            if is_object(value) and needle in str(key).lower():
                found.append(((*at, position), True))
            found += places(item, needle, (*at, position))
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        if needle in text.lower():
            found.append((at, False))
    return found


@given(VALUES, st.sampled_from(["a", "b", "1", "null", "é", "ab"]))
def test_search_finds_what_is_there_in_the_order_of_the_text(value: Any, needle: str) -> None:
    found = search(value, needle)
    assert sorted((hit.at, hit.in_key) for hit in found.hits) == sorted(places(value, needle))
    assert found.n == len(found.hits)
    for hit in found.hits:
        assert hit.in_key or value_at(value, hit.at) is not None or needle in "null"


def test_search_is_bounded_and_tells_what_stands_around() -> None:
    found = search([f"x{k}" for k in range(150_000)], "X")
    assert (len(found.hits), found.n, found.more) == (500, COUNTED, True)
    hit = search({"text": "lorem " * 1_000 + "NEEDLE in hay"}, "needle").hits[0]
    assert hit.around == (("lorem " * 7)[-40:], "NEEDLE", " in hay")
    picture = base64.b64encode(FILM).decode()
    assert search({"film": picture}, picture[500:504]).n == 0
    deep: Any = "needle"
    for _ in range(3_000):
        deep = [deep]
    found = search(deep, "needle")
    assert (found.n, found.hits) == (1, ())


# -- difference -------------------------------------------------------------------------------------


def plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@given(VALUES, VALUES)
@settings(max_examples=200)
def test_a_difference_is_there_exactly_if_there_is_one(old: Any, new: Any) -> None:
    told = difference(old, new)
    assert len(told.changes) == told.added + told.removed + told.changed
    alike = plain(old) == plain(new)
    if alike:
        assert not told.changes
    # 1 and 1.0 are one number and two texts
    elif "." not in plain(old) + plain(new) and "e" not in plain(old) + plain(new):
        assert told.changes


def test_what_changed_is_told_with_paths_and_deltas() -> None:
    old = {"a": 1.5, "s": "the old word", "list": [1, 2, 3], "gone": None, "flag": 1, "same": [{}]}
    new = {
        "same": [{}],
        "a": 2,
        "s": "the new word",
        "list": [0, 1, 2, 3],
        "flag": True,
        "x y": {"k": 1},
    }
    told = difference(value_of(json.dumps(old)), value_of(json.dumps(new)))
    by_path = {change.path: change for change in told.changes}
    assert by_path["$.a"].delta == 0.5
    assert (by_path["$.s"].old, by_path["$.s"].new) == (
        ["the ", "old", " word"],
        ["the ", "new", " word"],
    )
    assert (by_path["$.list[0]"].kind, by_path["$.list[0]"].new) == ("added", 0)
    assert by_path["$.gone"].kind == "removed"
    assert by_path["$.flag"].kind == "changed"
    assert by_path['$["x y"]'].new == {"t": "object", "n": 1, "k": ["k"], "v": [1]}
    assert (told.added, told.removed, told.changed) == (2, 1, 3)


def test_pictures_are_compared_by_what_they_are() -> None:
    one, two = (base64.b64encode(FILM + end).decode() for end in (b"", b"\0\0\0"))
    change = difference({"film": one}, {"film": two}).changes[0]
    assert (change.old["mime"], change.new["at"]) == ("video/webm", [0])
    assert change.new["bytes"] - change.old["bytes"] == 3


def test_large_differences_are_counted_and_cut() -> None:
    told = difference(list(range(50_000)), list(range(1, 50_001)))
    assert (told.changed, len(told.changes), told.cut) == (50_000, MOST, False)
    deep_a: Any = 1
    deep_b: Any = 2
    for _ in range(5_000):
        deep_a, deep_b = [deep_a], {"k": [deep_b]} if _ % 1000 == 0 else [deep_b]
    assert difference(deep_a, deep_b).changed == 1
    long = "x" * 1_000_000
    side = difference(long + "a" + long, long + "b" + long).changes[0].old
    assert [len(part) for part in side] == [49, 1, 49]


# -- numbers ----------------------------------------------------------------------------------------


def test_numbers_become_a_line() -> None:
    line = line_of([0, 1.5, -2, float("nan")])
    assert line == {
        "low": -2.0,
        "high": 1.5,
        "mean": -0.1667,
        "odd": 1,
        "points": [0, 1.5, -2, None],
    }
    long = line_of([k % 1000 for k in range(1_000_000)])
    assert long is not None
    assert len(long["points"]) == POINTS
    assert (long["low"], long["high"], long["mean"]) == (0, 999, 499.5)
    assert all(low <= high for low, high in long["points"])
    for no in ([1, "2"], [True, False], [], [float("inf")], [10**400, 1]):
        assert line_of(no) is None


def test_a_tree_brings_lines_while_there_is_room() -> None:
    tree = near(
        Ask("tree", "a", limit=50_000), json.dumps([[k / 7 for k in range(500)]] * 400)
    ).content["tree"]
    lines = [node for node in tree["v"] if "line" in node]
    assert 0 < len(lines) < 400
    assert len(json.dumps(tree)) < 60_000


# -- the inspector ----------------------------------------------------------------------------------


def whole(ask: Ask, text: str) -> str:
    """A part of a payload put together from its slices."""
    inspector, got, at = Inspector(), b"", 0
    inspector.put(ask.name, text)
    while True:
        answer = inspector.answer(Ask(**{**ask.__dict__, "start": at, "limit": 7}))
        got += answer.data or b""
        at = answer.content["end"]
        if at >= answer.content["n"]:
            return got.decode()


@pytest.mark.parametrize("space", ["", " ", "\n\t "])
def test_slices_are_the_text_as_it_was_posted(space: str) -> None:
    output = f'{{"a":{space}1e5, "b": [1.0, "\u00e9\U0001f600"]}}'
    text = f'{{{space}"error":null,{space}"output"{space}:{space}{output}{space}}}'
    assert whole(Ask("slice", "a", "output"), text) == output
    assert whole(Ask("slice", "a"), text) == text
    assert whole(Ask("slice", "a", "output", at=(1, 1)), text) == "\u00e9\U0001f600"
    assert whole(Ask("slice", "a", "output", at=(1,)), text) == '[1.0, "\u00e9\U0001f600"]'


def test_media_come_in_slices_and_large_ones_only_for_a_download() -> None:
    text = json.dumps({"output": {"film": base64.b64encode(FILM).decode()}})
    parts = [
        near(Ask("media", "a", "output", (0, 0), at, 1000), text).data
        for at in range(0, len(FILM), 1000)
    ]
    assert b"".join(part or b"" for part in parts) == FILM
    huge = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
        + (30_000).to_bytes(4, "big") * 2
        + b"\x08\x02\0\0\0"
        + b"x" * 40
    )
    text = json.dumps({"output": base64.b64encode(huge).decode()})
    assert near(Ask("media", "a", at=(0,)), text).content == {"s": "image 30000 x 30000, not shown"}
    assert near(Ask("media", "a", at=(0,), any_size=True), text).data == huge
    assert near(Ask("media", "a", at=()), '"no media"').content == {"s": "not shown"}


def test_keys_are_masked_in_every_answer() -> None:
    key = Secret("wonderful-1234-secret")
    text = json.dumps({"output": {"k": f"my {key.reveal()}", key.reveal(): 1}})
    inspector = Inspector()
    inspector.put("a", text)
    inspector.put("b", text.replace("my", "your"))
    for ask in (
        Ask("tree", "a", "output"),
        Ask("slice", "a", "output"),
        Ask("search", "a", "output", needle="wonderful"),
        Ask("compare", "a", "output", other="b", other_part="output"),
    ):
        answer = inspector.answer(ask)
        told = json.dumps(answer.content) + (answer.data or b"").decode()
        assert "wonderful-1234-secret" not in told, ask.kind
    assert b"[redacted]" in (inspector.answer(Ask("slice", "a", "output")).data or b"")


def test_the_shelf_forgets_the_oldest_and_keeps_what_is_asked_about() -> None:
    inspector = Inspector()
    for k in range(KEPT):
        inspector.put(str(k), "[]")
    inspector.touch(Ask("tree", "0"))
    inspector.put("new", "[]")
    assert [inspector.has(name) for name in ("0", "1", "new")] == [True, False, True]


@pytest.mark.parametrize("part", ["output", ""])
def test_what_is_no_json_or_not_there_is_said(part: str) -> None:
    if part:
        with pytest.raises(PayloadError, match="There is no output"):
            near(Ask("tree", "a", part), '{"error": "x"}')
    deep = "[" * 100_000 + "]" * 100_000
    tree = near(Ask("tree", "a", part), deep).content["tree"]
    assert (tree["t"], tree["n"]) == ("text", 200_000)
    assert "nested deeper than" in tree["why"]


# -- aside ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far() -> Iterator[Aside]:
    aside = Aside()
    yield aside
    aside.close()


LARGE = json.dumps(
    {
        "output": {
            "items": [{"id": k, "name": f"n{k}", "score": k / 7} for k in range(30_000)],
            "text": "\u00e9\U0001f600 </script>" * 9_000,
            "film": base64.b64encode(FILM).decode(),
        }
    },
    ensure_ascii=False,
)


def test_the_process_answers_as_the_kernel_would(far: Aside) -> None:
    assert len(LARGE) > NEAR_CHARS
    older = LARGE.replace('"n77"', '"m77"')
    inspector = Inspector()
    inspector.put("a", LARGE)
    inspector.put("b", older)
    for ask in (
        Ask("tree", "a", "output", limit=80_000),
        Ask("tree", "a", "output", (0,), 20_000),
        Ask("media", "a", "output", (0, 2), 10, 500),
        Ask("slice", "a", "output", start=900_000, limit=200_000),
        Ask("search", "a", "output", needle="n777"),
        Ask("compare", "a", "output", other="b", other_part="output"),
    ):
        texts = {"a": LARGE} if not ask.other else {"a": LARGE, "b": older}
        there, here = far.ask(ask, texts), inspector.answer(ask)
        assert there.data == here.data, ask.kind
        assert there.content == json.loads(json.dumps(here.content)), ask.kind
    assert far.ask(Ask("tree", "a", "input"), {"a": LARGE}).content == {
        "s": "There is no input in this payload."
    }


def test_a_process_that_was_ended_is_replaced(far: Aside) -> None:
    ask = Ask("search", "a", "output", needle="n29999")
    far.ask(ask, {"a": LARGE})
    process = far._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert far.ask(ask, {"a": LARGE}).content["n"] == 1
    assert far._process is not process


def test_more_payloads_than_the_process_keeps(far: Aside) -> None:
    texts = [LARGE.replace('"n0"', f'"payload {k}"') for k in range(KEPT + 2)]
    for _ in range(2):
        for k, text in enumerate(texts):
            answer = far.ask(Ask("search", f"p{k}", needle=f"payload {k}"), {f"p{k}": text})
            assert answer.content["n"] == 1


def test_thread_and_process_end_when_nobody_asks() -> None:
    aside = Aside(idle_s=0.3)
    answers: list[Answer] = []
    aside.call(lambda: answers.append(aside.ask(Ask("search", "a", needle="n7"), {"a": LARGE})))
    until = time.monotonic() + 60
    while not answers and time.monotonic() < until:
        time.sleep(0.01)
    process = aside._process
    while aside._thread is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert aside._thread is None
    assert process is not None
    assert process.returncode == 0
    aside.call(lambda: answers.append(aside.ask(Ask("search", "a", needle="n7"), {"a": LARGE})))
    while len(answers) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert answers[0] == answers[1]
    aside.close()


# -- rivals -----------------------------------------------------------------------------------------


def keep(store: Store, key: str, version: int, value: object, handler: str = "h") -> None:
    """One completed job in a store."""
    job, now = JobKey(key), time.time()
    store.append(
        [
            Event(
                job,
                1,
                EventKind.QUEUED,
                now,
                Queued(key, handler, version, "local"),
                f'{{"input": {value}}}',
            ),
            Event(job, 1, EventKind.STARTED, now, Started(1, 0.0)),
            Event(job, 1, EventKind.COMPLETED, now, Ended(1.0, None, None, ()), '{"output": 1}'),
        ]
    )


def test_the_nearest_job_is_of_an_earlier_version_with_the_same_input(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "journal.db")
    try:
        for key, version, value in (
            ("old", 1, 1),
            ("nearest", 1, 2),
            ("newer", 1, 3),
            ("own", 2, 2),
        ):
            keep(store, key, version, value)
        keep(store, "stranger", 1, 2, handler="g")
        keep(store, "me", 2, 2)
        view = store.view(JobKey("me"))
        assert view is not None
        found = [(row.key, same) for row, same in rivals(store, view)]
        assert found[0] == ("nearest", True)
        assert {key for key, _ in found} == {"old", "nearest", "newer", "own"}
        assert ("own", True) in found
        message = compare_message(store, 3, 0, view, {"t": "compare", "name": "x", "with": None})
        assert message.content["with"] == "nearest"
        assert message.content["same_input"]
        chosen = compare_message(store, 3, 0, view, {"t": "compare", "with": "stranger"}).content
        assert (chosen["with"], chosen["old"]["version"]) == ("stranger", 1)
        nobody = compare_message(store, 3, 0, view, {"t": "compare", "with": "../etc"}).content
        assert nobody["with"] == "nearest"
    finally:
        store.close()
