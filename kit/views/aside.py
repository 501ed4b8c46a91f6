"""Questions about payloads, answered aside: small ones here, large ones by a process of their own.

Python's JSON reader holds the interpreter for as long as it reads, a second for 20 MB. A cell, a
handler and every button would stand still. The process is started with the first question about a
large payload, keeps it for the next one, and ends when nobody has asked for a while.
"""

from __future__ import annotations

import atexit
import json
import logging
import queue
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import PayloadError, StoreError
from kit.events import JobKey, JobView
from kit.inspector import KEPT, Answer, Ask, Inspector, read_pieces, write_text
from kit.secret import live_values

if TYPE_CHECKING:
    from kit.store import Store

__all__ = ["Aside", "aside"]

_log = logging.getLogger(__name__)

#: characters up to which a payload is read in this process: under 10 ms
NEAR_CHARS = 300_000
#: seconds without a question after which the process ends
IDLE_S = 30.0
_CODE = (
    "import sys; sys.path.insert(0, {folder!r}); from kit.inspector import serve; serve({idle_s})"
)


class Aside:
    """Answers questions on a thread of its own, one after the other.

    Parameters
    ----------
    idle_s : float
        Seconds without a question after which thread and process end.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._near = Inspector()
        self._process: subprocess.Popen[bytes] | None = None
        #: names of the texts that the process has, in the order in which it forgets them
        self._there: OrderedDict[str, None] = OrderedDict()
        #: ended jobs that were asked about last: their payloads are not read from disk again
        self._views: OrderedDict[JobKey, JobView] = OrderedDict()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the thread soon; returns at once. What it raises is logged."""
        with self._lock:
            self._calls.put(function)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="kit-aside", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                function = self._calls.get(timeout=self._idle_s)
            except queue.Empty:
                with self._lock:
                    if not self._calls.empty():
                        continue
                    self.close()
                    self._near = Inspector()
                    self._views.clear()
                    self._thread = None
                    return
            try:
                function()
            except StoreError as error:
                _log.debug("a payload could not be read: %s", error)
            except Exception:
                _log.exception("a question about a payload failed")

    # -- on the thread --------------------------------------------------------------------------

    def view(self, store: Store, key: JobKey) -> JobView | None:
        """A job of a store; one that has ended is kept for the next question."""
        view = self._views.get(key)
        if view is None:
            view = store.view(key)
            if view is None or not view.state.final:
                return view
            self._views[key] = view
        self._views.move_to_end(key)
        while len(self._views) > 2:
            self._views.popitem(last=False)
        return view

    def ask(self, ask: Ask, texts: Mapping[str, str]) -> Answer:
        """Answer a question. On the thread of ``call``, or where there is no other.

        Parameters
        ----------
        ask : Ask
        texts : mapping
            The payloads it names.

        Returns
        -------
        Answer
            With ``s``, a sentence, in its content if there is none.
        """
        if sum(map(len, texts.values())) > NEAR_CHARS:
            try:
                return self._ask_process(ask, texts)
            except OSError as error:
                _log.debug("no process for large payloads (%s): read in this one", error)
        self._near.touch(ask)
        for name, text in texts.items():
            if not self._near.has(name):
                self._near.put(name, text)
        try:
            return self._near.answer(ask)
        except PayloadError as error:
            return Answer({"s": str(error)})

    def _ask_process(self, ask: Ask, texts: Mapping[str, str]) -> Answer:
        for last in (False, True):
            try:
                return self._exchange(ask, texts)
            except (EOFError, BrokenPipeError, ConnectionResetError, ValueError):
                # it had just ended for want of questions, or has been ended: once more
                code = self._end()
                if last:
                    return Answer(
                        {
                            "s": "The process that reads large payloads ended before it answered "
                            f"(code {code}): there may not be enough memory for this one."
                        }
                    )
        raise AssertionError  # the loop returns

    def _exchange(self, ask: Ask, texts: Mapping[str, str]) -> Answer:
        process = self._open()
        assert process.stdin is not None
        assert process.stdout is not None
        fresh = [name for name in texts if name not in self._there]
        head = {"ask": asdict(ask), "texts": fresh, "known": live_values()}
        process.stdin.write(json.dumps(head).encode() + b"\n")
        self._touch(ask)
        for name in fresh:
            write_text(process.stdin, texts[name])
            self._there[name] = None
            while len(self._there) > KEPT:
                self._there.popitem(last=False)
        process.stdin.flush()
        self._touch(ask)
        line = process.stdout.readline()
        if not line:
            raise EOFError
        told = json.loads(line)
        data = b"".join(read_pieces(process.stdout))
        return Answer(told["content"], data if told["data"] else None)

    def _touch(self, ask: Ask) -> None:
        """What the process does with the same question: see ``Inspector.touch``."""
        for name in (ask.name, ask.other):
            if name in self._there:
                self._there.move_to_end(name)

    def _open(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            if not sys.executable:
                raise OSError("the interpreter does not know its own program")
            folder = str(Path(__file__).resolve().parents[2])
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE.format(folder=folder, idle_s=self._idle_s + 10)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # the kernel's Stop button is not meant for it
                start_new_session=True,
            )
            atexit.register(_kill, self._process)
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        self._there.clear()
        if process is None:
            return None
        atexit.unregister(_kill)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was still to be written has no reader
                    pass
        try:
            return process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """End the process, if there is one."""
        self._end()


def _kill(process: subprocess.Popen[bytes]) -> None:
    # its pipes are left alone: the thread that reads them may hold them
    process.kill()
    process.wait()


#: the one of this process
aside = Aside()
