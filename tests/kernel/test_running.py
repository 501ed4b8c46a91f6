"""Jobs beside cells: output, progress, a kernel that answers, and the stop button."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import Kernel

NEWEST = "kit.api.session().store.rows(limit=1)[0]"


# -- output ----------------------------------------------------------------------------------------


def test_prints_of_two_jobs_and_a_cell_are_never_mixed(kernel: Kernel) -> None:
    kernel.good(
        """
%%handler --no-run --concurrency 2
import asyncio, sys
async def talks(job):
    for n in range(60):
        print(job["input"], n)
        if n % 10 == 0:
            print(job["input"], "error", n, file=sys.stderr)
        await asyncio.sleep(0.002)
"""
    )
    cell = kernel.run(
        """
import time
batch = kit.map(["a", "b"])
for n in range(60):
    print("cell", n)
    time.sleep(0.002)
_ = batch.result()
"""
    )
    assert cell.text == "".join(f"cell {n}\n" for n in range(60))
    for index, name in enumerate("ab"):
        expected = "".join(
            f"{name} {n}\n" + (f"{name} error {n}\n" if n % 10 == 0 else "") for n in range(60)
        )
        assert kernel.value(f"batch.jobs[{index}].logs") == expected


SOURCES = {
    "print": "print('{0}')",
    "flush": "print('{0}', flush=True)",
    "stdout.write": "sys.stdout.write('{0}\\n')",
    "stderr": "print('{0}', file=sys.stderr)",
    "a stdout kept from before": "print('{0}', file=kept)",
    "a logger made before": "logger.warning('{0}')",
    "warnings": "warnings.warn('{0}')",
    "traceback": "\n    try: raise ValueError('{0}')\n    except ValueError: traceback.print_exc()",
    "display": "display('{0}')",
    "a thread": "t = threading.Thread(target=print, args=('{0}',)); t.start(); t.join()",
    "a pool made before": "pool.submit(print, '{0}').result()",
    "to_thread": "asyncio.run_coroutine_threadsafe",
}


def test_every_kind_of_source_is_the_job_s(kernel: Kernel) -> None:
    lines = "\n".join(
        f"    {code.format('out-' + name.replace(' ', '-'))}"
        for name, code in SOURCES.items()
        if name != "to_thread"
    )
    cell = kernel.run(
        "%%handler --input 1\n"
        "import asyncio, concurrent.futures, logging, sys, threading, traceback, warnings\n"
        "from IPython.display import display\n"
        "from sys import stdout as kept\n"
        "logger = logging.getLogger('made before')\n"
        "logger.handlers = [logging.StreamHandler()]\n"
        "logger.propagate = False\n"
        "pool = concurrent.futures.ThreadPoolExecutor(1)\n"
        "def every_source(job):\n"
        f"{lines}\n"
    )
    assert not cell.error
    logs = kernel.value(f"kit.api.session().view({NEWEST}.key).logs and "
                        f"''.join(l.text for l in kit.api.session().view({NEWEST}.key).logs)")  # fmt: skip
    for name in SOURCES:
        if name != "to_thread":
            assert f"out-{name.replace(' ', '-')}" in logs, name
    assert "out-" not in cell.text
    kernel.run("pool.shutdown()")


def test_a_child_process_s_output_goes_to_the_lone_job(kernel: Kernel) -> None:
    kernel.good(
        """
%%handler --no-run
import os, subprocess, sys, time
def spawns(job):
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    os.write(1, b"from the descriptor\\n")
    time.sleep(0.5)
