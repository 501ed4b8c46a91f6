"""Which installed distribution provides a module.

``importlib.metadata.packages_distributions`` says the same, and reads every file of every distribution
for it; here a distribution's header and its list of modules are read, once until something is
installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache

_MODULES = (".py", ".so", ".pyd")


def owners() -> Mapping[str, tuple[str, ...]]:
    """First names of modules to the distributions that provide them."""
    return _owners(tuple((path, _changed(path)) for path in sys.path))


def _changed(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns  # noqa: PTH116 - an entry of sys.path may be anything
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=4)
def _owners(_key: tuple[tuple[str, int], ...]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for dist in importlib.metadata.distributions():
        name = _name(dist)
        for top in _tops(dist) if name else ():
            if name not in found.setdefault(top, []):
                found[top].append(name)
    return {top: tuple(names) for top, names in found.items()}


def _name(dist: importlib.metadata.Distribution) -> str:
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    for line in text.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "name":
            return value.strip()
    return ""


def _tops(dist: importlib.metadata.Distribution) -> set[str]:
    told = dist.read_text("top_level.txt")
    if told:
        return {name.replace("/", ".").partition(".")[0] for name in told.split()}
    tops: set[str] = set()
    for line in (dist.read_text("RECORD") or "").splitlines():
        path = line.partition(",")[0].strip('"')
        if not path.endswith(_MODULES):
            continue
        first, slash, _ = path.partition("/")
        top = first if slash else first.partition(".")[0]
        if top.isidentifier():
            tops.add(top)
    return tops


def providers(module: str, names: Sequence[str]) -> list[str]:
    """Distributions that provide a module, where several share its first name.

    Parameters
    ----------
    module : str
        Dotted.
    names : sequence of str
        Distributions that have its first name.
    """
    candidates = sorted(set(names))
    if len(candidates) < 2:
        return candidates
    parts = module.split(".")
    for depth in range(len(parts), 1, -1):  # the most exact part that tells them apart
        prefix = "/".join(parts[:depth])
        exact = [n for n in candidates if _provides(n, prefix)]
        if exact:
            return exact
    plain = [n for n in candidates if _provides(n, parts[0], plain=True)]
    return plain or candidates


def _provides(name: str, prefix: str, *, plain: bool = False) -> bool:
    ends = ("/__init__.py",) if plain else ("/__init__.py", ".py", ".so", ".pyd")
    try:
        files = importlib.metadata.distribution(name).files or []
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False
    for file in files:
        text = file.as_posix()
        if not text.startswith(prefix):
            continue
        rest = text[len(prefix) :]
        if rest in ends or (not plain and rest.startswith(".cpython-")):
            return True
    return False
