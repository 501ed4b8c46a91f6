"""``kit.free()``: give memory back, and say how much it was and what still holds the rest."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kit.held import large_values
from kit.views.words import memory

if TYPE_CHECKING:
    from kit.sampler import Reading
    from kit.session import Session

_MIB = 2**20
#: values and frames below this are not worth a line
_LEAST_BYTES = 16 * _MIB
_LINES = 5


@dataclass(frozen=True, slots=True)
class Regained:
    """What one device, or this process, got back.

    Attributes
    ----------
    name : str
        ``GPU 0`` or ``RSS``.
    before_mib, after_mib : float
        In use before and after; of a GPU the whole device, as nvidia-smi shows it, or without NVML
        what torch had reserved.
    """

    name: str
    before_mib: float
    after_mib: float

    @property
    def mib(self) -> float:
        """Regained; below 0 if something else took more meanwhile."""
        return self.before_mib - self.after_mib


@dataclass(frozen=True, slots=True)
class Freed:
    """What ``kit.free()`` came to; its repr says it in words.

    Attributes
    ----------
    regained : tuple of Regained
        Each GPU, then this process.
    done : tuple of str
        What was dropped.
    held : tuple of str
        What keeps memory and is not the kit's to drop, each with the way out.
    """

    regained: tuple[Regained, ...]
    done: tuple[str, ...]
    held: tuple[str, ...]

    def __repr__(self) -> str:
        lines = [
            f"{one.name:<6} {_signed(one.mib)} ({memory(one.before_mib)} to {memory(one.after_mib)})"
            for one in self.regained
        ]
        lines += [f"done   {what}" for what in self.done]
        lines += [f"held   {what}" for what in self.held]
        return "\n".join(lines or ["nothing could be measured here"])


def _signed(mib: float) -> str:
    if abs(mib) < 0.05:
        return "nothing regained"
    return f"{memory(mib)} regained" if mib > 0 else f"{memory(-mib)} more in use"


def free(session: Session) -> Freed:
    """See ``kit.free``."""
    sampler = session.sampler
    before = sampler.read()
    errors = session.errors
    done = []
    if errors.drop():
        done.append("the last exception (%debug has nothing to look at now)")
    ended = session.rest_workers()
    if ended:
        done.append(
            f"{ended} worker process{'es' if ended > 1 else ''} of target process without a job"
        )
    dropped = session.intake.forget_large()
    if dropped:
        done.append(
            f"inputs kept for the next run ({memory(dropped / _MIB)}; they are in the journal)"
        )
    found = gc.collect()
    done.append(f"gc ({found:,} object{'' if found == 1 else 's'} in cycles)")
    emptied = _empty_torch()
    if emptied:
        done.append(emptied)
    if _trim():
        done.append("freed heap given back to the system")
    after = sampler.read()
    return Freed(_regained(before, after), tuple(done), tuple(_held(session)))


def _empty_torch() -> str | None:
    """Empty torch's cache if CUDA is initialised; never imports torch."""
    cuda: Any = sys.modules.get("torch.cuda")
    try:
        if cuda is None or not cuda.is_initialized():
            return None
        cuda.empty_cache()
        cuda.ipc_collect()
    except Exception as error:  # a device error stays until the kernel restarts
        return f"torch's cache could not be emptied: {type(error).__name__}: {error}"[:300]
    return "torch's cache emptied"


def _trim() -> bool:
    """Ask glibc for what it keeps of freed memory; other C libraries have no such call."""
    try:
        import ctypes

        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError, TypeError):
        return False


def _regained(before: Reading, after: Reading) -> tuple[Regained, ...]:
    found = []
    for index, now in sorted(after.points.items()):
        was = before.points.get(index)
        if was is None:
            continue
        pair = (was.used, now.used)
        if pair[0] is None or pair[1] is None:
            pair = (was.reserved, now.reserved)
        if pair[0] is not None and pair[1] is not None:
            found.append(Regained(f"GPU {index}", pair[0] / _MIB, pair[1] / _MIB))
    if before.rss is not None and after.rss is not None:
        found.append(Regained("RSS", before.rss / _MIB, after.rss / _MIB))
    return tuple(found)


def _held(session: Session) -> list[str]:
    errors = session.errors
    lines = [
        f"`{one.holder}` ({one.error}) keeps `{one.variable}` of {one.function}(), "
        f"{memory(one.size_bytes / _MIB)}: del {one.holder.split('[')[0]}"
        for one in errors.held(_LEAST_BYTES)[:_LINES]
    ]
    for name, size in large_values(errors.names, _LEAST_BYTES)[:_LINES]:
        way = "%reset -f out" if name.startswith("Out") else f"del {name.split('[')[0]}"
        lines.append(f"`{name}`, {memory(size / _MIB)}: {way}")
    running = len(session.worker.running())
    if running:
        lines.append(f"{running} job{'s' if running > 1 else ''} still running")
    stuck = session.stuck_threads()
    if stuck:
        lines.append(
            f"{stuck} handler thread{'s' if stuck > 1 else ''} that could not be stopped: "
            "restart the kernel"
        )
    return lines
