"""Base images for a worker: which one for a CUDA, a torch and a Python.

As of November 2026. Sources: RunPod's own images (github.com/runpod/containers, ``official-templates``:
``shared/versions.hcl``, ``base`` and ``pytorch``), RunPod's worker template, which links the wanted
Python of such an image to ``python``, and the Docker official image ``python``. A newer CUDA than a
wheel was built for is fine, an older one is not; a driver runs every CUDA up to its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: CUDA of a base image with Python 3.10 to 3.13 in it, ascending, and its name
_RUNPOD_BASE = (
    ((11, 8), "runpod/base:0.6.3-cuda11.8.0"),
    ((12, 4), "runpod/base:0.7.0-cuda1241-ubuntu2204"),
    ((12, 8), "runpod/base:1.0.3-cuda1281-ubuntu2204"),
    ((12, 9), "runpod/base:1.0.3-cuda1290-ubuntu2204"),
    ((13, 0), "runpod/base:1.0.3-cuda1300-ubuntu2404"),
)
#: torch, Python and CUDA of an image that has all three, and its name
_RUNPOD_TORCH = {
    ("2.1.0", "3.10", (11, 8)): "runpod/pytorch:2.1.0-py3.10-cuda11.8.0-devel-ubuntu22.04",
    ("2.1.1", "3.10", (12, 1)): "runpod/pytorch:2.1.1-py3.10-cuda12.1.1-devel-ubuntu22.04",
    ("2.2.0", "3.10", (12, 1)): "runpod/pytorch:2.2.0-py3.10-cuda12.1.1-devel-ubuntu22.04",
    ("2.4.0", "3.11", (12, 4)): "runpod/pytorch:2.4.0-py3.11-cuda12.4.1-devel-ubuntu22.04",
    ("2.8.0", "3.11", (12, 8)): "runpod/pytorch:2.8.0-py3.11-cuda12.8.1-cudnn-devel-ubuntu22.04",
}
#: the end of an image's name whose own Python pip changes only if it is told to (PEP 668)
_GUARDED = "ubuntu2404"
#: CUDA versions that RunPod's hosts have and an endpoint may be restricted to, ascending
_HOSTS = (
    "11.8", "12.0", "12.1", "12.2", "12.3", "12.4", "12.5", "12.6", "12.7", "12.8", "12.9", "13.0",
)  # fmt: skip
#: an image's name as registries spell it: [host[:port]/]path[:tag][@digest]
_IMAGE = re.compile(
    r"([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, slots=True)
class Base:
    """A base image.

    Attributes
    ----------
    image : str
    link : str
        ``3.11``: the Python of the image that ``python`` must be made to mean; ``""`` if it does.
    guarded : bool
        Whether pip must be told that it may change the image's Python.
    cuda : tuple of int or None
        CUDA of the image; None for one without.
    slim : bool
        Whether it is Debian with Python and nothing else.
    """

    image: str
    link: str = ""
    guarded: bool = False
    cuda: tuple[int, int] | None = None
    slim: bool = False


def base_of(python: tuple[int, int], cuda: tuple[int, int] | None, torch: str) -> Base:
    """The base image for what is in use here.

    Parameters
    ----------
    python : (int, int)
        Major and minor version.
    cuda : (int, int) or None
        The CUDA that the installed packages were built for; None if none was.
    torch : str
        Its public version, ``2.8.0``; ``""`` if it is not used.
    """
    minor = f"{python[0]}.{python[1]}"
    if cuda is None:
        return Base(f"python:{minor}-slim", slim=True)
    exact = _RUNPOD_TORCH.get((torch, minor, cuda))
    if exact is not None:
        return Base(exact, cuda=cuda)
    fitting = [row for row in _RUNPOD_BASE if row[0] >= cuda and row[0][0] == cuda[0]]
    # newer than all of these, or of an older major version: the newest one there is
    have, image = (fitting or _RUNPOD_BASE[-1:])[0]
    return Base(image, minor, image.endswith(_GUARDED), have)


def chosen(image: str) -> Base:
    """A base image that a person has named; its ``python`` is taken as it is."""
    found = re.search(r"cu(?:da)?[-_]?(1[1-9])\.?(\d)", image)
    cuda = (int(found[1]), int(found[2])) if found else None
    return Base(
        image, cuda=cuda, slim=re.fullmatch(r"python:3\.\d+(\.\d+)?-slim\S*", image) is not None
    )


def is_image(text: str) -> bool:
    """Whether a text is an image's name and nothing more."""
    return len(text) <= 400 and _IMAGE.fullmatch(text) is not None


def host_versions(cuda: tuple[int, int]) -> list[str]:
    """CUDA versions of hosts on which an image with this CUDA runs, newest first."""
    return [v for v in reversed(_HOSTS) if tuple(map(int, v.split("."))) >= cuda]
