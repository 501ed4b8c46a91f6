"""The card in a real kernel: what it publishes, what it answers, and what is never saved."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.events import EventKind, JobKey
from kit.session import Session
from kit.store import Store
from kit.views import detail, parts
from kit.views.feed import Message
from kit.views.live import Live
from kit.views.outputs import STATIC_CSS
from tests.frontend import WIDGET, Card, FrontEnd
from tests.making import ended, handler_of, submit, until

CANARY = "canary-7c1d9e0b55"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HANDLER = """%%handler echo --no-run
import time
def echo(job):
    x = job["input"]
    print("log", x.get("text", ""))
    time.sleep(x.get("s", 0))
    return {"text": x.get("text", ""), "image": x.get("image")}
"""
KERNEL = pytest.mark.kernel


# -- in this process: messages in, calls out --------------------------------------------------------


@pytest.fixture
def session(kit_home: Path) -> Iterator[Session]:
    session = Session(kit_home)
    yield session
    session.close()


class Line:
    """The page's end of a live view, in this process."""

    def __init__(
        self,
        session: Session,
        handler: str | None,
        key: JobKey | None = None,
        controls: Any = None,
    ) -> None:
        self.heard: list[Message] = []
        head: Callable[[], dict[str, Any]] = lambda: {"head": {"example": '{"n": 1}'}, "note": None}  # noqa: E731
        self.live = Live(session.store, controls or session, handler, head, lambda: None, key=key)
        self.live.connect(self.heard.append)
        self.live.hear({"t": "hello"})
        self.wait("snapshot")

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [m.content for m in self.heard if m.content["t"] == kind]

    def wait(self, kind: str, count: int = 1) -> dict[str, Any]:
        until(lambda: len(self.said(kind)) >= count, f"{count} x {kind}")
        return self.said(kind)[count - 1]

    @property
    def generation(self) -> int:
        return int(self.said("snapshot")[-1]["g"])


def quick(job: dict[str, Any]) -> Any:
    return job["input"]


def slow(job: dict[str, Any]) -> str:
    for _ in range(1000):
        time.sleep(0.01)
    return "done"


def test_run_without_an_input_runs_the_example_and_then_the_last_one(session: Session) -> None:
    session.add(handler_of(quick, "quick"))
    line = Line(session, "quick")
    line.live.hear({"t": "run", "c": "1"})
    assert line.wait("ack") == {"t": "ack", "c": "1", "ok": True, "s": None}
    rows = until(lambda: session.store.rows(payloads=True), "a job")
    assert '"n": 1' in rows[0].request
    line.live.hear({"t": "run", "c": "2"})
    line.wait("ack", 2)
    until(lambda: session.store.count() == 2, "a second job")


def test_a_page_is_greeted_and_gets_the_jobs_once(session: Session) -> None:
    handler = handler_of(quick, "quick")
    ended(submit(session, handler, 1))
    heard: list[Message] = []
    live = Live(
        session.store,
        session,
        "quick",
        lambda: {"head": {}, "note": None},
        lambda: None,
        begin=False,
    )
    said = lambda: [m.content["t"] for m in heard]  # noqa: E731
    live.connect(heard.append)
    live.greet()
    assert said() == ["greeting"]
    live.begin()
    until(lambda: said() == ["greeting", "head", "snapshot"], "the jobs, which nobody asked for")
    generation = heard[-1].content["g"]
    # what happens before the page answers reaches it too
    ended(submit(session, handler, 2))
    until(lambda: "delta" in said(), "the second job")
    live.hear({"t": "hello", "g": generation})
    until(lambda: said().count("head") == 2, "the answer")
    assert said().count("snapshot") == 1
    live.hear({"t": "hello", "g": -1})  # a page that was reloaded has nothing
    until(lambda: said().count("snapshot") == 2, "all jobs again")
    live.close()


def test_the_same_click_is_carried_out_once_and_answered_twice(session: Session) -> None:
    session.add(handler_of(quick, "quick"))
    line = Line(session, "quick")
    for _ in range(3):
        line.live.hear({"t": "run", "c": "the-same"})
    line.wait("ack", 3)
    until(lambda: session.store.rows(), "a job")
    time.sleep(0.2)
    assert session.store.count() == 1


def test_a_refusal_is_one_sentence_in_the_answer(session: Session) -> None:
    line = Line(session, "nobody")
    line.live.hear({"t": "run", "c": "1"})
    answer = line.wait("ack")
    assert answer["ok"] is False
    assert "nobody" in answer["s"]
    panel = Line(session, None)
    for kind in ("run", "export"):
        panel.live.hear({"t": kind, "c": kind})
    assert [a["ok"] for a in (panel.wait("ack"), panel.wait("ack", 2))] == [False, False]


