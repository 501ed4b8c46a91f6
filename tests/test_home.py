"""Where the journal lies, and how a network file system is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit import home
from kit.errors import StoreError

#: a pod: overlay for the container, a network volume under /workspace, a local disk under /scratch
POD = r"""
611 530 0:137 / / rw,relatime master:200 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
612 611 0:140 / /proc rw,nosuid - proc proc rw
640 611 0:99 / /workspace rw,nosuid,nodev - fuse mfs#eu-nl-1.example:9421 rw,user_id=0,allow_other
641 611 8:1 /docker /scratch rw,relatime shared:7 - xfs /dev/sda1 rw,attr2
642 640 0:50 / /workspace/fast rw - ext4 /dev/nvme0n1 rw
643 611 0:51 / /mnt/with\040space rw - nfs4 10.0.0.1:/share rw,vers=4.2
644 611 0:52 / /twice rw - nfs 10.0.0.1:/old rw
645 611 0:53 / /twice rw - tmpfs tmpfs rw
not a line of this file
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/root-of-nothing/journal.sqlite", "overlay"),
        ("/workspace", "fuse"),
        ("/workspace/project/deep/journal.sqlite", "fuse"),
        ("/workspaces/journal.sqlite", "overlay"),
        ("/workspace/fast/journal.sqlite", "ext4"),
        ("/scratch/x", "xfs"),
        ("/mnt/with space/x", "nfs4"),
        ("/twice/x", "tmpfs"),
    ],
)
def test_the_type_of_a_path_is_that_of_its_nearest_mount(path: str, kind: str) -> None:
    assert home.filesystem(Path(path), POD) == kind


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/workspace")
    assert home.filesystem(tmp_path / "link" / "journal.sqlite", POD) == "fuse"


def test_nothing_is_known_without_the_file() -> None:
    assert home.filesystem(Path("/x"), "") is None
    assert not home.is_network(None)


@pytest.mark.parametrize(
    "kind",
    [
        "nfs",
        "nfs4",
        "nfsd",
        "fuse",
        "fuse.sshfs",
        "fuse.juicefs",
        "fuse.ceph",
        "cifs",
        "smb3",
        "9p",
        "ceph",
        "lustre",
        "beegfs",
    ],
)
def test_network(kind: str) -> None:
    assert home.is_network(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "ext4",
        "xfs",
        "btrfs",
        "overlay",
        "tmpfs",
        "zfs",
        "apfs",
        "f2fs",
        "fuseblk",
        "fuse.fuse-overlayfs",
        "notnfs",
    ],
)
def test_local(kind: str) -> None:
    assert not home.is_network(kind)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has mountinfo")
def test_this_machine_is_read_as_findmnt_reads_it(tmp_path: Path) -> None:
    said = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(tmp_path)], capture_output=True, text=True
    ).stdout.strip()
    kind = home.filesystem(tmp_path)
    assert kind is not None
    # stat knows ext2, 3 and 4 by one magic number
    assert said.split("/")[0].rstrip("2") in kind or "UNKNOWN" in said


# -- which folder ---------------------------------------------------------------------------------


def test_kit_home_is_first() -> None:
    env = {"KIT_HOME": "/scratch/mine", "RUNPOD_POD_ID": "abc", "XDG_STATE_HOME": "/scratch/state"}
    place = home.place(env=env, mountinfo=POD)
    assert place == home.Place(Path("/scratch/mine/journal.sqlite"), None, "KIT_HOME says so.")
    assert home.default_path(env) == place.journal


@pytest.mark.skipif(sys.platform != "linux", reason="the user's folder has another name elsewhere")
def test_the_user_s_state_folder_is_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home.default_path({}) == tmp_path / ".local/state/handler-kit/journal.sqlite"
    assert home.default_path({"XDG_STATE_HOME": "not/absolute"}).is_relative_to(tmp_path)
    assert home.default_path({"XDG_STATE_HOME": "/s"}) == Path("/s/handler-kit/journal.sqlite")


def test_on_a_pod_it_is_beside_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "WORKSPACE", tmp_path)
    place = home.place(env={"RUNPOD_POD_ID": "abc"}, mountinfo=POD)
    assert place.journal == tmp_path / ".handler-kit" / "journal.sqlite"
    assert "RunPod pod" in place.reason
    assert not home.default_path({}).is_relative_to(tmp_path), "a folder of that name is no pod"
    monkeypatch.setattr(home, "WORKSPACE", tmp_path / "none")
    assert not home.default_path({"RUNPOD_POD_ID": "abc"}).is_relative_to(tmp_path)


def test_a_path_that_is_asked_for(tmp_path: Path) -> None:
    assert home.place(tmp_path, {}).journal == tmp_path / "journal.sqlite"
    assert home.place(tmp_path / "other.db", {}).journal == tmp_path / "other.db"
    assert home.place(tmp_path / "other.db", {}).mirror is None


def test_on_the_network_the_journal_is_local_and_its_copy_there() -> None:
    env = {
        "KIT_HOME": "/workspace/.handler-kit",
        "RUNPOD_POD_ID": "po/d..1",
        "XDG_STATE_HOME": "/s",
    }
    place = home.place(env=env, mountinfo=POD)
    assert place.mirror == Path("/workspace/.handler-kit/po_d__1/journal.sqlite")
    assert place.journal.is_relative_to("/s/handler-kit")
    assert "network file system (fuse)" in place.reason
    other = home.place(env={**env, "KIT_HOME": "/workspace/other"}, mountinfo=POD)
    assert other.journal != place.journal
    assert other.mirror != place.mirror
    assert home.place(env=env, mountinfo=POD) == place


def test_a_home_that_is_on_the_network_too() -> None:
    env = {"KIT_HOME": "/workspace/kit", "XDG_STATE_HOME": "/workspace/state"}
    place = home.place(env=env, mountinfo=POD)
    assert not place.journal.is_relative_to("/workspace")
    assert place.journal.parent.parent.name == f"handler-kit-{os.getuid()}"


def test_kit_mirror_keeps_a_copy_wherever_the_journal_lies() -> None:
    env = {"KIT_HOME": "/scratch/a", "KIT_MIRROR": "/copies", "RUNPOD_POD_ID": "pod"}
    place = home.place(env=env, mountinfo=POD)
    assert place.journal == Path("/scratch/a/journal.sqlite")
    assert place.mirror is not None
    assert place.mirror.parent.parent == Path("/copies")
    assert place.mirror.parent.name.startswith("pod-")
    # several homes, one folder of copies
    other = home.place(env={**env, "KIT_HOME": "/scratch/b"}, mountinfo=POD)
    assert other.mirror != place.mirror
    network = home.place(env={**env, "KIT_HOME": "/workspace/kit"}, mountinfo=POD)
    assert network.mirror is not None
    assert network.mirror.is_relative_to("/copies")


def test_the_machine_has_a_name_that_is_a_file_name() -> None:
    assert home.machine({"RUNPOD_POD_ID": "../../etc"}) == "______etc"
    assert home.machine({"RUNPOD_POD_ID": "x" * 5000}) == "x" * 100
    assert "/" not in home.machine({})
    assert home.machine({})


def test_somebody_else_s_folder_for_temporary_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = tmp_path / "handler-kit-1000" / "local-abc"
    home.make_folder(mine)
    assert mine.is_dir()
    assert mine.stat().st_mode & 0o077 == 0
    home.make_folder(mine)
    (tmp_path / "handler-kit-2000").symlink_to(tmp_path / "handler-kit-1000")
    with pytest.raises(StoreError, match="belongs to somebody else"):
        home.make_folder(tmp_path / "handler-kit-2000" / "local-abc")
