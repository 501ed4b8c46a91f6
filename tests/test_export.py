"""Exports, proven by the real SDK in a real child process."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from kit.emulator.replay import play
from kit.errors import ExportError
from kit.events import JobState
from kit.export import Bundle, Report, Row, export, verify
from kit.export.report import Verdict
from kit.source.record import Cell
from tests.executed import Notebook
from tests.exporting import done, request_of

ROOT = Path(__file__).resolve().parent.parent


SYNC = """
    %%handler
    class Own(Exception): pass

    def fail(depth):
        if depth: fail(depth - 1)
        raise Own(f"at {depth}")

    def handler(job):
        what = job["input"]
        match what:
            case "dict": return {"a": 1, "b": [1.5, None, "é"]}
            case "none": return None
            case "empty": return {}
            case "error": return {"error": "nope", "partial": [1]}
            case "error list": return {"error": ["a", "b"]}
            case "error falsy": return {"error": ""}
            case "refresh": return {"refresh_worker": True, "x": 1}
            case "nan": return {"x": float("nan")}
            case "set": return {1, 2}
            case "bytes": return b"x"
            case "tuple": return (1, {"k": (2,)})
            case "keys": return {1: "a", "1": "b"}
            case "surrogate": return "\\ud800"
            case "cycle":
                a = []; a.append(a); return a
            case "generator": return (i for i in range(2))
            case "raise": fail(2)
            case "raise from":
                try: fail(0)
                except Own as exc: raise ValueError("outer") from exc
            case "address": raise RuntimeError(f"{object()!r}")
            case "exit": raise SystemExit(3)
            case "recursion": return handler(job)
            case _: return job
"""
SYNC_INPUTS = [
    "dict", "none", "empty", "error", "error list", "error falsy", "refresh", "nan", "set", "bytes",
    "tuple", "keys", "surrogate", "cycle", "generator", "raise", "raise from", "address", "exit",
]  # fmt: skip


@pytest.mark.sdk
def test_every_way_a_sync_handler_may_end_is_equal(tmp_path: Path) -> None:
    book = done("import sys  # used by nobody", SYNC)
    bundle = export(request_of(book, tmp_path / "worker", SYNC_INPUTS))
    rows = {row.job_id: row for row in bundle.report.rows}
    assert len(rows) == len(SYNC_INPUTS)
    assert {(SYNC_INPUTS[int(i.split("-")[1])], r.path) for i, r in rows.items() if r.path} == set()
    assert bundle.report.verdict == "equal", bundle.report
    assert bundle.report.sentence().startswith("equal: 19 recorded jobs")
    raised = rows[f"job-{SYNC_INPUTS.index('raise from')}"]
    assert any(note.startswith("error_traceback") for note in raised.normalised)
    assert "error.hostname" in raised.normalised
    assert "memory addresses" in rows[f"job-{SYNC_INPUTS.index('address')}"].normalised


STREAM = """
    %%handler
    import asyncio

    {word} handler(job):
        what = job["input"]
        yield {{"start": what}}
        {pause}
        if what == "raise": raise ValueError("in the middle")
        if what == "error": yield {{"error": "bad", "ctx": 1}}
        if what == "refresh": yield {{"refresh_worker": True}}
        if what == "set": yield {{1}}
        if what == "nan": yield float("nan")
        yield ["end", 2.5]
