"""A payload of 20 MB: what the page gets unasked, and how long the kernel's main thread stands still."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure

HANDLER = (
    "%%handler large --no-run\ndef large(job):\n"
    "    return {f'key {k}': [k, k / 7] for k in range(520_000)}\n"
)
RUN = "job = kit.run({}, timeout_s=120); job.result(120); None"
# the cell looks at the clock and at nothing else; what stopped it is told by the processor time that
# the kernel's other threads took meanwhile: other programs on the machine do not count
CLOCK = """
import time
def longest_s(seconds):
    worst, end = 0.0, time.perf_counter() + seconds
    before, others = time.perf_counter(), time.process_time() - time.thread_time()
    while before < end:
        now, theirs = time.perf_counter(), time.process_time() - time.thread_time()
        worst = max(worst, min(now - before, theirs - others))
        before, others = now, theirs
    return worst
"""
#: seconds of the cell beside which the page asks
LOOK_S = 12
#: seconds in which the card draws its picture for the saved notebook, which is not measured here
REST_S = 8
QUESTIONS = ("tree", "more", "search", "slice", "compare")


class Page:
    """What a browser would be: asks about the job, and weighs what comes."""

    def __init__(self, kernel: Kernel) -> None:
        self._client = kernel.client
        self.comm = ""
        self.generation = -1
        self.rows = 0
        self.answered: dict[str, int] = {}
        self._over = threading.Event()
        self._subshell = self._make_subshell()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _make_subshell(self) -> str:
        message = self._client.session.msg("create_subshell_request", {})
        self._client.control_channel.send(message)
        return str(self._client.get_control_msg(timeout=30)["content"]["subshell_id"])

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            content = message["content"]
            if message["msg_type"] == "comm_open" and "anywidget" in json.dumps(content["data"]):
                self.comm = content["comm_id"]
            elif message["msg_type"] == "comm_msg" and content["comm_id"] == self.comm:
                self._take(content["data"], message["buffers"])

    def _take(self, data: dict[str, Any], buffers: list[Any]) -> None:
        told = data.get("content")
        if not isinstance(told, dict):
            return
        size = len(json.dumps(data)) + sum(len(b) for b in buffers)
        if told["t"] == "snapshot":
            self.generation, self.rows = told["g"], told["n"][0] // 64
        elif told["t"] == "job":
            self.answered["job"] = size
        elif told["t"] == "part":
            self.answered[told["name"]] = size

    def send(self, **content: Any) -> None:
        told = {"method": "custom", "content": {"g": self.generation, "i": 0, **content}}
        message = self._client.session.msg("comm_msg", {"comm_id": self.comm, "data": told})
        message["header"]["subshell_id"] = self._subshell
        self._client.shell_channel.send(message)

    def wait(self, name: str, limit_s: float = 120) -> int:
        """Bytes of an answer."""
        until = time.monotonic() + limit_s
        while name not in self.answered:
            if time.monotonic() > until:
                raise RuntimeError(f"no answer to {name}")
            time.sleep(0.005)
        return self.answered[name]

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def page_of(kernel: Kernel) -> Iterator[Page]:
    page = Page(kernel)
    try:
        yield page
    finally:
        page.close()


def main() -> list[Figure]:
    with Kernel() as kernel, page_of(kernel) as page:
        kernel.run(HANDLER)
        kernel.run(RUN)
        kernel.run(RUN)
        kernel.run(CLOCK)
        page.send(t="hello")
        time.sleep(REST_S)
        size = kernel.value("len(job.view.done)")
        bare = kernel.value(f"longest_s({LOOK_S})")
        asker = threading.Thread(target=_look, args=(page,))
        asker.start()
        beside = kernel.value(f"longest_s({LOOK_S})")
        asker.join()
        kernel.run("import json\nstarted = time.perf_counter(); json.loads(job.view.done)")
        peer = kernel.value("time.perf_counter() - started")
        unasked = page.answered["job"] + page.answered["tree"]
        return [
            Figure("a payload, encoded", size / 1e6, "MB"),
            Figure("  the page gets unasked", unasked / 1e3, "kB", 200),
            Figure(
                "  longest stop of a busy cell while a page looks at it", beside * 1e3, "ms", 20
            ),
            Figure("    the same cell when nobody looks", bare * 1e3, "ms"),
            Figure("    json.loads of it in the kernel", peer * 1e3, "ms"),
        ]


def _look(page: Page) -> None:
    """What a person does with it, one after the other."""
    page.send(t="job")
    page.wait("job")
    output = {"what": "output", "at": []}
    page.send(t="tree", name="tree", **output)
    page.wait("tree")
    page.send(t="more", name="more", start=100_000, **output)
    page.send(t="search", name="search", q="519999", **output)
    page.send(t="slice", name="slice", start=1_000_000, **output)
    page.send(t="compare", name="compare")
    for name in QUESTIONS:
        page.wait(name)


if __name__ == "__main__":
    print(*main(), sep="\n")
