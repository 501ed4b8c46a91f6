"""RunPod's REST API v2: what is asked, what is made of the answers, and what becomes of the key."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kit
from kit.errors import RunpodError, TargetError, UsageError
from kit.podlist import in_own_loop, listed, resolve
from kit.runpod_api import RunpodApi, find_key
from kit.secret import Secret
from tests.pods.standin import KEY, StandIn, pod, serve


@pytest.fixture
def account() -> Iterator[StandIn]:
    account = StandIn()
    server = serve(account)
    yield account
    server.shutdown()
    server.server_close()
    assert not account.broken


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    return tmp_path


def pods(account: StandIn) -> tuple[Any, ...]:
    return asyncio.run(RunpodApi(KEY, url=account.url).pods())


def test_pods_are_read_as_the_contract_has_them(account: StandIn) -> None:
    cpu = {key: value for key, value in pod("c").items() if key != "gpu"}
    cpu |= {"cpu": {"id": "cpu3c", "vcpuCount": 4, "memory": 8}, "status": "EXITED", "cost": 0.0}
    cpu |= {"runtime": None, "startedAt": None, "dataCenterId": None}
    account.pods = [pod("a"), pod("b", gpu={"id": "NVIDIA H100", "count": 4}, cost=11.96), cpu]
    a, b, c = pods(account)
    assert (a.id, a.name, a.gpu, a.gpu_count, a.status) == (
        *("a", "pod a", "NVIDIA GeForce RTX 4090", 1, "RUNNING"),
    )
    assert (a.cost_per_hour_usd, a.uptime_s, a.data_center) == (0.44, 3600, "US-KS-2")
    assert a.jupyter_url() == "https://a-8888.proxy.runpod.net"
    assert a.jupyter_token == Secret("the token of a")
    assert (b.gpu_count, b.cost_per_hour_usd) == (4, 11.96)
    assert (c.gpu, c.gpu_count, c.uptime_s, c.status) == (None, 0, None, "EXITED")
    assert "the token of a" not in repr(a)
    assert account.asked == [("GET", "/v2/pods")]


def test_a_token_that_is_a_reference_is_no_token(account: StandIn) -> None:
    account.pods = [
        pod("a", env={"JUPYTER_PASSWORD": "{{ RUNPOD_SECRET_jupyter }}"}),
        pod("b", env={"JUPYTER_TOKEN": "a token"}),
        pod("c", env={}),
    ]
    assert [one.jupyter_token for one in pods(account)] == [None, Secret("a token"), None]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("PROVISIONING", "allocated"),
        ("STARTING", "still starting"),
        ("EXITED", "is stopped"),
        ("ERROR", "error state"),
        ("TERMINATED", "terminated"),
        ("RESTING", "does not know"),
    ],
)
def test_a_pod_that_does_not_run_is_told_plainly(account: StandIn, status: str, says: str) -> None:
    account.instead = lambda path: (200, {}, pod("a", status=status, runtime=None))
    with pytest.raises(TargetError, match=says):
        resolve("a", KEY, api_url=account.url)


def test_a_pod_without_the_port_is_told_plainly(account: StandIn) -> None:
    account.pods = [pod("a", ports=["22/tcp"])]
    with pytest.raises(TargetError, match=r"no port 8888/http \(its ports: 22/tcp\)"):
        resolve("a", KEY, api_url=account.url)


def test_a_pod_is_resolved(account: StandIn) -> None:
    account.pods = [pod("a")]
    found = resolve("a", KEY, api_url=account.url)
    assert found.url == "https://a-8888.proxy.runpod.net"
    assert (found.label, found.token) == ("a (pod a)", Secret("the token of a"))
    assert account.asked == [("GET", "/v2/pods/a")]


@pytest.mark.parametrize("id", ["", "../templates", "a/b", "a?b", "a b", "ä", "a" * 65, "a\n"])
def test_what_is_no_id_is_not_asked_for(account: StandIn, id: str) -> None:
    with pytest.raises(UsageError, match="is not the id of a pod"):
        resolve(id, KEY, api_url=account.url)
    assert not account.asked


# -- errors ---------------------------------------------------------------------------------------


def test_runpod_s_own_words_are_in_the_error(account: StandIn) -> None:
    with pytest.raises(RunpodError, match=r"404 to /pods/gone: Not Found: pod not found.*kit.pods"):
        resolve("gone", KEY, api_url=account.url)
    with pytest.raises(RunpodError, match=r"401.*bearer token is invalid.*Check the key") as told:
        resolve("a", "rpa_" + "WRNG" * 10, api_url=account.url)
    assert told.value.status == 401
    assert "WRNG" not in str(told.value)
    account.instead = lambda path: account.problem(403, "Forbidden", "missing scope pods:read")
    with pytest.raises(RunpodError, match=r"403.*pods:read.*lacks the permission"):
        pods(account)
    account.instead = lambda path: account.problem(
        429, "Too Many Requests", "minute window", **{"Retry-After": "17"}
    )
    with pytest.raises(RunpodError, match=r"minute window\. Try again in 17 s"):
        pods(account)


def test_a_fault_of_the_other_side_is_tried_again(account: StandIn) -> None:
    account.pods = [pod("a")]
    left = [account.problem(502, "Bad Gateway", "upstream"), (500, {}, b"oops")]
    account.instead = lambda path: left.pop() if left else None
    assert len(pods(account)) == 1
    assert len(account.asked) == 3
    account.instead = lambda path: (503, {}, b"<html>busy</html>")
    with pytest.raises(RunpodError, match=r"503.*fault of its own"):
        pods(account)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"pods": 3}',
        b'{"pods": [3]}',
        b'{"pods": [{"id": "a"}]}',
        b'{"pods": [{"id": "a", "name": "", "image": "", "status": "RUNNING", "cost": "much"}]}',
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(account: StandIn, body: bytes) -> None:
    account.instead = lambda path: (200, {}, body)
    with pytest.raises(RunpodError, match="something that its contract does not know"):
        pods(account)


def test_nobody_there_is_told(account: StandIn) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v2"
    with pytest.raises(RunpodError, match="cannot be reached"):
        asyncio.run(RunpodApi(KEY, url=url).pods())


# -- the key --------------------------------------------------------------------------------------


def test_the_key_is_looked_up_in_three_places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"RUNPOD_API_KEY.*runpod config"):
        find_key()
    (home / ".runpod").mkdir()
    (home / ".runpod" / "config.toml").write_text('[default]\napi_key = "from the file"\n')
    # a key has no spaces, so this one is refused, without being shown
    with pytest.raises(UsageError, match="spaces") as told:
        find_key()
    assert "from the file" not in str(told.value)
    (home / ".runpod" / "config.toml").write_text('[default]\napi_key = "from-the-file"\n')
    assert find_key().reveal() == "from-the-file"
    monkeypatch.setenv("RUNPOD_API_KEY", "from-the-environment")
    assert find_key().reveal() == "from-the-environment"
    assert find_key("from-the-argument").reveal() == "from-the-argument"
    assert find_key(Secret("a-secret")).reveal() == "a-secret"


def test_a_broken_config_file_does_not_show_the_key(home: Path) -> None:
    (home / ".runpod").mkdir()
    (home / ".runpod" / "config.toml").write_text("[default]\napi_key = rpa_" + "QQQQ" * 10)
    with pytest.raises(UsageError, match="not valid TOML") as told:
        find_key()
    assert "QQQQ" not in str(told.value)


def test_the_key_follows_no_redirect(account: StandIn) -> None:
    elsewhere = StandIn()
    server = serve(elsewhere)
    try:
        account.instead = lambda path: (302, {"Location": elsewhere.url + "/pods"}, b"")
        with pytest.raises(RunpodError, match=r"redirected.*not sent there"):
            pods(account)
        assert not elsewhere.asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_netrc_does_not_take_the_key_s_place(
    account: StandIn, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    account.pods = [pod("a")]
    assert len(pods(account)) == 1


def test_the_key_goes_by_https_only() -> None:
    with pytest.raises(UsageError, match="https only"):
        RunpodApi(KEY, url="http://api.example.com/v2")


# -- the table ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """A real Jupyter server with a token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    folder = tmp_path_factory.mktemp("jupyter")
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--allow-root", f"--ServerApp.root_dir={folder}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "JUPYTER_TOKEN": token}, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    said = (folder / "log").read_text(errors="replace")
                    assert server.poll() is None, said
                    assert time.monotonic() < deadline, said
                    time.sleep(0.1)
            yield port, token
        finally:
            server.terminate()
            server.wait(20)


