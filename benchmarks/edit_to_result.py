"""From an edit to its result: a %%handler cell, a plain cell, and RunPod's own local test."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

from benchmarks.kernel import Kernel
from benchmarks.measure import Figure, p50, repeat

HANDLER = 'def handler(job):\n    return {{"n": job["input"]["n"] + {n}}}\n'
PLAIN = HANDLER + '\nhandler({{"id": "a", "input": {{"n": 1}}}})\n'
KIT = '%%handler --input {{"n": 1}}\n' + HANDLER
FILE = HANDLER + '\nimport runpod\n\nrunpod.serverless.start({{"handler": handler}})\n'


def main() -> list[Figure]:
    number = itertools.count()
    with Kernel() as kernel:
        # every cell differs from the one before, as an edit does; in turn, so that whatever else
        # the machine does meets both alike
        plains, edits = [], []
        for turn in range(45):
            took = [kernel.run(source.format(n=next(number))) for source in (PLAIN, KIT)]
            if turn >= 5:
                plains.append(took[0])
                edits.append(took[1])
        plain, edit = p50(plains), p50(edits)
        if kernel.value("kit.jobs(limit=1)['state'].iloc[0]") != "COMPLETED":
            raise RuntimeError("the job did not complete")

        file = kernel.folder / "handler.py"

        def local_test() -> float:
            file.write_text(FILE.format(n=next(number)))
            command = [sys.executable, str(file), "--test_input", '{"input": {"n": 1}}']
            started = time.perf_counter()
            subprocess.run(command, cwd=kernel.folder, check=True, capture_output=True)
            return time.perf_counter() - started

        sdk = p50(repeat(5, local_test))
    return [
        Figure("plain cell that calls handler(job)", plain * 1e3, "ms"),
        Figure("%%handler cell with a job, edit to result", edit * 1e3, "ms"),
        Figure("python handler.py --test_input", sdk * 1e3, "ms"),
        Figure("edit to result, times a plain cell", edit / plain, "x", 2),
        Figure("edit to result, faster than --test_input", sdk / edit, "x", 80, at_most=False),
    ]


if __name__ == "__main__":
    print(*main(), sep="\n")
