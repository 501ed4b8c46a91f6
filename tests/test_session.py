"""One kernel's kit as a whole: run, map, retry, debug, and what stays on disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kit
from kit import api
from kit.debugging import run_here
from kit.errors import JobFailed, PayloadError, StoreError, TargetError, UsageError
from kit.events import JobState
from kit.job import Job
from kit.request import make
from kit.session import Session
from kit.status import status_text
from tests.making import codes, ended, handler_of, submit, until


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.close()


@pytest.fixture
def default(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The session behind ``import kit``."""
    monkeypatch.setattr(api, "_session", session)
    return session


def echo(job: Any) -> Any:
    return job["input"]


async def waits(job: Any) -> None:
    await asyncio.sleep(60)


# -- run -------------------------------------------------------------------------------------------


def test_without_a_handler_the_way_to_one_is_said(default: Session) -> None:
    with pytest.raises(UsageError, match="put %%handler on the first line"):
        kit.run(1)


def test_run_takes_the_current_handler_or_one_by_name(default: Session) -> None:
    default.add(handler_of(lambda job: "first", "first"))
    default.add(handler_of(lambda job: "second", "second"))
    assert kit.run(1).result() == "second"
    assert kit.run(1, handler="first").result() == "first"
    assert kit.run(1, handler=default.handlers["first"]).result() == "first"
    assert kit.run(1).result() == "second"
    with pytest.raises(UsageError, match=r"no handler called 'third'\. Registered: first, second"):
        kit.run(1, handler="third")
    with pytest.raises(UsageError, match="takes a name, not function"):
        kit.run(1, handler=echo)  # type: ignore[arg-type]


def test_a_job_shows_what_there_is_to_know(default: Session) -> None:
    def handler(job: Any) -> Any:
        print("one")
        print("two", file=sys.stderr)
        default.progress(job, 0.5)
        return {"answer": job["input"]["x"]}

    default.add(handler_of(handler, "answers", 3))
    job = kit.run({"x": 42})
    assert repr(job).startswith(f"<Job {job.id} answers v3 ")
    assert job.result() == job.output == {"answer": 42}
    assert (job.state, job.input, job.handler) == (JobState.COMPLETED, {"x": 42}, "answers v3")
    assert job.logs == "one\ntwo\n"
    assert job.progress == 0.5
    assert job.error is None
    assert not job.findings
    assert job.delay_time_ms is not None
    assert job.delay_time_ms >= 0
    assert job.execution_time_ms is not None
    assert job.execution_time_ms >= 0
    assert job.wire.done == {"output": {"answer": 42}}
    assert job.wire.progress == ({"status": "IN_PROGRESS", "output": 0.5},)
    assert (job.wire.stream, job.wire.lost) == ((), None)
    assert [use.kind for use in job.memory] == ["rss"] or [use.kind for use in job.memory] == [
        "vram"
    ]


def test_a_failed_job_is_data_until_somebody_asks(default: Session) -> None:
    def handler(job: Any) -> Any:
        raise ValueError("bad prompt")

    default.add(handler_of(handler))
    job = ended(kit.run(1))
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("<class 'ValueError'>", "bad prompt")
    assert job.error.traceback.endswith("ValueError: bad prompt\n")
    assert json.loads(job.wire.done["error"])["error_message"] == "bad prompt"
    with pytest.raises(JobFailed, match="bad prompt"):
        job.result()


def test_nan_is_on_the_wire_and_the_job_failed(default: Session) -> None:
    default.add(handler_of(lambda job: float("nan")))
    job = ended(kit.run(1))
    assert job.state is JobState.FAILED
    assert job.wire.done["output"] != job.wire.done["output"]
    assert job.wire.lost


@pytest.mark.parametrize("value", [{"prompt": b"x"}, {1, 2}, float("inf")])
def test_what_cannot_be_sent_makes_no_job(default: Session, value: Any) -> None:
    default.add(handler_of(echo))
    with pytest.raises(PayloadError):
        kit.run(value)
    assert default.store.count() == 0


