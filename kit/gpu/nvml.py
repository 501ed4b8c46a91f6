"""Memory and utilisation of the visible devices, by NVML (package ``nvidia-ml-py``, optional).

NVML's list of processes is never asked: inside a container it names the host's process ids.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from kit.absence import Absence
from kit.gpu.visible import Device, Unavailable, visible_devices


class Nvml:
    """NVML for this process's devices. No method raises: ``absences`` says what is missing and why."""

    def __init__(self) -> None:
        self._absent: dict[str, Absence] = {}
        # module and devices change together, so that a reader in another thread never mixes two states
        self._open: tuple[Any, tuple[Device, ...]] = (None, ())
        self._resolved_for: object = None
        self._has_v2 = True

    @property
    def absences(self) -> tuple[Absence, ...]:
        return tuple(self._absent.values())

    @property
    def devices(self) -> tuple[Device, ...]:
        return self._open[1]

    def probe(self, uuids: tuple[str, ...] = (), *, retry: bool = False) -> None:
        """Find the devices; again if the environment, torch or the process has changed.

        Loads the driver's library and may take some 10 ms, seconds on a GPU that sleeps.

        Parameters
        ----------
        uuids : tuple of str
            UUIDs of torch's devices, if it has initialised CUDA.
        retry : bool
            Try again what failed before.
        """
        wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
        # CUDA reads the variable once, at its initialisation: after that only torch's devices count
        key = (os.getpid(), uuids or wanted)
        if key == self._resolved_for and (self._open[0] is not None or not retry):
            return
        self._absent, self._open, self._resolved_for = {}, (None, ()), key
        try:
            nvml = _load()
            devices, slices = visible_devices(nvml, wanted, uuids)
        except Exception as error:
            # an NVML error, a broken driver, some other package of that name: a reason, not a crash
            self._absent["vram"] = _absence_of(error)
            return
        self._open = (nvml, devices)
        if slices > 1:
            self._absent["mig"] = Absence(
                "mig",
                f"This GPU is split into {slices} MIG slices; the figures are those of the first, "
                "which CUDA takes unless CUDA_VISIBLE_DEVICES names another.",
                "mig",
            )

    def read(self) -> dict[int, tuple[int, int, float | None]]:
        """Bytes used, bytes in all and utilisation (0..1 or None) by device.

        After an error there is a reason in ``absences`` and nothing to read until the next probe.
        """
        nvml, devices = self._open
        found = {}
        try:
            for device in devices:
                memory = self._memory(nvml, device.handle)
                load = self._utilization(nvml, device)
                found[device.index] = (int(memory.used), int(memory.total), load)
        except Exception as error:
            # a GPU that fell off the bus, a driver that was replaced under us
            self._open = (None, ())
            self._absent["vram"] = _absence_of(error)
            return {}
        return found

    def close(self) -> None:
        """Shut NVML down; ``probe`` starts it again."""
        nvml, self._open, self._resolved_for = self._open[0], (None, ()), None
        if nvml is not None:
            try:
                nvml.nvmlShutdown()
            except Exception:
                pass  # nothing is read any more; there is nobody to tell

    def _memory(self, nvml: Any, handle: Any) -> Any:
        # since driver 510 the first version counts the driver's own reserve as used, and nvidia-smi
        # does not; the second version is missing before 510 and fails inside WSL
        if self._has_v2:
            try:
                return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
            except (nvml.NVMLError, TypeError, AttributeError):
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
                self._has_v2 = False
                return memory
        return nvml.nvmlDeviceGetMemoryInfo(handle)

    def _utilization(self, nvml: Any, device: Device) -> float | None:
        if "utilization" in self._absent:
            return None
        try:
            return int(nvml.nvmlDeviceGetUtilizationRates(device.handle).gpu) / 100
        except nvml.NVMLError as error:
            name, why = "not_supported", f"NVML says: {one_line(error)}"
            if device.mig:
                name, why = "mig", "NVML does not give it for a MIG slice"
            self._absent["utilization"] = Absence(
                "utilization", f"No GPU utilisation: {why}.", name
            )
            return None


def _load() -> Any:
    import ctypes

    if sys.platform == "linux":
        try:
            # the driver first: without one that is the reason, whether or not the package is there,
            # and the 45 ms of importing it are saved
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            raise Unavailable(
                "no_driver", "there is no NVIDIA driver on this machine (no libnvidia-ml.so.1)"
            ) from None
    try:
        import pynvml
    except ImportError:
        raise Unavailable(
            "not_installed",
            "the NVIDIA driver is there, but not the package that asks it; "
            "pip install nvidia-ml-py, then restart the kernel",
        ) from None
    pynvml.nvmlInit()
    return pynvml


#: NVML's return codes that deserve a sentence of their own
_BY_CODE = {
    4: ("no_permission", "NVML refuses this user (insufficient permissions)"),
    9: ("driver_not_loaded", "the NVIDIA driver is installed but not loaded"),
    12: ("no_driver", "there is no NVIDIA driver on this machine"),
    15: ("gpu_lost", "the GPU has fallen off the bus; the machine must be restarted"),
    16: ("gpu_lost", "the GPU must be reset before it can be used again"),
    17: ("no_permission", "the operating system keeps NVML from the driver"),
    18: ("version_mismatch", "the driver was updated; the machine must be restarted to use it"),
}


def _absence_of(error: Exception) -> Absence:
    if isinstance(error, Unavailable):
        name, why = error.name, str(error)
    else:
        code = getattr(error, "value", 0)
        name, why = _BY_CODE.get(code, ("error", f"asking NVML failed ({one_line(error)})"))
    return Absence("vram", f"No VRAM figure: {why}.", name)


def one_line(error: Exception) -> str:
    """Type and message of an error in one bounded line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")[:200]
