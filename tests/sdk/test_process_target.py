"""``kit.use("process")`` in a real kernel: jobs of a notebook through its exported code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulating import none_left
from tests.notebook_kernel import Kernel, kernel_in

pytestmark = [pytest.mark.sdk, pytest.mark.kernel]

HANDLER = """%%handler --no-run
import os, time
import runpod

TABLE = {"a": 1}

def handler(job):
    x = job["input"]
    print("seen", x)
    if x == "progress":
        runpod.serverless.progress_update(job, {"at": 1})
        time.sleep(0.3)
    if x == "raise":
        raise ValueError("no such thing")
    if x == "set":
        return {1}
    if isinstance(x, dict) and "hold" in x:
        return len(bytearray(x["hold"] * 2**20))
    if x == "exit":
        os._exit(9)
    if x == "spin":
        while True:
            pass
    return {"pid": os.getpid(), "x": x, "table": TABLE}
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("nb")
    with kernel_in(folder) as kernel:
        kernel.run(HANDLER)
        kernel.run('kit.use("process")')
        yield kernel
    assert none_left("kit-process-")


FACTS = """
def facts(job):
    try:
        job.result(60)
    except kit.JobError:
        pass
    v = job.view
    return {"state": v.state, "done": v.done and json.loads(v.done), "lost": v.lost,
            "error": v.error and v.error.message, "type": v.error and v.error.type,
            "logs": job.logs, "codes": [f.code for f in job.findings],
            "delay": v.delay_ms, "took": v.execution_ms, "target": v.target,
            "progress": [json.loads(p) for p in v.progress], "memory": len(v.memory)}
import json
"""


def test_a_job_has_a_cold_start_and_the_next_one_the_pacing(kernel: Kernel) -> None:
    kernel_pid = kernel.run("told = os.getpid()")
    kernel.run(FACTS)
    first = kernel.run("told = facts(kit.run('one'))")
    assert first["state"] == "COMPLETED"
    assert first["target"] == "process"
    assert first["done"]["output"]["pid"] != kernel_pid
    assert first["done"]["output"]["table"] == {"a": 1}
    assert first["delay"] > 300
    assert "K226" in first["codes"]
    assert "seen one" in first["logs"]
    assert "Serverless Worker" not in first["logs"]
    second = kernel.run("told = [facts(j) for j in [kit.run('two'), kit.run('three')]]")
    assert [f["state"] for f in second] == ["COMPLETED", "COMPLETED"]
    assert second[0]["done"]["output"]["pid"] == first["done"]["output"]["pid"]
    assert "K227" in second[1]["codes"]
    assert 500 < second[1]["delay"] < 5_000
    assert second[1]["took"] < 500
    assert second[1]["memory"] == 1  # the worker's own


def test_errors_progress_and_losses_are_those_of_the_worker(kernel: Kernel) -> None:
    progress, failed, lost, died, after = kernel.run(
        "told = [facts(kit.run(x)) for x in ('progress', 'raise', 'set', 'exit', 'after')]"
    )
    assert progress["progress"] == [{"at": 1}]
    assert failed["state"] == "FAILED"
    assert (failed["type"], failed["error"]) == ("<class 'ValueError'>", "no such thing")
    assert lost["done"] is None
    assert "not JSON serializable" in lost["lost"]
    assert "K228" in lost["codes"]
    assert "code 9" in died["lost"]
    assert after["state"] == "COMPLETED"


def test_a_job_is_stopped_in_the_queue_and_while_it_spins(kernel: Kernel) -> None:
    told = kernel.run(
        """
import time
spin, waits = kit.run('spin'), kit.run('waits')
while spin.state == 'IN_QUEUE': time.sleep(.02)
waits.cancel()
began = time.monotonic()
spin.cancel()
told = [facts(waits), facts(spin), time.monotonic() - began]
limited = kit.run('spin', timeout_s=.5)
told.append(facts(limited))
told.append(facts(kit.run('next')))
"""
    )
    waits, spin, took, limited, after = told
    assert waits["state"] == "CANCELLED"
    assert waits["took"] is None
    assert spin["state"] == "CANCELLED"
    assert took < 2
    assert limited["state"] == "TIMED_OUT"
    assert after["state"] == "COMPLETED"


def test_an_edited_handler_runs_in_a_new_worker(kernel: Kernel) -> None:
    pid = kernel.run("told = kit.run('a').result(60)['pid']")
    kernel.run(HANDLER.replace('{"a": 1}', '{"a": 2}'))
    told = kernel.run("told = kit.run('a').result(60)")
    assert told["table"] == {"a": 2}
    assert told["pid"] != pid


def test_the_memory_of_a_worker_is_measured_and_called_sampled(kernel: Kernel) -> None:
    told = kernel.run(
        "job = kit.run({'hold': 150}); job.result(60)\n"
        "told = [[m.kind, m.device, m.before, m.peak, m.after, m.own, m.exact] for m in job.memory]"
    )
    [[kind, device, before, peak, after, own, exact]] = told
    assert (kind, device, own, exact) == ("rss", -1, True, False)
    assert before > 20 * 2**20, "a worker with runpod in it"
    assert 140 * 2**20 < peak - before < 220 * 2**20
    assert after < peak
    read = kernel.run("told = kit.samples().groupby('target').used_mib.max().to_dict()")
    assert read["process"] * 2**20 > before, "the workers have a line of their own"
    freed, again = kernel.run(
        "freed = kit.free(); told = [repr(freed), kit.run('again').result(60)['x']]"
    )
    assert "1 worker process of target process without a job" in freed
    assert again == "again", "the next job starts one anew"


def test_a_handler_that_cannot_be_exported_fails_with_the_reason(kernel: Kernel) -> None:
    kernel.run("lost_name = 5")
    kernel.run("%%handler broken --no-run\ndef broken(job):\n    return get_ipython_thing(job)\n")
    told = kernel.run("told = facts(kit.run(1))")
    assert told["state"] == "FAILED"
    assert "get_ipython_thing" in told["error"]
    assert told["took"] is None