def test_the_table_says_whose_jupyter_answers(account: StandIn, jupyter: tuple[int, str]) -> None:
    port, token = jupyter
    account.pods = [
        pod("right", env={"JUPYTER_PASSWORD": token}),
        pod("wrong"),
        pod("unknown", env={}),
        pod("stopped", status="EXITED", runtime=None, cost=0.0),
        pod("closed", ports=["22/tcp"]),
    ]
    proxy = f"http://127.0.0.1:{port}"
    table = listed(KEY, api_url=account.url, proxy_url=proxy)
    assert dict(zip(table["id"], table["jupyter"])) == {
        "right": "answers",
        "wrong": "wrong token",
        "unknown": "answers, token unknown",
        "stopped": "not running",
        "closed": "no port 8888/http",
    }
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "id": "string",
        "name": "string",
        "gpu": "string",
        "gpu_count": "Int64",
        "state": "category",
        "cost_per_hour_usd": "Float64",
        "jupyter": "string",
    }
    assert token not in table.to_string()
    account.pods = [pod("other")]
    # the API itself is no Jupyter
    other = account.url.removesuffix("/v2")
    (said,) = listed(KEY, api_url=account.url, proxy_url=other)["jupyter"]
    assert said == "no Jupyter (HTTP 404)"
    account.broken.clear()  # that was not a question to the API
    assert listed(KEY, probe=False, api_url=account.url)["jupyter"].isna().all()


def test_an_empty_account_is_an_empty_table(account: StandIn) -> None:
    table = listed(KEY, api_url=account.url)
    assert len(table) == 0
    assert list(table) == [
        "id",
        "name",
        "gpu",
        "gpu_count",
        "state",
        "cost_per_hour_usd",
        "jupyter",
    ]


def test_without_a_key_kit_pods_says_where_one_is_looked_for(home: Path) -> None:
    with pytest.raises(kit.UsageError, match="RUNPOD_API_KEY"):
        kit.pods()


def test_waiting_in_a_running_loop_works_and_errors_come_through() -> None:
    async def cell() -> int:
        async def work() -> int:
            await asyncio.sleep(0)
            return 3

        return in_own_loop(work())

    assert asyncio.run(cell()) == 3

    async def broken() -> None:
        raise ValueError("as it was")

    with pytest.raises(ValueError, match="as it was"):
        in_own_loop(broken())
