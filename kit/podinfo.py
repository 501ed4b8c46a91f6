"""A pod of RunPod's, as the kit sees it: what it is, whether it runs, where its Jupyter would be."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import TargetError
from kit.secret import Secret

#: how RunPod's proxy names a port of a pod (its documentation, "Expose ports")
PROXY_URL = "https://{pod}-{port}.proxy.runpod.net"

#: where RunPod's images with Jupyter have it
JUPYTER_PORT = 8888


@dataclass(frozen=True, slots=True)
class Provider:
    """A distribution of a pod's Python that provides a module: its name and version, and the target's."""

    name: str
    version: str
    target: str


@dataclass(frozen=True)
class PodInfo:
    """A pod as RunPod describes it; of its environment only the Jupyter token is kept.

    Attributes
    ----------
    id, name, image : str
    status : str
        RunPod's: PROVISIONING, STARTING, RUNNING, EXITED, ERROR or TERMINATED.
    gpu : str or None
        RunPod's name of the GPU type; None for a CPU pod.
    gpu_count : int
        0 for a CPU pod.
    cost_per_hour_usd : float
        What it costs now; 0.0 when EXITED or TERMINATED.
    data_center : str or None
    ports : tuple of str
        As ``8888/http``.
    uptime_s : int or None
        Seconds since its container started; None when it is not running.
    jupyter_token : Secret or None
        From the pod's environment; None if it names none, or only refers to one of RunPod's secrets,
        whose value cannot be read.
    """

    id: str
    name: str
    image: str
    status: str
    gpu: str | None
    gpu_count: int
    cost_per_hour_usd: float
    data_center: str | None
    ports: tuple[str, ...]
    uptime_s: int | None
    jupyter_token: Secret | None

    @property
    def has_jupyter_port(self) -> bool:
        """Whether 8888/http is among the ports, which RunPod's proxy needs."""
        return f"{JUPYTER_PORT}/http" in self.ports

    def jupyter_url(self, proxy: str = PROXY_URL) -> str:
        """Where its Jupyter server is.

        Raises
        ------
        TargetError
            It is not running, or shows no port for Jupyter; the message says what to do.
        """
        called = f"Pod {self.id} ({self.name})" if self.name else f"Pod {self.id}"
        if self.status != "RUNNING":
            raise TargetError(f"{called} {_NOT_RUNNING.get(self.status, _UNKNOWN_STATUS)}")
        if not self.has_jupyter_port:
            shown = ", ".join(self.ports) or "none"
            raise TargetError(
                f"{called} exposes no port {JUPYTER_PORT}/http (its ports: {shown}), so its Jupyter "
                "cannot be reached. Add the port in RunPod's console (the pod restarts), or use a "
                "template with Jupyter."
            )
        return proxy.format(pod=self.id, port=JUPYTER_PORT)


_UNKNOWN_STATUS = "is in a state that the kit does not know. See RunPod's console."
_NOT_RUNNING = {
    "PROVISIONING": "is still being allocated. Try again in a minute.",
    "STARTING": "is still starting. Try again in a minute.",
    "EXITED": "is stopped. Start it in RunPod's console; its container's disk was wiped, "
    "what lies under /workspace is still there.",
    "ERROR": "is in an error state. See its logs in RunPod's console.",
    "TERMINATED": "was terminated. It cannot be started again.",
}