"""
STREAM_INPUTS = ["plain", "raise", "error", "refresh", "set", "nan"]


@pytest.mark.sdk
@pytest.mark.parametrize("aggregate", [True, False])
def test_generators_really_run_and_are_equal(tmp_path: Path, aggregate: bool) -> None:
    source = STREAM.format(word="def", pause="pass")
    if not aggregate:
        source = STREAM.format(word="async def", pause="await asyncio.sleep(0.001)")
    options = [("return_aggregate_stream", "True")] if aggregate else []
    bundle = export(request_of(done(source), tmp_path / "w", STREAM_INPUTS, options=options))
    assert bundle.report.verdict == "equal", bundle.report
    text = (tmp_path / "w" / "handler.py").read_text()
    assert ('"return_aggregate_stream": True' in text) == aggregate


@pytest.mark.sdk
def test_async_handlers_and_refresh_worker(tmp_path: Path) -> None:
    book = done(
        """
        import asyncio
        GATE = asyncio.Semaphore(2)
        """,
        """
        %%handler
        async def handler(job):
            async with GATE:
                await asyncio.sleep(0)
                return {"n": job["input"] + 1}
        """,
    )
    options = [("refresh_worker", "True"), ("concurrency_modifier", "lambda current: current + 1")]
    bundle = export(request_of(book, tmp_path / "w", [1, 2], options=options))
    assert bundle.report.verdict == "equal", bundle.report


@pytest.mark.sdk
def test_a_difference_is_shown_by_its_path(tmp_path: Path) -> None:
    book = done(
        "import random\nclass Model: bias = 0\nmodel = Model()",
        """
        %%handler
        def handler(job):
            noise = random.random() if job["input"] == "chance" else 0
            return {"result": [{"noise": noise, "bias": model.bias}]}
        """,
        # by a way that no reading of the source can see
        "globals()['model'].bias = 3",
    )
    bundle = export(request_of(book, tmp_path / "w", ["plain", "chance"]))
    assert bundle.report.verdict == "different"
    plain, chance = (row for row in bundle.report.rows)
    assert (plain.path, plain.notebook, plain.worker) == ("done.output.result[0].bias", "3", "0")
    assert chance.path == "done.output.result[0].noise"
    assert "2 of 2 recorded jobs" in bundle.report.sentence()
    assert "done.output.result[0].bias" in repr(bundle)


@pytest.mark.sdk
def test_the_clean_process_is_what_python_handler_py_would_be(tmp_path: Path) -> None:
    """Its namespace, environment, folder and arguments; nothing of the kit, nothing left behind."""
    book = done(
        """
        %%handler
        import os, pathlib, sys
        class Own(Exception): pass
        def handler(job):
            if job["input"] == "raise":
                raise Own("x")
            if "KIT_T_KERNEL" in os.environ:
                return {"name": __name__, "elsewhere": [], "argv": [], "kit": False, "folder": True}
            return {
                "name": __name__,
                "elsewhere": [k for k, v in os.environ.items() if ":9/job-take/" in v],
                "argv": sys.argv[1:],
                "kit": "kit" in sys.modules or any(n in globals() for n in ("spec", "report")),
                "folder": pathlib.Path.cwd() == pathlib.Path(__file__).parent
                and sys.path[0] == str(pathlib.Path.cwd()),
            }
        """,
    )
    os.environ["KIT_T_KERNEL"] = "1"
    request = request_of(book, tmp_path / "w", ["plain", "raise"])
    del os.environ["KIT_T_KERNEL"]
    os.environ["RUNPOD_WEBHOOK_GET_JOB"] = "http://127.0.0.1:9/job-take/x?"
    try:
        bundle = export(request)
    finally:
        del os.environ["RUNPOD_WEBHOOK_GET_JOB"]
    assert bundle.report.verdict == "equal", bundle.report
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {f"w/{name}" for name in bundle.files}


@pytest.mark.sdk
def test_the_file_runs_by_itself_as_runpod_starts_it(tmp_path: Path) -> None:
    book = done("TABLE = {'a': 1}", "%%handler\ndef handler(job): return TABLE[job['input']['k']]")
    export(request_of(book, tmp_path / "w", [{"k": "a"}], verify=False))
    done_ = subprocess.run(
        [sys.executable, "-u", "handler.py"],
        cwd=tmp_path / "w", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done_.returncode == 0, done_.stderr
    assert "{'output': 1}" in done_.stdout


# -- when it cannot be proven -------------------------------------------------------------------


def test_no_second_copy_is_started_where_it_does_not_fit(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return 1")
    request = request_of(book, tmp_path / "w", [1], fits=lambda: "it needs 9 MiB and 2 are free")
    bundle = export(request)
    assert bundle.report.verdict == "not verified"
    assert "9 MiB" in bundle.report.reason
    assert (tmp_path / "w" / "handler.py").exists()


def test_jobs_that_prove_nothing_are_named(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return 1")
    request = request_of(book, tmp_path / "w", [1, 2, 3])
    cancelled, lost, other = request.jobs
    jobs = (
        dataclasses.replace(cancelled, state=JobState.CANCELLED),
        dataclasses.replace(lost, request=None),
        dataclasses.replace(other, version=7),
    )
    bundle = export(dataclasses.replace(request, jobs=jobs))
    assert bundle.report.verdict == "not verified"
    assert [row.result for row in bundle.report.rows] == ["not run", "not run"]
    none = export(dataclasses.replace(request, jobs=jobs[2:]))
    assert "no job of v1 has run yet" in none.report.reason


@pytest.mark.sdk
def test_a_crash_of_the_clean_process_is_told(tmp_path: Path) -> None:
    book = done(
        """
        %%handler
        import os
        ENDS = {"exit": lambda: os._exit(9), "kill": lambda: os.kill(os.getpid(), 9), "abort": os.abort}
        def handler(job):
            if job["input"] == "first" or os.environ.get("KIT_T_KERNEL"): return 1
            print("last words")
            ENDS[job["input"]]()
        """
    )
    os.environ["KIT_T_KERNEL"] = "1"
    request = request_of(book, tmp_path / "w", ["first", "exit", "kill", "abort"])
    del os.environ["KIT_T_KERNEL"]
    report = export(request).report
    assert report.verdict == "different"
    # a crash takes only its own job with it: the others ran, each in a fresh process
    assert [row.result for row in report.rows] == ["equal", "different", "different", "different"]
    for row, word in zip(report.rows[1:], ("code 9", "SIGKILL", "SIGABRT"), strict=True):
        assert word in row.worker
        assert "last words" in row.worker


@pytest.mark.sdk
def test_a_file_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 3")
    sys.path.insert(0, str(tmp_path))
    try:
        book = done("%%handler\nfrom beside import VALUE\ndef handler(job): return VALUE")
        bundle = export(request_of(book, tmp_path / "w", [1]))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("beside", None)
    assert bundle.report.verdict == "not verified"
    assert "No module named 'beside'" in bundle.report.reason
    assert any("`beside`" in note and "COPY" in note for note in bundle.notes)


@pytest.mark.sdk
def test_what_the_clean_process_printed_is_shown_without_keys(tmp_path: Path) -> None:
    key = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
    book = done(
        """
        %%handler
        import os
        def handler(job):
            if "KIT_T_KERNEL" in os.environ: return 1
            print("with", os.environ["KIT_T_HF_TOKEN"], "in hand")
            os._exit(1)
        """
    )
    os.environ["KIT_T_KERNEL"] = "1"
    request = request_of(book, tmp_path / "w", [1])
    del os.environ["KIT_T_KERNEL"]
    os.environ["KIT_T_HF_TOKEN"] = key
    try:
        report = export(request).report
    finally:
        del os.environ["KIT_T_HF_TOKEN"]
    assert "in hand" in report.rows[0].worker
    assert key not in repr(report)
    assert key not in report._repr_mimebundle_()["text/html"]


@pytest.mark.sdk
def test_children_of_the_clean_process_do_not_outlive_it(tmp_path: Path) -> None:
    book = done(
        """
        %%handler
        import os, subprocess, sys
        def handler(job):
            if "KIT_T_KERNEL" not in os.environ:
                child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
                open(job["input"], "w").write(str(child.pid))
            return 1
        """
    )
    os.environ["KIT_T_KERNEL"] = "1"
    request = request_of(book, tmp_path / "w", [str(tmp_path / "pid")])
    del os.environ["KIT_T_KERNEL"]
    assert export(request).report.verdict == "equal"
    pid = int((tmp_path / "pid").read_text())
    for _ in range(50):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    else:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the child of the handler still runs")


@pytest.mark.sdk
def test_a_hang_is_ended(tmp_path: Path) -> None:
    book = done(
        """
        %%handler
        import os, time
        def handler(job):
            while "KIT_T_KERNEL" not in os.environ: time.sleep(0.1)
        """
    )
    os.environ["KIT_T_KERNEL"] = "1"
    request = request_of(book, tmp_path / "w", [1], verify=False)
    del os.environ["KIT_T_KERNEL"]
    bundle = export(request)
    report = verify.verify(
        bundle.path, bundle.files, request.jobs, version=1, fits=lambda: None, play=play,
        job_timeout_s=3.0,
    )  # fmt: skip
    assert report.verdict == "not verified"
    assert "the recorded jobs had not finished after 3 s" in report.reason
    assert report.rows[0].reason == "a worker took it, and no result came in that time"


@pytest.mark.sdk
def test_it_may_run_beside_the_main_thread(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return job['input']")
    found: list[Bundle] = []
    request = request_of(book, tmp_path / "w", [1])
    thread = threading.Thread(target=lambda: found.append(export(request)))
    thread.start()
    thread.join(60)
    assert found[0].report.verdict == "equal"


# -- what is refused ----------------------------------------------------------------------------


def refusal(book: Notebook, tmp_path: Path, **more: Any) -> str:
    with pytest.raises(ExportError) as refused:
        export(request_of(book, tmp_path / "worker", **more))
    assert list(tmp_path.iterdir()) == []
    return str(refused.value)


def test_an_undefined_name_is_refused_with_what_would_define_it(tmp_path: Path) -> None:
    book = Notebook()
    book.run("LABELS = ['a']\n1 / 0")
    book.run("files = get_ipython().getoutput('ls')")
    assert book.run("def load():\n    scale = 3\n    return scale")
    assert book.run("%%handler\ndef handler(job):\n    return LABELS, TYPO, scale, display(1)")
    message = refusal(book, tmp_path)
    assert "`LABELS` (used in In [4], line 2): In [1], line 1 would define it" in message
    assert "that cell raised" in message
    assert "`TYPO` (used in In [4], line 2): no executed cell defines it" in message
    assert "`scale`" in message
    assert "only code inside In [3], line 1 binds it" in message
    assert "`display`" in message
    assert "IPython" in message


def test_names_from_magics_and_from_the_kit_are_refused(tmp_path: Path) -> None:
    book = Notebook()
    book.namespace.update(kit=type("Kit", (), {"run": staticmethod(lambda x: [x])}), files=["a"])
    for number, source in enumerate(["files = !ls", "best = kit.run(1)\nother = best[0]"], start=1):
        book.record.add(Cell(number, str(number), source, True, float(number)))
        book.count = number
    book.namespace.update(best=[1], other=1)
    assert book.run("%%handler\ndef handler(job): return [files, other]")
    message = refusal(book, tmp_path)
    assert "`files`" in message
    assert "In [1], line 1 takes it from `ls`" in message
    assert "In [2], line 2 takes it from the kit" in message


def test_deleted_names_are_refused(tmp_path: Path) -> None:
    book = done("x = 1", "%%handler\ndef handler(job): return x", "del x")
    assert "In [3], line 1 deletes it" in refusal(book, tmp_path)


def test_names_in_options_are_checked_too(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return 1")
    book.namespace["gone"] = 1
    message = refusal(book, tmp_path, options=[("concurrency_modifier", "lambda current: gone")])
    assert "`gone` (used in the start() options)" in message


def test_top_level_await_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    book = Notebook()
    book.record.add(Cell(1, "1", "model = await load()", True, 1.0))
    book.count = 1
    book.namespace["model"] = 1
    assert book.run("%%handler\ndef handler(job): return model")
    assert "In [1], line 1 awaits at the top level" in refusal(book, tmp_path)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("KEY = 'rpa_" + "A1B2C3D4E5F6G7H8J9K0L1M2N3P4Q5R6S7T8U9V0'", "RunPod"),
        ("KEY = 'hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567'", "Hugging Face"),
    ],
)
def test_a_secret_is_refused_by_kind_and_cell_and_never_shown(
    tmp_path: Path, line: str, kind: str
) -> None:
    book = done("x = 1", line, "%%handler\ndef handler(job): return len(KEY)")
    message = refusal(book, tmp_path)
    assert kind in message
    assert "In [2]" in message
    assert "os.environ" in message
    assert line.split("'")[1] not in message
    assert line.split("'")[1][5:20] not in message


def test_a_recorded_input_with_a_secret_is_not_written(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return 1")
    key = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
    bundle = export(request_of(book, tmp_path / "w", [{"a": 1}, {"token": key}], verify=False))
    assert json.loads((tmp_path / "w" / "test_input.json").read_text()) == {"input": {"a": 1}}
    for path in (tmp_path / "w").rglob("*"):
        assert path.is_dir() or key not in path.read_text()
    assert bundle.report.verdict == "not verified"


# -- what is written ----------------------------------------------------------------------------


def test_the_files_of_a_bundle(tmp_path: Path) -> None:
    book = done(
        "import numpy as np\nW = np.ones(3)\nprint(W)",
        """
        %%handler
        def handler(job):
            return float(W.sum() * job["input"]["x"])
        """,
        "W[0] = 2",
    )
    request = request_of(book, tmp_path / "w", [{"x": 1}, {"y": 2}, {"x": 3}], verify=False)
    bundle = export(dataclasses.replace(request, notebook="/some/where/digits.ipynb"))
    folder = tmp_path / "w"
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == set(bundle.files)
    text = (folder / "handler.py").read_text()
    assert text.startswith(
        '"""RunPod worker `handler`.\n\nExported from digits.ipynb by handler-kit '
    )
    assert "/some/where" not in text
    assert text.index("W[0] = 2") < text.index("def handler")
    assert text.endswith('    runpod.serverless.start({"handler": handler})\n')
    # the latest that completed: the second input has no `x`
    assert json.loads((folder / "test_input.json").read_text()) == {"input": {"x": 3}}
    docker = (folder / "Dockerfile").read_text()
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim\n" in docker
    assert docker.splitlines()[-1] == 'CMD ["python", "-u", "/handler.py"]'
    assert "COPY handler.py test_input.json /" in docker
    assert {d.statement.text for d in bundle.dropped} == {"print(W)"}
    again = export(dataclasses.replace(request, notebook="digits.ipynb"))
    assert (folder / "handler.py").read_text() == text
    assert again.files == bundle.files


