"""The client's and the worker's verbs, asked over HTTP by clients that know nothing of the kit."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.emulator import clients, takers
from kit.emulator.server import Server
from kit.emulator.ticket import Settings
from kit.errors import TargetError
from tests.emulating import Emulator

QUICK = Settings(take_hold_s=0.2, stop_hold_s=0.5, stream_hold_s=0.2, webhook_pause_s=0.1)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(QUICK) as made:
        yield made


@pytest.fixture
def echo() -> Iterator[Emulator]:
    with Emulator(QUICK) as made:
        made.run_here(lambda given: json.dumps({"output": given}))
        yield made


# -- who may ask ----------------------------------------------------------------------------------


def test_every_route_wants_its_key(emulator: Emulator) -> None:
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    for verb, method, with_id, _ in clients.ROUTES:
        path = f"{verb}/{id}" if with_id else verb
        for key in (None, "", "wrong", emulator.server.key[:-1], emulator.server.token):
            status, told = emulator.raw(method, path, b"{}", key=key)
            assert status == 401, (verb, key)
            assert emulator.server.key not in str(told)
        # in the query a key would end up in logs
        assert emulator.raw(method, f"{path}?token={emulator.server.key}", b"{}", None)[0] == 401
    for verb, method, with_id, _ in takers.ROUTES:
        path = f"{verb}/w/{id}" if with_id else f"{verb}/w"
        for query in ("", "?token=", "?token=wrong", f"?token={emulator.server.key}"):
            assert emulator.raw(method, f"{path}{query}", b"{}", key="right")[0] == 401, verb
    assert emulator.raw("GET", "requests", key=None)[0] == 401
    assert emulator.ask("GET", f"status/{id}")["status"] == "IN_QUEUE"


def test_it_listens_on_loopback_only_and_says_when_it_cannot(emulator: Emulator) -> None:
    port = emulator.server.port
    addresses = {socket.gethostbyname(socket.gethostname())} - {"127.0.0.1", "127.0.1.1"}
    for address in addresses:
        with pytest.raises(OSError), socket.create_connection((address, port), 1):
            pass
    with pytest.raises(TargetError, match=r"cannot listen on 127\.0\.0\.1"):
        Server(port=port).start()


# -- answers to bad requests ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run", "runsync"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"{}", b'{"inputs": 1}', b'{"input": NaN}', b"\xff\xfe",
     b"[" * 100_000, b'{"input": 1, "policy": 3}', b'{"input": 1, "policy": {"ttl": 5}}',
     b'{"input": 1, "policy": {"executionTimeout": "soon"}}'],
)  # fmt: skip
def test_a_bad_body_is_400(emulator: Emulator, verb: str, body: bytes) -> None:
    status, told = emulator.raw("POST", verb, body)
    assert status == 400, told
    assert told["error"]
    assert emulator.ask("GET", "health")["jobs"]["inQueue"] == 0


def test_what_does_not_exist_is_404_and_another_method_405(emulator: Emulator) -> None:
    for method, path in [
        ("GET", "status/nope"), ("GET", "stream/nope"), ("POST", "cancel/nope"),
        ("POST", "retry/nope"), ("GET", "requests"), ("POST", "batch"), ("GET", ""),
    ]:  # fmt: skip
        assert emulator.raw(method, path)[0] == 404, path
    assert emulator.raw("GET", "health", endpoint="other")[0] == 404
    assert emulator.raw("GET", "run")[0] == 405
    assert emulator.raw("POST", "status/x")[0] == 405


@pytest.mark.parametrize(("verb", "limit"), [("run", 10_000_000), ("runsync", 20_000_000)])
@pytest.mark.parametrize("chunked", [False, True])
def test_over_the_limit_the_client_sees_413(
    echo: Emulator, verb: str, limit: int, chunked: bool
) -> None:
    import http.client

    def send(size: int) -> int:
        text = b'{"input": "' + b"x" * (size - 13) + b'"}'
        connection = http.client.HTTPConnection("127.0.0.1", echo.server.port, timeout=60)
        body: Any = iter([text[i : i + 1_000_000] for i in range(0, size, 1_000_000)])
        connection.request(
            "POST", f"/v2/ep/{verb}", body if chunked else text,
            {"Authorization": f"Bearer {echo.server.key}"}, encode_chunked=chunked,
        )  # fmt: skip
        told = connection.getresponse()
        told.read()
        connection.close()
        return told.status

    assert send(limit) == 200
    assert send(limit + 1) == 413
    # far over: the client is still sending when the answer is known
    assert send(limit * 3) == 413
    assert echo.ask("POST", "runsync", {"input": 1})["output"] == 1


def test_an_empty_body_is_fine_where_none_is_needed(emulator: Emulator) -> None:
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    assert emulator.raw("POST", f"cancel/{id}", b"")[0] == 200
    assert emulator.raw("POST", "purge-queue", b"") == (200, {"removed": 0, "status": "completed"})


# -- the way of a job -----------------------------------------------------------------------------


def test_a_job_from_the_queue_to_its_end(emulator: Emulator) -> None:
    queued = emulator.ask("POST", "run", {"input": {"a": 1}, "id": "mine", "webhook": None})
    id = queued["id"]
    assert queued == {"id": id, "status": "IN_QUEUE"}
    assert id != "mine"
    assert emulator.ask("GET", f"status/{id}") == queued
    assert emulator.take("w1") == {"id": id, "input": {"a": 1}, "webhook": None}
    progress = emulator.ask("GET", f"status/{id}")
    assert (progress["status"], progress["workerId"]) == ("IN_PROGRESS", "w1")
    assert "output" not in progress
    body = {"status": "IN_PROGRESS", "output": {"at": 1}}
    assert emulator.post("job-done", "w1", id, body) == 200
    assert emulator.ask("GET", f"status/{id}")["output"] == {"at": 1}
    # one with NaN in it is read by nobody, and ends nothing
    assert emulator.post("job-done", "w1", id, {**body, "output": float("nan")}) == 200
    assert emulator.ask("GET", f"status/{id}")["output"] == {"at": 1}
    assert emulator.post("job-done", "w1", id, {"output": {"b": 2}}) == 200
    ended = emulator.ask("GET", f"status/{id}")
    assert ended["status"] == "COMPLETED"
    assert ended["output"] == {"b": 2}
    assert ended["delayTime"] >= 0
    assert ended["executionTime"] >= 0
    # a progress post after the final one never reopens a job
    assert emulator.post("job-done", "w1", id, body) == 200
    assert emulator.post("job-done", "w1", id, {"error": "late"}) == 200
    assert emulator.post("job-stream", "w1", id, {"output": "late"}) == 200
    assert emulator.ask("GET", f"status/{id}") == ended


def test_bodies_become_states_as_on_the_platform(emulator: Emulator) -> None:
    for body, state, shown in [
        ({"output": None}, "COMPLETED", {"output": None}),
        ({}, "COMPLETED", {}),
        ({"error": "no", "output": {"p": 1}}, "FAILED", {"error": "no", "output": {"p": 1}}),
        ({"error": ["a"]}, "FAILED", {"error": ["a"]}),
        ({"output": float("nan")}, "FAILED", None),
    ]:
        id = emulator.ask("POST", "run", {"input": 1})["id"]
        assert emulator.take("w")["id"] == id
        assert emulator.post("job-done", "w", id, body) == 200
        facts = emulator.ask("GET", f"status/{id}")
        assert facts["status"] == state
        if shown is None:
            assert "not JSON" in facts["error"]
        else:
            assert {k: facts[k] for k in ("output", "error") if k in facts} == shown


def test_a_result_over_the_limit_is_refused_and_the_job_failed(emulator: Emulator) -> None:
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    emulator.take("w")
    assert emulator.post("job-done", "w", id, {"output": "x" * 10_000_001}) == 400
    assert "10,000,000" in emulator.ask("GET", f"status/{id}")["error"]


def test_runsync_waits_and_then_answers_with_what_is_known(emulator: Emulator) -> None:
    began = time.monotonic()
    told = emulator.ask("POST", "runsync?wait=1000", {"input": 1})
    assert 0.9 < time.monotonic() - began < 3
    assert told["status"] == "IN_QUEUE"
    for wrong in ("999", "300001", "x", "-1", "nan"):
        assert emulator.raw("POST", f"runsync?wait={wrong}", b'{"input": 1}')[0] == 400


def test_chunks_come_once_in_order_and_the_end_has_the_output(emulator: Emulator) -> None:
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    assert emulator.ask("GET", f"stream/{id}") == {"id": id, "status": "IN_QUEUE", "stream": []}
    emulator.take("w")
    for index in range(3):
        emulator.post("job-stream", "w", id, {"output": f'{index} "stream": null'})
    first = emulator.ask("GET", f"stream/{id}")
    assert first["status"] == "IN_PROGRESS"
    assert [c["output"] for c in first["stream"]] == [f'{i} "stream": null' for i in range(3)]
    assert emulator.ask("GET", f"stream/{id}")["stream"] == []
    assert emulator.post("job-stream", "w", id, {"output": "x" * 1_000_000}) == 413
    for _ in range(3):
        assert emulator.post("job-stream", "w", id, {"output": "y" * 600_000}) == 200
    emulator.post("job-done", "w", id, {"output": ["all"]})
    # one answer holds at most 1 MB of chunks
    assert [len(emulator.ask("GET", f"stream/{id}")["stream"]) for _ in range(4)] == [1, 1, 1, 0]
    last = emulator.ask("GET", f"stream/{id}")
    assert (last["status"], last["stream"], last["output"]) == ("COMPLETED", [], ["all"])
    nested = emulator.ask("POST", "run", {"input": 1})["id"]
    emulator.take("w")
    emulator.post("job-done", "w", nested, {"output": {"stream": None}})
    ended = emulator.ask("GET", f"stream/{nested}")
    assert (ended["output"], ended["stream"]) == ({"stream": None}, [])


def test_cancel_retry_and_purge(emulator: Emulator) -> None:
    first, second, third = (emulator.ask("POST", "run", {"input": i})["id"] for i in range(3))
    assert emulator.ask("POST", f"cancel/{second}")["status"] == "CANCELLED"
    assert emulator.ask("POST", f"cancel/{second}")["status"] == "CANCELLED"
    assert emulator.raw("POST", f"retry/{second}")[0] == 400
    assert emulator.take("w")["id"] == first
    emulator.post("job-done", "w", first, {"error": "no", "output": 1})
    assert emulator.ask("POST", f"retry/{first}") == {"id": first, "status": "IN_QUEUE"}
    assert emulator.ask("GET", f"status/{first}") == {"id": first, "status": "IN_QUEUE"}
    assert emulator.take("w")["id"] == third
    assert emulator.ask("POST", "purge-queue") == {"removed": 1, "status": "completed"}
    assert emulator.ask("GET", f"status/{first}")["status"] == "CANCELLED"
    assert emulator.ask("GET", f"status/{third}")["status"] == "IN_PROGRESS"
    jobs = emulator.ask("GET", "health")["jobs"]
    assert jobs == {"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 0, "retried": 1}


def test_a_stopped_job_is_told_to_its_worker_and_only_to_it(emulator: Emulator) -> None:
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    emulator.take("w1")
    told: list[Any] = []
    stop = f"job-stop/{{}}?token={emulator.server.token}"
    ask = threading.Thread(target=lambda: told.append(emulator.raw("GET", stop.format("w1"))))
    ask.start()
    assert emulator.raw("GET", stop.format("w2"))[0] == 204
    emulator.ask("POST", f"cancel/{id}")
    ask.join()
    assert told in ([(204, None)], [(200, {"jobsToStop": [id]})])
    if told == [(204, None)]:  # the poll had run out before
        assert emulator.raw("GET", stop.format("w1")) == (200, {"jobsToStop": [id]})
    emulator.post("job-done", "w1", id, {"output": "anyway"})
    assert "output" not in emulator.ask("GET", f"status/{id}")


def test_two_clients_racing_for_one_id(emulator: Emulator) -> None:
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    emulator.take("w")
    emulator.post("job-done", "w", id, {"error": "no"})
    answers: list[int] = []
    gate = threading.Barrier(8)

    def race() -> None:
        gate.wait()
        answers.append(emulator.raw("POST", f"retry/{id}")[0])

    threads = [threading.Thread(target=race) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(answers) == [200] + [400] * 7
    assert emulator.take("w1")["id"] == id
    assert emulator.take("w2") is None


def test_a_batch_takes_as_many_as_asked_for(emulator: Emulator) -> None:
    ids = [emulator.ask("POST", "run", {"input": i})["id"] for i in range(5)]
    path = f"job-take-batch/w?token={emulator.server.token}&batch_size=3&job_in_progress=0"
    status, jobs = emulator.raw("GET", path, key=None)
    assert status == 200
    assert [job["id"] for job in jobs] == ids[:3]
    assert emulator.raw("GET", path.replace("=3", "=x"), key=None)[0] == 400


def test_a_worker_that_comes_back_empty_handed_has_lost_its_job(emulator: Emulator) -> None:
    one, two = (emulator.ask("POST", "run", {"input": i})["id"] for i in range(2))
    emulator.take("w", "&job_in_progress=0")
    emulator.take("w", "&job_in_progress=1")
    ping = f"ping/w?token={emulator.server.token}&job_id={two}"
    assert emulator.raw("GET", ping)[0] == 200
    assert emulator.ask("GET", f"status/{one}")["status"] == "IN_PROGRESS"
    assert emulator.raw("GET", ping)[0] == 200
    assert "nothing was posted" in emulator.ask("GET", f"status/{one}")["error"]
    assert emulator.ask("GET", f"status/{two}")["status"] == "IN_PROGRESS"
    emulator.take("w", "&job_in_progress=0")
    assert emulator.ask("GET", f"status/{two}")["status"] == "FAILED"


def test_a_job_is_not_handed_to_a_worker_that_hung_up(emulator: Emulator) -> None:
    gone = socket.create_connection(("127.0.0.1", emulator.server.port))
    line = f"GET /v2/ep/job-take/gone?token={emulator.server.token} HTTP/1.1\r\nHost: x\r\n\r\n"
    gone.sendall(line.encode())
    time.sleep(0.05)
    gone.close()
    time.sleep(0.05)
    id = emulator.ask("POST", "run", {"input": 1})["id"]
    assert emulator.take("w")["id"] == id


# -- time -----------------------------------------------------------------------------------------


def test_times_of_a_job() -> None:
    settings = Settings(
        execution_timeout_s=0.3, ttl_s=1.5, run_retention_s=0.6, runsync_retention_s=0.2,
        take_hold_s=0.1, stream_hold_s=0,
    )  # fmt: skip
    with Emulator(settings) as emulator:
        slow = emulator.ask("POST", "run", {"input": 1})["id"]
        emulator.take("w")
        facts = emulator.until(slow, "TIMED_OUT", within_s=2)
        assert facts["error"] == "job timed out after 0.3 s (executionTimeout)"
        assert 290 <= facts["executionTime"] <= 700
        waiting = emulator.ask("POST", "run", {"input": 1})["id"]
        time.sleep(0.8)
        assert emulator.raw("GET", f"status/{slow}")[0] == 404  # kept 0.6 s after its end
        assert emulator.ask("GET", f"status/{waiting}")["status"] == "IN_QUEUE"
        time.sleep(0.9)
        assert emulator.raw("GET", f"status/{waiting}")[0] == 404  # deleted at its ttl
        assert emulator.take("w") is None
        emulator.run_here(lambda given: json.dumps({"output": given}))
        short = emulator.ask("POST", "runsync", {"input": 1})["id"]
        kept = emulator.ask("POST", "run", {"input": 1})["id"]
        emulator.until(kept, "COMPLETED")
        time.sleep(0.3)
        assert emulator.raw("GET", f"status/{short}")[0] == 404
        assert emulator.ask("GET", f"status/{kept}?ttl=0")["status"] == "COMPLETED"
        assert emulator.raw("GET", f"status/{kept}")[0] == 404


def test_a_job_past_its_ttl_is_deleted_while_it_runs() -> None:
    with Emulator(Settings(ttl_s=0.3, take_hold_s=0.1, stop_hold_s=0.1)) as emulator:
        id = emulator.ask("POST", "run", {"input": 1})["id"]
        emulator.take("w")
        time.sleep(0.6)
        assert emulator.raw("GET", f"status/{id}")[0] == 404
        stop = f"job-stop/w?token={emulator.server.token}"
        assert emulator.raw("GET", stop) == (200, {"jobsToStop": [id]})


def test_rate_limits_hold_if_asked_for() -> None:
    with Emulator(Settings(rate_limits=True)) as emulator:
        told = [emulator.raw("POST", "purge-queue")[0] for _ in range(3)]
    assert told == [200, 200, 429]


# -- webhooks -------------------------------------------------------------------------------------


class _Hooks(http.server.BaseHTTPRequestHandler):
    answers: list[int]
    got: list[Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).got.append(body)
        self.send_response(type(self).answers.pop(0))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("answers", "calls"), [([200], 1), ([500, 200], 2), ([302, 500, 500, 200], 3)]
)
def test_webhooks_are_retried_twice(
    emulator: Emulator, answers: list[int], calls: int, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = type("Hooks", (_Hooks,), {"answers": answers, "got": []})
    with http.server.HTTPServer(("127.0.0.1", 0), hooks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        id = emulator.ask("POST", "run", {"input": 1, "webhook": url})["id"]
        assert emulator.take("w")["webhook"] == url
        emulator.post("job-done", "w", id, {"error": "no"})
        deadline = time.monotonic() + 5
        while len(hooks.got) < calls and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.25)
        server.shutdown()
    assert len(hooks.got) == calls
    assert hooks.got[0]["id"] == id
    assert (hooks.got[0]["status"], hooks.got[0]["error"]) == ("FAILED", "no")
    # the person who waits for it is told, and not with the rest of the URL: it is often a password
    told = [f"webhook of job {id}: 127.0.0.1 was not told in 3 tries: it answered 500"]
    assert [one.getMessage() for one in caplog.records] == (told if 200 in answers else [])


def test_a_webhook_that_is_no_url_changes_nothing(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for hook in (5, "", "ftp://x", f"file://{tmp_path}", "http://127.0.0.1:1/"):
        id = emulator.ask("POST", "run", {"input": 1, "webhook": hook})["id"]
        emulator.take("w")
        emulator.post("job-done", "w", id, {"output": 1})
        assert emulator.ask("GET", f"status/{id}")["status"] == "COMPLETED"
    assert sum("it is no http(s) URL" in one.getMessage() for one in caplog.records) >= 3
