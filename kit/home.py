"""Where the journal lies.

``KIT_HOME``; else, on a RunPod pod, under ``/workspace``, because the container's own disk is wiped
with the pod; else the user's state folder. SQLite's WAL does not work on a network file system:
there the journal lies on a local disk and a copy of it goes to the network (``kit.mirror``).
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.errors import StoreError

JOURNAL = "journal.sqlite"
#: where a pod mounts what outlives its container
WORKSPACE = Path("/workspace")

#: by type, as in /proc/self/mountinfo
_NETWORK = re.compile(
    r"nfs.*|fuse(\..*)?|cifs|smb.*|9p|ceph|lustre|gpfs|beegfs|afs|glusterfs|ocfs2|gfs2|virtiofs"
)
#: FUSE, but on this machine's own disk
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the journal is and where a copy of it goes.

    Attributes
    ----------
    journal : Path
        The SQLite file that is written.
    mirror : Path or None
        The copy's file; None if there is no copy.
    reason : str
        Why it is there, in one sentence.
    """

    journal: Path
    mirror: Path | None
    reason: str


def default_path(env: Mapping[str, str] | None = None) -> Path:
    """The journal's path if nobody names one. The folder may not exist yet."""
    return _home(os.environ if env is None else env)[0] / JOURNAL


def place(
    path: Path | None = None, env: Mapping[str, str] | None = None, mountinfo: str | None = None
) -> Place:
    """Decide where the journal at ``path`` really lies.

    Parameters
    ----------
    path : Path or None
        A file, or a folder that exists; None for ``default_path``.
    env : mapping or None
        None for ``os.environ``. Read: ``KIT_HOME``, ``KIT_MIRROR`` (a folder where a copy is to be
        kept wherever the journal lies), ``RUNPOD_POD_ID`` and those that name the state folder.
    mountinfo : str or None
        As for ``filesystem``.
    """
    env = os.environ if env is None else env
    if path is None:
        home, reason = _home(env)
        path = home / JOURNAL
    else:
        path = Path(path).expanduser().absolute()
        if path.is_dir():
            path = path / JOURNAL
        reason = "This path was asked for."
    mirror = None
    if env.get("KIT_MIRROR"):
        # journals of several homes may have their copies in one folder
        folder = Path(env["KIT_MIRROR"]).expanduser().absolute()
        mirror = folder / f"{machine(env)}-{_digest(path)}" / path.name
    kind = filesystem(path, mountinfo)
    if not is_network(kind):
        return Place(path, mirror, reason + (" KIT_MIRROR keeps a copy." if mirror else ""))
    return Place(
        journal=_local_folder(path, env, mountinfo) / path.name,
        mirror=mirror or path.parent / machine(env) / path.name,
        reason=(
            f"{path.parent} is on a network file system ({kind}), where SQLite cannot work safely: "
            "the journal is on the local disk and is copied over when nothing runs."
        ),
    )


def machine(env: Mapping[str, str] | None = None) -> str:
    """A file name for this machine: ``RUNPOD_POD_ID`` or the host's name."""
    env = os.environ if env is None else env
    name = env.get("RUNPOD_POD_ID") or socket.gethostname()
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:100] or "machine"


def filesystem(path: Path, mountinfo: str | None = None) -> str | None:
    """Type of the file system a path is (or would be) on, e.g. ``ext4``; None if not known.

    Parameters
    ----------
    path : Path
        It need not exist.
    mountinfo : str or None
        Text of a mountinfo file; None for that of this process. Only Linux has one.
    """
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return None
    real = Path(os.path.realpath(path))
    best, kind = -1, None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, types = left.split(" "), right.split(" ")
        if len(fields) < 5 or not types[0]:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4]))
        # of two mounts on one point the later one is seen
        if real.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), types[0]
    return kind


def is_network(kind: str | None) -> bool:
    """Whether a file system of this type may be written by other machines."""
    return kind is not None and kind not in _LOCAL_FUSE and _NETWORK.fullmatch(kind) is not None


def make_folder(folder: Path) -> None:
    """Make the journal's folder, for this user alone.

    Raises
    ------
    StoreError
        It is somebody else's: in a folder for temporary files anybody may have made it.
    OSError
        It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sys.platform == "win32" or not folder.is_relative_to(tempfile.gettempdir()):
        return
    for part in (folder, folder.parent):
        if part.name.startswith("handler-kit-") and (
            part.is_symlink() or part.lstat().st_uid != os.getuid()
        ):
            raise StoreError(
                f"{part} belongs to somebody else. Set KIT_HOME to a folder of your own."
            )


def _home(env: Mapping[str, str]) -> tuple[Path, str]:
    if env.get("KIT_HOME"):
        return Path(env["KIT_HOME"]).expanduser().absolute(), "KIT_HOME says so."
    if env.get("RUNPOD_POD_ID") and WORKSPACE.is_dir():
        reason = f"This is a RunPod pod: {WORKSPACE} outlives the container's disk."
        return WORKSPACE / ".handler-kit", reason
    return _state(env), "This is the user's folder for state; KIT_HOME moves it."


def _state(env: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        base = env.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "handler-kit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "handler-kit"
    base = env.get("XDG_STATE_HOME")
    # the XDG rules say that a relative path is to be ignored
    if base and Path(base).is_absolute():
        return Path(base) / "handler-kit"
    return Path.home() / ".local" / "state" / "handler-kit"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _local_folder(path: Path, env: Mapping[str, str], mountinfo: str | None) -> Path:
    """A folder on a local disk for a journal that was asked for on the network."""
    name = f"local-{_digest(path)}"
    state = _state(env)
    if not is_network(filesystem(state, mountinfo)):
        return state / name
    # the user's own folder is on the network too; the name and the mode keep others out
    user = str(os.getuid()) if sys.platform != "win32" else "user"
    return Path(tempfile.gettempdir()) / f"handler-kit-{user}" / name


def make_private(path: Path) -> None:
    """Make a file that only its owner may read, if it is not there."""
    # only if it is new: closing a descriptor of a journal in use would drop SQLite's own locks
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
