"""What a live card costs the kernel: processor time and bytes of one update, beside a redrawn figure."""

from __future__ import annotations

import json
import threading
from typing import Any

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure

NOOP = "%%handler noop --no-run\ndef noop(job):\n    return None\n"
SETUP = """
import io, threading, time
from pathlib import Path

def view_cpu_s():
    # time on a processor of the thread that feeds the views, from the Linux scheduler
    ids = [thread.native_id for thread in threading.enumerate() if thread.name == "kit-view"]
    return sum(int(Path(f"/proc/self/task/{i}/schedstat").read_text().split()[0]) for i in ids) / 1e9
"""
# five jobs in each tenth of a second, as fast as the card updates
BUSY = """
before = view_cpu_s()
for _ in range(100):
    kit.map([None] * 5, handler="noop").result()
    time.sleep(0.1)
time.sleep(0.5)
spent = view_cpu_s() - before
"""
REDRAW = """
figure = kit.timeline()  # matplotlib is imported once
took = []
for _ in range(5):
    started = time.perf_counter()
    figure = kit.timeline()
    figure.savefig(io.BytesIO(), format="png")
    took.append(time.perf_counter() - started)
"""


class Page:
    """What a browser would be: says hello to the card's comm and counts what comes."""

    def __init__(self, kernel: Kernel) -> None:
        self._client = kernel.client
        self.comm = ""
        self.sizes: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        import queue

        while not self._over.is_set():
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "comm_open" and "anywidget" in json.dumps(content["data"]):
            self.comm = content["comm_id"]
        elif message["msg_type"] == "comm_msg" and content["comm_id"] == self.comm:
            told = content["data"].get("content")
            if isinstance(told, dict) and told.get("t") == "delta":
                size = len(json.dumps(content["data"])) + sum(len(b) for b in message["buffers"])
                self.sizes.append(size)

    def hello(self) -> None:
        data = {"method": "custom", "content": {"t": "hello"}}
        told = self._client.session.msg("comm_msg", {"comm_id": self.comm, "data": data})
        self._client.shell_channel.send(told)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def main() -> list[Figure]:
    with Kernel() as kernel:
        page = Page(kernel)
        try:
            kernel.run(NOOP)
            kernel.run(SETUP)
            page.hello()
            kernel.run("time.sleep(1)")
            kernel.run(BUSY)
        finally:
            page.close()
        spent = kernel.value("spent")
        kernel.run(REDRAW)
        redraw = kernel.value("sorted(took)[2]")
    updates = len(page.sizes)
    if updates < 50:
        raise RuntimeError(f"only {updates} updates came")
    return [
        Figure("updates of the card in 10 s with 50 jobs a second", updates, ""),
        Figure("one update, processor time of the kernel", spent / updates * 1e3, "ms", 1),
        Figure("one update, bytes", sum(page.sizes) / updates, "B", 1000),
        Figure("  matplotlib: the same as a figure, redrawn", redraw * 1e3, "ms"),
        Figure("  share of it", spent / updates / redraw, "x"),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
