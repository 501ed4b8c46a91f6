"""Files that the exported code reads by a literal path, copied with it or told."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit.export.literals import Literal, literals_of
from kit.export.project import Project, is_plain

#: everything a bundle copies, together; more belongs on a volume or into the image by its own step
MAX_BYTES = 20_000_000
#: files in one folder that is named as a whole
MAX_FILES = 500


@dataclass(frozen=True, slots=True)
class Source:
    """A module of the bundle.

    Attributes
    ----------
    name : str
        Its path in the bundle.
    path : Path
        Where it lies here; ``handler.py`` in the working directory for the handler itself.
    tree : ast.Module
    """

    name: str
    path: Path
    tree: ast.Module


@dataclass(slots=True)
class Data:
    """What was found.

    Attributes
    ----------
    files : dict of str to Path
        Path in the bundle to the file here.
    notes : list of str
        What was not copied, one sentence each.
    writes : bool
        Whether the code writes to a relative path, which only the owner of ``/`` may.
    """

    files: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    writes: bool = False


def find_data(sources: Sequence[Source], project: Project) -> Data:
    """Files and folders of the project that modules name literally.

    A path means the same in the worker: relative to the working directory, which is the folder of
    ``handler.py``, or relative to the module's own ``__file__``.
    """
    data = Data()
    every = [
        (source, literal)
        for source in sources
        for literal in literals_of(source.tree, project.folder, source.path)
    ]
    written = {literal.path for _, literal in every if literal.writes}
    data.writes = any(not literal.absolute for _, literal in every if literal.writes)
    for source, literal in every:
        if not literal.writes:
            _consider(source, literal, literal.path in written, project, data)
    return data


def _consider(
    source: Source, literal: Literal, written: bool, project: Project, data: Data
) -> None:
    path, where = literal.path, f"{source.name}, line {literal.line}"
    shown = _shown(path, project)
    try:
        there = path.is_file() or path.is_dir()
    except OSError:
        return
    if not there:
        if literal.reads and not written and not literal.absolute:
            data.notes.append(f"`{shown}` is read ({where}) and does not exist here.")
        return
    if path.is_dir() and not literal.certain and "/" not in shown:
        return  # a word that happens to be a folder's name
    if path.is_file() and not literal.certain and "." not in path.name and "/" not in shown:
        return
    if literal.absolute:
        if path.is_relative_to(project.root) and path != project.root:
            data.notes.append(
                f"`{shown}` ({where}) is named by a path of this machine, which a worker does not have: "
                "name it relative to the notebook, and export again."
            )
        return
    name = _name(source, literal, project)
    if name is None:
        if literal.certain and path not in (project.root, project.folder.parent):
            data.notes.append(
                f"`{shown}` ({where}) lies above the folder that becomes the worker: it is not copied."
            )
        return
    if path in (project.folder, project.root) or source.path.parent == path:
        return  # the folder itself, on the way to something in it
    _copy(path, name, where, shown, project, data)


def _name(source: Source, literal: Literal, project: Project) -> str | None:
    """The path in the bundle, from where the module will look for it; None if that is above it."""
    start = project.folder
    if literal.beside:
        depth = source.name.count("/")
        start = source.path.parents[min(depth, len(source.path.parents) - 1)]
    return (
        literal.path.relative_to(start).as_posix() if literal.path.is_relative_to(start) else None
    )


def _copy(path: Path, name: str, where: str, shown: str, project: Project, data: Data) -> None:
    why = project.refusal(path)
    if why:
        data.notes.append(f"`{shown}` ({where}) {why} and is not copied.")
        return
    if path.is_file():
        data.files.setdefault(name, path.resolve())
        return
    found = list(_below(path, project))
    size = sum(file.stat().st_size for file in found)
    if len(found) > MAX_FILES or size > MAX_BYTES:
        data.notes.append(
            f"the folder `{shown}` ({where}) holds {len(found):,} files of {size / 1e6:,.0f} MB together "
            "and is not copied: put it on the network volume or into the image."
        )
        return
    for file in found:
        inner = file.relative_to(path).as_posix()
        why = project.refusal(file)
        if why:
            data.notes.append(f"`{shown}/{inner}` {why} and is not copied.")
        else:
            data.files.setdefault(f"{name}/{inner}", file.resolve())


def _below(folder: Path, project: Project) -> Iterator[Path]:
    """Files of a folder in order; hidden folders, caches and links to folders left out."""
    count = 0
    for top, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith((".", "__pycache__")) and not project.refusal(Path(top, name))
        )
        for name in sorted(files):
            if name.endswith((".pyc", ".ipynb")):
                continue
            yield Path(top, name)
            count += 1
            if count > MAX_FILES:
                return


def _shown(path: Path, project: Project) -> str:
    inside = path.is_relative_to(project.folder)
    text = (
        path.relative_to(project.folder).as_posix()
        if inside
        else os.path.relpath(path, project.folder)
    )
    return text if text.isprintable() else repr(text)


def take(files: dict[str, Path], taken: set[str]) -> tuple[dict[str, bytes], list[str]]:
    """Read what is to be copied, within the limit, and say what is left out.

    Parameters
    ----------
    files : dict of str to Path
        Path in the bundle to the resolved file.
    taken : set of str
        Names that the bundle's own files have.
    """
    found: dict[str, bytes] = {}
    notes: list[str] = []
    total = 0
    for name, path in files.items():
        if name in taken:
            notes.append(f"{name} is the name of one of the bundle's own files and is not copied.")
            continue
        if any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in found):
            notes.append(
                f"{name} would be a file and a folder at once and is not copied: rename it."
            )
            continue
        if not is_plain(name):
            notes.append(f"{name[:80]!r} has a name that an image cannot copy safely: rename it.")
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(fd, "rb") as file:
                content = file.read(MAX_BYTES - total + 1)
        except OSError as exc:
            notes.append(f"{name} cannot be read ({exc.strerror}) and is not copied.")
            continue
        if total + len(content) > MAX_BYTES:
            size = path.stat().st_size
            notes.append(
                f"{name} ({size / 1e6:,.1f} MB) would make the bundle larger than "
                f"{MAX_BYTES // 1_000_000} MB and is not copied: put it on the network volume, or into "
                "the image by a step of its own."
            )
            continue
        total += len(content)
        found[name] = content
    return found, notes
