"""Whether a second copy of the model fits on the GPU beside the kernel's."""

from __future__ import annotations

from collections.abc import Iterable

from kit.events import MemoryUse, Sample

_MIB = 1024 * 1024


def fits(samples: Iterable[Sample], jobs: Iterable[MemoryUse]) -> str | None:
    """Compare free VRAM with what this kernel holds.

    Parameters
    ----------
    samples : iterable of Sample
        Recent readings, in order of time.
    jobs : iterable of MemoryUse
        Of recent jobs.

    Returns
    -------
    str or None
        None if a clean process can load the model again, or if there is no GPU figure to judge by;
        else a sentence with both figures.
    """
    last: dict[tuple[str, int], Sample] = {}
    for sample in samples:
        last[(sample.kind, sample.device)] = sample
    growth: dict[int, int] = {}
    for use in jobs:
        if use.kind == "vram":
            growth[use.device] = max(growth.get(use.device, 0), use.peak - use.before)
    for (kind, device), sample in sorted(last.items()):
        if kind != "vram" or sample.total_bytes is None:
            continue
        free = sample.total_bytes - sample.used_bytes
        # torch tells what is the kernel's own; without it, all that is used counts as ours
        own = last.get(("torch_reserved", device))
        held = sample.used_bytes if own is None else own.used_bytes
        need = held + growth.get(device, 0)
        if need > free:
            return (
                f"a second copy of the model needs about {need // _MIB:,} MiB on GPU {device} and "
                f"{free // _MIB:,} MiB are free"
            )
    return None
