"""What outlives a kernel, what two kernels share, and what is left after ``%unload_ext``."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import Kernel

JOBS = (
    "[[r['handler'], r['state'], r['input']] for r in "
    "kit.jobs()[['handler', 'state', 'input']].to_dict('records')]"
)


def table(kernel: Kernel) -> dict[str, str]:
    """State of every job by its input, as ``kit.jobs()`` shows them."""
    return {json.dumps(given): str(state) for _, state, given in kernel.value(JOBS)}


SLEEPER = """
%%handler --no-run
import time
def sleeper(job):
    print("started", job["input"])
    time.sleep(job["input"].get("seconds", 0))
    return "slept"
"""


@pytest.mark.parametrize("how", ["killed", "restarted"])
def test_yesterday_s_jobs_are_there_and_those_cut_off_are_lost(fresh: Kernel, how: str) -> None:
    fresh.good(SLEEPER)
    fresh.good("done = kit.run({'seconds': 0}); done.result()")
    fresh.good("cut = kit.run({'seconds': 60}); waiting = kit.run({'seconds': 61})")
    fresh.until_value("cut.state", "IN_PROGRESS")
    before = fresh.value("kit.api.session().session_id")
    if how == "killed":
        fresh.kill()
    fresh.restart()
    assert table(fresh) == {
        '{"seconds": 0}': "COMPLETED",
        '{"seconds": 60}': "LOST",
        '{"seconds": 61}': "LOST",
    }
    assert fresh.value("kit.api.session().session_id") != before
    assert fresh.value("len(kit.jobs(this_session=True))") == 0
    # and the new kernel works
    fresh.good(SLEEPER)
    assert fresh.value("kit.run({'seconds': 0}).result()") == "slept"
    assert "3 " not in fresh.run("%kit status").text.split("jobs")[1].splitlines()[0]


@pytest.mark.parametrize("end", ["os._exit(9)", "ctypes.string_at(0)"])
def test_a_handler_that_ends_the_kernel_leaves_its_job_lost(fresh: Kernel, end: str) -> None:
    fresh.good(f"%%handler --no-run\nimport ctypes, os\ndef deadly(job):\n    {end}")
    fresh.client.execute("kit.run('last words')")
    fresh.until(lambda: not fresh.manager.is_alive(), "the kernel's end")
    fresh.restart()
    assert table(fresh) == {'"last words"': "LOST"}


def test_two_kernels_on_one_journal_disturb_nothing(fresh: Kernel, tmp_path: Path) -> None:
    fresh.good(SLEEPER)
    fresh.good("mine = kit.run({'seconds': 60})")
    fresh.until_value("mine.state", "IN_PROGRESS")
    other = Kernel(tmp_path)  # the same KIT_HOME
    try:
        other.good(SLEEPER)
        other.good("theirs = kit.map([{'n': n} for n in range(200)]); _ = theirs.result()")
        states = other.value("[str(s) for s in kit.jobs()['state']]")
        assert sorted(states) == ["COMPLETED"] * 200 + ["IN_PROGRESS"]
        assert fresh.value("mine.state") == "IN_PROGRESS"
        assert fresh.value("len(kit.jobs())") == 201
        assert fresh.value("len(kit.jobs(this_session=True))") == 1
        other.kill()
        assert fresh.value("mine.state") == "IN_PROGRESS"
        assert fresh.value("len(kit.jobs(this_session=True))") == 1
    finally:
        other.close()
    fresh.run("mine.cancel()")


# -- %unload_ext -----------------------------------------------------------------------------------

TRACES = """{
    "stdout": type(sys.stdout).__name__,
    "stderr": type(sys.stderr).__name__,
    "write": sorted(k for k in sys.stdout.__dict__ if "kit" in k or k == "write"),
    "transformers": [getattr(t, "__module__", "") for t in get_ipython().input_transformers_cleanup],
    "hooks": [getattr(h, "__module__", "") for e in ("pre_run_cell", "post_run_cell")
              for h in get_ipython().events.callbacks[e]],
    "magics": [n for kind in ("line", "cell") for n in ("handler", "job", "kit")
               if n in get_ipython().magics_manager.magics[kind]],
    "matchers": [getattr(m, "__module__", "") for m in get_ipython().Completer.custom_matchers],
    "finders": [type(f).__module__ for f in sys.meta_path if type(f).__module__.startswith("kit")],
    "thread": threading.Thread.start.__code__.co_filename,
    "pool": concurrent.futures.ThreadPoolExecutor.submit.__code__.co_filename,
    "raw_input": "raw_input" in get_ipython().kernel.__dict__,
    "publish": sorted(get_ipython().display_pub.__dict__.keys() & {"publish", "clear_output"}),
    "sdk": [f.__code__.co_filename.rpartition("/")[2] for f in
            (runpod.serverless.start, runpod.serverless.progress_update)],
    "listening": sorted(c.laddr.port for c in psutil.Process().net_connections(kind="inet")
                        if c.status == psutil.CONN_LISTEN),
    "threads": sorted(t.name for t in threading.enumerate()
                      if t.name in ("kit-worker", "kit-handler", "kit-sampler")),
}"""


def traces(kernel: Kernel) -> Any:
    kernel.good("import concurrent.futures, psutil, sys, threading, runpod.serverless")
    return kernel.value(" ".join(TRACES.split()))


def test_unload_puts_everything_back(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, load=False)
    try:
        before = traces(kernel)
        kernel.good("%load_ext kit")
        kernel.good("%%handler --input 1\ndef handler(job):\n    print('x')\n    return 1")
        kernel.good("kit.run(1).result(); kit.panel()")
        during = traces(kernel)
        for what in (
            "stdout",
            "transformers",
            "hooks",
            "magics",
            "matchers",
            "thread",
            "pool",
            "sdk",
            "threads",
        ):
            assert during[what] != before[what], what
        # nobody but Jupyter itself can knock
        assert during["listening"] == before["listening"]
        assert 0 < len(before["listening"]) <= 6
        kernel.good("%unload_ext kit")
        kernel.until_value(
            "not {'kit-worker', 'kit-handler', 'kit-sampler'}"
            " & {t.name for t in threading.enumerate()}"
        )
        after = traces(kernel)
        # the hooks of other extensions may come and go; none of ours may stay
        assert after == before
        assert kernel.run("print('plain')").text == "plain\n"
        refused = kernel.run("%%handler\ndef handler(job): ...")
        assert refused.status == "error"
        kernel.good("%load_ext kit")
        kernel.good("%%handler --input 1\ndef handler(job):\n    return 'again'")
        assert kernel.value("kit.run(1).result()") == "again"
    finally:
        kernel.close()


def test_unloading_with_a_running_job_marks_it_lost_at_the_next_start(fresh: Kernel) -> None:
    fresh.good(SLEEPER)
    fresh.good("j = kit.run({'seconds': 60})")
    fresh.until_value("j.state", "IN_PROGRESS")
    fresh.good("%unload_ext kit")
    fresh.good("%load_ext kit")
    assert table(fresh) == {'{"seconds": 60}': "LOST"}


def test_a_known_key_is_in_no_message_to_the_front_end_and_in_no_file(fresh: Kernel) -> None:
    """What is saved of a notebook, its widget state included, is what was sent here."""
    key = "rpa_CANARY7Q2M9XK4T8V1W5Z3B6N0D"
    fresh.heard = []
    # never whole in a cell: cells are sent back
    fresh.good(f"import os; os.environ['RUNPOD_API_KEY'] = {key[:9]!r} + {key[9:]!r}")
    fresh.good(
        "%%handler\nfrom runpod.serverless import progress_update\ndef keyed(job):\n"
        "    print('using', os.environ['RUNPOD_API_KEY'])\n"
        "    raise ValueError('refused: ' + os.environ['RUNPOD_API_KEY'])\n"
    )
    fresh.good("panel = kit.panel(); panel")
    fresh.good("job = kit.run({'a': 1})")
    fresh.until_value("job.state", "FAILED")
    shown = fresh.run("job\njob.result()")
    assert "refused: " in shown.error
    fresh.good("kit.report('report.html'); kit.export('worker', verify=False)")
    assert "refused: " in fresh.value("job.error.message"), "it has run"
    forms = [key, base64.b64encode(key.encode()).decode(), key.encode().hex(), key[::-1]]
    text = "".join(fresh.heard)
    assert "using" in text, "the log is shown"
    assert [form for form in forms if form in text] == []
    files = [p for p in fresh.folder.rglob("*") if p.is_file() and "ipython" not in p.parts]
    assert {"report.html", "handler.py"} <= {p.name for p in files}
    written = b"".join(p.read_bytes() for p in files)
    assert [form for form in forms if form.encode() in written] == []
