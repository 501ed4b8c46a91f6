"""``kit.debug``: the handler in the main thread, with a debugger and a person at the keyboard."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import Kernel

NEWEST = "kit.api.session().store.rows(limit=1)[0]"

KINDS = {
    "sync": "def debugged(job):\n    secret = job['input'] * 2\n    {0}\n    return secret",
    "async": "import asyncio\nasync def debugged(job):\n    await asyncio.sleep(0)\n"
    "    secret = job['input'] * 2\n    {0}\n    return secret",
}


@pytest.mark.parametrize("kind", KINDS)
def test_breakpoint_stops_and_continues(kernel: Kernel, kind: str) -> None:
    kernel.good("%%handler --no-run\n" + KINDS[kind].format("breakpoint()"))
    cell = kernel.run("out = kit.debug(21)", answers=["p secret", "c"])
    assert not cell.error, cell.shown_error
    assert len(cell.asked) == 2
    assert "42" in cell.text
    assert kernel.value("out") == 42
    assert kernel.value(f"{NEWEST}.state") == "COMPLETED"


@pytest.mark.parametrize("kind", KINDS)
def test_input_asks_the_person(kernel: Kernel, kind: str) -> None:
    kernel.good("%%handler --no-run\n" + KINDS[kind].format("secret = input('how many? ')"))
    cell = kernel.run("out = kit.debug(1)", answers=["three"])
    assert not cell.error, cell.shown_error
    assert cell.asked == ["how many? "]
    assert kernel.value("out") == "three"


@pytest.mark.parametrize("kind", KINDS)
def test_debug_magic_afterwards_finds_the_handler_s_frame(kernel: Kernel, kind: str) -> None:
    kernel.good("%%handler --no-run\n" + KINDS[kind].format("raise ValueError('look at me')"))
    cell = kernel.run("kit.debug(21)")
    assert cell.error == "ValueError: look at me"
    looked = kernel.run("%debug", answers=["p secret", "q"])
    assert "42" in looked.text
    assert kernel.value(f"{NEWEST}.state") == "FAILED"


def test_it_is_a_job_like_any_other_and_its_prints_show(kernel: Kernel) -> None:
    kernel.good(
        "%%handler --no-run\nfrom runpod.serverless import progress_update\n"
        "def debugged(job):\n    print('said')\n    progress_update(job, 0.5)\n    yield 1\n    yield 2"
    )
    cell = kernel.run("out = kit.debug({'a': 1})")
    assert "said\n" in cell.text
    assert kernel.value("out") == []
    view = f"kit.api.session().view({NEWEST}.key)"
    assert kernel.value(f"[{view}.stream, {view}.progress]") == [["1", "2"], ["0.5"]]
    assert kernel.value(f"''.join(l.text for l in {view}.logs)") == "said\n"


def test_run_all_goes_on_after_a_debug_in_the_middle(kernel: Kernel) -> None:
    """The archived nest_asyncio loses the queued cells here."""
    kernel.good("%%handler --no-run\n" + KINDS["async"].format("pass"))
    cells = [
        kernel.start("order = []"),
        kernel.start("order.append(kit.debug(1))"),
        kernel.start("order.append('next')"),
        kernel.start("order.append(await asyncio.sleep(0, 'last'))"),
    ]
    for cell in cells:
        kernel.finish(cell)
    assert [cell.status for cell in cells] == ["ok"] * 4
    assert kernel.value("order") == [2, "next", "last"]


def test_it_works_in_a_cell_that_awaits(kernel: Kernel) -> None:
    kernel.good("%%handler --no-run\n" + KINDS["async"].format("pass"))
    cell = kernel.run("await asyncio.sleep(0)\nout = kit.debug(4)\nawait asyncio.sleep(0)")
    assert not cell.error, cell.shown_error
    assert kernel.value("out") == 8


def test_the_stop_button_ends_it(kernel: Kernel) -> None:
    kernel.good(
        "%%handler --no-run\nimport time\ndef debugged(job):\n    print('begun')\n    time.sleep(60)"
    )
    cell = kernel.start("kit.debug(1)")
    kernel.until(lambda: "begun" in cell.text, "the job to begin")
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.status == "error"
    assert cell.reply["ename"] == "KeyboardInterrupt"
    kernel.until_value(f"{NEWEST}.state != 'IN_PROGRESS'")
    assert kernel.run("print('fine')").text == "fine\n"


def test_a_running_job_is_not_disturbed(kernel: Kernel) -> None:
    kernel.good(
        "%%handler --no-run\nimport asyncio\nasync def slow(job):\n    await asyncio.sleep(job['input'])\n"
        "    return 'slow'"
    )
    kernel.run("j = kit.run(0.5)")
    assert kernel.run("print(kit.debug(0))").text.endswith("slow\n")
    kernel.until_value("j.state", "COMPLETED")


def test_before_and_after_it_a_nested_loop_is_an_error_as_in_production(kernel: Kernel) -> None:
    """nest_asyncio2 patches asyncio for the whole process: for the length of the job, no longer."""
    kernel.good(
        "import asyncio\n"
        "patched = lambda: [asyncio.run.__module__, asyncio.Task.__module__,\n"
        "                   asyncio.get_event_loop.__module__,\n"
        "                   type(asyncio.get_event_loop())._run_once.__module__]\n"
        "before = patched()"
    )
    kernel.good(
        "%%handler --no-run\n"
        "async def inner(): return 1\n"
        "def nested(job):\n"
        "    c = inner()\n"
        "    try:\n        return asyncio.run(c)\n"
        "    finally:\n        c.close()\n"
    )
    for _ in range(2):
        kernel.good("j = kit.run(1)")
        kernel.until_value("j.state", "FAILED")
        assert kernel.value("[f.code for f in j.findings]") == ["K208"]
        kernel.run("kit.debug(1)")
        assert kernel.value("patched()") == kernel.value("before")
        assert "nest_asyncio2" not in kernel.value("before")
        refused = kernel.run("c = inner()\ntry: asyncio.run(c)\nfinally: c.close()")
        assert "cannot be called from a running event loop" in refused.error


def test_a_breakpoint_that_was_forgotten_does_not_stop_a_run_job(kernel: Kernel) -> None:
    kernel.good("%%handler --no-run\n" + KINDS["sync"].format("breakpoint()"))
    number = kernel.good("job = kit.run(21); job._source.wait(job.key, None)").number
    view = f"kit.api.session().view({NEWEST}.key)"
    assert kernel.value(f"[{view}.state, {view}.error.type]") == [
        "FAILED",
        "<class 'bdb.BdbQuit'>",
    ]
    place = kernel.value(f"[f.place for f in {view}.findings if f.code == 'K235'][0]")
    assert place == f"In [{number - 1}], line 4"


def test_what_debug_keeps_is_told_and_freed(kernel: Kernel) -> None:
    kernel.good(
        "%%handler --no-run\ndef holding(job):\n    batch = bytearray(200 * 2**20)\n"
        "    raise ValueError(len(batch))"
    )
    assert kernel.run("kit.debug(1)").error.startswith("ValueError")
    codes = f"[f.code for f in kit.api.session().view({NEWEST}.key).findings]"
    assert "K234" in kernel.value(codes)
    freed = kernel.good("freed = %kit free\nfreed")
    assert "the last exception" in freed.text
    assert "RSS" in freed.text
    assert kernel.value("max(one.mib for one in freed.regained)") > 150