def test_other_ways_to_say_no(default: Session) -> None:
    default.add(handler_of(echo))
    with pytest.raises(UsageError):
        kit.run()
    with pytest.raises(UsageError):
        kit.run(1, input=2)
    with pytest.raises(TargetError, match=r"no target 'moon' here\. Targets: local"):
        kit.run(1, target="moon")
    with pytest.raises(TargetError):
        kit.use("moon")
    for limit in (0, -1, float("nan"), float("inf"), "5"):
        with pytest.raises(UsageError, match="give seconds above 0"):
            kit.run(1, timeout_s=limit)  # type: ignore[arg-type]
    kit.use("local")
    assert default.store.count() == 0


def test_the_same_id_may_run_twice(default: Session) -> None:
    default.add(handler_of(lambda job: job["id"]))
    jobs = [kit.run(request={"id": "mine", "input": n}) for n in range(2)]
    assert [job.result() for job in jobs] == ["mine", "mine"]
    assert jobs[0].id == jobs[1].id == "mine"
    assert jobs[0].key != jobs[1].key
    assert [job.input for job in jobs] == [0, 1]


def test_a_request_s_other_keys_reach_the_handler(default: Session) -> None:
    default.add(handler_of(lambda job: sorted(job)))
    assert kit.run({"input": 1}).result() == ["id", "input"]
    assert kit.run({"input": 1, "policy": {"ttl": 60_000}}).result() == ["id", "input", "policy"]
    assert kit.run(input={"input": 1, "policy": 2}).result() == ["id", "input"]


def test_notes_about_a_version_are_on_its_first_job_only(default: Session) -> None:
    from kit.findings import workspace_path

    default.add(handler_of(echo), (workspace_path("/workspace/x"),))
    jobs = [ended(kit.run(n)) for n in range(2)]
    assert [codes(job) for job in jobs] == [{"K219"}, set()]


# -- map -------------------------------------------------------------------------------------------


def most_in_flight(
    default: Session, concurrency: int | None, **options: Any
) -> tuple[int, set[str]]:
    flight = {"now": 0, "most": 0}

    async def handler(job: Any) -> Any:
        flight["now"] += 1
        flight["most"] = max(flight["most"], flight["now"])
        await asyncio.sleep(0.005)
        flight["now"] -= 1
        return job["input"]

    default.add(handler_of(handler, **options))
    batch = kit.map(range(12), concurrency=concurrency)
    assert batch.result() == list(range(12))
    return flight["most"], codes(batch.jobs[0])


@pytest.mark.parametrize(
    ("asked", "own", "most", "found"),
    [
        (None, None, 1, set()),
        (8, None, 1, {"K216"}),
        (1, None, 1, set()),
        (None, 4, 4, set()),
        (2, 4, 2, set()),
        (8, 4, 4, set()),
    ],
)
def test_in_flight_is_the_smaller_of_the_two_limits(
    default: Session, asked: int | None, own: int | None, most: int, found: set[str]
) -> None:
    options = {} if own is None else {"concurrency_modifier": lambda current: own}
    assert most_in_flight(default, asked, **options) == (most, found)


def test_map_takes_inputs_and_never_guesses(default: Session) -> None:
    default.add(handler_of(echo))
    request = {"input": 1, "id": "x"}
    batch = kit.map([request, {"input": 2}])
    assert batch.result() == [request, {"input": 2}]
    assert batch.jobs[0].id != "x"
    assert len(batch) == 2
    assert repr(batch) == "<Batch of 2 jobs: 2 COMPLETED>"


def test_map_takes_any_iterable(default: Session) -> None:
    default.add(handler_of(echo))
    assert kit.map(n * n for n in range(4)).result() == [0, 1, 4, 9]
    assert kit.map([]).result() == []
    assert repr(kit.map([])) == "<Batch of 0 jobs: empty>"


@pytest.mark.parametrize("inputs", ["text", b"bytes", {"a": 1}, None, 5])
def test_one_input_is_not_a_list(default: Session, inputs: Any) -> None:
    default.add(handler_of(echo))
    with pytest.raises(UsageError, match="takes a list of inputs"):
        kit.map(inputs)


