"""Hostile handlers on target ``local``, in a kernel: what each ends as, and that the kernel lives."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.kernel.conftest import Kernel

# body of `def hostile(job):`, the state it ends in, a word of its error or of why it is lost
RAISES = {
    "Exception": ("raise ValueError('boom')", "boom"),
    "str raises": (
        "E = type('E', (Exception,), {'__str__': lambda self: 1 / 0})\n    raise E()",
        "E raises ZeroDivisionError",
    ),
    "SystemExit": ("import sys; sys.exit(3)", "SystemExit"),
    # IPython's own would end the kernel
    "exit": ("exit()", "SystemExit"),
    "quit": ("quit(3)", "SystemExit"),
    "waits for its own loop": ("return kit.run(1).result()", "wait for ever"),
    "waits for many": ("return kit.map([1], handler='hostile').result()", "wait for ever"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "GeneratorExit"),
    "own BaseException": ("raise type('Own', (BaseException,), {})('x')", "Own"),
    "CancelledError": ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
    "recursion": ("return hostile(job)", "recursion"),
    "recursion in C": (
        "import json\n    x = []\n    for _ in range(10**5): x = [x]\n    return json.dumps(x)",
        "recursion",
    ),
    "MemoryError": ("return bytearray(2**60)", "MemoryError"),
    "bytes": ("return {'image': b'x'}", "$.output.image"),
    "set": ("return {'tags': {1}}", "$.output.tags"),
    "circle": ("x = []; x.append(x); return x", "$.output[0]"),
    "surrogate": ("return ['\\ud800']", "$.output[0]"),
    "tuple key": ("return {(1, 2): 3}", "tuple"),
    "nan": ("return [float('nan')]", "$.output[0]"),
    "object": ("return object()", "object"),
    "generator": ("return (n for n in [1])", "generator"),
    "asyncio.run": (
        "import asyncio\n    c = asyncio.sleep(0)\n    try: asyncio.run(c)\n    finally: c.close()",
        "running event loop",
    ),
    "input": ("input('?')", "EOF"),
}
if sys.version_info >= (3, 11):
    RAISES["group"] = ("raise ExceptionGroup('both', [ValueError('a'), KeyError('b')])", "both")


def run(kernel: Kernel, body: str, given: str = "1", kind: str = "def", line: str = "") -> Any:
    kernel.good(f"%%handler hostile --no-run {line}\n{kind} hostile(job):\n    {body}\n")
    kernel.good(f"j = kit.run({given})")
    kernel.until_value("j.state.final")
    return kernel.value(
        "{'state': j.state, 'error': j.error and j.error.type + j.error.message, 'lost': j.wire.lost, "
        "'stuck': j.view.stuck, 'logs': j.logs, 'codes': [f.code for f in j.findings]}"
    )


def alive(kernel: Kernel) -> None:
    """The kernel answers, its output is its own, and the next job runs."""
    assert kernel.run("print('alive')").text == "alive\n"
    assert run(kernel, "return 'next'")["state"] == "COMPLETED"


@pytest.mark.parametrize("case", RAISES)
def test_what_fails_is_failed_and_the_kernel_lives(kernel: Kernel, case: str) -> None:
    body, says = RAISES[case]
    for kind in ("def", "async def"):
        if kind == "async def" and case == "recursion":
            body = "return await hostile(job)"
        ended = run(kernel, body, kind=kind)
        assert ended["state"] == "FAILED"
        assert says in f"{ended['error']} {ended['lost']}", ended
    alive(kernel)


def test_prints_of_a_hundred_megabytes_are_kept_in_part(kernel: Kernel) -> None:
    before = kernel.value("__import__('psutil').Process().memory_info().rss")
    published = kernel.published
    line = "'x' * 999"
    ended = run(
        kernel,
        f"print('first')\n    line = {line}\n    for _ in range(100_000): print(line)\n    print('last')",
    )
    assert ended["state"] == "COMPLETED"
    logs = ended["logs"]
    assert logs.startswith("first\n")
    assert logs.endswith("last\n")
    assert "characters are not kept" in logs
    assert len(logs) < 140_000
    grown = kernel.value("__import__('psutil').Process().memory_info().rss") - before
    assert grown < 64 * 2**20
    assert kernel.published - published < 2**20, "a job's output floods the front end"
    alive(kernel)


def test_raw_output_in_mass_and_of_any_bytes_is_kept_in_part(kernel: Kernel) -> None:
    body = (
        "import os, subprocess, sys, time\n"
        "    os.write(1, b'\\xff\\xfe not UTF-8\\n')\n"
        "    for _ in range(200): os.write(1, b'd' * 49_999 + b'\\n')\n"
        "    code = \"for _ in range(200): print('c' * 49_999)\"\n"
        "    subprocess.run([sys.executable, '-c', code], check=True)\n"
        "    time.sleep(0.5)\n"
    )
    ended = run(kernel, body)
    assert ended["state"] == "COMPLETED"
    assert "not UTF-8" in ended["logs"]
    assert "d" * 1_000 in ended["logs"]
    assert len(ended["logs"]) < 140_000
    # while a cell runs it goes there too, and to the job once all the same
    kernel.good("%%handler hostile --no-run\ndef hostile(job):\n    import os, time\n"
                "    os.write(1, b'said\\n'); time.sleep(0.3)")  # fmt: skip
    assert "said\n" in kernel.good("j = kit.run(1); j.result()").stream("stdout")
    assert kernel.value("j.logs") == "said\n"
    alive(kernel)


def test_what_is_hard_to_show_is_shown_as_text(kernel: Kernel) -> None:
    body = (
        "import sys\n"
        "    print('no end', end='')\n"
        "    for n in range(100_000): sys.stdout.write('\\r%d%%' % n)\n"
        "    print('\\n\\x1b[31mred\\x1b[2J\\x1b]0;title\\x07', '\\ud800', '\\x00')\n"
        "    sys.stdout.buffer.write('bytes é\\n'.encode()); sys.stdout.buffer.flush()\n"
        "    sys.stdout.close(); print('closed')\n"
    )
    ended = run(kernel, body)
    assert ended["state"] == "COMPLETED"
    # drawn over a hundred thousand times: one line
    assert ended["logs"].startswith("99999%\n")
    assert ended["logs"].endswith("\nbytes é\nclosed\n")
    assert len(ended["logs"]) < 120
    alive(kernel)


def test_a_flood_of_progress_keeps_its_order_and_its_last_value(kernel: Kernel) -> None:
    kernel.good("from runpod.serverless import progress_update")
    run(kernel, "for n in range(20_000): progress_update(job, n)\n    return 'x'")
    assert kernel.value("j.progress") == 19_999
    assert kernel.value("(lambda p: p == sorted(p))([x['output'] for x in j.wire.progress])")
    alive(kernel)


def test_a_flood_of_chunks_waits_for_the_disk(kernel: Kernel) -> None:
    ended = run(kernel, "yield from range(20_000)")
    assert ended["state"] == "COMPLETED"
    assert kernel.value("j.stream == list(range(20_000))")
    alive(kernel)


def test_threads_forks_and_children_left_behind(kernel: Kernel) -> None:
    body = (
        "import multiprocessing, os, subprocess, sys, threading, time\n"
        "    threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1)'])\n"
        "    child = multiprocessing.get_context('fork').Process(target=print, args=('of a child',))\n"
        "    child.start(); child.join()\n"
        "    until = time.time() + 60\n"
        "    while 'of a child' not in j.logs and time.time() < until: time.sleep(0.05)\n"
        "    return 'left'\n"
    )
    ended = run(kernel, body)
    assert ended["state"] == "COMPLETED"
    assert "of a child\n" in ended["logs"]
    alive(kernel)


def test_a_fork_s_child_never_writes_the_journal(kernel: Kernel) -> None:
    body = (
        "import os\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        try:\n"
        "            kit.api.session().store.append([])\n"
        "            kit.run('from the child')\n"
        "            os._exit(1)\n"
        "        except BaseException as exc:\n"
        "            os._exit(42 if 'StoreError' in type(exc).__name__ else 2)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
    )
    run(kernel, body)
    assert kernel.value("j.output") == 42
    assert (
        kernel.value(
            "'from the child' in [r['input'] for r in kit.jobs(limit=20).to_dict('records')]"
        )
        is False
    )
    alive(kernel)


def test_what_a_handler_changes_around_it(kernel: Kernel) -> None:
    kernel.good("import locale, os, sys\nwas = os.getcwd(), sys.stdout")
    body = (
        "import asyncio, os, sys\n"
        "    os.chdir('/')\n"
        "    os.environ['HOSTILE'] = '1'\n"
        "    sys.path.insert(0, '/nowhere')\n"
        "    sys.stdout = open(os.devnull, 'w')\n"
        "    asyncio.set_event_loop(asyncio.new_event_loop())\n"
        "    return 'changed'\n"
    )
    assert run(kernel, body)["state"] == "COMPLETED"
    kernel.good(
        "sys.stdout.close(); sys.stdout = was[1]; os.chdir(was[0]); sys.path.remove('/nowhere')\n"
        "del os.environ['HOSTILE']"
    )
    alive(kernel)


def test_a_journal_that_is_changed_afterwards_keeps_the_snapshot(kernel: Kernel) -> None:
    ended = run(
        kernel,
        "job['input']['a'].append(2)\n    global kept\n    kept = {'out': [1]}\n    return kept",
        given="{'a': [1]}",
    )
    assert ended["codes"] == ["K213"]
    kernel.good("kept['out'].append(2)")
    assert kernel.value("[j.input, j.output]") == [{"a": [1]}, {"out": [1]}]


STUCK = {
    "while True": ("while True: pass", False),
    "async while True": ("while True: pass", False),
    "sleep": ("import time; time.sleep(6)", True),
    "catches everything": (
        (
            "import time\n    end = time.time() + 6\n    while time.time() < end:\n"
            "        try:\n            while time.time() < end: pass\n"
            "        except BaseException: pass"
        ),
        True,
    ),
    "swallows its cancel": (
        (
            "import asyncio, time\n    end = time.time() + 6\n    while time.time() < end:\n"
            "        try: await asyncio.sleep(0.05)\n        except BaseException: pass"
        ),
        True,
    ),
}


@pytest.mark.parametrize("case", STUCK)
def test_what_does_not_end_is_timed_out_and_the_next_job_runs(fresh: Kernel, case: str) -> None:
    body, stuck = STUCK[case]
    kind = "async def" if case.startswith(("async", "swallows")) else "def"
    fresh.good(f"%%handler hostile --no-run\n{kind} hostile(job):\n    {body}\n")
    fresh.good("j = kit.run(1, timeout_s=0.3)")
    fresh.until_value("j.state", "TIMED_OUT")
    assert bool(fresh.value("j.view.stuck")) is stuck
    alive(fresh)
    if stuck and "swallows" not in case:
        assert "stuck" in fresh.run("%kit status").text


def test_an_exit_in_a_task_of_the_handler_s_own(kernel: Kernel) -> None:
    body = (
        "import asyncio, sys\n"
        "    async def leave(): sys.exit(3)\n"
        "    task = asyncio.ensure_future(leave())\n"
        "    await asyncio.sleep(0.1)\n"
        "    return 'survived'\n"
    )
    assert run(kernel, body, kind="async def")["state"] == "COMPLETED"
    # asyncio reports the task when it goes, in whatever cell that is: let it be this one
    kernel.run("import gc; gc.collect()")
    alive(kernel)
