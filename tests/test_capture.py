"""What a job prints is the job's, what a cell prints is the cell's, and removal leaves no trace."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import io
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kit.capture import JOB, Capture
from kit.joblog import JobLog


class Stream(io.TextIOBase):
    """Stands for ipykernel's OutStream: a Python class, with a thread that reads a descriptor."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.flushed = 0
        self.watch_fd_thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("write() argument must be str")
        self.text += text
        return len(text)

    def flush(self) -> None:
        self.flushed += 1


class Job:
    """A job's sink."""

    def __init__(self, echo: bool = False) -> None:
        self.echo = echo
        self.log = JobLog()

    def write(self, stream: str, text: str) -> None:
        self.log.write(stream, text)

    def text(self, stream: str | None = None) -> str:
        logs = self.log.drain(final=True)
        return "".join(log.text for log in logs if stream in (None, log.stream))


class Place:
    """sys.stdout and sys.stderr replaced, with a Capture over them."""

    def __init__(self, stdout: Any, stderr: Any) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.jobs: list[Job] = []
        self.cell = False
        self.capture = Capture(lambda: self.jobs, lambda: self.cell)


#: both ways to route: a class that can be swapped, and a C type that needs a proxy
each_way = pytest.mark.parametrize("way", ["class", "file"])


@contextlib.contextmanager
def routed(way: str) -> Iterator[Place]:
    """Streams of our own, put there inside the test: pytest has its own between its phases."""
    if way == "file":
        made: list[Any] = [
            io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)
        ]
    else:
        made = [Stream(), Stream()]
    place = Place(*made)
    with contextlib.redirect_stdout(made[0]), contextlib.redirect_stderr(made[1]):
        place.capture.install()
        try:
            yield place
        finally:
            place.capture.remove()


def shown(stream: Any) -> str:
    """What reached the cell."""
    if isinstance(stream, Stream):
        return stream.text
    stream.flush()
    return str(stream.buffer.getvalue().decode())


def in_job(job: Job, function: Callable[[], Any]) -> Any:
    def run() -> Any:
        JOB.set(job)
        return function()

    return contextvars.copy_context().run(run)


def every_kind_of_print() -> None:
    print("print")
    print("to stderr", file=sys.stderr)
    print("flushed", flush=True)
    sys.stdout.write("written\n")
    sys.stdout.writelines(["several\n", "lines\n"])
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        traceback.print_exc()
    logger = logging.getLogger("made later")
    logger.propagate = False
    logger.handlers = [logging.StreamHandler()]
    logger.warning("logged")


@each_way
def test_a_job_s_prints_go_to_its_log_and_a_cell_s_stay(way: str) -> None:
    with routed(way) as place:
        job = Job()
        print("cell before")
        in_job(job, every_kind_of_print)
        print("cell after")
        assert shown(place.stdout) == "cell before\ncell after\n"
        assert shown(place.stderr) == ""
        text = job.text()
        for part in ("print\n", "to stderr\n", "flushed\n", "written\n", "several\nlines\n", "ZeroDivisionError", "logged\n"):  # fmt: skip
            assert part in text, part


@each_way
def test_streams_are_told_apart_in_order(way: str) -> None:
    with routed(way):
        job = Job()

        def handler() -> None:
            print("one")
            print("two", file=sys.stderr)
            print("three")

        in_job(job, handler)
        logs = job.log.drain(final=True)
        assert [(log.stream, log.text) for log in logs] == [
            ("stdout", "one\n"),
            ("stderr", "two\n"),
            ("stdout", "three\n"),
        ]


def test_references_made_before_are_routed_where_the_class_is_swapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    from sys import stdout as kept  # as a logging handler or `from sys import stdout` keeps it

    capture = Capture(list, lambda: False)
    capture.install()
    try:
        assert sys.stdout is stream is kept
        job = Job()
        in_job(job, lambda: kept.write("x"))
        assert (job.text(), stream.text) == ("x", "")
    finally:
        capture.remove()


