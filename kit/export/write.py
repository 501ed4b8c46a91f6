"""Writes a bundle: the old one whole or the new one whole, and nothing outside of its folder.

All files are written into a new folder beside the target, which then takes the target's place in
one step. Everything happens relative to a descriptor of the parent folder, so that a path changed
meanwhile cannot lead elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
import stat
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kit.errors import ExportError
from kit.export.place import IN_CALL, LITTER, MANIFEST, Place, check_free, manifest

_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h


def write_bundle(
    place: Place,
    files: Mapping[str, str | bytes],
    about: Mapping[str, object],
    *,
    overwrite: bool,
    consent: str = IN_CALL,
) -> tuple[str, ...]:
    """Write a bundle in one step.

    Parameters
    ----------
    place : Place
    files : mapping of str to str or bytes
        Path in the bundle, ``/`` between its parts, to its content; text is written as UTF-8.
    about : mapping
        Further keys of the manifest. ``handler`` is the name whose bundle this is.
    overwrite : bool
        Whether other files in the folder are no reason to refuse. They stay as they are.
    consent : str
        See :func:`kit.export.place.check_free`.

    Returns
    -------
    tuple of str
        Paths written, the manifest last.

    Raises
    ------
    ExportError
        Something is in the way, or the disk cannot be written. The old bundle is then whole.
    """
    for name in files:
        assert name != MANIFEST
        assert all(part not in ("", ".", "..") and "\0" not in part for part in name.split("/"))
    data = {n: c.encode() if isinstance(c, str) else c for n, c in files.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
    text = json.dumps({**about, "files": digests}, indent=2, ensure_ascii=False) + "\n"
    data[MANIFEST] = text.encode(errors="replace")
    handler = about.get("handler")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _opened(place.parent) as parent:
            _recover(place, parent)
            known = handler if isinstance(handler, str) else None
            check_free(place, overwrite=overwrite, handler=known, consent=consent)
            _write(place, parent, data)
    except OSError as exc:
        where = exc.filename if isinstance(exc.filename, str) else place.path
        raise ExportError(
            f"{place.path} cannot be written ({exc.strerror or exc}: {where}). Nothing was changed."
        ) from None
    return tuple(data)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _prefix(place: Place) -> str:
    # a very long name must not make ours longer than a file system allows
    return f".{place.name[:60]}.kit-{_host()}-"


def _host() -> str:
    return "".join(c for c in socket.gethostname() if c.isalnum())[:32] or "host"


def _write(place: Place, parent: int, data: Mapping[str, bytes]) -> None:
    temporary = f"{_prefix(place)}{os.getpid()}-{secrets.token_hex(4)}"
    os.mkdir(temporary, 0o700, dir_fd=parent)
    try:
        fresh = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            _write_files(fresh, data)
            mode = 0o755
            if place.path.is_dir():
                mode = stat.S_IMODE(place.path.lstat().st_mode)
                known = set(manifest(place.path) or ())
                _keep_others(place.path, place.parent / temporary, "", set(data), known)
            os.fchmod(fresh, mode)
            os.fsync(fresh)
        finally:
            os.close(fresh)
        _swap(parent, temporary, place.name)
        os.fsync(parent)
    finally:
        # after the exchange this is the old bundle; before it, what could not be finished
        _remove(place.parent / temporary)


def _write_files(folder: int, data: Mapping[str, bytes]) -> None:
    """Files of a new folder, each with the folders it lies in; nobody else knows its name yet."""
    made: set[str] = set()
    for name, content in data.items():
        head = name.rpartition("/")[0]
        parts = head.split("/") if head else []
        for depth in range(1, len(parts) + 1):
            inner = "/".join(parts[:depth])
            if inner not in made:
                os.mkdir(inner, 0o755, dir_fd=folder)
                made.add(inner)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _keep_others(
    old: Path, new: Path, prefix: str, ours: Collection[str], known: Collection[str]
) -> None:
    """Give the new folder the other files of the old one, as links to the same data."""
    for entry in os.scandir(old):
        name = prefix + entry.name
        if name in ours or entry.name in LITTER or name in known:
            continue
        target = new / entry.name
        if not entry.is_dir(follow_symlinks=False):
            if not target.is_dir():  # what is a folder of ours now has taken its place
                _link(entry.path, target)
        elif target.is_dir():
            _keep_others(Path(entry.path), target, f"{name}/", ours, known)
        elif any(other.startswith(f"{name}/") for other in known):
            # a folder of an earlier bundle: what is left in it is somebody's own, or nothing is
            kept = [p for p in Path(entry.path).rglob("*") if not p.is_dir() or p.is_symlink()]
            inner = Path(entry.path)
            if any(prefix + p.relative_to(old).as_posix() not in known for p in kept):
                target.mkdir(mode=stat.S_IMODE(inner.lstat().st_mode))
                _keep_others(inner, target, f"{name}/", ours, known)
        elif not target.exists():
            shutil.copytree(entry.path, target, symlinks=True, copy_function=_link)


def _link(source: str, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # not every file system has links
        shutil.copy2(source, target, follow_symlinks=False)


def _swap(parent: int, fresh: str, name: str) -> None:
    """Put the fresh folder in its place; the old one, if any, then has the fresh one's name."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)
        return
    if _exchange(parent, fresh, name):
        return
    # no exchange on this file system: two steps, and `_recover` knows what lies between them
    aside = f"{fresh}-old"
    os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
    try:
        os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
        raise
    os.rename(aside, fresh, src_dir_fd=parent, dst_dir_fd=parent)


def _exchange(parent: int, first: str, second: str) -> bool:
    """Exchange two names in one step; False if the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    done = libc.renameat2(parent, os.fsencode(first), parent, os.fsencode(second), _EXCHANGE)
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), second)


def _recover(place: Place, parent: int) -> None:
    """Clear up after exports that were killed; put back an old bundle that one had set aside."""
    prefix = _prefix(place)
    for entry in sorted(os.listdir(parent)):
        if not entry.startswith(prefix):
            continue
        pid = entry[len(prefix) :].partition("-")[0]
        if not pid.isdigit() or _alive(int(pid)):
            continue
        if entry.endswith("-old") and not place.path.exists():
            os.rename(entry, place.name, src_dir_fd=parent, dst_dir_fd=parent)
        else:
            _remove(place.parent / entry)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
