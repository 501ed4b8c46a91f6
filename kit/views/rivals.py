"""Which jobs an output is compared with, and what differs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.errors import PayloadError
from kit.events import JobKey, JobState, JobView
from kit.inspector import Ask
from kit.rows import JobRow
from kit.secret import redact
from kit.views.aside import aside
from kit.views.codec import peak_of, short_id
from kit.views.detail import size_of
from kit.views.feed import Message
from kit.views.parts import payload

if TYPE_CHECKING:
    from kit.store import Store

#: jobs offered, and jobs looked through for them
OFFERED, LOOKED_AT = 40, 400


def compare_message(
    store: Store, generation: int, index: int, view: JobView, ask: dict[str, Any]
) -> Message:
    """What differs between a job and another: the one asked for (``with``), else the nearest.

    The nearest is the latest completed job of an earlier version with the same input; else of an
    earlier version; else of this one with the same input; else any other.
    """
    name = ask.get("name")
    content: dict[str, Any] = {
        "t": "part",
        "g": generation,
        "i": index,
        "name": name if isinstance(name, str) else "",
    }
    try:
        content.update(_compare(store, view, ask.get("with")))
    except PayloadError as error:
        content["s"] = str(error)
    return Message(content)


def rivals(store: Store, view: JobView) -> list[tuple[JobRow, bool]]:
    """Completed jobs of the same handler, nearest first, and whether their input is the same."""
    rows = store.rows(limit=LOOKED_AT, handler=view.handler, state=JobState.COMPLETED)
    rows = [row for row in rows if row.key != view.key]
    same = store.with_request_of(view.key, [row.key for row in rows])

    def nearness(row: JobRow) -> tuple[bool, bool, float]:
        earlier = row.version < view.version and row.submitted_at <= view.submitted_at
        return (
            not (earlier and row.key in same),
            not (earlier or row.key in same),
            -row.submitted_at,
        )

    rows.sort(key=nearness)
    return [(row, row.key in same) for row in rows[:OFFERED]]


def _compare(store: Store, view: JobView, wanted: object) -> dict[str, Any]:
    offered = rivals(store, view)
    keys = [row.key for row, _ in offered]
    if isinstance(wanted, str) and wanted not in keys and store.view(JobKey(wanted)) is not None:
        keys.insert(0, JobKey(wanted))
    if not keys:
        return {"choices": [], "s": "There is no other completed job of this handler yet."}
    key = JobKey(wanted) if isinstance(wanted, str) and wanted in keys else keys[0]
    other = aside.view(store, key)
    if other is None:
        raise PayloadError("The other job is no longer stored: choose another one.")
    told: dict[str, Any] = {
        "choices": [_choice(row, same, view) for row, same in offered],
        "with": key,
        "old": _facts(other),
        "new": _facts(view),
        "same_input": view.request is not None and view.request == other.request,
        "output": _differs(view, other, ("output", "stream")),
    }
    if not told["same_input"]:
        told["input"] = _differs(view, other, ("input",))
    return told


def _differs(view: JobView, other: JobView, kinds: Sequence[str]) -> dict[str, Any]:
    """What differs in the first kind of payload that both jobs have."""
    for what in kinds:
        try:
            name, text, part = payload(view, what)
            there, other_text, other_part = payload(other, what)
        except PayloadError:
            continue
        if what == "output" and view.stream and text.endswith('"output":[]}'):
            continue  # what a client gets of it are the chunks
        ask = Ask("compare", name, part, other=there, other_part=other_part)
        answer = aside.ask(ask, {name: text, there: other_text})
        sizes = {"old_bytes": size_of(other_text), "new_bytes": size_of(text)}
        return {**answer.content, **sizes, "what": what}
    for one in (view, other):
        if one.state is not JobState.COMPLETED:
            return {"s": f"Job {_id(one)} has nothing to compare: it is {one.state.value}."}
    return {"s": "One of the two payloads is no longer stored."}


def _choice(row: JobRow, same: bool, view: JobView) -> dict[str, Any]:
    return {
        "key": row.key,
        "id": short_id(row.id).decode("utf-8", "replace"),
        "version": row.version,
        "same": same,
        "ago": round(time.time() - row.submitted_at, 1),
        "own": row.version == view.version,
    }


def _facts(view: JobView) -> dict[str, Any]:
    peak, _ = peak_of(view.memory)
    return {
        "id": _id(view),
        "version": view.version,
        "ms": view.execution_ms,
        "peak": peak if peak == peak else None,
    }


def _id(view: JobView) -> str:
    return redact(short_id(view.id).decode("utf-8", "replace"))
