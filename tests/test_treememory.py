"""Memory of another process and what it started: real child processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kit.treememory import Tree, WorkerJob

MIB = 2**20

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")

#: does as it is told on its input, a line each, and answers
CHILD = """
import subprocess, sys
held = []
for line in sys.stdin:
    word = line.split()
    if word[0] == "hold": held.append(bytearray(int(word[1]) * 2**20))
    if word[0] == "drop": held.clear()
    if word[0] == "touch": bytearray(int(word[1]) * 2**20)
    if word[0] == "start":
        code = "x = bytearray(%d * 2**20); print(1, flush=True); input()" % int(word[1])
        other = subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
    if word[0] == "end": other.communicate(b"x\\n")
    print("done", flush=True)
"""


class Child:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self.pid = process, process.pid

    def tell(self, what: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def child() -> Iterator[Child]:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Child(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def test_it_reads_the_process_and_all_that_came_of_it() -> None:
    with child() as one:
        tree = Tree(one.pid)
        one.tell("hold 1")
        before = tree.read()
        assert before is not None
        assert before.root == before.all
        one.tell("hold 60")
        one.tell("start 90")
        after = tree.read()
        assert after is not None
        assert 55 * MIB < after.root - before.root < 70 * MIB
        assert 90 * MIB < after.all - after.root < 120 * MIB
        one.tell("end")
    assert tree.read() is None, "it is gone"
    assert not tree.reset_peak()
    assert tree.read_peak() is None


@linux
def test_a_short_peak_of_a_worker_is_not_missed_and_not_called_exact() -> None:
    with child() as one:
        one.tell("start 40")
        one.tell("touch 200")  # before the job: not its own
        job = WorkerJob(one.pid, alone=True)
        one.tell("touch 120")  # gone before anybody looks
        one.tell("hold 30")
        job.sample()
        [use] = job.end()
        one.tell("end")
    assert (use.kind, use.device, use.own, use.exact) == ("rss", -1, True, False)
    assert 110 * MIB < use.peak - use.before < 140 * MIB
    assert 25 * MIB < use.after - use.before < 40 * MIB
    assert use.before > 40 * MIB, "what it started counts"


def test_a_process_that_is_gone_gives_no_figure() -> None:
    with child() as one:
        one.tell("hold 1")
    assert WorkerJob(one.pid, alone=True).end() == ()


def test_one_that_ends_within_the_job_gives_what_was_seen() -> None:
    with child() as one:
        job = WorkerJob(one.pid, alone=False)
        one.tell("hold 50")
        job.sample()
    [use] = job.end()
    assert use.peak - use.before > 45 * MIB
    assert not use.own
