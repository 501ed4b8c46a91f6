"""Findings about what a handler returns, yields or raises, and what becomes of that on the wire.

Their codes are in the catalogue, ``kit.findings``.
"""

from __future__ import annotations

from kit.events import Finding


def generator_returned(kind: str) -> Finding:
    return Finding(
        "K201",
        f"The handler returned {kind} object; RunPod's worker streams only if the function given to "
        "start() is itself a generator function, and this job would never get an answer.",
        remedy="Use `yield` in the handler itself, or return a list.",
    )


def generator_return_value() -> Finding:
    return Finding(
        "K202",
        "The handler yields and also returns a value; the worker ignores what a generator returns.",
        remedy="Yield the value, or set return_aggregate_stream to get the chunks as output.",
    )


def falsy_error(value: object) -> Finding:
    return Finding(
        "K203",
        f"`error` is {value!r}: the worker takes the key out and the job is COMPLETED.",
        "$.error",
        "Leave the key out when all is well, and give it text when not.",
    )


def error_not_text(value: object) -> Finding:
    return Finding(
        "K204",
        f"`error` is a {type(value).__name__}, not text; the worker posts it as it is, but RunPod's "
        "local API answers 500 and clients expect a string.",
        "$.error",
        "Join it into one sentence.",
    )


def error_unnoticed(key: str) -> Finding:
    return Finding(
        "K205",
        f"The output says `{key}` but has no `error` key, so RunPod shows the job as COMPLETED.",
        f"$.{key}",
        "Return `error` with a sentence, or raise.",
    )


def incomparable(kind: str) -> Finding:
    return Finding(
        "K232",
        f"The output is of type {kind}, which is not JSON; the worker fails while it looks whether "
        "it is empty, and posts that error.",
        "$.output",
        "Return what json.dumps accepts, e.g. .tolist() of an array.",
    )


def empty_output() -> Finding:
    return Finding(
        "K206",
        "The output is empty, so the worker posts a body without `output`; the client sees none.",
        "$",
        "Return at least one key if a client looks for output.",
    )


def escaped(name: str, dies: bool) -> Finding:
    end = "and the worker process ends with it" if dies else "and the worker goes on"
    return Finding(
        "K207",
        f"{name} is not an Exception: RunPod's worker posts nothing for this job {end}; "
        "the client waits until the execution timeout.",
        remedy="Raise an Exception, or return {'error': ...}.",
    )


def speechless(name: str, second: str) -> Finding:
    return Finding(
        "K207",
        f"{name} raises {second} when it is asked for its text: RunPod's worker breaks while it "
        "writes the error down and posts nothing; the client waits until the execution timeout.",
        remedy="Give the exception a __str__ that works.",
    )


def astray(taken: bool) -> Finding:
    how = "took `id` out of" if taken else "changed `id` in"
    return Finding(
        "K237",
        f"The handler {how} its job. RunPod's worker addresses the result by it, so nothing arrives "
        "for this job; the client waits until the execution timeout.",
        remedy="Read job['id'] and leave it there; change a copy, dict(job), if you must.",
    )


def chunk_keys_dropped(keys: list[str]) -> Finding:
    return Finding(
        "K210",
        f"A chunk with `error` ends the stream as FAILED; its other keys ({', '.join(keys)}) and "
        "everything after it are dropped.",
        remedy="Yield them before the error.",
    )


def refresh_in_stream() -> Finding:
    return Finding(
        "K211",
        "`refresh_worker` in a chunk is streamed like any other key; it refreshes nothing.",
        remedy="Set refresh_worker in start() if the worker must restart after a job.",
    )


def chunk_dropped(why: str) -> Finding:
    return Finding(
        "K221",
        f"A chunk cannot be sent: {why} The worker logs a line and drops it; the stream goes on.",
        remedy="Yield values that json.dumps accepts.",
    )


def never_posted(why: str) -> Finding:
    return Finding(
        "K228",
        f"The real worker took the job and posted no result: {why[:300]}. On RunPod the client would "
        "wait until the execution timeout.",
        remedy="Return what json.dumps accepts, and raise only Exceptions.",
    )
