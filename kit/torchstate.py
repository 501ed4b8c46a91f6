"""Carry torch's thread-local settings from the notebook's thread into the handler's.

In a worker process module code and handler share one thread, so ``torch.set_grad_enabled(False)``
at the top of the file holds inside the handler. Here cells run on one thread and handlers on
another, where torch starts with its defaults. The settings are captured when the handler cell has
run and applied around each job. torch is never imported for this.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TorchState:
    """Thread-local torch settings; None where this torch does not know the setting.

    Attributes
    ----------
    grad, inference : bool
    autocast : tuple of (device type, enabled, dtype)
    device : object or None
        What ``torch.set_default_device`` was given; None if nothing.
    cuda_device : int or None
        Current CUDA device; None while CUDA is not initialised.
    """

    grad: bool
    inference: bool
    autocast: tuple[tuple[str, bool, Any], ...]
    device: Any
    cuda_device: int | None


def capture() -> TorchState | None:
    """Settings of the calling thread; None if torch is not loaded."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "is_grad_enabled"):
        return None
    autocast = []
    for kind in ("cuda", "cpu"):
        try:
            enabled = torch.is_autocast_enabled(kind)
            dtype = torch.get_autocast_dtype(kind)
        except (TypeError, AttributeError, RuntimeError):  # before torch 2.4
            continue
        autocast.append((kind, enabled, dtype))
    device = None
    overridden = getattr(getattr(torch, "utils", None), "_device", None)
    if getattr(overridden, "CURRENT_DEVICE", None) is not None:
        device = torch.get_default_device()
    cuda = None
    if torch.cuda.is_initialized():
        cuda = int(torch.cuda.current_device())
    return TorchState(
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), tuple(autocast), device, cuda
    )


@contextlib.contextmanager
def applied(state: TorchState | None) -> Iterator[None]:
    """Run a block under captured settings; does nothing for None."""
    if state is None:
        yield
        return
    torch: Any = sys.modules["torch"]
    with contextlib.ExitStack() as stack:
        if state.inference:
            stack.enter_context(torch.inference_mode())
        elif state.grad != torch.is_grad_enabled():
            stack.enter_context(torch.set_grad_enabled(state.grad))
        for kind, enabled, dtype in state.autocast:
            if enabled:
                stack.enter_context(torch.autocast(kind, dtype=dtype))
        if state.device is not None:
            stack.enter_context(torch.device(state.device))
        if state.cuda_device is not None and torch.cuda.is_initialized():
            stack.enter_context(torch.cuda.device(state.cuda_device))
        yield
