"""The input editor: what it begins with, what stays in the kernel, what a Run brings back."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import KitError
from kit.events import JobState
from kit.payload import decode
from kit.request import make
from kit.session import Session
from kit.views.feed import Message
from kit.views.folding import EDITED, LONG, fold, names_left, unfold
from kit.views.live import Live
from tests.frontend import FrontEnd
from tests.making import ended, handler_of, submit, until
from tests.test_js_static import ROOT, node, views_module  # noqa: F401 - node is a fixture

KEY = "rpa_" + "A1b2C3d4" * 4


@pytest.fixture
def session(kit_home: Path) -> Iterator[Session]:
    one = Session(kit_home)
    yield one
    one.close()


class Page:
    """A page's side of a view."""

    def __init__(self, session: Session, handler: str | None) -> None:
        self.said: list[dict[str, Any]] = []
        self.live = Live(session.store, session, handler, self.head, lambda: None)
        self.live.connect(self.hear)
        self.live.hear({"t": "hello"})
        self.wait("snapshot")
        self.clicks = 0

    def head(self) -> dict[str, Any]:
        return {"head": {"example": '{"a": 0}'}, "note": None}

    def hear(self, message: Message) -> None:
        self.said.append(json.loads(json.dumps(message.content)))

    def wait(self, kind: str, count: int = 1) -> dict[str, Any]:
        def find() -> list[dict[str, Any]]:
            return [c for c in self.said if c["t"] == kind]

        until(lambda: len(find()) >= count, kind)
        return find()[count - 1]

    def click(self, kind: str, **content: Any) -> dict[str, Any]:
        self.clicks += 1
        name = f"c-{self.clicks}"
        self.live.hear({"t": kind, "c": name, "g": self.live.feed.generation, **content})
        return next(c for c in self.said if c["t"] == "ack" and c["c"] == name)

    def editor(self, **content: Any) -> dict[str, Any]:
        count = sum(c["t"] == "editor" for c in self.said) + 1
        generation = self.live.feed.generation
        self.live.hear({"t": "editor", "p": "page", "g": generation, **content})
        return self.wait("editor", count)


def echo(job: dict[str, Any]) -> Any:
    if job["input"].get("fail"):
        raise ValueError("asked to")
    return {"n": len(json.dumps(job["input"])), "seed": job["input"].get("seed", 7)}


# -- what it begins with ---------------------------------------------------------------------------


def test_it_begins_with_what_the_handler_reads_then_with_the_last_input(session: Session) -> None:
    handler = handler_of(echo, "echo")
    session.add(handler)
    page = Page(session, "echo")
    first = page.editor()
    assert (first["source"], first["p"]) == ("reads", "page")
    assert json.loads(first["text"]) == {"fail": "", "seed": 7}
    assert [f["name"] for f in first["fields"]] == ["fail", "seed"]
    ended(submit(session, handler, {"seed": 3, "text": "hello"}))
    again = page.editor()
    assert again["source"] == "last"
    assert again["text"] == '{\n  "seed": 3,\n  "text": "hello"\n}'
    ended(submit(session, handler, {"seed": 4}))
    until(lambda: len(page.live.feed.table) == 2, "both jobs")
    assert json.loads(page.editor(i=0)["text"]) == {"seed": 3, "text": "hello"}
    assert page.editor(i=99)["s"]


def test_a_request_that_is_more_than_an_input_is_shown_whole(session: Session) -> None:
    handler = handler_of(echo, "echo")
    session.add(handler)
    page = Page(session, "echo")
    request = {"input": {"seed": 1}, "policy": {"ttl": 60_000}, "s3Config": {"accessId": "x"}}
    ended(session.intake.submit(make(request=request), handler))
    told = page.editor()
    assert json.loads(told["text"]) == {"input": {"seed": 1}, "policy": {"ttl": 60_000}}
    assert told["withheld"] is True
    # an input that reads like a request stays one
    ended(session.intake.submit(make(input={"input": {"seed": 2}}), handler))
    assert json.loads(page.editor()["text"]) == {"input": {"input": {"seed": 2}}}