def test_a_second_export_replaces_and_an_edit_is_refused(tmp_path: Path) -> None:
    book = done("%%handler\ndef handler(job): return 1")
    request = request_of(book, tmp_path / "w", verify=False)
    export(request)
    export(request)
    (tmp_path / "w" / "handler.py").write_text("mine")
    with pytest.raises(ExportError, match=r"handler\.py \(edited\)"):
        export(request)
    assert (tmp_path / "w" / "handler.py").read_text() == "mine"
    export(dataclasses.replace(request, overwrite=True))
    assert "def handler" in (tmp_path / "w" / "handler.py").read_text()


def test_an_older_version_is_exported_from_its_own_cell(tmp_path: Path) -> None:
    book = Notebook()
    book.run("%%handler\ndef handler(job): return 'old'", "h")
    old = book.version()
    book.run("%%handler\ndef handler(job): return 1 / 0 +", "h")  # does not parse
    request = request_of(book, tmp_path / "w", verify=False)
    export(dataclasses.replace(request, handler=old))
    assert "'old'" in (tmp_path / "w" / "handler.py").read_text()


def test_paths_on_a_pods_volume_are_flagged(tmp_path: Path) -> None:
    book = done("PATH = '/workspace/model.bin'", "%%handler\ndef handler(job): return PATH")
    bundle = export(request_of(book, tmp_path / "w", verify=False))
    assert any("/workspace/model.bin" in n and "/runpod-volume" in n for n in bundle.notes)


