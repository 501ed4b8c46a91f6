"""A real ipykernel to measure in: cells go in, seconds and values come out."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.manager import start_new_kernel


class Kernel:
    """A kernel with a store and a working folder of its own.

    Parameters
    ----------
    kit : bool
        Whether ``%load_ext kit`` is run at once.
    """

    def __init__(self, kit: bool = True) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="kit-bench-")
        self.folder = Path(self._home.name)
        env = {**os.environ, "KIT_HOME": str(self.folder / "kit")}
        env["IPYTHONDIR"] = str(self.folder / "ipython")
        self._manager, self.client = start_new_kernel(env=env, cwd=str(self.folder))
        if kit:
            self.run("%load_ext kit")

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._home.cleanup()

    def run(self, source: str, timeout_s: float = 300) -> float:
        """Execute a cell; seconds from the request to its reply, as a front end would see them."""
        started = time.perf_counter()
        identity = self.client.execute(source)
        reply = self._reply(identity, timeout_s)
        took = time.perf_counter() - started
        if reply["status"] != "ok":
            raise RuntimeError("\n".join(reply.get("traceback", [reply["status"]])))
        return took

    def _reply(self, identity: str, timeout_s: float) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=timeout_s)
            if message["parent_header"].get("msg_id") == identity:
                return dict(message["content"])

    def value(self, expression: str, timeout_s: float = 300) -> Any:
        """Value of an expression, through JSON."""
        identity = self.client.execute(
            "", user_expressions={"v": f"__import__('json').dumps({expression})"}
        )
        told = self._reply(identity, timeout_s)["user_expressions"]["v"]
        if told["status"] != "ok":
            raise RuntimeError("\n".join(told["traceback"]))
        return json.loads(eval(told["data"]["text/plain"]))