def test_what_it_holds_runs_again_to_the_letter(session: Session) -> None:
    handler = handler_of(echo, "echo")
    session.add(handler)
    value = {
        "auth": [KEY],
        "image": "iVBOR" * 100_000,
        "seed": 2,
        "é": '\u2028 \\ " ü',
    }
    job = ended(submit(session, handler, value))
    page = Page(session, "echo")
    told = page.editor()
    assert len(told["text"]) < 1000
    assert KEY not in repr(page.said)
    assert max(told["kept"].values()) == 500_000
    edited = told["text"].replace('"seed": 2', '"seed": 9')
    assert page.click("run", text=edited, e=told["e"])["ok"] is True
    until(lambda: len(session.store.rows()) == 2, "the job")
    newest = ended(session_job(session))
    assert newest.input == {**value, "seed": 9}
    assert newest.output["n"] == job.output["n"]
    # from an editor that the kernel no longer knows
    refused = page.click("run", text=edited, e=12345)
    assert refused["ok"] is False
    assert "open the editor again" in refused["s"]


def session_job(session: Session) -> Any:
    from kit.job import Job

    row = session.store.rows(limit=1)[0]
    return Job(row.key, row.id, session)


def test_an_input_too_long_to_edit_runs_as_it_is(session: Session) -> None:
    handler = handler_of(echo, "echo")
    session.add(handler)
    value = {"numbers": list(range(80_000))}
    ended(submit(session, handler, value))
    page = Page(session, "echo")
    told = page.editor()
    assert told["text"] == ""
    assert told["whole"] > EDITED
    assert page.click("run", whole=True, e=told["e"])["ok"] is True
    assert ended(session_job(session)).input == value
    assert page.click("run", whole=True, e=0)["ok"] is False


# -- run and retry ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"seed": NaN}', "NaN"),
        ("{'seed': 1}", "line 1, column 2"),
        ('{"a": "\\ud800"}', "half"),
        ("", "not JSON"),
    ],
)
def test_the_kernel_has_the_last_word(session: Session, text: str, says: str) -> None:
    session.add(handler_of(echo, "echo"))
    page = Page(session, "echo")
    answer = page.click("run", text=text)
    assert answer["ok"] is False
    assert says in answer["s"]
    assert not session.store.rows()


def test_pieces_make_an_input_and_half_of_them_none(session: Session) -> None:
    session.add(handler_of(echo, "echo"))
    page = Page(session, "echo")
    text = json.dumps({"text": "é" * 1_000_000}, ensure_ascii=False).encode()
    for start in range(0, len(text), 300_001):
        page.live.hear({"t": "piece", "c": "c-1"}, [memoryview(text[start : start + 300_001])])
    assert page.click("run", n=len(range(0, len(text), 300_001)))["ok"] is True
    assert ended(session_job(session)).input == {"text": "é" * 1_000_000}
    page.live.hear({"t": "piece", "c": "c-2"}, [b"{}"])
    refused = page.click("run", n=2)
    assert "did not come whole" in refused["s"]
    # what nobody asks for is not kept for ever
    for number in range(20):
        page.live.hear({"t": "piece", "c": f"x{number}"}, [b"x" * 1000])
    assert len(page.live.desk._pieces) <= 4


def test_retry_takes_what_failed_and_says_why_it_takes_no_other(session: Session) -> None:
    handler = handler_of(echo, "echo")
    session.add(handler)
    page = Page(session, "echo")
    failed = ended(submit(session, handler, {"fail": True}))
    good = ended(submit(session, handler, {"seed": 1}))
    until(lambda: len(page.live.feed.table) == 2, "both jobs")
    assert page.click("retry", i=0)["ok"] is True
    until(lambda: session.view(failed.key).attempt == 2, "the second attempt")
    refused = page.click("retry", i=1)
    assert refused["ok"] is False
    assert "COMPLETED" in refused["s"]
    assert good.state is JobState.COMPLETED
    assert page.click("retry", i=77)["ok"] is False


@pytest.mark.parametrize(
    "message",
    [
        {"t": "editor"},
        {"t": "editor", "i": "x", "p": 3},
        {"t": "piece"},
        {"t": "piece", "c": 5},
        {"t": "run", "c": "x", "n": None},
        {"t": "run", "c": "y", "e": [], "text": 5},
        {"t": "retry", "c": "z"},
        {"t": "draft", "c": "d", "path": 5},
        {"t": "export", "c": "e", "path": ""},
    ],
)
def test_nothing_a_page_says_breaks_the_desk(session: Session, message: dict[str, Any]) -> None:
    session.add(handler_of(echo, "echo"))
    page = Page(session, "echo")
    page.live.hear(message)
    assert page.click("run", text='{"seed": 1}')["ok"] is True


def test_a_view_of_all_handlers_has_no_editor(session: Session) -> None:
    session.add(handler_of(echo, "echo"))
    page = Page(session, None)
    assert "card of a handler" in page.editor()["s"]
    assert page.click("draft", path="worker")["ok"] is False


