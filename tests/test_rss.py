"""Process memory: the kept-open descriptors, the exact mark, and a forked child."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kit.rss import Rss

MIB = 2**20

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")


def touch(mib: int) -> bytearray:
    """That much memory, really resident."""
    return bytearray(mib * MIB)


def child(code: str) -> str:
    """What a Python process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.fresh
def test_it_reads_what_psutil_reads() -> None:
    import psutil

    block = touch(64)
    ours, theirs = Rss().read(), psutil.Process().memory_info().rss
    assert ours is not None
    assert abs(ours - theirs) < 2 * MIB
    assert len(block) == 64 * MIB


@pytest.mark.fresh
def test_it_follows_an_allocation() -> None:
    rss = Rss()
    before = rss.read()
    block = touch(128)
    during = rss.read()
    del block
    assert before is not None
    assert during is not None
    assert 120 * MIB < during - before < 136 * MIB


@pytest.mark.fresh
@linux
def test_the_peak_is_exact_even_when_nobody_looked_meanwhile() -> None:
    rss = Rss()
    assert rss.reset_peak()
    before = rss.read()
    touch(200)  # gone again at once
    after, peak = rss.read(), rss.read_peak()
    assert before is not None
    assert after is not None
    assert peak is not None
    assert after - before < 20 * MIB
    assert 195 * MIB < peak - before < 215 * MIB


@pytest.mark.fresh
@linux
def test_the_mark_starts_again_at_each_reset() -> None:
    rss = Rss()
    rss.reset_peak()
    touch(200)
    rss.reset_peak()
    peak, now = rss.read_peak(), rss.read()
    assert peak is not None
    assert now is not None
    assert peak - now < 20 * MIB


@linux
def test_a_forked_child_reads_itself_and_not_its_parent() -> None:
    out = child(
        "import os\n"
        "from kit.rss import Rss\n"
        "rss = Rss(); rss.read()\n"
        "reading, writing = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    block = bytearray(300 * 2**20)\n"
        "    os.write(writing, str(rss.read()).encode()); os._exit(0)\n"
        "os.wait()\n"
        "print(int(os.read(reading, 64)) // 2**20, rss.read() // 2**20)\n"
    )
    of_child, of_parent = map(int, out.split())
    assert of_child >= 300
    assert of_parent < 150


@pytest.mark.fresh
def test_closing_gives_every_descriptor_back_and_reading_opens_again() -> None:
    rss = Rss()
    rss.read()
    open_before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    rss.close()
    if sys.platform == "linux":
        assert len(list(Path("/proc/self/fd").iterdir())) == open_before - 3
    assert rss.read() is not None
    rss.close()


@linux
@pytest.mark.fresh
def test_threads_that_open_at_once_open_once() -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    for _ in range(200):
        rss, gate = Rss(), threading.Barrier(4)

        def work(rss: Rss = rss, gate: threading.Barrier = gate) -> None:
            gate.wait()
            assert rss.read()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert held() == before + 3
        rss.close()
    assert held() == before


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may leave /proc behind (chroot)")
def test_without_proc_each_missing_figure_has_its_reason() -> None:
    # a real process with no /proc at all, where psutil cannot read either
    out = child(
        "import os, tempfile\n"
        "from kit.rss import Rss\n"
        "import psutil, codecs, encodings.idna\n"
        "os.chroot(tempfile.mkdtemp())\n"
        "rss = Rss()\n"
        "print(rss.read(), rss.reset_peak(), rss.read_peak(), '|'.join(a.name + ':' + a.source for a in rss.absences))\n"
    )
    assert out.startswith("None False None ")
    assert "rss_peak" in out
    assert ":rss" in out
