"""torch's CUDA allocator: what it holds and how high it went. Only if torch is already there.

torch is never imported and CUDA never initialised from here; ``torch.cuda.mem_get_info`` is not used
either, since it would open a context, and its hundreds of MB, on devices nobody touched.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from kit.absence import Absence
from kit.gpu.nvml import one_line


@dataclass(frozen=True, slots=True)
class Pool:
    """torch's figures for one device, in bytes: live tensors, their peak, and what is held for them."""

    allocated: int
    allocated_peak: int
    reserved: int


class Allocator:
    """Reads torch's counters, from any thread. No method raises."""

    def __init__(self) -> None:
        self._error: str | None = None

    @property
    def absences(self) -> tuple[Absence, ...]:
        if _cuda() is not None:
            return (Absence("torch", self._error, "error"),) if self._error else ()
        torch = sys.modules.get("torch")
        if torch is None:
            name, why = "no_torch", "torch is not imported in this kernel"
        elif not _has_gpu_code(torch):
            name, why = "no_cuda", "this torch is built without CUDA"
        else:
            name, why = "not_initialized", "torch has not put anything on a GPU yet"
        return (Absence("torch", f"No torch figures: {why}.", name),)

    @property
    def active(self) -> bool:
        """Whether torch has initialised CUDA."""
        return _cuda() is not None

    def read(self) -> dict[int, Pool]:
        """Figures by device; empty while torch's CUDA is not initialised."""
        cuda = _cuda()
        if cuda is None:
            return {}
        found = {}
        try:
            for device in range(cuda.device_count()):
                # one C call; memory_allocated() and its kin each flatten all of this anew
                stats = cuda.memory_stats_as_nested_dict(device)
                allocated = stats["allocated_bytes"]["all"]
                found[device] = Pool(
                    allocated=int(allocated["current"]),
                    allocated_peak=int(allocated["peak"]),
                    reserved=int(stats["reserved_bytes"]["all"]["current"]),
                )
        except Exception as error:  # a pluggable allocator keeps no statistics, and says so
            self._error = f"No torch figures: {one_line(error)}."
            return {}
        self._error = None
        return found

    def reset_peak(self) -> bool:
        """Start torch's peak counters at what is allocated now; False without torch's CUDA."""
        cuda = _cuda()
        if cuda is None:
            return False
        try:
            for device in range(cuda.device_count()):
                cuda.reset_peak_memory_stats(device)
        except Exception as error:
            self._error = f"No torch figures: {one_line(error)}."
            return False
        return True

    def uuids(self) -> tuple[str, ...]:
        """UUIDs of torch's devices in its order; empty while CUDA is not initialised."""
        cuda = _cuda()
        if cuda is None:
            return ()
        try:
            return tuple(
                str(cuda.get_device_properties(device).uuid)
                for device in range(cuda.device_count())
            )
        except Exception:  # an older torch does not tell them
            return ()


def _cuda() -> Any:
    """The module torch.cuda if CUDA is initialised, else None."""
    # by sys.modules, not by attribute: another thread may be in the middle of importing torch
    cuda = sys.modules.get("torch.cuda")
    try:
        return cuda if cuda is not None and cuda.is_initialized() else None
    except Exception:
        return None


def _has_gpu_code(torch: Any) -> bool:
    version = getattr(torch, "version", None)
    return bool(getattr(version, "cuda", None) or getattr(version, "hip", None))
