"""Records of whole jobs: from the projection, from a fold, from what was read to open a view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.events import JobState
from kit.views import codec
from kit.views.codec import MIB, NAN, Row

if TYPE_CHECKING:
    from kit.events import JobView
    from kit.marks import Mark
    from kit.rows import JobRow

_CODE_OF_STATE = {state.value: code for state, code in codec.STATE_CODE.items()}


class Names:
    """Names that repeat in every record, sent once and then by number."""

    __slots__ = ("_codes", "all")

    def __init__(self) -> None:
        self.all: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.all)
            self.all.append(name)
        return code


def row_of(
    job: JobRow | JobView, index: int, codes: tuple[int, int, int], findings: int, chunks: int
) -> Row:
    """The record of a job.

    Parameters
    ----------
    codes : tuple of int
        Of its handler, session and target.
    findings, chunks : int
        How many of its latest attempt.
    """
    peak, flags = codec.peak_of(job.memory)
    flags |= codec.CANCEL_ASKED if job.cancel_asked else 0
    flags |= codec.STUCK if job.stuck is not None else 0
    handler, session, target = codes
    return Row(
        number=index,
        state=codec.STATE_CODE[job.state],
        flags=flags,
        version=job.version,
        slot=-1 if job.slot is None else job.slot,
        findings=findings,
        chunks=chunks,
        submitted=job.submitted_at,
        wait=NAN if job.delay_ms is None else job.delay_ms,
        execution=NAN if job.execution_ms is None else job.execution_ms,
        end=NAN if job.ended_at is None else (job.ended_at - job.submitted_at) * 1000,
        peak=peak,
        handler=handler,
        session=session,
        target=target,
        attempt=job.attempt,
        id=codec.short_id(job.id),
    )


def records_of(marks: Sequence[Mark], handlers: Names, sessions: Names, targets: Names) -> bytes:
    """The records of many jobs, numbered from 0 in the order given."""
    pack, short_id, code_of = codec.ROW.pack, codec.short_id, _CODE_OF_STATE
    records = []
    for index, mark in enumerate(marks):
        (
            _key, id_, handler, target, session, version, state, attempt, slot, submitted, end,
            wait, execution, memory, chunks, findings, cancel_asked, stuck, _seq,
        ) = mark  # fmt: skip
        peak, flags = _peak_of(memory) if memory else (NAN, 0)
        if cancel_asked:
            flags |= codec.CANCEL_ASKED
        if stuck:
            flags |= codec.STUCK
        records.append(
            pack(
                index,
                code_of[state],
                flags,
                version if version < 0xFFFF else 0xFFFF,
                -1 if slot is None else max(-1, min(slot, 0x7FFF)),
                findings if findings < 0xFFFF else 0xFFFF,
                chunks if chunks < 0xFFFFFFFF else 0xFFFFFFFF,
                submitted,
                NAN if wait is None else wait,
                NAN if execution is None else execution,
                NAN if end is None else end,
                peak,
                min(handlers.code(handler), 0xFFFF),
                min(sessions.code(session), 0xFFFF),
                min(targets.code(target), 0xFF),
                attempt if attempt < 0xFF else 0xFF,
                short_id(id_),
            )
        )
    return b"".join(records)


def _peak_of(memory: Sequence[dict[str, Any]]) -> tuple[float, int]:
    """``codec.peak_of``, of uses as the journal has them."""
    if len(memory) > 1:
        memory = [use for use in memory if use["kind"] == "vram"] or memory
    flags = codec.MEMORY_VRAM if memory[0]["kind"] == "vram" else 0
    if all(use["own"] for use in memory):
        flags |= codec.MEMORY_OWN
    if all(use["exact"] for use in memory):
        flags |= codec.MEMORY_EXACT
    return sum(use["peak"] for use in memory) / MIB, flags


def is_live(mark: Mark) -> bool:
    """Whether a job has not ended."""
    return mark.state in (JobState.IN_QUEUE, JobState.IN_PROGRESS)
