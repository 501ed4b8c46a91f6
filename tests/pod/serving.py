"""A real Jupyter server in a process of its own, as a pod has one, and a notebook beside it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from kit.job import Job
from kit.line import parse
from kit.ownlines import line_of, transform
from kit.pod import Pod
from kit.registration import Cell, register
from kit.request import make
from kit.session import Session
from kit.source.record import Cell as RecordedCell
from kit.targets.pod.terms import Pace

#: what the pod must not get from the tests' own environment: it is another machine
_NOT_THERE = ("PYTHONPATH", "KIT_HOME")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Jupyter:
    """``jupyter server`` with a token, in a folder of its own."""

    def __init__(self, folder: Path, *options: str, scheme: str = "http") -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.scheme = scheme
        self.log = folder / "server.log"
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it on its port; returns once it answers."""
        env = {k: v for k, v in os.environ.items() if k not in _NOT_THERE}
        for name in ("CONFIG", "DATA", "RUNTIME"):
            env[f"JUPYTER_{name}_DIR"] = str(self._folder / name.lower())
        env["IPYTHONDIR"] = str(self._folder / "ipython")
        command = [
            sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.allow_root=True",
            f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={self.work}",
            f"--IdentityProvider.token={self.token}", "--ServerApp.jpserver_extensions={}",
            # how often it looks whether a kernel has died: every 3 s if not told
            "--KernelRestarter.time_to_dead=0.5", *self._options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and its kernels, at once."""
        if self._process is not None:
            for pid in [*self.children(), self._process.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def children(self) -> list[int]:
        """Processes of its kernels."""
        import psutil

        assert self._process is not None
        return [child.pid for child in psutil.Process(self._process.pid).children()]


class Desk:
    """A notebook's kernel as the kit sees it: cells are run and recorded, handlers registered.

    A cell may be run there only, as it would be where this machine lacks what the pod has.
    """

    def __init__(self, home: Path) -> None:
        self.session = Session(home)
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.number = 0
        self.pods: list[Pod] = []

    def connect(self, url: str, token: str, pace: Pace | None = None, **options: Any) -> Pod:
        """A pod in use."""
        pod = Pod(url, token=token, **options)
        if pace is not None:
            self.session.places.open_pod(pod, pace)
        self.session.use(pod)
        self.pods.append(pod)
        return pod

    def cell(self, source: str, *, here: bool = True, id: str | None = None) -> None:
        """Run a cell; ``%%handler`` on its first line registers one. ``id``: the same cell again."""
        self.number += 1
        source = textwrap.dedent(source).strip("\n")
        text = line_of(source)
        code = "".join(transform(source.splitlines(keepends=True)))
        if here or text is not None:
            exec(compile(code, f"<cell {self.number}>", "exec"), self.names)
        self.session.record.add(RecordedCell(self.number, id, source, True, time.time()))
        if text is not None:
            cell = Cell(source, code, self.number)
            previous = self.session.handlers.get
            self.session.add(register(cell, parse(text).handler, self.names, None, previous))

    def run(self, input: Any = None, handler: str | None = None, **options: Any) -> Job:
        return self.session.intake.submit(make(input=input), handler, **options)

    def ran(self) -> list[str]:
        """First lines of the statements that the last plan ran."""
        return [row.source for row in self.pods[-1].plan().ran]

    def close(self) -> None:
        self.session.close()