def test_cancel_takes_one_or_all_that_live(session: Session) -> None:
    handler = handler_of(slow, "slow")
    jobs = [submit(session, handler, n) for n in range(4)]
    line = Line(session, "slow")
    until(lambda: len(line.live.feed.table.live) == 4, "four jobs")
    line.live.hear({"t": "cancel", "c": "1", "i": 3, "g": line.generation})
    assert line.wait("ack")["ok"] is True
    assert str(ended(jobs[3]).state) == "CANCELLED"
    assert not jobs[0].state.final
    line.live.hear({"t": "cancel", "c": "2", "i": None})
    for job in jobs:
        assert str(ended(job).state) == "CANCELLED"


def test_the_filter_s_text_is_looked_for_in_payloads(session: Session) -> None:
    handler = handler_of(quick, "quick")
    jobs = [submit(session, handler, {"prompt": f"a {name}"}) for name in ("dog", "cat", "dog")]
    for job in jobs:
        ended(job)
    line = Line(session, "quick")
    line.live.hear({"t": "find", "q": " DOG "})
    assert line.wait("found") == {
        "t": "found",
        "g": line.generation,
        "q": "DOG",
        "i": [2, 0],
        "more": False,
    }
    line.live.hear({"t": "find", "q": ""})
    line.live.hear({"t": "find", "q": None})
    line.live.hear({"t": "find", "q": "cat"})
    assert line.wait("found", 2)["i"] == [1]


def test_cancel_of_something_that_is_gone_says_so(session: Session) -> None:
    line = Line(session, "slow")
    line.live.hear({"t": "cancel", "c": "1", "i": 0, "g": 99})
    assert line.wait("ack")["ok"] is False


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"t": None},
        {"t": "run"},
        {"t": "run", "c": 7},
        {"t": "run", "c": "x" * 1000},
        {"t": "cancel", "c": "1", "i": {"a": 1}},
        {"t": "job", "i": "__proto__", "g": []},
        {"t": "media", "i": 0, "g": 1, "what": "../../etc", "at": "0"},
        {"t": "more", "i": 0, "g": 1, "what": "output", "at": [10**9], "start": -5},
        {"t": "all", "on": True},
    ],
)
def test_nothing_a_page_says_breaks_the_view(session: Session, message: dict[str, Any]) -> None:
    job = submit(session, handler_of(quick, "quick"), {"a": 1})
    ended(job)
    line = Line(session, "quick")
    line.live.hear(message)
    # it still answers
    line.live.hear({"t": "job", "i": 0, "g": line.generation})
    assert line.wait("job")["id"] == job.id


def test_updates_come_at_most_ten_times_a_second(session: Session) -> None:
    line = Line(session, "quick")
    handler = handler_of(quick, "quick")
    begin = time.monotonic()
    while time.monotonic() - begin < 1.0:
        submit(session, handler, 1)
        time.sleep(0.002)
    until(lambda: not line.live.feed.table.live and not line.live.feed.backlog, "rest")
    took = time.monotonic() - begin
    assert 2 <= len(line.said("delta")) <= 12 * took + 2


