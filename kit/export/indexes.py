"""Which package index has a local build such as ``2.6.0+cu124``: the default one never does."""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

#: PyTorch's own wheels lie in one index per build, named by the build's tag
#: (the PyTorch project, "Get Started, Start Locally", which every `pip install torch` line there uses)
TORCH_INDEX = "https://download.pytorch.org/whl/"
#: distributions that this index has
_OF_TORCH = {
    *("torch", "torchvision", "torchaudio", "torchtext", "torchdata", "torchao", "torchcodec"),
    *("xformers", "pytorch-triton", "pytorch-triton-rocm", "torch-tensorrt", "fbgemm-gpu"),
}
_TORCH_BUILD = re.compile(r"cpu|cu\d{2,3}|rocm\d(\.\d){0,2}|xpu")
_PLAIN_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~%+-]+)*/?")


def index_of(name: str, build: str, given: Sequence[str]) -> str:
    """The index that has a local build; ``""`` if none is known.

    Parameters
    ----------
    name : str
        Of the distribution, in its canonical form.
    build : str
        The part of the version after ``+``.
    given : sequence of str
        URLs that the notebook's own pip lines name; those of pip's configuration are tried after
        them. One counts only if it ends with the build's tag, is https, and holds no user or key.
    """
    for url in (*given, *_configured()):
        if is_plain_url(url) and url.rstrip("/").rpartition("/")[2] == build:
            return url
    if name in _OF_TORCH and _TORCH_BUILD.fullmatch(build):
        return TORCH_INDEX + build
    return ""


def is_plain_url(url: str) -> bool:
    """Whether a URL may stand in a file: https, a path of plain characters, no user, no query."""
    if not _PLAIN_URL.fullmatch(url):
        return False
    return urlsplit(url).username is None


def _configured() -> Iterator[str]:
    """Indexes of pip's own configuration on this machine."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        yield from os.environ.get(name, "").split()
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (
        Path(sys.prefix) / "pip.conf", home / "pip" / "pip.conf", Path.home() / ".pip" / "pip.conf",
        Path("/etc/pip.conf"),
    )  # fmt: skip
    for place in places:
        parser = configparser.RawConfigParser()
        try:
            parser.read(place, "utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # pip itself will say so
        for section in ("install", "global"):
            for option in ("extra-index-url", "index-url"):
                yield from parser.get(section, option, fallback="").split()