# -- what a person sees -------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "<img src=x onerror=alert(1)><script>x</script>\"'&"


def test_displays_are_escaped_and_carry_no_html_repr(tmp_path: Path) -> None:
    book = done(
        "V = '''" + HOSTILE.replace("'", "") + "'''\nprint('''<script>a</script>''')",
        "%%handler\ndef handler(job): return V",
    )
    request = request_of(book, tmp_path / "w<b>", [HOSTILE])
    jobs = tuple(
        dataclasses.replace(j, id=HOSTILE, done=json.dumps({"output": HOSTILE}))
        for j in request.jobs
    )
    version = dataclasses.replace(request.handler, name=HOSTILE)
    bundle = export(dataclasses.replace(request, jobs=jobs, handler=version))
    assert bundle.report.verdict == "different"
    for shown in (bundle, bundle.report, bundle.explain()):
        assert not hasattr(shown, "_repr_html_")
        bundled = shown._repr_mimebundle_()
        assert set(bundled) == {"text/plain", "text/html"}
        assert bundled["text/plain"] == repr(shown)
        tags = Tags()
        tags.feed(bundled["text/html"])
        assert tags.open == []
        allowed = {
            "div",
            "span",
            "b",
            "code",
            "ul",
            "li",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        }
        assert tags.seen <= allowed
        assert tags.attributes <= {"style"}
        assert "<script>" in tags.text  # as text