class Late:
    """The controls of a session whose loop is always a little behind."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def call_later(self, delay_s: float, function: Callable[[], None]) -> None:
        self._session.call_later(delay_s + 0.1, function)


def test_updates_come_while_the_control_loop_is_late(session: Session) -> None:
    """An update that is overdue must not be put off by the next event."""
    line = Line(session, "quick", controls=Late(session))
    handler = handler_of(quick, "quick")
    begin = time.monotonic()
    while time.monotonic() - begin < 1.5:
        submit(session, handler, 1)
        time.sleep(0.002)
    assert len(line.said("delta")) >= 3


def test_the_detail_of_a_large_job_is_bounded(session: Session) -> None:
    def large(job: dict[str, Any]) -> Any:
        print(("x" * 99 + "\n") * 30_000)
        return {"text": "y" * 3_000_000, "list": list(range(300_000)), "image": PIXEL}

    job = ended(submit(session, large))
    message = detail.job_message(1, 0, job.view)
    assert message.size <= 200_000
    for ask in ({"t": "input"}, {"t": "wire"}, {"t": "more", "what": "output", "at": [1]}):
        assert parts.part_message(1, 0, job.view, ask).size <= 200_000
    assert message.content["logs_cut"].startswith("The last 40,000 of")


def test_a_picture_comes_by_its_bytes_and_only_that(session: Session) -> None:
    svg = base64.b64encode(b"<svg onload=alert(1)></svg>" * 4).decode()

    def pictures(job: dict[str, Any]) -> Any:
        return {"good": PIXEL, "svg": svg, "uri": f"data:image/svg+xml;base64,{svg}"}

    view = ended(submit(session, pictures)).view
    tree = detail.job_message(1, 0, view).content["output"]
    kinds = [v.get("t") if isinstance(v, dict) else "text" for v in tree["v"]]
    assert kinds == ["media", "text", "text"]
    good = parts.part_message(
        1, 0, view, {"t": "media", "what": "output", "at": tree["v"][0]["at"]}
    )
    assert good.content["mime"] == "image/png"
    assert good.buffers == (base64.b64decode(PIXEL),)
    bad = parts.part_message(1, 0, view, {"t": "media", "what": "output", "at": [0, 1]})
    assert bad.buffers == ()


def test_keys_are_masked_in_the_pane(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", CANARY)

    def leaky(job: dict[str, Any]) -> Any:
        print(CANARY)
        raise ValueError(CANARY)

    view = ended(submit(session, leaky, {"key": CANARY})).view
    for message in (
        detail.job_message(1, 0, view),
        parts.part_message(1, 0, view, {"t": "input"}),
        parts.part_message(1, 0, view, {"t": "wire"}),
    ):
        assert CANARY not in repr(message)
    assert "[redacted]" in repr(detail.job_message(1, 0, view))


def test_text_of_the_job_that_is_looked_at_comes_live_and_once(session: Session) -> None:
    go = threading.Event()

    def words(job: dict[str, Any]) -> Iterator[str]:
        yield "a"
        go.wait(10)
        yield "b"
        yield "c"

    job = submit(session, words)
    line = Line(session, "words")
    until(lambda: session.store.view(job.key).stream, "the first chunk")  # type: ignore[union-attr]
    line.live.hear({"t": "job", "i": 0, "g": line.generation})
    first = line.wait("job")
    assert [first["stream"][name] for name in ("head", "tail", "left")] == [['"a"'], [], 0]
    go.set()
    until(lambda: sum(len(m["chunks"]) for m in line.said("live")) >= 2, "two chunks")
    assert [c for m in line.said("live") for c in m["chunks"]] == ['"b"', '"c"']
    ended(job)


def test_a_view_of_one_job_knows_no_other(session: Session) -> None:
    handler = handler_of(quick, "quick")
    jobs = [ended(submit(session, handler, n)) for n in range(3)]
    line = Line(session, None, key=jobs[1].key)
    submit(session, handler, 9)
    time.sleep(0.3)
    assert line.live.feed.table.keys == [jobs[1].key]


# -- in a real kernel -------------------------------------------------------------------------------


@pytest.fixture
def front(kit_home: Path) -> Iterator[FrontEnd]:
    kit_home.mkdir(parents=True, exist_ok=True)
    front = FrontEnd(kit_home)
    front.run("%load_ext kit")
    yield front
    front.close()


@KERNEL
def test_a_handler_cell_leaves_three_outputs_and_its_card_works(front: FrontEnd) -> None:
    cell = front.run(HANDLER)
    kinds = [sorted(output["data"]) for output in cell.outputs]
    # the page is left to draw the card: the table comes in a moment
    assert kinds == [[WIDGET, "text/plain"], ["text/plain"], ["text/plain"]]
    assert cell.outputs[0]["data"]["text/plain"] == ""
    front.until(lambda: "text/html" in cell.outputs[2]["data"], "the table")
    assert STATIC_CSS in cell.outputs[2]["data"]["text/html"]
    card = front.card_of(cell)
    head = card.wait("head")[0]["head"]
    assert (head["name"], head["kind"], head["version"]) == ("echo", "sync", 1)
    assert head["reason"]  # there is no GPU here, and the card says why
    assert card.click("run")["ok"] is True
    front.until(lambda: card.states() == ["COMPLETED"], "the job")
    # a job that runs is cancelled, the one that ran is not
    front.run('j = kit.run({"s": 30})')
    front.until(lambda: card.states() == ["COMPLETED", "IN_PROGRESS"], "the second job")
    assert card.click("cancel", i=1)["ok"] is True
    front.run("import time; time.sleep(0.1)")
    front.until(lambda: card.states()[1] != "IN_PROGRESS", "the cancel")
    # and the static table says so too
    html = front.until(
        lambda: "1 completed" in cell.outputs[2]["data"]["text/html"] and cell.outputs[2],
        "the table",
    )
    assert "kit-static" in html["data"]["text/html"]
    # where no page draws anything (nbclient), it is there at once
    plain = front.run(HANDLER, lab=False)
    assert STATIC_CSS in plain.outputs[2]["data"]["text/html"]


@KERNEL
def test_a_picture_follows_when_the_kernel_rests(front: FrontEnd) -> None:
    cell = front.run(HANDLER)
    card = front.card_of(cell)
    card.click("run")
    front.until(lambda: "image/png" in cell.outputs[1]["data"], "the picture")
    assert base64.b64decode(cell.outputs[1]["data"]["image/png"]).startswith(b"\x89PNG")


@KERNEL
def test_a_second_run_of_the_cell_shows_the_same_model(front: FrontEnd) -> None:
    first = front.run(HANDLER)
    front.run("kit.run({'text': 'a'}).result()")
    models = set(front.models)
    second = front.run(HANDLER)
    assert second.outputs[0]["data"][WIDGET] == first.outputs[0]["data"][WIDGET]
    assert set(front.models) == models
    card = front.card_of(second)
    versions = lambda: [content["head"]["version"] for content, _, _ in card.said("head")]  # noqa: E731
    front.until(lambda: 2 in versions() and card.states() == ["COMPLETED"], "both on one card")


@KERNEL
def test_nothing_of_a_job_is_in_the_widget_s_state(front: FrontEnd) -> None:
    """Traits are saved in the notebook; messages are not."""
    cell = front.run(HANDLER)
    card = front.card_of(cell)
    front.run(f"kit.run({{'text': {CANARY!r}, 'image': {PIXEL!r}}}).result(); 0")
    front.until(lambda: card.states() == ["COMPLETED"], "the job")
    card.send(t="job", i=0, g=card.generation)
    assert CANARY in repr(card.wait("job")[0])  # the page gets it when it asks
    states = [state for model, state in front.models.items() if model == card.model]
    assert len(states) == 1
    assert set(states[0]) <= {
        *("_anywidget_id", "_css", "_esm", "_dom_classes", "layout", "tabbable", "tooltip"),
        *("_model_module", "_model_module_version", "_model_name"),
        *("_view_count", "_view_module", "_view_module_version", "_view_name"),
    }
    assert CANARY not in repr(front.models)
    assert "echo" not in repr({k: v for k, v in states[0].items() if k not in ("_esm", "_css")})


@KERNEL
def test_buttons_answer_while_a_cell_runs(front: FrontEnd) -> None:
    """Not without the override in ``free_replies``: then the answer comes at the end of the cell."""
    card = front.card_of(front.run(HANDLER))
    front.run('j = kit.run({"s": 60})')
    front.until(lambda: card.states() == ["IN_PROGRESS"], "the job")
    cell = front.start("import time; time.sleep(5)")
    front.rest(0.5)
    begin = time.monotonic()
    assert card.click("cancel", i=None)["ok"] is True
    took = time.monotonic() - begin
    assert not cell.done
    assert took < 1.0
    front.until(lambda: cell.done, "the cell")


@KERNEL
def test_without_subshells_the_answer_comes_after_the_cell(kit_home: Path) -> None:
    """What the page's honest sentence is for."""
    kit_home.mkdir(parents=True, exist_ok=True)
    front = FrontEnd(kit_home, subshells=False)
    try:
        front.run("%load_ext kit")
        card = front.card_of(front.run(HANDLER))
        cell = front.start("import time; time.sleep(2)")
        front.rest(0.3)
        assert card.click("run")["ok"] is True
        answered = next(t for c, _, t in card.said("ack") if c["c"] == "test-1")
        front.until(lambda: cell.done, "the cell")
        assert answered >= cell.done_at - 0.1
    finally:
        front.close()


