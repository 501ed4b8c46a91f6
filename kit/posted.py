"""What RunPod's worker posts, read back: the facts of an error, and of a replay through real workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.events import ErrorInfo

_GENERATOR_TRACE = " \ntraceback: "


def error_of(error: Any) -> ErrorInfo:
    """The facts in an ``error``: the SDK's JSON for a raised exception, its sentence for a
    generator's, or whatever the handler returned.
    """
    if not isinstance(error, str):
        return ErrorInfo("", repr(error))
    head, found, trace = error.partition(_GENERATOR_TRACE)
    if found and head.startswith("handler: "):
        return ErrorInfo("", head.removeprefix("handler: "), trace)
    if error.startswith('{"error_type": '):
        try:
            raw = json.loads(error)
            return ErrorInfo(
                str(raw["error_type"]), str(raw["error_message"]), str(raw["error_traceback"])
            )
        except (ValueError, KeyError):
            pass
    return ErrorInfo("", error)


@dataclass(frozen=True, slots=True)
class Case:
    """One job to be run by real workers.

    Attributes
    ----------
    id : str
    request : str
        JSON text with ``input``.
    progress : int
        How many progress posts to wait for: the SDK sends each from a thread of its own, so the
        last may come after the result.
    """

    id: str
    request: str
    progress: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """What real workers made of one case.

    Attributes
    ----------
    posted : tuple of (str, str)
        ``("done" | "stream", body)`` in order; progress is a ``done``.
    lost : str or None
        Why no result was posted.
    ran : bool
        False if its turn never came.
    """

    posted: tuple[tuple[str, str], ...] = ()
    lost: str | None = None
    ran: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """What a pool of real workers made of all cases.

    Attributes
    ----------
    played : tuple of Played
        In the order of the cases.
    why : str
        Why not everything was run; ``""`` if it was.
    seconds : float
        All of it, the cold start included.
    cold_start_s : float or None
        From the first worker's start to its first job-take; None if none got there.
    where : str
        Where the workers ran if not in this environment, as the end of a sentence.
    """

    played: tuple[Played, ...]
    why: str
    seconds: float
    cold_start_s: float | None
    where: str = ""


#: folder, cases, seconds to load, seconds for all jobs; blocks
Play = Callable[[Path, Sequence[Case], float, float], Replay]
