"""Device memory of every GPU this kernel may use: NVML for the device, torch for its allocator."""

from __future__ import annotations

from dataclasses import dataclass

from kit.absence import Absence
from kit.gpu.allocator import Allocator
from kit.gpu.nvml import Nvml

__all__ = ["Gpu", "Point"]


@dataclass(frozen=True, slots=True)
class Point:
    """One reading of one device, in bytes.

    Attributes
    ----------
    device : int
        CUDA's index in this process.
    used, total : int or None
        The whole device, all processes, as ``nvidia-smi`` shows it; None without NVML.
    utilization : float or None
        0..1 over NVML's last interval; None where NVML does not say.
    allocated, allocated_peak, reserved : int or None
        torch's tensors, their peak since the last reset, and what its allocator holds; None while
        torch's CUDA is not initialised.
    base : int
        Used beside torch's allocator: contexts, other libraries, other processes; 0 without NVML.
    """

    device: int
    used: int | None = None
    total: int | None = None
    utilization: float | None = None
    allocated: int | None = None
    allocated_peak: int | None = None
    reserved: int | None = None
    base: int = 0

    @property
    def in_use(self) -> int:
        """Bytes really in use: the device's figure without what torch only keeps for the next tensor.

        Counting that too, a second job that needs the same 2 GiB would seem to need nothing.
        """
        return self.base + (self.allocated or 0)


class Gpu:
    """NVML and torch together. No method raises; all but ``probe`` are quick and may be called anywhere."""

    def __init__(self) -> None:
        self._nvml = Nvml()
        self._allocator = Allocator()

    @property
    def available(self) -> bool:
        """Whether the last probe found a device, or torch has initialised one."""
        return bool(self._nvml.devices) or self._allocator.active

    @property
    def torch_active(self) -> bool:
        """Whether torch has initialised CUDA in this process."""
        return self._allocator.active

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the devices in CUDA's order, such as ``"NVIDIA H200"``; empty without NVML."""
        return tuple(device.name for device in self._nvml.devices)

    @property
    def absences(self) -> tuple[Absence, ...]:
        return self._nvml.absences + self._allocator.absences

    def probe(self, *, retry: bool = False) -> None:
        """Find the devices, again if what is visible has changed. May block for some 10 ms.

        ``retry`` tries again what failed before.
        """
        self._nvml.probe(self._allocator.uuids(), retry=retry)

    def read(self) -> dict[int, Point]:
        """One reading of each device, by CUDA's index; empty if nothing can be read."""
        earlier, devices, pools = self._allocator.read(), self._nvml.read(), self._allocator.read()
        points = {}
        for index in sorted(devices.keys() | pools.keys()):
            used, total, load = devices.get(index, (None, None, None))
            pool = pools.get(index)
            if pool is None:
                points[index] = Point(index, used, total, load, base=used or 0)
                continue
            # torch may give memory back between two reads: what it held in either is not the base,
            # or a freed 2 GiB would count as somebody else's
            held = max(pool.reserved, earlier[index].reserved if index in earlier else 0)
            points[index] = Point(
                index,
                used,
                total,
                load,
                pool.allocated,
                pool.allocated_peak,
                pool.reserved,
                base=0 if used is None else max(0, used - held),
            )
        return points

    def reset_peak(self) -> bool:
        """Start torch's peak counters anew; False if there are none."""
        return self._allocator.reset_peak()

    def close(self) -> None:
        self._nvml.close()
