"""Where a bundle goes, and what lies there already: whose it is, and what was edited."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit import recorded
from kit.errors import ExportError

MANIFEST = recorded.MANIFEST
about = recorded.about
#: what others leave in a folder; never a reason to refuse, never kept
LITTER = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bundle goes.

    Attributes
    ----------
    parent : Path
        Resolved folder; may not exist yet.
    name : str
        The bundle's own folder in it.
    """

    parent: Path
    name: str

    @property
    def path(self) -> Path:
        return self.parent / self.name


def place_of(path: Path) -> Place:
    """Resolve a target without touching the disk.

    Raises
    ------
    ExportError
        The path names no folder that could be written: control characters, ``/``, a file or a
        link in its place.
    """
    text = os.fspath(path)
    if not text or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise ExportError(
            f"{text[:80]!r} cannot be a folder's name: it is empty or holds control "
            "characters. Give a plain path."
        )
    try:
        # not resolve(): `a/../b` is `b`, as it reads, and a link in the last place is refused
        full = Path(os.path.abspath(text))  # noqa: PTH100
        parent = full.parent.resolve()
        place = Place(parent, full.name)
        if not place.name:
            raise ExportError(f"{text!r} is the root of the disk. Give a folder of its own.")
        if Path.cwd().is_relative_to(place.path):
            # it would be replaced under the kernel's feet
            raise ExportError(f"{text!r} is the folder the kernel runs in. Give one inside it.")
        if place.path.is_symlink():
            raise ExportError(f"{text!r} is a link. Give the folder it leads to, or another.")
        if place.path.exists() and not place.path.is_dir():
            raise ExportError(f"{text!r} is a file. Give another path.")
    except (OSError, RuntimeError, ValueError) as exc:
        raise ExportError(f"{text[:80]!r} cannot be used as a folder: {exc}.") from None
    return place


#: how a person says that what is edited may be replaced
IN_CALL, IN_CARD = "overwrite=True (--overwrite)", "tick `Replace it`"


def check_free(
    place: Place, *, overwrite: bool, handler: str | None = None, consent: str = IN_CALL
) -> None:
    """Refuse a folder that holds anything but an earlier export nobody edited.

    Parameters
    ----------
    place : Place
    overwrite : bool
        Whether nothing is refused.
    handler : str or None
        Name of the handler to be written: a bundle of another one is refused. None takes any.
    consent : str
        How a person says where they asked that it may be replaced: ``IN_CALL`` or ``IN_CARD``.

    Raises
    ------
    ExportError
        Naming what is in the way.
    """
    if overwrite:
        return
    try:
        other = (about(place.path) or {}).get("handler")
        found = foreign(place.path)
    except OSError as exc:
        raise ExportError(f"{place.path} cannot be read: {exc.strerror}.") from None
    if handler is not None and isinstance(other, str) and other != handler:
        beside = _beside(place, handler)
        beside = beside if consent == IN_CARD else f'kit.export("{beside}")'
        raise ExportError(
            f"{place.path} holds the worker of `{plain(other)}`, not of `{plain(handler)}`. Give this one "
            f"a folder of its own, {beside}, or {consent} to replace it."
        )
    if found:
        shown = ", ".join(found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ExportError(
            f"{place.path} holds what no export wrote, or what was edited since: {shown}{more}. "
            f"Give another path, or {consent}: that replaces the bundle's own files and leaves the others."
        )


def _beside(place: Place, handler: str) -> str:
    """A folder's name for another handler's worker: ``worker-NAME``."""
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in handler)[:60].strip("-")
    return f"{plain(place.name)}-{name or 'other'}"


def foreign(folder: Path) -> list[str]:
    """Paths below a folder that no export wrote or that were edited since, fit to be shown."""
    if not folder.is_dir():
        return []
    known = manifest(folder)
    return [
        plain(name) + word for name, word in _foreign(folder, "", known or {}, known is not None)
    ]


def _foreign(
    folder: Path, prefix: str, known: dict[str, str], ours: bool
) -> Iterator[tuple[str, str]]:
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        name = prefix + entry.name
        if entry.name in LITTER or (name == MANIFEST and ours):
            continue
        inside = any(other.startswith(f"{name}/") for other in known)
        if inside and entry.is_dir(follow_symlinks=False):
            yield from _foreign(Path(entry.path), f"{name}/", known, ours)
        elif not entry.is_file(follow_symlinks=False) or name not in known:
            yield name, ""
        elif digest(Path(entry.path)) != known[name]:
            yield name, " (edited)"


def plain(text: str) -> str:
    """A name as it can be shown: nothing in it moves a cursor or ends a line."""
    shown = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in shown)[:80]


def manifest(folder: Path) -> dict[str, str] | None:
    """Path to hash of an earlier export's files; None if there is no readable manifest."""
    files = (about(folder) or {}).get("files")
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        return None
    return files


def digest(path: Path) -> str:
    """SHA-256 of a file, a link not followed."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
