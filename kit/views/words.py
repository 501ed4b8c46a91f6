"""Numbers and states in words, as format.js writes them in the live card."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from typing import Any

from kit.events import JobState

_PERCENT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%")

STATE_WORDS = {
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.TIMED_OUT: "timed out",
    JobState.CANCELLED: "cancelled",
    JobState.LOST: "lost",
    JobState.IN_PROGRESS: "running",
    JobState.IN_QUEUE: "queued",
}
#: the card's colours (style.css) where they read on white and on dark grey, since static output does not
#: know its background; the card's violet does not, this one does
STATE_COLOURS = {
    JobState.COMPLETED: "#0a8560",
    JobState.FAILED: "#d1491f",
    JobState.TIMED_OUT: "#d1491f",
    JobState.CANCELLED: "#8a5fc0",
    JobState.LOST: "#8d949c",
    JobState.IN_PROGRESS: "#3a8ee0",
    JobState.IN_QUEUE: "#9aa3ad",
}


def place_name(target: str) -> str:
    """Whose memory a target's is: ``this kernel``, ``worker processes``, or the pod's name."""
    return {"local": "this kernel", "process": "worker processes"}.get(target, target)


def duration(ms: float | None) -> str:
    """A duration in ms: ``0.42 ms``, ``12 ms``, ``2.21 s``, ``3 min 5 s``; ``–`` for None and NaN."""
    if ms is None or not math.isfinite(ms):
        return "–"
    if ms < 0.995:
        return f"{max(0.0, ms):.2f} ms"
    if ms < 9.95:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9995:
        return f"{ms / 1000:.2f} s"
    if ms < 59950:
        return f"{ms / 1000:.1f} s"
    s = round(ms / 1000)
    for small, large, unit, name in ((60, 3600, "s", "min"), (3600, 86400, "min", "h")):
        if s < large:
            whole, rest = divmod(s, small)
            rest = rest if small == 60 else rest // 60
            return f"{whole} {name} {rest} {unit}" if rest else f"{whole} {name}"
    days, rest = divmod(s, 86400)
    return f"{days} d {rest // 3600} h" if rest >= 3600 else f"{days} d"


def memory(mib: float | None) -> str:
    """Memory in MiB: ``412 MiB``, ``19.8 GiB``; ``–`` for None and NaN."""
    if mib is None or not math.isfinite(mib):
        return "–"
    if mib < 9.95:
        return f"{mib:.1f} MiB"
    if mib < 1000:
        return f"{mib:.0f} MiB"
    return f"{mib / 1024:.1f} GiB" if mib < 102400 else f"{mib / 1024:.0f} GiB"


def size(n: int) -> str:
    """A payload's size, decimal as RunPod's limits are: ``402 kB``, ``1.2 MB``."""
    if n < 1000:
        return f"{n} B"
    if n < 999_500:
        return f"{n / 1000:.{1 if n < 9950 else 0}f} kB"
    return f"{n / 1e6:.{1 if n < 9.95e6 else 0}f} MB"


def plural(n: int, word: str) -> str:
    """``1 line``, ``2 lines``."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def clock(seconds: float) -> str:
    """Local wall clock of a UTC time."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def fraction(value: Any) -> float | None:
    """A share 0 to 1 if a progress value plainly says one, as pane.js reads it; else None.

    ``0.4``, ``"40 %"``, ``{"progress": 40}`` and ``{"step": 4, "total": 10}`` do.
    """
    if isinstance(value, dict):
        total = _number(_first(value, "total", "steps", "of"))
        done = _number(_first(value, "step", "done", "current"))
        if total is not None and done is not None and total > 0:
            return max(0.0, min(1.0, done / total))
        named = _first(value, "progress", "percent")
        if isinstance(named, dict):
            return None
        percent = _number(named)
        return percent / 100 if percent is not None and 1 < percent <= 100 else fraction(named)
    if isinstance(value, str):
        found = _PERCENT.match(value)
        share = float(found[1]) / 100 if found else None
    else:
        share = _number(value)
    return share if share is not None and 0 <= share <= 1 else None


def _first(value: dict[str, Any], *names: str) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank percentile of values in any order, as bands.js has it; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