@each_way
def test_two_jobs_and_a_cell_print_at_once_and_nothing_is_mixed(way: str) -> None:
    with routed(way) as place:
        jobs = [Job(), Job()]
        lines = 2_000
        start = threading.Barrier(3)

        def talk(name: str) -> None:
            start.wait(30)
            for number in range(lines):
                sys.stdout.write(f"{name} {number}\n")

        threads = [
            threading.Thread(target=in_job, args=(job, lambda name=name: talk(name)))
            for job, name in zip(jobs, ("a", "b"))
        ]
        for thread in threads:
            thread.start()
        talk("cell")
        for thread in threads:
            thread.join(30)
        assert jobs[0].text() == "".join(f"a {n}\n" for n in range(lines))
        assert jobs[1].text() == "".join(f"b {n}\n" for n in range(lines))
        assert shown(place.stdout) == "".join(f"cell {n}\n" for n in range(lines))


@each_way
def test_threads_and_pools_of_a_job_belong_to_it(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with routed(way) as place:
        job = Job()
        old_pool = concurrent.futures.ThreadPoolExecutor(1)
        old_pool.submit(print, "cell's own").result(30)
        monkeypatch.setattr(
            threading, "excepthook", lambda args: print("hook", args.exc_type.__name__)
        )

        def handler() -> None:
            thread = threading.Thread(target=lambda: print("thread"))
            thread.start()
            thread.join(30)
            broken = threading.Thread(target=lambda: 1 / 0)
            broken.start()
            broken.join(30)
            old_pool.submit(print, "old pool").result(30)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(print, "new pool").result(30)
                list(pool.map(print, ["mapped"]))

        in_job(job, handler)
        old_pool.submit(print, "cell's again").result(30)
        thread = threading.Thread(target=lambda: print("cell's thread"))
        thread.start()
        thread.join(30)
        old_pool.shutdown()
        assert job.text() == "thread\nhook ZeroDivisionError\nold pool\nnew pool\nmapped\n"
        assert shown(place.stdout) == "cell's own\ncell's again\ncell's thread\n"


@each_way
def test_echo_shows_the_text_under_the_cell_as_well(way: str) -> None:
    with routed(way) as place:
        job = Job(echo=True)
        in_job(job, lambda: print("both"))
        assert job.text() == "both\n"
        assert shown(place.stdout) == "both\n"


@pytest.mark.parametrize("wrong", [b"bytes", 3, None])
@each_way
def test_only_text_can_be_written(way: str, wrong: Any) -> None:
    with routed(way):
        job = Job()
        with pytest.raises(TypeError, match="must be str"):
            in_job(job, lambda: sys.stdout.write(wrong))
        with pytest.raises(TypeError, match="must be str"):
            sys.stdout.write(wrong)
        assert in_job(job, lambda: sys.stdout.write("four")) == 4


def test_a_job_s_flush_does_not_reach_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    capture = Capture(list, lambda: False)
    capture.install()
    try:
        print("cell", flush=True)
        before = stream.flushed
        in_job(Job(), lambda: print("job", flush=True))
        assert stream.flushed == before == 1
    finally:
        capture.remove()


def test_assigning_write_back_leaves_no_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython 9 assigns ``sys.stdout.write`` on every cell and restores what it found."""
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    capture = Capture(list, lambda: False)
    capture.install()
    job = Job()
    teed: list[str] = []
    try:
        for _ in range(3_000):  # more than Python's recursion limit
            found = sys.stdout.write

            def tee(text: str, found: Any = found) -> Any:
                teed.append(text)
                return found(text)

            sys.stdout.write = tee  # type: ignore[method-assign]
            if not teed:
                print("cell")
                in_job(job, lambda: print("job"))
            sys.stdout.write = found  # type: ignore[method-assign]
        print("after")
        in_job(job, lambda: print("job after"))
        assert stream.text == "cell\nafter\n"
        assert job.text() == "job\njob after\n"
        assert "".join(teed) == "cell\n"
    finally:
        capture.remove()
    print("removed")
    assert stream.text == "cell\nafter\nremoved\n"


def test_echo_through_a_tee_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    capture = Capture(list, lambda: False)
    capture.install()
    try:
        found = sys.stdout.write
        sys.stdout.write = lambda text: found(text)  # type: ignore[method-assign]
        job = Job(echo=True)
        in_job(job, lambda: print("said"))
        assert job.text() == "said\n"
        assert stream.text == "said\n"
    finally:
        capture.remove()


# -- raw descriptors -------------------------------------------------------------------------------


def from_descriptor(stream: Stream, text: str) -> None:
    """What ipykernel's watcher does with what it read from descriptor 1."""
    watcher = threading.Thread(target=lambda: stream.write(text))
    stream.watch_fd_thread = watcher
    watcher.start()
    watcher.join(30)


@pytest.mark.parametrize(
    ("jobs", "cell", "logged", "shown_too"),
    [
        (1, False, True, False),
        (1, True, True, True),
        (2, False, True, True),
        (0, False, False, True),
    ],
    ids=["one job", "one job and a cell", "two jobs", "no job"],
)
def test_raw_output_belongs_to_a_lone_job_and_is_shared_otherwise(
    monkeypatch: pytest.MonkeyPatch, jobs: int, cell: bool, logged: bool, shown_too: bool
) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    running = [Job() for _ in range(jobs)]
    capture = Capture(lambda: running, lambda: cell)
    capture.install()
    try:
        from_descriptor(stream, "raw\n")
    finally:
        capture.remove()
    assert [job.text("process") for job in running] == (["raw\n"] * jobs if logged else [])
    assert stream.text == ("raw\n" if shown_too else "")


# -- in and out ------------------------------------------------------------------------------------


def test_remove_restores_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, plain = Stream(), io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", plain)
    before = (threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit)
    attributes = dict(stream.__dict__)
    capture = Capture(list, lambda: False)
    assert not capture.installed
    capture.install()
    capture.install()
    assert capture.installed
    assert type(stream) is not Stream
    assert sys.stderr is not plain
    assert threading.Thread.start is not before[0]
    capture.remove()
    capture.remove()
    assert not capture.installed
    assert type(stream) is Stream
    assert sys.stdout is stream
    assert sys.stderr is plain
    assert stream.__dict__ == attributes
    assert (threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit) == before
    in_job(Job(), lambda: print("to the cell"))
    assert stream.text == "to the cell\n"


def test_removal_in_the_middle_of_a_cell_leaves_a_stream_that_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """IPython puts back what it found when the cell began, and that was ours."""
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    capture = Capture(list, lambda: False)
    capture.install()
    found = sys.stdout.write
    sys.stdout.write = lambda text: found(text)  # type: ignore[method-assign]
    capture.remove()
    print("in the cell")
    sys.stdout.write = found  # type: ignore[method-assign]
    print("in the next")
    in_job(Job(), lambda: print("in no job"))
    assert stream.text == "in the cell\nin the next\nin no job\n"


def test_remove_keeps_a_write_that_somebody_put_there(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    seen: list[str] = []
    stream.write = seen.append  # type: ignore[method-assign, assignment]
    capture = Capture(list, lambda: False)
    capture.install()
    print("routed", end="")
    assert "".join(seen) == "routed"
    capture.remove()
    print(" again", end="")
    assert "".join(seen) == "routed again"
    assert stream.text == ""


def test_what_replaced_a_patch_of_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Stream())
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    capture = Capture(list, lambda: False)
    capture.install()
    ours = threading.Thread.start

    def theirs(self: threading.Thread) -> None:
        ours(self)

    threading.Thread.start = theirs  # type: ignore[method-assign]
    capture.remove()
    assert threading.Thread.start is theirs
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join(30)


@each_way
def test_a_replaced_stdout_is_noticed(way: str) -> None:
    with routed(way) as place:
        assert not place.capture.routed_away()
        ours, sys.stdout = sys.stdout, io.StringIO()
        try:
            assert place.capture.routed_away()
        finally:
            sys.stdout = ours
        assert not place.capture.routed_away()


def test_in_a_plain_process_prints_and_children_still_work() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from kit.capture import JOB, Capture\n"
        "class Sink:\n"
        "    echo = False\n"
        "    def write(self, stream, text): kept.append(text)\n"
        "kept = []\n"
        "capture = Capture(lambda: [], lambda: False)\n"
        "capture.install()\n"
        "print('cell')\n"
        "token = JOB.set(Sink())\n"
        "print('job')\n"
        "JOB.reset(token)\n"
        "sys.stdout.flush()\n"
        "subprocess.run([sys.executable, '-c', 'print(\"child\")'], check=True)\n"
        "capture.remove()\n"
        "print('kept', kept)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split(os.linesep) == ["cell", "child", "kept ['job\\n']", ""] or (
        ran.stdout.splitlines() == ["cell", "child", "kept ['job', '\\n']"]
    )
    assert not ran.stderr