def test_map_accepts_all_or_nothing(default: Session) -> None:
    default.add(handler_of(echo))
    with pytest.raises(PayloadError, match=r"input 2: \$.input.x is bytes"):
        kit.map([{"x": 1}, {"x": 2}, {"x": b"3"}])
    with pytest.raises(UsageError, match="limit is '5'; give a whole number"):
        kit.jobs(limit="5")  # type: ignore[arg-type]
    for bad in (0, -1, "2", 1.5):
        with pytest.raises(UsageError, match="at least 1"):
            kit.map([1], concurrency=bad)

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        kit.map(broken())
    assert default.store.count() == 0


def test_a_large_map_keeps_its_order(default: Session) -> None:
    default.add(handler_of(echo))
    outputs = kit.map(range(3_000)).result(120)
    assert outputs == list(range(3_000))


# -- versions --------------------------------------------------------------------------------------


def test_jobs_in_flight_keep_their_version(default: Session) -> None:
    go_on = threading.Event()

    def first(job: Any) -> str:
        go_on.wait(30)
        return "v1"

    default.add(handler_of(first, "handler", 1))
    running, queued = kit.run(1), kit.run(2)
    until(lambda: running.state is JobState.IN_PROGRESS)
    default.add(handler_of(lambda job: "v2", "handler", 2))
    newest = kit.run(3)
    go_on.set()
    assert [job.result() for job in (running, queued, newest)] == ["v1", "v1", "v2"]
    assert [job.handler for job in (running, queued, newest)] == [
        "handler v1", "handler v1", "handler v2",
    ]  # fmt: skip
    assert [v.version for v in default.store.handlers()] == [1, 2]


# -- retry -----------------------------------------------------------------------------------------


def test_retry_runs_the_request_again_with_the_newest_version(default: Session) -> None:
    def fails(job: Any) -> Any:
        print("first try")
        yield 1
        raise ValueError("x")

    default.add(handler_of(fails))
    job = ended(kit.run({"n": 5}))
    assert (job.state, job.stream) == (JobState.FAILED, [1])

    default.add(handler_of(lambda job: job["input"]["n"], version=2))
    again = job.retry()
    assert again.key == job.key
    assert again.result() == 5
    view = job.view
    assert (view.attempt, view.version, view.state) == (2, 2, JobState.COMPLETED)
    # what the first attempt left behind is not part of the second
    assert (job.stream, job.logs, job.error) == ([], "", None)
    assert job.input == {"n": 5}


@pytest.mark.parametrize("end", ["failed", "timed out", "cancelled"])
def test_what_did_not_complete_can_be_tried_again(default: Session, end: str) -> None:
    tries: list[int] = []

    async def handler(job: Any) -> str:
        tries.append(1)
        if len(tries) == 1:
            if end == "failed":
                raise ValueError("x")
            await asyncio.sleep(60)
        return "second"

    default.add(handler_of(handler))
    job = kit.run(1, timeout_s=0.05 if end == "timed out" else None)
    if end == "cancelled":
        until(lambda: tries)
        job.cancel()
    ended(job)
    assert job.retry().result() == "second"
    with pytest.raises(UsageError, match="is COMPLETED; a retry takes one that is FAILED"):
        job.retry()


def test_a_running_job_is_not_retried(default: Session) -> None:
    default.add(handler_of(waits))
    job = kit.run(1)
    with pytest.raises(UsageError, match="a retry takes one"):
        job.retry()
    job.cancel()
    ended(job)


def test_two_retries_at_once_are_one(default: Session) -> None:
    runs: list[int] = []

    def handler(job: Any) -> Any:
        runs.append(1)
        raise ValueError("x")

    default.add(handler_of(handler))
    for _ in range(5):
        job = ended(kit.run(1))
        runs.clear()
        refused = retried_at_once(job, 4)
        until(lambda job=job: not default.worker.running() and job.state.final)
        # one after the other they may all be right; at once only one is
        assert len(runs) + len(refused) == 4
        assert job.view.attempt == 1 + len(runs)