@KERNEL
def test_a_front_end_without_the_widget_manager_is_told_once(front: FrontEnd) -> None:
    cell = front.run(HANDLER)  # nobody says hello
    quiet = front.run(HANDLER.replace("echo", "other"), lab=False)
    begin = time.monotonic()
    front.until(
        lambda: "widget manager" in cell.outputs[2]["data"].get("text/html", ""), "the sentence", 20
    )
    assert time.monotonic() - begin > 1.5
    front.rest(2.0)
    # a run without a front end that draws widgets (nbclient) is not told anything
    assert "widget manager" not in repr(quiet.outputs)
    # when the page does answer in the end, the sentence goes
    front.card_of(cell)
    front.run("kit.run({}, handler='echo').result(); 0")
    front.until(
        lambda: "widget manager" not in cell.outputs[2]["data"]["text/html"], "its going", 20
    )


@KERNEL
def test_a_model_that_the_page_has_closed_is_made_anew(front: FrontEnd) -> None:
    # a page without the widget manager closes the comm; after a reload there is one that works
    first = front.run(HANDLER)
    closed = first.outputs[0]["data"][WIDGET]["model_id"]
    front.close_comm(closed)
    # it is heard on a thread of its own, at some time
    front.run(
        "import comm, time\n"
        f"while {closed!r} in comm.get_comm_manager().comms:\n    time.sleep(0.01)"
    )
    again = front.run(HANDLER)
    assert again.outputs[0]["data"][WIDGET]["model_id"] != closed
    card = front.card_of(again)
    front.run("kit.run({}, handler='echo').result(); 0")
    front.until(lambda: "COMPLETED" in card.states(), "the job on the new model", 20)
    # and it stays the same from then on
    assert front.run(HANDLER).outputs[0]["data"] == again.outputs[0]["data"]


