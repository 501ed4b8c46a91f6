"""The project around a notebook: what may be read from it for a bundle, and what never is."""

from __future__ import annotations

import fnmatch
import re
import stat
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

#: what makes a folder the top of a project
_TOPS = (".git", "pyproject.toml", "setup.py")
#: files that hold keys by their nature; told, never copied
_KEYS = (
    ".*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "id_rsa*", "id_ed25519*", "*.ppk",
    "credentials*", "client_secret*", "service-account*.json", "secrets.*", "kubeconfig*",
)  # fmt: skip
#: folders that are no part of anybody's own code
_NOT_OWN = {"site-packages", "dist-packages", "node_modules", "__pycache__"}
#: a path in a bundle: no name that a Dockerfile's COPY or a shell would read as anything else
_PLAIN = re.compile(r"[\w][\w .+@,=~-]*")


@dataclass(frozen=True, slots=True)
class Project:
    """Where the notebook runs, and how far up its own files go.

    Attributes
    ----------
    folder : Path
        The kernel's working directory: relative paths are relative to it. Resolved.
    root : Path
        The nearest folder above it, or itself, that is the top of a project (``.git``,
        ``pyproject.toml``, ``setup.py``). Nothing outside of it is ever copied.
    avoid : tuple of Path
        Folders inside that are left alone: the bundle's own.
    """

    folder: Path
    root: Path
    avoid: tuple[Path, ...] = ()

    def refusal(self, path: Path) -> str:
        """Why a file or folder may not be copied, as the end of a sentence; ``""`` if it may.

        Links are followed: what counts is where they lead.
        """
        try:
            real = path.resolve(strict=True)
            mode = real.stat().st_mode
        except (OSError, RuntimeError, ValueError) as exc:
            return f"cannot be read ({getattr(exc, 'strerror', None) or exc})"
        if not real.is_relative_to(self.root):
            linked = "is a link that leads" if path.is_symlink() else "lies"
            return f"{linked} outside of the project"
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return "is neither a file nor a folder"
        for one in (path, real):
            for name in _below(one, self.root):
                if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _KEYS):
                    return "is hidden or may hold keys"
        if any(real == avoided or real.is_relative_to(avoided) for avoided in self.avoid):
            return "is a bundle itself"
        if not is_own(real):
            return "belongs to an environment"
        return ""


def project_of(folder: Path, avoid: tuple[Path, ...] = ()) -> Project:
    """The project of a working directory."""
    folder = folder.resolve()
    ends = {Path.home().resolve(), Path(folder.anchor)}
    root = folder
    for candidate in (folder, *folder.parents):
        if candidate in ends:
            break  # a home folder that is a repository of dot files is no project
        if any((candidate / name).exists() for name in _TOPS):
            root = candidate
            break
    return Project(folder, root, tuple(path.resolve() for path in avoid))


def is_own(path: Path) -> bool:
    """Whether a resolved path may be somebody's own code, and is not of an installation."""
    if _NOT_OWN & set(path.parts):
        return False
    return not any(path.is_relative_to(place) for place in _installed())


def is_plain(name: str) -> bool:
    """Whether a bundle's relative path holds nothing that needs quoting anywhere."""
    parts = name.split("/")
    return len(name) <= 400 and all(
        _PLAIN.fullmatch(part) and part not in ("", ".", "..") for part in parts
    )


def _below(path: Path, root: Path) -> tuple[str, ...]:
    try:
        return path.relative_to(root).parts
    except ValueError:
        return (path.name,)


@lru_cache(maxsize=1)
def _installed() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts", "include")
    places = {Path(p).resolve() for name in names if (p := sysconfig.get_path(name))}
    # a system's /usr/include or /usr/bin is far from any project; its own top must not count as one
    return tuple(place for place in places if len(place.parts) > 2)