"""
    )
    kernel.run("j = kit.run(1)")
    kernel.until_value("j.state.final")
    streams = kernel.value("[[l.stream, l.text] for l in j.view.logs]")
    text = "".join(t for s, t in streams if s == "process")
    assert "from a child" in text
    assert "from the descriptor" in text


def test_capture_magic_and_redirect_are_said(kernel: Kernel) -> None:
    kernel.good("%%handler --no-run\ndef prints(job):\n    print('taken')")
    kernel.run("%%capture grabbed\nj = kit.run(1); j.result()")
    assert kernel.value("[f.code for f in j.findings]") == ["K223"]
    # and afterwards everything is as it was
    assert kernel.run("print('cell')").text == "cell\n"
    assert kernel.value("kit.run(1).result()") is None
    kernel.run("j = kit.run(1); _ = j.result()")
    assert kernel.value("j.logs") == "taken\n"


def test_many_cells_leave_no_layers_on_stdout(kernel: Kernel) -> None:
    kernel.good("%%handler --no-run\ndef prints(job):\n    print('job')")
    for number in range(30):
        cell = kernel.run(f"j = kit.run(1); _ = j.result(); print('cell {number}')")
        assert cell.text == f"cell {number}\n"
    assert kernel.value("j.logs") == "job\n"
    depth = kernel.value(
        "(lambda d: d)(len(str(__import__('sys').stdout.__dict__.get('_kit_inner'))))"
    )
    assert depth < 300


def test_input_in_a_handler_fails_at_once_as_in_production(kernel: Kernel) -> None:
    cell = kernel.good("%%handler --input 1\ndef asks(job):\n    return input('name? ')")
    assert not cell.asked
    assert kernel.value(f"kit.api.session().view({NEWEST}.key).error.type") == "<class 'EOFError'>"
    asked = kernel.run("name = input('name? ')", answers=["Ada"])
    assert asked.asked == ["name? "]
    assert kernel.value("name") == "Ada"


# -- progress --------------------------------------------------------------------------------------

PROGRESS = {
    "runpod.serverless": ("import runpod", "runpod.serverless.progress_update"),
    "from runpod": ("from runpod import serverless", "serverless.progress_update"),
    "from runpod.serverless": (
        "from runpod.serverless import progress_update",
        "progress_update",
    ),
    "renamed": ("from runpod.serverless import progress_update as tell", "tell"),
}


@pytest.mark.parametrize("style", PROGRESS)
def test_progress_comes_in_order_however_it_was_imported(kernel: Kernel, style: str) -> None:
    names, call = PROGRESS[style]
    cell = kernel.run(
        f"{names}\n"  # in an earlier cell
    )
    cell = kernel.run(
        "%%handler --input 50\n"
        f"{names}\n"
        "def steps(job):\n"
        "    for n in range(job['input']):\n"
        f"        {call}(job, {{'step': n}})\n"
        "    return 'done'\n"
    )
    assert not cell.error, cell.shown_error
    assert "JOB_DONE_URL" not in cell.text
    kernel.run(f"j = kit.Job({NEWEST}.key, '', kit.api.session())")
    assert kernel.value("[p['output']['step'] for p in j.wire.progress]") == list(range(50))
    assert kernel.value("j.progress") == {"step": 49}


# -- responsiveness --------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["time.sleep(1.5)", "spin(1.5)"])
def test_the_kernel_s_loop_goes_on_ticking_during_a_job(kernel: Kernel, body: str) -> None:
    """Counted, not timed: a loop that were blocked for the job's length would tick once or twice."""
    kernel.good(
        f"""
%%handler blocks --no-run
import asyncio, time
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
def blocks(job):
    {body}
    return "blocked"
"""
    )
    cell = kernel.run(
        """
ticks = 0
async def tick(j):
    global ticks
    while not j.state.final:
        ticks += 1
        await asyncio.sleep(0.01)
j = kit.run(1)
ticking = asyncio.ensure_future(tick(j))
out = await j
await ticking
"""
    )
    assert not cell.error, cell.shown_error
    assert kernel.value("out") == "blocked"
    assert kernel.value("ticks") >= 20


def test_cells_run_while_a_job_does(kernel: Kernel) -> None:
    kernel.good(
        """
%%handler --no-run
import threading
release = threading.Event()
def held(job):
    release.wait(60)
    return "released"
"""
    )
    kernel.run("j = kit.run(1)")
    kernel.until_value("j.state", "IN_PROGRESS")
    assert kernel.run("print(6 * 7)").text == "42\n"
    assert kernel.value("j.state") == "IN_PROGRESS"
    kernel.run("release.set()")
    kernel.until_value("j.state", "COMPLETED")


def test_a_handler_cell_waits_only_as_long_as_it_says(kernel: Kernel) -> None:
    source = """
%%handler --input 1 {0}
import threading
hold = threading.Event()
def lingers(job):
    hold.wait(60)
    return "late"
"""
    for wait in ("--wait 0", "--wait 0.2", ""):
        cell = kernel.run(source.format(wait))
        assert not cell.error
        assert kernel.value(f"{NEWEST}.state") in ("IN_PROGRESS", "IN_QUEUE")
        kernel.run("hold.set()")
        kernel.until_value(f"{NEWEST}.state", "COMPLETED")


