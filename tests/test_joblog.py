"""A job's log keeps its beginning and its end, counts the rest, and stays small."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading

from hypothesis import given
from hypothesis import strategies as st

from kit.joblog import HEAD_CHARS, TAIL_CHARS, JobLog
from kit.redraw import last_drawn

pieces = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=30)))


def text_of(log: JobLog) -> str:
    return "".join(one.text for one in log.drain(final=True))


@given(pieces)
def test_what_fits_is_kept_whole_and_in_order(written: list[tuple[str, str]]) -> None:
    log = JobLog()
    for stream, text in written:
        log.write(stream, text.replace("\r", ""))
    logs = log.drain(final=True)
    assert "".join(one.text for one in logs) == "".join(t.replace("\r", "") for _, t in written)
    # neighbours of one stream are one event
    assert all(one.stream != other.stream for one, other in itertools.pairwise(logs))
    by_stream = {name: "" for name in ("stdout", "stderr")}
    for one in logs:
        by_stream[one.stream] += one.text
    for name, text in by_stream.items():
        assert text == "".join(t.replace("\r", "") for s, t in written if s == name)


@given(st.lists(st.integers(0, 50_000), max_size=12), st.data())
def test_what_does_not_fit_keeps_head_and_tail_and_counts_the_rest(
    sizes: list[int], data: st.DataObject
) -> None:
    log = JobLog()
    alphabet = "abcdefghij"
    whole = ""
    drained = ""
    for index, size in enumerate(sizes):
        text = (alphabet[index % 10] * 9 + "\n") * (size // 10 + 1)
        whole += text
        log.write("stdout", text)
        if data.draw(st.booleans()):
            drained += "".join(one.text for one in log.drain(final=False))
    drained += text_of(log)
    if len(whole) <= HEAD_CHARS + TAIL_CHARS:
        assert drained == whole
        return
    left_out = len(whole) - HEAD_CHARS - TAIL_CHARS
    note = f"\n... {left_out:,} characters are not kept ...\n"
    assert drained == whole[:HEAD_CHARS] + note + whole[-TAIL_CHARS:]


def test_a_line_that_is_drawn_over_keeps_its_last_state() -> None:
    log = JobLog()
    for step in range(1_000):
        log.write("stderr", f"\r{step / 10:.1f}%")
    log.write("stderr", "\ndone\r\nnext\n")
    assert last_drawn(text_of(log)) == "99.9%\ndone\r\nnext\n"


def test_it_says_once_that_something_waits() -> None:
    log = JobLog()
    assert log.write("stdout", "") is False
    assert log.write("stdout", "a") is True
    assert log.write("stdout", "b") is False
    assert [one.text for one in log.drain(final=False)] == ["ab"]
    assert log.write("stdout", "c") is True
    assert [one.text for one in log.drain(final=True)] == ["c"]
    assert log.drain(final=True) == []


def test_threads_lose_nothing() -> None:
    log = JobLog()

    def talk(name: str) -> None:
        for number in range(300):
            log.write("stdout", f"{name}{number}\n")

    threads = [threading.Thread(target=talk, args=(name,)) for name in "abcdefgh"]
    drained = ""
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drained += "".join(one.text for one in log.drain(final=False))
    drained += text_of(log)
    lines = drained.splitlines()
    assert len(lines) == 8 * 300
    for name in "abcdefgh":
        assert [line for line in lines if line[0] == name] == [f"{name}{n}" for n in range(300)]


def test_a_gigabyte_stays_small() -> None:
    """In a process of its own, for its memory's sake; through print, a megabyte at a time."""
    code = (
        "import resource, sys\n"
        "from kit.capture import JOB, Capture\n"
        "from kit.joblog import JobLog\n"
        "class Job:\n"
        "    echo = False\n"
        "    def __init__(self): self.log = JobLog()\n"
        "    def write(self, stream, text): self.log.write(stream, text)\n"
        "job = Job()\n"
        "capture = Capture(lambda: [], lambda: False)\n"
        "capture.install()\n"
        "line = 'x' * 999_999\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "print('warm')\n"
        "JOB.set(job)\n"
        "print('first'); print(line)\n"
        "before = peak()\n"
        "for _ in range(1_000): print(line)\n"
        "print('last')\n"
        "grown = peak() - before\n"
        "JOB.set(None)\n"
        "logs = job.log.drain(final=True)\n"
        "text = ''.join(log.text for log in logs)\n"
        "capture.remove()\n"
        "print(grown, len(text), text[:6].strip(), text[-5:].strip())\n"
        "print(next(log.text for log in logs if log.stream == 'kit').strip())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, figures, note = ran.stdout.splitlines()
    grown_mib, length, first, last = figures.split()
    assert (first, last) == ("first", "last")
    assert int(grown_mib) <= 32
    assert int(length) < HEAD_CHARS + TAIL_CHARS + 100
    written = 1_001 * 1_000_000 + len("first\nlast\n")
    assert note == f"... {written - HEAD_CHARS - TAIL_CHARS:,} characters are not kept ..."


def test_a_line_drawn_over_many_drains_shows_its_last_state() -> None:
    log, kept = JobLog(), []
    log.write("stderr", "begin\n")
    for step in range(5):
        log.write("stderr", f"\r{step}/5")
        kept += log.drain(final=False)
    log.write("stderr", "\r5/5\nend\r\n")
    kept += log.drain(final=True)
    assert last_drawn("".join(one.text for one in kept)) == "begin\n5/5\nend\r\n"


def test_one_long_line_costs_no_more_than_its_length() -> None:
    text = "x" * 3_000_000
    assert last_drawn(text) == text
    assert last_drawn(text + "\r" + text + "y") == text + "y"


@given(st.lists(st.tuples(st.text(alphabet="ab%\n\r", max_size=12), st.booleans()), max_size=30))
def test_drawn_over_lines_come_out_the_same_however_they_were_drained(
    written: list[tuple[str, bool]],
) -> None:
    """What a reader sees after folding does not depend on when the worker looked."""
    whole, pieces = JobLog(), JobLog()
    drained = ""
    for text, drain in written:
        whole.write("stdout", text)
        pieces.write("stdout", text)
        pieces._shown_at = 0.0  # as if half a second had passed
        if drain:
            drained += "".join(one.text for one in pieces.drain(final=False))
    drained += text_of(pieces)
    assert last_drawn(drained) == last_drawn(text_of(whole))


def test_a_moving_bar_is_shown_a_few_times_a_second() -> None:
    log = JobLog()
    events = 0
    for step in range(5_000):
        log.write("stderr", f"\r{step}")
        events += len(log.drain(final=False))
    assert 1 <= events < 50  # 5,000 in some milliseconds
    assert last_drawn(text_of(log)) == "4999"


def test_a_long_line_costs_no_more_than_its_length() -> None:
    log = JobLog()
    for text in ("a" * 4_000_000, "\r", "b" * 4_000_000 + "\r", "\r" * 100_000, "\n"):
        log.write("stdout", text)
        log.drain(final=False)
    assert "b" * 100 in text_of(log)