def retried_at_once(job: Job, times: int) -> list[UsageError]:
    refused: list[UsageError] = []
    together = threading.Barrier(times)

    def retry() -> None:
        together.wait(30)
        try:
            job.retry()
        except UsageError as exc:
            refused.append(exc)

    threads = [threading.Thread(target=retry) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return refused


def test_a_retry_of_a_handler_that_is_gone_runs_no_other(default: Session) -> None:
    passed = handler_of(lambda job: 1 / 0, "gone")
    default.add(handler_of(echo, "current"))
    job = ended(kit.run(1, handler=passed))
    assert job.state is JobState.FAILED
    with pytest.raises(UsageError, match=r"no handler called 'gone'\. Registered: current"):
        job.retry()


# -- secrets ---------------------------------------------------------------------------------------

CANARIES = ("canary-accesskey-1", "canary-secret-2", "canary-token-3", "canary-user-4")


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_withheld_secrets_reach_the_handler_and_never_the_disk(
    default: Session, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def handler(job: Any) -> None:
        seen.append(job)
        raise ValueError("fails, so that a retry is asked for")

    request = {
        "id": "visible-id",
        "input": {"prompt": "visible-prompt", "image": "A" * 300_000},  # a payload file of its own
        "s3Config": {"accessId": CANARIES[0], "accessSecret": CANARIES[1], "bucketName": "b"},
        "webhook": f"https://{CANARIES[3]}:x@example.com/visible-hook?token={CANARIES[2]}",
    }
    default.add(handler_of(handler))
    job = ended(kit.run(request))
    assert seen[0]["s3Config"]["accessSecret"] == CANARIES[1]
    assert CANARIES[2] in seen[0]["webhook"]
    assert codes(job) == {"K222"}
    with pytest.raises(UsageError, match="not stored because they may hold secrets"):
        job.retry()
    default.close()
    kept = bytes_on_disk(tmp_path)
    # what may be there is there, so the search does look at the right bytes
    for visible in (b"visible-id", b"visible-prompt", b"visible-hook"):
        assert visible in kept
    for canary in CANARIES:
        assert canary.encode() not in kept
        assert canary[::-1].encode() not in kept


def test_a_request_that_waits_long_keeps_its_secrets_in_memory(
    default: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's text lacks them: a put-aside request must not be read back from there."""
    from kit import queue as queue_module

    monkeypatch.setattr(queue_module, "QUEUE_CHARS", 10)
    default.add(handler_of(lambda job: job.get("s3Config")))
    jobs = [kit.run({"input": n, "s3Config": {"k": "v"}}) for n in range(3)]
    assert [job.result() for job in jobs] == [{"k": "v"}] * 3


# -- debug -----------------------------------------------------------------------------------------


def debug(session: Session, value: Any) -> Any:
    return session.intake.debug(make(input=value), None, run_here)


def test_debug_runs_here_and_is_a_job_like_any_other(session: Session) -> None:
    def sync(job: Any) -> Any:
        print("said")
        session.progress(job, 1)
        return threading.current_thread() is threading.main_thread()

    async def awaiting(job: Any) -> Any:
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    for function in (sync, awaiting):
        session.add(handler_of(function))
        assert debug(session, 1) is True
    rows = session.store.rows()
    assert [row.state for row in rows] == [JobState.COMPLETED] * 2
    view = session.view(rows[1].key)
    assert view.progress == ("1",)
    assert "".join(log.text for log in view.logs) == "said\n"


def test_debug_streams(session: Session) -> None:
    def generator(job: Any) -> Any:
        yield from (1, 2)

    async def async_generator(job: Any) -> Any:
        yield 1
        yield 2

    for function in (generator, async_generator):
        session.add(handler_of(function, return_aggregate_stream=True))
        assert debug(session, 1) == [1, 2]
        assert session.view(session.store.rows(limit=1)[0].key).stream == ("1", "2")


def test_debug_raises_the_handler_s_own_exception_with_its_frames(session: Session) -> None:
    def sync(job: Any) -> Any:
        local = "seen by %debug"
        raise KeyError(local)

    async def awaiting(job: Any) -> Any:
        local = "seen by %debug"
        raise KeyError(local)

    def generator(job: Any) -> Any:
        local = "seen by %debug"
        yield 1
        raise KeyError(local)

    async def async_generator(job: Any) -> Any:
        local = "seen by %debug"
        yield 1
        raise KeyError(local)

    for function in (sync, awaiting, generator, async_generator):
        session.add(handler_of(function))
        with pytest.raises(KeyError) as caught:
            debug(session, 1)
        frames = []
        at = caught.value.__traceback__
        while at is not None:
            frames.append(at.tb_frame)
            at = at.tb_next
        assert frames[-1].f_code.co_name == function.__name__
        assert frames[-1].f_locals["local"] == "seen by %debug"
        row = session.store.rows(limit=1)[0]
        assert row.state is JobState.FAILED


def test_debug_of_an_output_that_would_be_lost_raises_too(session: Session) -> None:
    session.add(handler_of(lambda job: {1}))
    with pytest.raises(JobFailed, match="set"):
        debug(session, 1)


def test_debug_beside_a_running_job(session: Session) -> None:
    session.add(handler_of(waits, "waits"))
    waiting = session.intake.submit(make(1))
    until(lambda: waiting.state is JobState.IN_PROGRESS)
    session.add(handler_of(echo, "echo"))
    assert debug(session, "now") == "now"
    assert waiting.state is JobState.IN_PROGRESS
    slots = {row.slot for row in session.store.rows()}
    assert slots == {0, 1}
    waiting.cancel()
    ended(waiting)


# -- what buttons ask for --------------------------------------------------------------------------


def test_controls_run_a_text_or_the_last_input_again(session: Session) -> None:
    session.add(handler_of(echo, "echo"))
    with pytest.raises(UsageError, match=r"no input yet: run kit\.run"):
        session.run("echo")
    key = session.run("echo", '{"x": 1}')
    assert Job(key, "", session).result() == {"x": 1}
    again = session.run("echo")
    assert again != key
    assert Job(again, "", session).result() == {"x": 1}
    with pytest.raises(PayloadError):
        session.run("echo", "{'x': 1}")
    with pytest.raises(UsageError, match="no handler called 'other'"):
        session.run("other", "1")


def test_the_last_input_is_kept_per_handler(session: Session) -> None:
    for name in ("a", "b"):
        session.add(handler_of(echo, name))
        submit(session, session.handlers[name], name)
    for name in ("a", "b"):
        last = session.intake.last_request(name)
        assert last is not None
        assert json.loads(last.text) == {"input": name}
    assert session.intake.last_request("c") is None


def test_every_control_answers_from_any_thread(session: Session) -> None:
    session.add(handler_of(echo, "echo"))
    results: list[Any] = []

    def buttons() -> None:
        key = session.run("echo", "7")
        results.append(Job(key, "", session).result())
        session.cancel(key)
        results.append(session.cell_is_running())
        session.call_later(0.01, lambda: results.append("later"))

    thread = threading.Thread(target=buttons)
    thread.start()
    thread.join(30)
    until(lambda: len(results) == 3)
    assert results == [7, False, "later"]


def test_status_tells_where_everything_is(session: Session) -> None:
    empty = status_text(session)
    assert str(session.store.path) in empty
    assert "none yet: put %%handler" in empty
    session.add(handler_of(echo, "echo", 2))
    ended(submit(session, session.handlers["echo"], 1))
    text = status_text(session)
    assert "echo v2, sync  current" in text
    assert "1 COMPLETED" in text
    assert "target    local" in text
    assert "memory " in text


# -- sessions after one another and side by side ---------------------------------------------------


def test_yesterday_s_jobs_are_there_and_what_was_cut_off_is_lost(tmp_path: Path) -> None:
    """The first session is killed, as a kernel may be."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from kit.session import Session\n"
        "from tests.making import ended, handler_of, submit, until\n"
        "session = Session(Path(sys.argv[1]))\n"
        "ended(submit(session, lambda job: 'done', 'yesterday'))\n"
        "job = submit(session, lambda job: time.sleep(60), 'cut off')\n"
        "until(lambda: job.state == 'IN_PROGRESS')\n"
        "submit(session, session.current, 'waiting')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
    assert killed.returncode == -9
    session = Session(tmp_path)
    try:
        rows = {json.loads(r.request or "")["input"]: r for r in session.store.rows(payloads=True)}
        assert {name: str(row.state) for name, row in rows.items()} == {
            "yesterday": "COMPLETED", "cut off": "LOST", "waiting": "LOST",
        }  # fmt: skip
        assert session.store.count(session=session.session_id) == 0
    finally:
        session.close()


def test_two_sessions_share_a_journal_and_disturb_nothing(tmp_path: Path) -> None:
    one, two = Session(tmp_path), Session(tmp_path)
    try:
        for session in (one, two):
            session.add(handler_of(echo))
        slow = submit(one, waits)
        until(lambda: slow.state is JobState.IN_PROGRESS)
        batches = [s.intake.map(range(500), s.handlers["handler"]) for s in (one, two)]
        for batch in batches:
            assert batch.result(120) == list(range(500))
        assert slow.state is JobState.IN_PROGRESS
        two.close()
        third = Session(tmp_path)
        assert third.store.count() == 1_001
        third.close()
        assert slow.state is JobState.IN_PROGRESS, "another session's start is no reason to end"
        slow.cancel()
        assert ended(slow).state is JobState.CANCELLED
    finally:
        one.close()
        two.close()


@pytest.mark.fresh
def test_a_session_closes_clean_and_for_good(tmp_path: Path) -> None:
    session = Session(tmp_path)
    stdout, start = sys.stdout, threading.Thread.start
    session.add(handler_of(echo))
    job = ended(submit(session, session.handlers["handler"], 1))
    assert job.output == 1
    session.close()
    session.close()
    assert sys.stdout is stdout
    assert threading.Thread.start is start
    names = {"kit-worker", "kit-handler", "kit-sampler"}
    until(lambda: not names & {t.name for t in threading.enumerate()}, "the kit's threads to end")
    # a Job or a view that outlives its session does not bring it back
    for ask in (
        lambda: job.state,
        lambda: job.result(),
        job.cancel,
        lambda: session.call_later(0, lambda: None),
        lambda: session.run("handler"),
        lambda: submit(session, session.handlers["handler"], 2),
    ):
        with pytest.raises(StoreError, match="%load_ext kit begins one"):
            ask()
    assert sys.stdout is stdout
    assert not names & {t.name for t in threading.enumerate()}


def test_a_process_that_just_exits_leaves_a_whole_journal(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from kit.session import Session\n"
        "from tests.making import handler_of\n"
        "session = Session(Path(sys.argv[1]))\n"
        "session.add(handler_of(lambda job: job['input']))\n"
        "session.intake.map(range(2_000)).result(60)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    (journal,) = tmp_path.glob("*.sqlite")
    connection = sqlite3.connect(journal)
    try:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()
    session = Session(tmp_path)
    try:
        assert session.store.count(state=JobState.COMPLETED) == 2_000
    finally:
        session.close()


@pytest.mark.fresh
def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    before = threading.active_count()
    session = Session(tmp_path)
    assert not list(tmp_path.iterdir())
    assert threading.active_count() == before
    assert session.progress({"id": "x"}, 1) is False
    assert session.stuck_threads() == 0
    session.close()
    assert not list(tmp_path.iterdir()), "a progress update or a close opened the journal"


def test_a_proof_finds_jobs_that_ended_behind_many_that_wait_or_were_cancelled(
    session: Session,
) -> None:
    from kit.verifying import recorded_jobs

    hold = threading.Event()

    def held(job: Any) -> Any:
        return job["input"] if job["input"] < 2 else hold.wait(30)

    handler = handler_of(held)
    session.add(handler)
    done = [ended(submit(session, handler, n)).id for n in range(2)]
    crowd = [submit(session, handler, n) for n in range(2, 12)]

    def known() -> list[str]:
        found = recorded_jobs(session.store, 5, "handler", session=session.session_id)
        return [job.id for job in found if job.state is JobState.COMPLETED]

    try:
        assert known() == done[::-1]
        for job in crowd[1:]:
            job.cancel()
        for job in crowd[1:]:
            ended(job)
        assert known() == done[::-1]
    finally:
        hold.set()
    ended(crowd[0])
    found = recorded_jobs(session.store, 5, "handler", session=session.session_id)
    assert (
        len(found) == len({job.key for job in found}) == 8
    )  # the latest five, and three with an end
