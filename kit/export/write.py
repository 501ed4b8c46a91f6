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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ExportError

MANIFEST = ".kit-export.json"
#: what others leave in a folder; never a reason to refuse, never kept
_LITTER = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}
_MANIFEST_LIMIT_BYTES = 1_000_000
_EXCHANGE = 2  # RENAME_EXCHANGE, linux/fs.h


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


def check_free(place: Place, *, overwrite: bool) -> None:
    """Refuse a folder that holds anything but an earlier export nobody edited.

    Raises
    ------
    ExportError
        Naming what is in the way.
    """
    try:
        foreign = [] if overwrite else _foreign(place.path)
    except OSError as exc:
        raise ExportError(f"{place.path} cannot be read: {exc.strerror}.") from None
    if foreign:
        shown = ", ".join(foreign[:6])
        more = f" and {len(foreign) - 6} more" if len(foreign) > 6 else ""
        raise ExportError(
            f"{place.path} holds what no export wrote, or what was edited since: {shown}{more}. "
            "Give another path, or overwrite=True: it replaces the bundle's own files and leaves "
            "the others."
        )


def _foreign(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    known = _manifest(folder)
    found = []
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if entry.name in _LITTER or (entry.name == MANIFEST and known is not None):
            continue
        shown = entry.name.encode(errors="backslashreplace").decode()
        shown = "".join(c if c.isprintable() else "?" for c in shown)[:80]
        if not entry.is_file(follow_symlinks=False) or known is None or entry.name not in known:
            found.append(shown)
        elif _digest(Path(entry.path)) != known[entry.name]:
            found.append(f"{shown} (edited)")
    return found


def about(folder: Path) -> dict[str, object] | None:
    """What an export has written of itself; None if there is no readable manifest."""
    path = folder / MANIFEST
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MANIFEST_LIMIT_BYTES:
            return None
        manifest = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _manifest(folder: Path) -> dict[str, str] | None:
    """Name to hash of an earlier export's files; None if there is no readable manifest."""
    files = (about(folder) or {}).get("files")
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        return None
    return files


def _digest(path: Path) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(fd, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def write_bundle(
    place: Place, files: Mapping[str, str], about: Mapping[str, object], *, overwrite: bool
) -> tuple[str, ...]:
    """Write a bundle in one step.

    Parameters
    ----------
    place : Place
    files : mapping of str to str
        Plain file name to text.
    about : mapping
        Further keys of the manifest.
    overwrite : bool
        Whether other files in the folder are no reason to refuse. They stay as they are.

    Returns
    -------
    tuple of str
        Names written, the manifest last.

    Raises
    ------
    ExportError
        Something is in the way, or the disk cannot be written. The old bundle is then whole.
    """
    for name in files:
        assert name == Path(name).name
        assert name != MANIFEST
    data = {name: text.encode() for name, text in files.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
    manifest = json.dumps({**about, "files": digests}, indent=2, ensure_ascii=False) + "\n"
    data[MANIFEST] = manifest.encode(errors="replace")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _opened(place.parent) as parent:
            _recover(place, parent)
            check_free(place, overwrite=overwrite)
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
            for name, content in data.items():
                _write_file(fresh, name, content)
            mode = 0o755
            if place.path.is_dir():
                mode = stat.S_IMODE(place.path.lstat().st_mode)
                _keep_others(place.path, place.parent / temporary, set(data))
            os.fchmod(fresh, mode)
            os.fsync(fresh)
        finally:
            os.close(fresh)
        _swap(parent, temporary, place.name)
        os.fsync(parent)
    finally:
        # after the exchange this is the old bundle; before it, what could not be finished
        _remove(place.parent / temporary)


def _write_file(folder: int, name: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _keep_others(old: Path, new: Path, ours: set[str]) -> None:
    """Give the new folder the other files of the old one, as links to the same data."""
    known = _manifest(old) or {}
    for entry in os.scandir(old):
        if entry.name in ours or entry.name in _LITTER or entry.name in known:
            continue
        target = new / entry.name
        if entry.is_dir(follow_symlinks=False):
            shutil.copytree(entry.path, target, symlinks=True, copy_function=_link)
        else:
            _link(entry.path, target)


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
