"""Which GPUs this process may use, as NVML handles in CUDA's order.

NVML knows nothing of ``CUDA_VISIBLE_DEVICES``; its rules are CUDA's and are applied here. Once torch
has initialised CUDA its devices are matched by UUID instead, which is exact whatever the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Unavailable(Exception):
    """There is no device to read. ``name`` is the fixed word for it, the message a half-sentence."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a MIG slice of one. ``index`` is CUDA's number of it in this process."""

    index: int
    name: str
    mig: bool
    handle: Any


def visible_devices(
    nvml: Any, wanted: str | None, uuids: tuple[str, ...]
) -> tuple[tuple[Device, ...], int]:
    """Devices in CUDA's order, and how many MIG slices there were to choose from.

    Parameters
    ----------
    nvml : module
        pynvml, initialised.
    wanted : str or None
        ``CUDA_VISIBLE_DEVICES``; None if it is not set.
    uuids : tuple of str
        UUIDs of torch's devices without their prefix; empty if torch has not initialised CUDA.

    Raises
    ------
    Unavailable
        There is none, or none is visible.
    NVMLError
        NVML refused.
    """
    slices = 0
    if uuids:
        handles = [_by_torch_uuid(nvml, uuid) for uuid in uuids]
    else:
        handles = _chosen(nvml, wanted)
        parts = [part for handle in handles for part in _slices(nvml, handle)]
        slices = len(parts)
        # a process sees one MIG slice, whatever else there is: CUDA takes the first
        handles = parts[:1] or handles
    devices = (
        Device(index=i, name=_name(nvml, handle), mig=_is_mig(nvml, handle), handle=handle)
        for i, handle in enumerate(handles)
    )
    return tuple(devices), slices


def by_number(wanted: str, count: int) -> list[int]:
    """Indices in ``"2,0"`` as CUDA reads them: the first bad one ends the list, a repeated one empties it."""
    found: list[int] = []
    for part in wanted.split(","):
        digits = part.strip()
        # like strtoul, CUDA reads the digits a part begins with
        length = next((i for i, c in enumerate(digits) if c not in "0123456789"), len(digits))
        if length == 0 or int(digits[:length]) >= count:
            break
        if int(digits[:length]) in found:
            return []
        found.append(int(digits[:length]))
    return found


def by_prefix(wanted: str, known: list[str]) -> list[int]:
    """Indices of ``"GPU-8932f9,..."`` in the known UUIDs: an unknown or ambiguous one ends the list."""
    found: list[int] = []
    for part in wanted.split(","):
        start = part.strip()
        matches = [i for i, uuid in enumerate(known) if uuid.startswith(start)]
        if len(matches) != 1 or not start.startswith("GPU-"):
            break
        if matches[0] in found:
            return []
        found.append(matches[0])
    return found


def _chosen(nvml: Any, wanted: str | None) -> list[Any]:
    every = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    if not every:
        raise Unavailable("no_device", "the NVIDIA driver finds no GPU")
    if wanted is None:
        return every
    if wanted.startswith("MIG-"):
        return [nvml.nvmlDeviceGetHandleByUUID(wanted.split(",")[0])]
    if wanted.startswith("GPU-"):
        known = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in every]
        handles = [every[i] for i in by_prefix(wanted, known)]
    else:
        handles = [every[i] for i in by_number(wanted, len(every))]
    if not handles:
        raise Unavailable("hidden", f"CUDA_VISIBLE_DEVICES={wanted!r} hides every GPU")
    return handles


def _by_torch_uuid(nvml: Any, uuid: str) -> Any:
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        return nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")


def _slices(nvml: Any, handle: Any) -> list[Any]:
    """MIG slices of a GPU; empty if it is not split."""
    if _is_mig(nvml, handle):
        return [handle]
    try:
        if not nvml.nvmlDeviceGetMigMode(handle)[0]:
            return []
        limit = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # most GPUs cannot be split and say so
        return []
    found = []
    for i in range(limit):
        try:
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, i))
        except nvml.NVMLError:  # an empty place
            continue
    if not found:
        raise Unavailable(
            "mig", "the GPU is in MIG mode and none of its slices is given to this machine"
        )
    return found


def _is_mig(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceIsMigDeviceHandle(handle).value)  # pynvml gives the c_uint
    except nvml.NVMLError:  # a driver older than MIG
        return False


def _name(nvml: Any, handle: Any) -> str:
    try:
        return _text(nvml.nvmlDeviceGetName(handle))
    except nvml.NVMLError:
        return "GPU"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # bytes before 11.515
