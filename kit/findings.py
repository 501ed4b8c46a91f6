"""The catalogue of findings about handlers: facts about production that a plain local test hides.

Payload findings (K1xx) live with the check that makes them, in ``payload``. Codes are stable; the
README lists them all. What is said of results and chunks is in ``wirefindings``, the rest here. Facts
are those of runpod 1.12.0, measured against its real worker.
"""

from __future__ import annotations

import dataclasses

from kit.events import Finding

CATALOGUE = {
    "K201": "a generator object returned by a handler that is not a generator function",
    "K202": "the return value of a generator handler",
    "K203": "`error` present but falsy",
    "K204": "`error` that is not text",
    "K205": "`status: error` or `errors` without `error`",
    "K206": "an empty output",
    "K207": "an exception that RunPod's worker does not catch",
    "K208": "a nested event loop",
    "K209": "an object made in the notebook's thread or loop",
    "K210": "keys next to `error` in a yielded chunk",
    "K211": "`refresh_worker` inside a stream",
    "K212": "progress after the end",
    "K213": "the handler changed its input",
    "K214": "longer than RunPod's default execution timeout",
    "K215": "a sync handler with concurrency above 1",
    "K216": "no concurrency_modifier: one job at a time",
    "K217": "an unusable concurrency_modifier",
    "K218": "top-level await in a handler cell",
    "K219": "a path under /workspace",
    "K220": "the model is loaded inside the handler",
    "K221": "a chunk that was dropped from the stream",
    "K222": "request keys that are not stored",
    "K223": "sys.stdout was replaced while a job ran",
    "K224": "a cancel that production could not have done",
    "K225": "an async handler that blocks its loop",
    "K226": "a cold start",
    "K227": "the worker's own pacing: one take a second",
    "K228": "a result that never arrived from a real worker",
    "K229": "refresh_worker",
    "K230": "memory that grows with every job",
    "K231": "a setup cell edited since the handler ran",
    "K232": "an output that cannot even be compared",
    "K233": "memory that a job has not given back",
    "K234": "an exception that keeps memory alive",
    "K235": "a forgotten breakpoint()",
    "K236": "a name that is made only on a pod",
    "K237": "the handler took away or changed its job's `id`",
}


def at(finding: Finding, place: str) -> Finding:
    """The same finding with its place filled in, if it had none."""
    return finding if finding.place else dataclasses.replace(finding, place=place)


def nested_loop() -> Finding:
    return Finding(
        "K208",
        "The handler started an event loop inside the worker's running loop; that fails in "
        "production in the same way.",
        remedy="Make the handler `async def` and await instead.",
    )


def notebook_bound(what: str) -> Finding:
    return Finding(
        "K209",
        f"{what} was made in the notebook's thread and used in the handler's; in production both "
        "are the same thread, so this error is the notebook's alone.",
        remedy="Make it inside the handler, or run this job with kit.debug(...).",
    )


def late_progress() -> Finding:
    return Finding(
        "K212",
        "progress_update was called after the job had ended; in production that can leave the job "
        "IN_PROGRESS for ever (runpod-python#250).",
        remedy="Join the threads that report progress before the handler returns.",
    )


def input_changed() -> Finding:
    return Finding(
        "K213",
        "The handler changed its input. Each run here gets a fresh copy, so this is harmless unless "
        "the input is also returned.",
        "$.input",
        "Copy before changing.",
    )


def over_default_timeout(seconds: float) -> Finding:
    return Finding(
        "K214",
        f"The job ran {seconds:.0f} s; an endpoint stops it at 600 s unless its execution timeout "
        "is raised.",
        remedy="Raise the endpoint's execution timeout, or send policy.executionTimeout.",
    )


def sync_concurrency(limit: int) -> Finding:
    return Finding(
        "K215",
        f"A sync handler blocks the worker's loop, so concurrency {limit} changes nothing: jobs "
        "still run one after the other.",
        remedy="Make the handler `async def`.",
    )


def no_concurrency(asked: int) -> Finding:
    return Finding(
        "K216",
        f"Concurrency {asked} was asked for, but without a concurrency_modifier a worker runs one "
        "job at a time, here as in production.",
        remedy="Add --concurrency N to the %%handler line.",
    )


def bad_modifier(why: str) -> Finding:
    return Finding(
        "K217",
        f"concurrency_modifier {why}; the concurrency stays as it was.",
        remedy="Return a whole number of at least 1.",
    )


def top_level_await() -> Finding:
    return Finding(
        "K218",
        "This cell awaits at top level; a file cannot.",
        remedy="Wrap it in asyncio.run(...) or move it into the handler.",
    )


def workspace_path(text: str) -> Finding:
    return Finding(
        "K219",
        f"{text!r} is on the pod's volume; an endpoint mounts the volume at /runpod-volume.",
        remedy="Read the path from an environment variable.",
    )


def model_in_handler(call: str) -> Finding:
    return Finding(
        "K220",
        f"`{call}` loads a model inside the handler, so every job pays for it.",
        remedy="Load it in a cell above the handler.",
    )