# -- the stop button -------------------------------------------------------------------------------

WAITS = """
%%handler --no-run
import asyncio
async def waits(job):
    await asyncio.sleep(60)
"""


@pytest.mark.parametrize("wait", ["j.result()", "await j", "batch.result()"])
def test_the_stop_button_ends_a_wait_and_cancels_this_cell_s_job(kernel: Kernel, wait: str) -> None:
    kernel.good(WAITS)
    begin = "batch = kit.map([1]); j = batch.jobs[0]" if "batch" in wait else "j = kit.run(1)"
    cell = kernel.start(f"{begin}\nprint('begun')\n{wait}\nprint('not reached')")
    kernel.until(lambda: "begun" in cell.text, "the cell to begin")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    assert cell.reply["ename"] in ("KeyboardInterrupt", "CancelledError")
    assert "not reached" not in cell.text
    kernel.until_value("j.state", "CANCELLED")


@pytest.mark.parametrize("wait", ["j.result()", "await j"])
def test_the_stop_button_leaves_another_cell_s_job_alone(kernel: Kernel, wait: str) -> None:
    kernel.good(WAITS)
    kernel.run("j = kit.run(1)")
    kernel.until_value("j.state", "IN_PROGRESS")
    cell = kernel.start(f"print('begun')\n{wait}")
    kernel.until(lambda: "begun" in cell.text, "the cell to begin")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    assert kernel.value("j.state") == "IN_PROGRESS"
    kernel.run("j.cancel()")
    kernel.until_value("j.state", "CANCELLED")


@pytest.mark.parametrize("extra", ["", "x = await asyncio.sleep(0)\n"], ids=["plain", "with await"])
def test_the_stop_button_ends_a_waiting_handler_cell(kernel: Kernel, extra: str) -> None:
    cell = kernel.start(
        "%%handler --input 1 --wait 30\n"
        f"import asyncio\n{extra}"
        "print('begun')\n"
        "async def waited(job):\n"
        "    await asyncio.sleep(60)\n"
    )
    kernel.until(lambda: "begun" in cell.text, "the cell to begin")
    # the wait comes after the body: ask on the control side until the job is there
    kernel.until(lambda: any(o["kind"] == "display_data" for o in cell.outputs), "the card")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error", "the cell was stopped, and Run All with it"
    kernel.until_value(f"{NEWEST}.state", "CANCELLED")
    # it was registered before it waited
    assert kernel.value("'waited' in kit.api.session().handlers")
    assert kernel.run("print('fine')").text == "fine\n"


def test_the_stop_button_during_the_body_registers_nothing(kernel: Kernel) -> None:
    cell = kernel.start(
        "%%handler --input 1\nimport time\nprint('begun')\ndef stopped(job): ...\ntime.sleep(60)\n"
    )
    kernel.until(lambda: "begun" in cell.text, "the cell to begin")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    assert "raised KeyboardInterrupt" in cell.stream("stderr")
    assert not kernel.value("'stopped' in kit.api.session().handlers")
    assert kernel.value("__import__('sys').argv[0]") != "handler.py"


def test_the_stop_button_during_an_await_body_registers_nothing(kernel: Kernel) -> None:
    cell = kernel.start(
        "%%handler --input 1\nimport asyncio\nprint('begun')\ndef stopped(job): ...\n"
        "for _ in range(600):\n    await asyncio.sleep(0.1)\n"  # a long one is not interruptible
    )
    kernel.until(lambda: "begun" in cell.text, "the cell to begin")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    assert not kernel.value("'stopped' in kit.api.session().handlers")
    assert kernel.value("__import__('sys').argv[0]") != "handler.py"
    # the hooks count cells: after this one they still know where they are
    assert not kernel.good("%%handler --input 1\ndef next_one(job):\n    return 1").error
    assert kernel.value("'next_one' in kit.api.session().handlers")


def test_awaiting_in_cells_and_chunks_as_they_come(kernel: Kernel) -> None:
    kernel.good("%%handler --no-run\ndef streams(job):\n    yield from range(job['input'])")
    cell = kernel.run("j = kit.run(5)\nseen = [c async for c in j.chunks()]\nout = await j")
    assert not cell.error, cell.shown_error
    assert kernel.value("[seen, out]") == [[0, 1, 2, 3, 4], []]
