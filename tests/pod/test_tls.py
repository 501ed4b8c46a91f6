"""Certificates are always verified: a private authority is trusted when it is named, and no other."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.errors import TargetError
from tests.pod.certificates import Authority, Issued
from tests.pod.serving import Desk, Jupyter

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def listening(issued: Issued) -> Iterator[tuple[int, list[bytes]]]:
    """A TLS server that notes whatever it is told."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    raw, _ = server.accept()
                except OSError:
                    continue
                with raw:
                    try:
                        with context.wrap_socket(raw, server_side=True) as one:
                            heard.append(one.recv(65_536))
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], heard
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("expired", "expired"),
        ("early", "not yet valid"),
        ("wrong host", "mismatch|not valid for"),
        ("no name", "mismatch|not valid for|no appropriate|alternative"),
        ("self-signed", "self.signed"),
        ("another authority", "unable to get local issuer|self.signed|verify failed"),
    ],
)
def test_a_bad_certificate_is_refused_and_nothing_is_sent(
    authority: Authority, tmp_path: Path, kit_home: Path, fault: str, words: str
) -> None:
    other = Authority(tmp_path, "other")
    issued = other.issue() if fault == "another authority" else authority.issue(fault)
    desk = Desk(kit_home)
    try:
        with listening(issued) as (port, heard):
            with pytest.raises(TargetError, match="is not trusted") as caught:
                desk.connect(f"https://127.0.0.1:{port}", "secret-token-1", ca=str(authority.pem))
        assert not [text for text in heard if text]
        assert re.search(words, str(caught.value), re.IGNORECASE), caught.value
        assert "secret-token-1" not in str(caught.value)
    finally:
        desk.close()


def test_a_private_authority_is_trusted_when_it_is_named(
    authority: Authority,
    tmp_path: Path,
    kit_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issued = authority.issue()
    options = (
        f"--ServerApp.certfile={issued.certificate}",
        f"--ServerApp.keyfile={issued.key}",
    )
    jupyter = Jupyter(tmp_path / "pod", *options, scheme="https")
    desk = Desk(kit_home)
    try:
        with pytest.raises(TargetError, match=r"SSL_CERT_FILE.*ca="):
            desk.connect(jupyter.url, jupyter.token)
        desk.connect(jupyter.url, jupyter.token, ca=str(authority.pem))
        desk.cell("%%handler handler\ndef handler(job):\n    return job['input'] + 1")
        assert desk.run(1).result(60) == 2
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
        desk.connect(jupyter.url, jupyter.token, kernel="by the environment")
        assert desk.run(2).result(60) == 3
    finally:
        desk.close()
        jupyter.stop()


def test_verification_is_switched_off_nowhere() -> None:
    needles = ("ssl" + "=False", "CERT" + "_NONE", "check_hostname" + " = ", "verify_mode" + " = ")
    found = [
        f"{path.relative_to(ROOT)}: {needle}"
        for path in (ROOT / "kit").rglob("*.py")
        for needle in needles
        if needle in path.read_text(encoding="utf-8")
    ]
    assert not found
