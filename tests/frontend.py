"""A front end without a screen: runs cells in a real ipykernel, keeps outputs, speaks over comms.

It does what JupyterLab does and no more: messages of a comm go to a subshell of its own, outputs with
a display id are replaced by updates.
"""

from __future__ import annotations

import os
import queue
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
WIDGET = "application/vnd.jupyter.widget-view+json"


class Cell:
    """One executed cell: its outputs, as a notebook would hold them."""

    def __init__(self, ident: str) -> None:
        self.ident = ident
        self.outputs: list[dict[str, Any]] = []
        self.status = ""
        self.done = False
        self.done_at = 0.0


class FrontEnd:
    """A kernel and its only client.

    Parameters
    ----------
    home : Path
        Folder of the journal.
    subshells : bool
        Send comm messages to a subshell, as JupyterLab does by default.
    """

    def __init__(self, home: Path, *, subshells: bool = True) -> None:
        env = {**os.environ, "KIT_HOME": str(home), "PYTHONPATH": str(ROOT)}
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(env=env, cwd=str(home.parent))
        self.client: BlockingKernelClient = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)
        self.cells: dict[str, Cell] = {}
        #: model id -> state at its opening, with later changes
        self.models: dict[str, dict[str, Any]] = {}
        #: (model id, content, buffers, time) of every custom message
        self.heard: list[tuple[str, dict[str, Any], list[bytes], float]] = []
        #: raw bytes of everything that the kernel published
        self.raw: list[str] = []
        self._displays: dict[str, list[dict[str, Any]]] = {}
        self._subshell = self._make_subshell() if subshells else None

    def close(self) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def _make_subshell(self) -> str | None:
        message = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(message)
        reply = self.client.get_control_msg(timeout=PATIENCE_S)
        found: str | None = reply["content"].get("subshell_id")
        return found

    # -- cells ----------------------------------------------------------------------------------

    def start(self, source: str, *, lab: bool = True) -> Cell:
        """Send a cell; ``lab`` sends its id with it, as JupyterLab does and nbclient does not."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        metadata = {"cellId": uuid.uuid4().hex} if lab else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        cell = self.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"])
        return cell

    def run(self, source: str, *, lab: bool = True) -> Cell:
        """Run a cell to its end."""
        cell = self.start(source, lab=lab)
        self.until(lambda: cell.done, f"the end of {source[:40]!r}")
        return cell

    def until(self, condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
        """Take messages until something is true."""
        deadline = time.monotonic() + within_s
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, f"waited {within_s:g} s in vain for {what}"
            self._take(0.05)

    def rest(self, seconds: float) -> None:
        """Take messages for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._take(0.05)

    def _take(self, timeout_s: float) -> None:
        try:
            message = self.client.get_iopub_msg(timeout=timeout_s)
        except queue.Empty:
            return
        kind, content = message["header"]["msg_type"], message["content"]
        self.raw.append(repr(content))
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if kind == "status" and cell is not None and content["execution_state"] == "idle":
            cell.done, cell.done_at = True, time.monotonic()
        elif kind in ("display_data", "execute_result", "stream", "error") and cell is not None:
            output = {"kind": kind, **content}
            cell.outputs.append(output)
            ident = content.get("transient", {}).get("display_id")
            if ident:
                self._displays.setdefault(ident, []).append(output)
        elif kind == "update_display_data":
            for output in self._displays.get(content["transient"]["display_id"], []):
                output["data"] = content["data"]
        elif kind == "comm_open":
            self.models[content["comm_id"]] = content["data"].get("state", {})
        elif kind == "comm_close":
            self.models.pop(content["comm_id"], None)
        elif kind == "comm_msg":
            self._comm(content, message["buffers"])

    def _comm(self, content: dict[str, Any], buffers: list[Any]) -> None:
        data = content["data"]
        if data.get("method") == "update":
            self.models.setdefault(content["comm_id"], {}).update(data["state"])
        elif data.get("method") == "custom":
            raw = [bytes(b) for b in buffers]
            self.heard.append((content["comm_id"], data["content"], raw, time.monotonic()))

    # -- a card ---------------------------------------------------------------------------------

    def card_of(self, cell: Cell) -> Card:
        """The live card among a cell's outputs, with its page just opened."""
        view = next(o["data"][WIDGET] for o in cell.outputs if WIDGET in o.get("data", {}))
        card = Card(self, view["model_id"])
        card.send(t="hello")
        card.wait("snapshot")
        return card

    def send_comm(self, comm_id: str, content: dict[str, Any]) -> None:
        self._send("comm_msg", comm_id, {"method": "custom", "content": content})

    def close_comm(self, comm_id: str) -> None:
        """What a page does that cannot make a view of a model."""
        self._send("comm_close", comm_id, {})

    def _send(self, kind: str, comm_id: str, data: dict[str, Any]) -> None:
        message = self.client.session.msg(kind, {"comm_id": comm_id, "data": data})
        if self._subshell is not None:
            message["header"]["subshell_id"] = self._subshell
        self.client.shell_channel.send(message)


class Card:
    """A page's side of one card."""

    def __init__(self, front: FrontEnd, model: str) -> None:
        self.front, self.model = front, model
        self.clicks = 0

    def said(self, kind: str) -> list[tuple[dict[str, Any], list[bytes], float]]:
        """Messages of one kind so far."""
        return [(c, b, t) for m, c, b, t in self.front.heard if m == self.model and c["t"] == kind]

    def wait(self, kind: str, count: int = 1) -> tuple[dict[str, Any], list[bytes], float]:
        """The ``count``-th message of a kind."""
        self.front.until(lambda: len(self.said(kind)) >= count, f"{count} x {kind}")
        return self.said(kind)[count - 1]

    def send(self, **content: Any) -> None:
        self.front.send_comm(self.model, content)

    def click(self, what: str, **content: Any) -> dict[str, Any]:
        """Press a button and return the answer to it."""
        self.clicks += 1
        click = f"test-{self.clicks}"
        self.send(t=what, c=click, g=self.generation, **content)
        return self.answer(click)

    def answer(self, click: str) -> dict[str, Any]:
        find = lambda: [c for c, _, _ in self.said("ack") if c["c"] == click]  # noqa: E731
        answers: list[dict[str, Any]] = self.front.until(find, f"an answer to {click}")
        return answers[0]

    @property
    def generation(self) -> int:
        return int(self.said("snapshot")[-1][0]["g"])

    def rows(self) -> dict[int, Any]:
        """The jobs as the page knows them now."""
        from kit.views import codec

        rows: dict[int, Any] = {}
        for model, content, buffers, _ in self.front.heard:
            if model == self.model and content["t"] in ("snapshot", "delta"):
                if content["t"] == "snapshot":
                    rows.clear()
                for row in codec.unpack_rows(buffers[0][: content["n"][0]]):
                    rows[row.number] = row
        return rows

    def states(self) -> list[str]:
        from kit.views import codec

        return [codec.STATES[row.state].value for _, row in sorted(self.rows().items())]
