"""Jobs as a view draws them: the few facts of each that fit its record, read quickly.

A view that opens reads 10,000 jobs while somebody waits for its first picture. As ``JobRow`` that
takes 160 ms of Python, as ``Mark`` a third: one JSON text for thousands of jobs, no object within.
"""

# ruff: noqa: S608 - statements are put together from constants; values go as parameters

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kit.events import JobKey
from kit.rows import One, pages, real

_COLUMNS = (
    "number, key, names, session, version, state, attempt, slot, submitted_at, ended_at, delay_ms, "
    "execution_ms, facts, n_chunks, n_findings, cancel_asked, stuck, seq"
)
# what is drawn to a pixel needs no more than the 15 digits of SQLite's JSON, but for the time of day
_VALUES = (
    f"number, key, json(names), session, version, state, attempt, slot, {real('submitted_at')}, "
    "(ended_at - submitted_at) * 1000, delay_ms, execution_ms, json_extract(facts, '$[2]'), "
    "n_chunks, n_findings, cancel_asked, stuck IS NOT NULL, seq"
)


class Mark(NamedTuple):
    """One job, as far as a record tells of it.

    Attributes
    ----------
    state : str
        The value of a ``JobState``.
    submitted_at : float
        UTC seconds.
    end_ms : float or None
        Milliseconds from submission to the end.
    memory : sequence of dict
        What ``MemoryUse`` holds, as the journal has it; None or empty if nothing was measured.
    seq : int
        Position of the job's last event.
    """

    key: JobKey
    id: str
    handler: str
    target: str
    session: str
    version: int
    state: str
    attempt: int
    slot: int | None
    submitted_at: float
    end_ms: float | None
    delay_ms: float | None
    execution_ms: float | None
    memory: Sequence[dict[str, Any]] | None
    n_chunks: int
    n_findings: int
    cancel_asked: int
    stuck: int
    seq: int


def read_marks(
    one: One,
    where: str,
    parameters: Sequence[Any],
    sessions: Callable[[int], str],
    limit: int,
) -> list[Mark]:
    """The latest jobs that match ``where``, newest first."""
    marks: list[Mark] = []

    def page(count: int, last: int | None) -> tuple[str, list[Any]]:
        beyond = "TRUE" if last is None else f"number < {last}"
        sql = (
            f"SELECT json_group_array(json_array({_VALUES})) FROM (SELECT {_COLUMNS} FROM jobs "
            f"WHERE {beyond} AND {where} ORDER BY number DESC LIMIT ?)"
        )
        return sql, [*parameters, min(count, limit - len(marks))]

    if limit <= 0:
        return marks
    keep = marks.append
    for raw in pages(one, page):
        _, key, (id_, handler, target), session, version, state, attempt, slot, at, *rest = raw
        first = (key, id_, handler, target, sessions(session), version, state, attempt, slot)
        keep(Mark._make((*first, float(at), *rest)))
        if len(marks) >= limit:
            break
    return marks
