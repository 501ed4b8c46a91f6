"""A real ipykernel and a client that can do what a front end does: run, interrupt, answer, kill."""

from __future__ import annotations

import ast
import json
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parent.parent.parent
#: for anything that takes part of a second on an idle machine
PATIENCE_S = 60.0
WIDGET = "application/vnd.jupyter.widget-view+json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kernel)


class Result:
    """What one cell came to."""

    def __init__(self, code: str, parent: str) -> None:
        self.code, self.parent = code, parent
        self.outputs: list[dict[str, Any]] = []
        self.status = ""
        self.reply: dict[str, Any] = {}
        self.idle = False
        self.asked: list[str] = []

    @property
    def done(self) -> bool:
        return self.idle and bool(self.reply)

    def stream(self, name: str) -> str:
        return "".join(
            o["text"] for o in self.outputs if o["kind"] == "stream" and o["name"] == name
        )

    @property
    def text(self) -> str:
        """What was printed, and the text of results."""
        parts = []
        for output in self.outputs:
            if output["kind"] == "stream":
                parts.append(output["text"])
            elif output["kind"] == "execute_result":
                parts.append(output["data"].get("text/plain", ""))
        return "".join(parts)

    @property
    def data(self) -> list[dict[str, Any]]:
        """Mime bundles of what was displayed."""
        return [o["data"] for o in self.outputs if o["kind"] == "display_data"]

    @property
    def error(self) -> str:
        """The error as one line; empty if the cell is not marked as failed."""
        if self.status != "error":
            return ""
        return f"{self.reply.get('ename')}: {self.reply.get('evalue')}"

    @property
    def shown_error(self) -> str:
        """Text of the error outputs, without colours."""
        import re

        lines = [line for o in self.outputs if o["kind"] == "error" for line in o["traceback"]]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))

    @property
    def number(self) -> int:
        return int(self.reply["execution_count"])


class Kernel:
    """One kernel with the kit on its path, and its only client.

    Parameters
    ----------
    folder : Path
        Holds the journal (``kit``), the profile and the working folder (``cwd``).
    load : bool
        Run ``%load_ext kit`` at once.
    """

    def __init__(self, folder: Path, *, load: bool = True) -> None:
        self.folder = folder
        self.home, self.cwd = folder / "kit", folder / "cwd"
        self.cwd.mkdir(exist_ok=True)
        env = {
            **os.environ,
            "KIT_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        }
        # ipykernel leaves descriptors 1 and 2 alone where it believes to run inside a test
        env.pop("PYTEST_CURRENT_TEST", None)
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=env, cwd=str(self.cwd))
        self._results: dict[str, Result] = {}
        #: bytes of all that the kernel has published, and the text itself while somebody listens
        self.published = 0
        self.heard: list[str] | None = None
        self._connect()
        self._load = load
        if load:
            assert not self.run("%load_ext kit").error

    def _connect(self) -> None:
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    # -- cells ----------------------------------------------------------------------------------

    def start(
        self, code: str, *, stop_on_error: bool = False, metadata: dict[str, Any] | None = None
    ) -> Result:
        """Send a cell and return at once; ``metadata`` is what JupyterLab says of it."""
        code = code.lstrip("\n")
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": True, "stop_on_error": stop_on_error,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        ident = str(message["header"]["msg_id"])
        result = self._results[ident] = Result(code, ident)
        return result

    def run(self, code: str, *, answers: Sequence[str] = ()) -> Result:
        """Run a cell to its end; ``answers`` go to what it asks by ``input()`` or a debugger."""
        return self.finish(self.start(code), answers=answers)

    def good(self, code: str) -> Result:
        """Run a cell that must not fail."""
        result = self.run(code)
        assert not result.error, f"{result.error}\n{result.shown_error}"
        return result

    def finish(self, result: Result, *, answers: Sequence[str] = ()) -> Result:
        """Take messages until a cell is done."""
        waiting = list(answers)

        def answer() -> bool:
            self._take_question(result, waiting)
            return result.done

        self.until(answer, f"the end of {result.code[:60]!r}")
        return result

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Take messages until something is true."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self._take()
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s in vain for {what}"

    def _take(self) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=0.02)
        except queue.Empty:
            message = None
        while message is not None:
            self._published(message)
            try:
                message = self.client.get_iopub_msg(timeout=0)
            except queue.Empty:
                message = None
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=0)
            except queue.Empty:
                return
            result = self._results.get(reply["parent_header"].get("msg_id", ""))
            if result is not None:
                result.reply, result.status = reply["content"], reply["content"]["status"]

    def _published(self, message: dict[str, Any]) -> None:
        text = repr(message["content"])
        self.published += len(text) + sum(map(len, message["buffers"]))
        if self.heard is not None:
            self.heard += [text, *(bytes(b).decode("latin-1") for b in message["buffers"])]
        result = self._results.get(message["parent_header"].get("msg_id", ""))
        if result is None:
            return
        kind = message["msg_type"]
        if kind == "status":
            result.idle = message["content"]["execution_state"] == "idle"
        elif kind in ("stream", "display_data", "execute_result", "error"):
            result.outputs.append({"kind": kind, **message["content"]})

    def _take_question(self, result: Result, answers: list[str]) -> None:
        try:
            question = self.client.get_stdin_msg(timeout=0)
        except queue.Empty:
            return
        result.asked.append(question["content"]["prompt"])
        assert answers, f"the cell asks {question['content']['prompt']!r} and nobody answers"
        self.client.input(answers.pop(0))

    # -- between cells --------------------------------------------------------------------------

    def value(self, expression: str) -> Any:
        """A JSON value from the kernel, without running a cell that anybody counts."""
        ident = self.client.execute(
            "", silent=True, user_expressions={"v": f"__import__('json').dumps(({expression}))"}
        )
        result = self._results[ident] = Result(expression, ident)
        self.until(lambda: result.done, expression)
        found = result.reply["user_expressions"]["v"]
        assert found["status"] == "ok", found
        return json.loads(ast.literal_eval(found["data"]["text/plain"]))

    def until_value(self, expression: str, wanted: Any = True) -> None:
        """Poll an expression in the kernel."""
        deadline = time.monotonic() + PATIENCE_S
        while (value := self.value(expression)) != wanted:
            assert time.monotonic() < deadline, f"{expression} stays {value!r}, not {wanted!r}"
            time.sleep(0.02)

    def complete(self, code: str) -> list[str]:
        """What the Tab key offers at the end of a text."""
        reply = self.client.complete(code, reply=True, timeout=PATIENCE_S)
        return list(reply["content"]["matches"])

    # -- the hard way ---------------------------------------------------------------------------

    def interrupt(self) -> None:
        """The stop button."""
        self.manager.interrupt_kernel()

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel is gone."""
        os.kill(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while self.manager.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def restart(self) -> None:
        """A new kernel in the place of the old one, dead or alive."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._results.clear()
        self._connect()
        if self._load:
            assert not self.run("%load_ext kit").error


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all tests that leave it as they found it; ask for ``kernel``."""
    made = Kernel(tmp_path_factory.mktemp("kernel"))
    yield made
    made.close()


@pytest.fixture
def kernel(shared: Kernel) -> Iterator[Kernel]:
    """The shared kernel, alive before and after."""
    assert shared.value("1") == 1
    yield shared
    assert shared.value("1") == 1, "this test has ended the shared kernel"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel of the test's own."""
    made = Kernel(tmp_path)
    yield made
    made.close()