def withheld(keys: list[str]) -> Finding:
    return Finding(
        "K222",
        f"{', '.join(keys)} went to the handler but not into the journal, since it may hold secrets.",
        "$",
        "A retry needs the request again: kit.run(request=...).",
    )


def stdout_replaced() -> Finding:
    return Finding(
        "K223",
        "sys.stdout was replaced while the job ran (redirect_stdout, %%capture), so what it printed "
        "then may be missing from its log.",
        remedy="Run the cell without capturing.",
    )


def sync_cancelled() -> Finding:
    return Finding(
        "K224",
        "A sync handler was stopped by force; production cannot do that (it would have run to its "
        "end), and module state may be torn.",
        remedy="Re-run the setup cells if later jobs misbehave; make the handler `async def` to cancel it cleanly.",
    )


def loop_blocked(seconds: float) -> Finding:
    return Finding(
        "K225",
        f"The async handler blocked its loop for {seconds:.1f} s; with concurrency the other jobs "
        "wait, and a cancel is not seen.",
        remedy="Await it, or run it with asyncio.to_thread(...).",
    )


def cold_start(seconds: float) -> Finding:
    return Finding(
        "K226",
        f"{seconds:.1f} s of the delay were a cold start: the worker process imported runpod and "
        "ran the file, model load included.",
        remedy="Keep workers_min at 1 or more where that matters, or load less at the top.",
    )


def paced(seconds: float) -> Finding:
    return Finding(
        "K227",
        f"{seconds:.1f} s of the delay are the SDK's own pacing: at concurrency 1 a worker asks "
        "for a job at most once a second, however short the jobs are.",
        remedy="Make the handler `async def` with a concurrency_modifier, batch inputs, or add workers.",
    )


def refreshes(option: bool) -> Finding:
    if option:
        return Finding(
            "K229",
            "refresh_worker in start(): after this job the worker process exits, and the next job waits "
            "for a cold start. Here the kernel and its model stay.",
            remedy="Leave it out unless a job leaves something behind that the next must not see.",
        )
    return Finding(
        "K229",
        "The result asks for a refresh: the platform stops this worker (the process itself goes on "
        "until then), and the next job waits for a cold start. Here the kernel and its model stay.",
        remedy="Leave refresh_worker out unless the worker is broken.",
    )


def memory_grows(kind: str, mib: float, jobs: int) -> Finding:
    what = "VRAM" if kind == "vram" else "Memory"
    return Finding(
        "K230",
        f"{what} grew with each of the last {jobs} jobs, by {mib:,.0f} MiB a job; a worker that lives "
        "long runs out of it.",
        remedy="Look for a list or cache that keeps results, or tensors that keep their graph.",
    )


def setup_edited(cell: str, names: list[str], handler: str) -> Finding:
    return Finding(
        "K231",
        f"This cell was edited and run after {handler} was registered, and the handler uses "
        f"{', '.join(names[:3])} from it: jobs before and after ran on different code.",
        cell,
        "Run the handler's cell again, so that what is recorded is what is exported.",
    )


def memory_held(kind: str, device: int, mib: float) -> Finding:
    where = f"on GPU {device}" if kind == "vram" else "in this process"
    return Finding(
        "K233",
        f"After this job {mib:,.0f} MiB more are in use {where} than before it.",
        remedy="A model or cache that loads on first use belongs in a cell above (%%kit_load shows its "
        "cost); else look for a global that keeps results. kit.free() says what can be given back.",
    )


def exception_holds(holder: str, error: str, variable: str, function: str, mib: float) -> Finding:
    return Finding(
        "K234",
        f"`{holder}` holds a {error} whose frames keep {mib:,.0f} MiB alive: `{variable}` of "
        f"{function}().",
        remedy=f"Keep str(error) instead of the exception, or its text; `del {holder.split('[')[0]}` gives the memory back."
        if not holder.startswith("sys.")
        else "kit.free() drops it and gives the memory back; %debug has nothing to look at then.",
    )


def kept_for_debug(kind: str, mib: float) -> Finding:
    what = "VRAM" if kind == "vram" else "memory"
    return Finding(
        "K234",
        f"The exception of this job is kept for %debug, and with its frames {mib:,.0f} MiB of {what}.",
        remedy="kit.free() drops it and gives the memory back; %debug has nothing to look at then.",
    )


def forgotten_breakpoint() -> Finding:
    return Finding(
        "K235",
        "The handler called breakpoint(). A worker has nobody to ask: the debugger reads the end of "
        "its input and raises bdb.BdbQuit, here as in production.",
        remedy="Take it out; to stop there, run this input with kit.debug(...).",
    )


def made_on_pod(names: list[str], cells: list[str]) -> Finding:
    one, where = len(names) == 1, ", ".join(cells)
    what = ", ".join(f"`{name}`" for name in names[:3]) + (" and others" if names[3:] else "")
    made = "is made in a cell that runs" if one else "are made in cells that run"
    return Finding(
        "K236",
        f"{what} {made} only on a pod ({where}): a job in this kernel does not find "
        f"{'it' if one else 'them'}.",
        where,
        "kit.use(pod), or run that cell without %%kit_remote.",
    )