# -- while a cell runs -----------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_every_button_answers_while_a_cell_runs(kit_home: Path) -> None:
    """Not without the override in ``free_replies``: then they are answered at the end of the cell."""
    kit_home.mkdir(parents=True, exist_ok=True)
    front = FrontEnd(kit_home)
    try:
        front.run("%load_ext kit")
        source = '%%handler echo --no-run\ndef echo(job):\n    return 1 / job["input"]["n"]'
        card = front.card_of(front.run(source))
        front.run("kit.run({'n': 0}).state; 0")
        front.until(lambda: card.states() == ["FAILED"], "the failed job")
        cell = front.start("import time; time.sleep(6)")
        front.rest(0.5)
        assert card.click("run", text='{"n": 4}')["ok"] is True
        assert card.click("retry", i=0)["ok"] is True
        assert card.click("draft", path="worker", p="me")["ok"] is True
        card.send(t="editor", p="me", g=card.generation)
        told = card.wait("editor")[0]
        draft = card.wait("draft")[0]
        assert not cell.done
        assert json.loads(told["text"]) == {"n": 4}
        assert any("A cell is running" in note for note in draft["notes"])
        # what cannot act says so, at once too
        assert "COMPLETED" in card.click("retry", i=1)["s"]
        assert not cell.done
        front.until(lambda: cell.done, "the cell")
        front.until(lambda: sorted(card.states()) == ["COMPLETED", "FAILED"], "the jobs")
    finally:
        front.close()


# -- folding ---------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20)
        | st.text(max_size=6).map(lambda t: (t or "x") * (LONG + 7)),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=8,
    )
)  # fmt: skip
def test_folding_loses_nothing(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    folded = fold(text, itertools.count())
    assert folded.whole is None
    assert decode(unfold(folded.text, folded.kept)) == value
    assert not names_left(folded.text, folded.kept)


# -- the page's own parser is as strict as ours ----------------------------------------------------

SEEDS = [
    '{"prompt": "a dog", "steps": 20, "scale": -7.5e-1, "flags": [true, false, null], "o": {}}',
    '[[], [[]], {"a": {"b": [1, 2, {"c": "\\u00e9\\n\\ud83d\\ude00"}]}}]',
    '"\\ud800"', '"\\udc00\\ud800"', "NaN", "-Infinity", "[Infinity]", "1e999", "-1e999", "1e308",
    "0", "-0", "01", "1.", ".5", "1e", "1e+", "+1", "--1", "0x10", "1_000", "tru", "nulll", "True",
    "'a'", '{"a": 1,}', "[1,]", "[,]", "{,}", '{"a"}', '{"a":}', "{1: 2}", '{"a": 1 "b": 2}',
    '{"a": 1}}', "{} {}", "[1] // x", "/* x */ 1", '"a\tb"', '"a\nb"', '"\\x41"', '"\\u12g4"', '"',
    "", " ", "\n\t\r 1 \n", "\u00a01", "\ufeff1", '"\u2028"', "9" * 4300, "9" * 4301, "[" * 900 + "]" * 900,
    "[" * 901 + "]" * 901, '{"a":' * 500 + "1" + "}" * 500, "1" + "0" * 400 + ".0", '"\x7f"', "[1 2]",
]  # fmt: skip


def verdict(text: str) -> list[int] | None:
    try:
        make(input=decode(text))
    except KitError:
        return []
    return None


def test_the_page_and_the_kernel_agree(node: str, tmp_path: Path) -> None:  # noqa: F811
    chance = random.Random(5)
    texts = list(SEEDS)
    alphabet = "{}[]\",:\\ \n\t0123456789.eE+-truefalsnNaIiyd/'u_é\ud83d\ude00"
    for _ in range(2_000):
        text = list(chance.choice(SEEDS[:2] + SEEDS[:2] + SEEDS[2:46]))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text) + 1)
            what = chance.random()
            if what < 0.4:
                text[at:at] = chance.choice(alphabet)
            elif what < 0.7:
                del text[at : at + chance.randint(1, 3)]
            else:
                text[at : at + 1] = chance.choice(alphabet)
        texts.append("".join(text))
    # what a page holds is UTF-16: two halves beside each other are one character there
    texts = [t.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") for t in texts]
    facts = tmp_path / "texts.json"
    facts.write_text(json.dumps([[text, verdict(text)] for text in texts]), encoding="utf-8")
    done = subprocess.run(
        [node, "--test", str(ROOT / "tests" / "js" / "inputs.test.mjs")],
        env={"KIT_VIEWS": views_module(tmp_path), "KIT_TEXTS": str(facts), "TZ": "UTC"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