def test_explain_has_every_statement_with_cell_line_and_reason(tmp_path: Path) -> None:
    book = done("import os, sys\nX = 1\nX", "%%handler\ndef handler(job): return X + len(os.sep)")
    bundle = export(request_of(book, tmp_path / "w", verify=False))
    short = repr(bundle.explain()).splitlines()
    assert len(short) == 5
    assert short[-1].startswith("dropped and not listed: 1 x 'only shows something'")
    rows = repr(bundle.explain(all=True)).splitlines()
    assert len(rows) == 5
    assert rows[0].startswith("kept     In [1], line 1  import os ")
    assert rows[1].startswith("dropped  In [1], line 1  import sys ")
    assert "nothing needs `sys`" in rows[1]
    assert "only shows something" in rows[3]
    assert "defines `X`, which `handler` (In [2], line 2) reads" in rows[2]


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_has_a_look_and_a_count_that_adds_up(verdict: Verdict) -> None:
    rows = (Row("a", "COMPLETED", "equal"), Row("t", "COMPLETED", "completed"))
    shown = Report(verdict, "why", rows)._repr_mimebundle_() if verdict != "different" else {}
    wrong = (Row("a", "COMPLETED", "different"), *rows[:1], Row("t", "FAILED", "failed"))
    if verdict == "different":
        shown = Report(verdict, "", wrong)._repr_mimebundle_()
        assert "different: 2 of 3: 2 recorded jobs and 1 test input" in shown["text/plain"]
    assert verdict in shown["text/html"]
    assert verdict in shown["text/plain"]
