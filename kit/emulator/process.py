"""One real worker: ``python -u handler.py`` under its warden, and what it prints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_WARDEN = Path(__file__).with_name("warden.py")
_TAIL_CHARS = 65_536
_LINE_CHARS = 65_536
#: variables of the kernel's that would change what the SDK does in a worker
_NOT_OURS = (
    "RUNPOD_WEBHOOK_", "RUNPOD_AI_API_KEY", "RUNPOD_ENDPOINT_ID", "RUNPOD_POD_ID",
    "RUNPOD_POD_HOSTNAME", "RUNPOD_REALTIME_", "RUNPOD_PING_INTERVAL", "RUNPOD_LOG_LEVEL",
    "RUNPOD_DEBUG_LEVEL", "RUNPOD_PROJECT_ID",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the SDK's own log."""

    job_id: str | None
    level: str
    message: str


def environment(
    base: str, endpoint: str, token: str, worker_id: str, image: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of a worker on RunPod, pointing here; ``image`` are those that its image sets.

    The URLs must have a query: the SDK appends ``&...`` to them.
    """
    env = {
        name: value
        for name, value in {**os.environ, **(image or {})}.items()
        if not name.startswith(_NOT_OURS)
        and not (name == "MPLBACKEND" and value.startswith("module://"))
    }
    root = f"{base}/{endpoint}"
    query = f"?token={token}"
    hosts = ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"]))
    env.update(
        RUNPOD_WEBHOOK_GET_JOB=f"{root}/job-take/$ID{query}",
        RUNPOD_WEBHOOK_POST_OUTPUT=f"{root}/job-done/$RUNPOD_POD_ID/$ID{query}",
        RUNPOD_WEBHOOK_POST_STREAM=f"{root}/job-stream/$RUNPOD_POD_ID/$ID{query}",
        RUNPOD_WEBHOOK_PING=f"{root}/ping/$RUNPOD_POD_ID{query}",
        RUNPOD_PING_INTERVAL="1000",
        # only that it is set matters: without it the SDK does not ping. Never the person's own key.
        RUNPOD_AI_API_KEY=token,
        RUNPOD_POD_ID=worker_id,
        RUNPOD_POD_HOSTNAME=worker_id,
        RUNPOD_ENDPOINT_ID=endpoint,
        # its own lines as JSON with the job's id: how a lost result is noticed
        RUNPOD_LOG_LEVEL="INFO",
        # the start-up checks open 8.8.8.8:53 and look at the disk; they are about RunPod's machines
        RUNPOD_SKIP_AUTO_SYSTEM_CHECKS="true",
        RUNPOD_SKIP_GPU_CHECK="true",
        NO_PROXY=hosts,
        no_proxy=hosts,
        PYTHONUNBUFFERED="1",
    )
    return env


class Process:
    """A worker process; made and used on the emulator's loop.

    Parameters
    ----------
    folder : Path
        Its working directory.
    command : sequence of str
    env : dict
    on_text : callable
        Gets what the handler printed.
    on_record : callable
        Gets each line of the SDK's own log.
    on_exit : callable
        Called once, when nothing of it is left.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        env: dict[str, str],
        *,
        on_text: Callable[[str], None],
        on_record: Callable[[Record], None],
        on_exit: Callable[[], None],
    ) -> None:
        self._on_text, self._on_record, self._on_exit = on_text, on_record, on_exit
        self.started_at = time.monotonic()
        self.pid: int | None = None
        self.code: int | None = None
        self.ended = False
        self._partial = ""
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self._heard = b""
        self._loop = asyncio.get_running_loop()
        lifeline, self._lifeline = os.pipe()
        self._status, status = os.pipe()
        self._log, log = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [
                    sys.executable, "-I", "-S", str(_WARDEN),
                    *map(str, (os.getpid(), lifeline, status)), *command,
                ],
                cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(lifeline, status), start_new_session=True,
            )  # fmt: skip
        except OSError:
            for descriptor in (self._lifeline, self._status, self._log):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (lifeline, status, log):
                os.close(descriptor)
        for descriptor in (self._log, self._status):
            os.set_blocking(descriptor, False)
        self._loop.add_reader(self._log, self.drain)
        self._loop.add_reader(self._status, self._told)

    # -- what it says ---------------------------------------------------------------------------

    def drain(self) -> None:
        """Take in everything it has printed until now."""
        for _ in range(64):  # a process that prints without end must not hold the loop
            try:
                data = os.read(self._log, 65_536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._log)
                return
            self._read(data.decode("utf-8", "replace"))

    def _read(self, text: str) -> None:
        text = self._partial + text
        lines = text.splitlines(keepends=True)
        self._partial = ""
        if lines and not lines[-1].endswith("\n") and len(lines[-1]) < _LINE_CHARS:
            self._partial = lines.pop()
        plain: list[str] = []
        for line in lines:
            record = _record(line)
            if record is None:
                plain.append(line)
                continue
            self._say(plain)
            plain = []
            self._keep(f"{record.level:<7}| {record.message}\n")
            self._on_record(record)
        self._say(plain)

    def _say(self, lines: list[str]) -> None:
        if lines:
            text = "".join(lines)
            self._keep(text)
            self._on_text(text)

    def _keep(self, text: str) -> None:
        self._tail.append(text[-_TAIL_CHARS:])
        self._tail_chars += len(self._tail[-1])
        while self._tail_chars - len(self._tail[0]) >= _TAIL_CHARS:
            self._tail_chars -= len(self._tail.popleft())

    def flush(self) -> None:
        """Drain, and pass on a last line without its end."""
        self.drain()
        partial, self._partial = self._partial, ""
        if partial:
            self._say([partial])

    @property
    def tail(self) -> str:
        """The last 64 kB of all it printed."""
        return "".join(self._tail)

    def _told(self) -> None:
        try:
            data = os.read(self._status, 4096)
        except BlockingIOError:
            return
        self._heard += data
        for line in self._heard.decode("ascii", "replace").splitlines():
            word, _, number = line.partition(" ")
            if word == "pid":
                self.pid = int(number)
            elif word == "exit":
                self.code = int(number)
        if not data:
            self._over()

    # -- ending it ------------------------------------------------------------------------------

    def terminate(self) -> None:
        """SIGTERM: the SDK finishes its jobs and exits."""
        with contextlib.suppress(OSError):
            os.write(self._lifeline, b"T")

    def kill(self) -> None:
        """SIGKILL to everything that came of it; ``on_exit`` follows within milliseconds."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def kill_now(self, within_s: float = 5.0) -> None:
        """The same, blocking until nothing is left. ``on_exit`` is not called."""
        self.kill()
        self._on_exit = lambda: None
        try:
            self._popen.wait(within_s)
        except subprocess.TimeoutExpired:  # the warden itself hangs: its group is not the worker's
            for pid in filter(None, (self.pid, self._popen.pid)):
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)
        self._over()

    def _over(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._loop.remove_reader(self._status)
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(5.0)
        self.flush()
        self._loop.remove_reader(self._log)
        os.close(self._status)
        os.close(self._log)
        self._on_exit()

    def how(self) -> str:
        """How it ended, for a sentence."""
        if self.code is None:
            return "was killed"
        if self.code < 0:
            name = signal.Signals(-self.code).name
            more = ", most likely out of memory" if name == "SIGKILL" else ""
            return f"was killed by {name}{more}"
        return f"ended with code {self.code}"


def _record(line: str) -> Record | None:
    if not line.startswith('{"requestId": ') or '"level": ' not in line:
        return None
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    if not isinstance(raw, dict) or set(raw) != {"requestId", "message", "level"}:
        return None
    return Record(raw["requestId"], str(raw["level"]), str(raw["message"]))