@KERNEL
def test_a_job_s_own_display_ends_static_and_leaves_nothing(front: FrontEnd) -> None:
    front.run(HANDLER)
    front.run("kit.run({}).result(); 0")
    models = set(front.models)
    quick = front.run("j = kit.run({'text': 'hello'}); j.result(); j")
    data = quick.outputs[-1]["data"]
    assert set(data) == {"text/html", "text/plain"}
    assert "hello" in data["text/plain"]
    assert "COMPLETED" in data["text/plain"]
    slow = front.run("kit.run({'s': 2})")
    front.until(lambda: WIDGET in slow.outputs[-1]["data"], "the live view")
    assert set(front.models) > models
    card = Card(front, slow.outputs[-1]["data"][WIDGET]["model_id"])
    card.send(t="hello")
    card.wait("snapshot")
    front.until(lambda: WIDGET not in slow.outputs[-1]["data"], "its end")
    assert "COMPLETED" in slow.outputs[-1]["data"]["text/plain"]
    front.until(lambda: set(front.models) == models, "the end of its model")


@KERNEL
def test_the_panel_shows_all_handlers_and_all_sessions_when_asked(
    front: FrontEnd, kit_home: Path
) -> None:
    front.run(HANDLER)
    front.run(HANDLER.replace("echo", "other"))
    front.run("kit.run({}, handler='echo').result(); kit.run({}, handler='other').result(); 0")
    cell = front.run("kit.panel()")
    again = front.run("kit.panel()")
    assert cell.outputs[0]["data"][WIDGET] == again.outputs[0]["data"][WIDGET]
    card = front.card_of(cell)
    assert card.states() == ["COMPLETED"] * 2
    assert sorted(card.said("snapshot")[-1][0]["names"]["handlers"]) == ["echo", "other"]
    path = front.run("from kit.api import session; print(session().store.path)")
    other = Store.open(Path(path.outputs[0]["text"].strip()))
    try:
        events = _job_of(other)
        other.append(events[:-1])
        assert card.click("all", on=True)["ok"] is True
        front.until(lambda: sorted(card.states())[-1] == "IN_PROGRESS", "the other session's job")
        other.append(events[-1:])
        front.until(lambda: card.states() == ["COMPLETED"] * 3, "its end")
    finally:
        other.close()


def _job_of(store: Store) -> list[Any]:
    from kit.events import Ended, Event, Queued, Started

    key, now = JobKey(f"{store.session_id}-1"), time.time()
    return [
        Event(key, 1, EventKind.QUEUED, now, Queued("1", "theirs", 1, "local"), '{"input":1}'),
        Event(key, 1, EventKind.STARTED, now, Started(0, 0.0)),
        Event(key, 1, EventKind.COMPLETED, now + 1, Ended(1000.0), '{"output":1}'),
    ]


@KERNEL
def test_a_failed_cell_is_noted_until_a_good_one(front: FrontEnd) -> None:
    card = front.card_of(front.run(HANDLER))
    front.run(HANDLER + "\n1 / 0")
    front.until(lambda: "stays registered" in repr(card.said("head")[-1][0]["note"]), "the note")
    front.run(HANDLER)
    front.until(lambda: card.said("head")[-1][0]["note"] is None, "its going")


def test_in_a_terminal_a_card_is_text(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    handler = handler_of(quick, "quick")
    session.add(handler)
    ended(submit(session, handler, {"a": 1}))
    session.card("quick").show()
    shown = capsys.readouterr().out
    assert "quick" in shown
    assert "1 completed" in shown
    session.show(session.store.rows()[0].key)
    assert "COMPLETED" in capsys.readouterr().out
